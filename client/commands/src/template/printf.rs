//! Go's `Sprintf`, for the values that JSON has.

use super::functions::type_name;
use super::show::{argument, show};
use serde_json::Value;

/// Wider padding and longer fractions are a mistake, and a gigabyte of spaces.
const MAX_WIDTH: usize = 4096;

/// One `%…`: its flags, width and precision.
#[derive(Default)]
struct Form {
    left: bool,
    zero: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    width: usize,
    precision: Option<usize>,
}

/// Formats with `%s %v %q %t %d %b %o %x %X %c %U %f %e %g %T %%`, flags, width and precision.
pub(super) fn printf(format: &str, arguments: &[Value]) -> String {
    let mut out = String::new();
    let mut arguments = arguments.iter();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let (form, after) = form(&rest[at + 1..]);
        let Some(verb) = after.chars().next() else {
            out.push_str("%!(NOVERB)");
            rest = "";
            break;
        };
        rest = &after[verb.len_utf8()..];
        match (verb, arguments.as_slice().first()) {
            ('%', _) => out.push('%'),
            (_, None) => out.push_str(&format!("%!{verb}(MISSING)")),
            (_, Some(value)) => {
                let _ = arguments.next();
                out.push_str(&form.pad(&form.text(verb, value), value.is_number()));
            }
        }
    }
    out.push_str(rest);
    let extra: Vec<String> = arguments.map(typed).collect();
    if !extra.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    out
}

fn typed(value: &Value) -> String {
    format!("{}={}", type_name(value), argument(value))
}

/// Reads flags, width and precision.
fn form(text: &str) -> (Form, &str) {
    let mut form = Form::default();
    let mut rest = text;
    while let Some(flag) = rest.chars().next() {
        match flag {
            '-' => form.left = true,
            '0' => form.zero = true,
            '+' => form.plus = true,
            '#' => form.sharp = true,
            ' ' => form.space = true,
            _ => break,
        }
        rest = &rest[1..];
    }
    let (width, after) = digits(rest);
    form.width = width.unwrap_or(0);
    rest = after;
    if let Some(after) = rest.strip_prefix('.') {
        let (precision, after) = digits(after);
        form.precision = Some(precision.unwrap_or(0));
        rest = after;
    }
    (form, rest)
}

fn digits(text: &str) -> (Option<usize>, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number = (end > 0).then(|| text[..end].parse().unwrap_or(MAX_WIDTH).min(MAX_WIDTH));
    (number, &text[end..])
}

impl Form {
    fn text(&self, verb: char, value: &Value) -> String {
        let wrong = || format!("%!{verb}({})", typed(value));
        match (verb, value) {
            ('T', _) => type_name(value).to_owned(),
            ('v', Value::Number(number)) => self.signed(number.to_string()),
            ('v', _) => argument(value),
            ('s', Value::Bool(_) | Value::Number(_)) => wrong(),
            ('s' | 'q', Value::String(text)) => {
                let cut = |most| text.chars().take(most).collect();
                let text: String = self.precision.map_or_else(|| text.clone(), cut);
                if verb == 'q' { format!("{text:?}") } else { text }
            }
            ('s', Value::Null) => "%!s(<nil>)".to_owned(),
            ('s', _) => show(value),
            ('t', Value::Bool(value)) => value.to_string(),
            ('x' | 'X', Value::String(text)) => {
                let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
                if verb == 'X' { hex.to_uppercase() } else { hex }
            }
            (_, Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => self.whole(verb, whole).unwrap_or_else(wrong),
                (None, Some(decimal)) => self.decimal(verb, decimal).unwrap_or_else(wrong),
                (None, None) => wrong(),
            },
            _ => wrong(),
        }
    }

    fn whole(&self, verb: char, number: i64) -> Option<String> {
        let sign = if number < 0 { "-" } else { "" };
        let size = number.unsigned_abs();
        let prefix = |prefix: &'static str| if self.sharp { prefix } else { "" };
        Some(match verb {
            'd' => self.signed(number.to_string()),
            'b' => format!("{sign}{}{size:b}", prefix("0b")),
            'o' => format!("{sign}{}{size:o}", prefix("0")),
            'x' => format!("{sign}{}{size:x}", prefix("0x")),
            'X' => format!("{sign}{}{size:X}", prefix("0X")),
            'U' => format!("U+{size:04X}"),
            'c' => char::from_u32(u32::try_from(size).ok()?)?.to_string(),
            'q' => format!("{:?}", char::from_u32(u32::try_from(size).ok()?)?),
            _ => return None,
        })
    }

    fn decimal(&self, verb: char, number: f64) -> Option<String> {
        let precision = self.precision.unwrap_or(6);
        Some(self.signed(match verb {
            'f' | 'F' => format!("{number:.precision$}"),
            'g' | 'G' => number.to_string(),
            'e' | 'E' => {
                let text = format!("{number:.precision$e}");
                let (mantissa, exponent) = text.split_once('e')?;
                let sign = if exponent.starts_with('-') { '-' } else { '+' };
                let digits = exponent.trim_start_matches('-');
                format!("{mantissa}{verb}{sign}{digits:0>2}")
            }
            _ => return None,
        }))
    }

    fn signed(&self, text: String) -> String {
        match text.starts_with('-') {
            false if self.plus => format!("+{text}"),
            false if self.space => format!(" {text}"),
            _ => text,
        }
    }

    fn pad(&self, text: &str, number: bool) -> String {
        let width = self.width;
        if self.left {
            return format!("{text:<width$}");
        }
        if !self.zero {
            return format!("{text:>width$}");
        }
        // The sign stays in front of the zeros.
        let sign = if number { text.len() - text.trim_start_matches(['-', '+']).len() } else { 0 };
        let width = width.saturating_sub(sign);
        format!("{}{:0>width$}", &text[..sign], &text[sign..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_formatted_as_go_formats_them() {
        for (format, arguments, wanted) in [
            ("%s|%10s|%-4s|%.2s", vec![json!("abc"); 4], "abc|       abc|abc |ab"),
            (
                "%5d|%05d|%+d|%-3d|",
                vec![json!(42), json!(-42), json!(42), json!(4)],
                "   42|-0042|+42|4  |",
            ),
            ("%x %X %#x %b %o", vec![json!(255); 5], "ff FF 0xff 11111111 377"),
            ("%c %U %q", vec![json!(65), json!(65), json!(65)], "A U+0041 'A'"),
            (
                "%6.2f|%f|%e",
                vec![json!(3.25159), json!(1.5), json!(1.5)],
                "  3.25|1.500000|1.500000e+00",
            ),
            ("%t %v %q", vec![json!(true), json!([1, "a"]), json!("x")], "true [1 a] \"x\""),
            ("%d%%", vec![json!("far")], "%!d(string=far)%"),
            ("%s %!", vec![], "%!s(MISSING) %!!(MISSING)"),
            ("a%", vec![json!(1)], "a%!(NOVERB)%!(EXTRA int=1)"),
            ("%x", vec![json!("hi")], "6869"),
        ] {
            assert_eq!(printf(format, &arguments), wanted, "{format}");
        }
    }
}
