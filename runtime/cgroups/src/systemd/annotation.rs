//! Annotations `org.systemd.property.NAME`: further properties of the unit, in GVariant's text
//! format (<https://docs.gtk.org/glib/gvariant-text-format.html>), as runc and crun take them.

use super::dbus::Value;
use super::{Error, Property};
use std::collections::BTreeMap;

const PREFIX: &str = "org.systemd.property.";
/// No name is shorter: what is, is a mistake.
const MIN_NAME: usize = 3;
/// How deep arrays and tuples may be nested.
const MAX_DEPTH: u32 = 8;
const MICROSECONDS: f64 = 1_000_000.0;

/// The properties that annotations name.
pub(super) fn properties(annotations: &BTreeMap<String, String>) -> Result<Vec<Property>, Error> {
    annotations
        .iter()
        .filter_map(|(key, text)| Some((key.strip_prefix(PREFIX)?, text)))
        .map(|(name, text)| property(name, text))
        .collect()
}

fn property(name: &str, text: &str) -> Result<Property, Error> {
    let wrong = |reason| Error::Annotation { name: name.to_owned(), reason };
    if name.len() < MIN_NAME || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Err(wrong("it is not the name of a property"));
    }
    let value = parse(text).ok_or_else(|| wrong("its value is not understood"))?;
    // What systemd documents in seconds it takes in microseconds.
    let in_seconds = |stem: &&str| stem.ends_with(|last: char| last.is_ascii_lowercase());
    match name.strip_suffix("Sec").filter(in_seconds) {
        None => Ok(Property::new(name, value)),
        Some(stem) => {
            let value = microseconds(&value).ok_or_else(|| wrong("it is no time in seconds"))?;
            Ok(Property::new(format!("{stem}USec"), Value::U64(value)))
        }
    }
}

fn microseconds(value: &Value) -> Option<u64> {
    #[expect(clippy::cast_precision_loss, reason = "microseconds of any sensible time are exact")]
    let seconds = match *value {
        Value::Byte(seconds) => f64::from(seconds),
        Value::I16(seconds) => f64::from(seconds),
        Value::U16(seconds) => f64::from(seconds),
        Value::I32(seconds) => f64::from(seconds),
        Value::U32(seconds) => f64::from(seconds),
        Value::I64(seconds) => seconds as f64,
        Value::U64(seconds) => seconds as f64,
        Value::Double(seconds) => seconds,
        _ => return None,
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is not negative, and what is too large becomes the largest: infinity"
    )]
    let microseconds = (seconds * MICROSECONDS) as u64;
    (seconds >= 0.0).then_some(microseconds)
}

/// Reads a value; `None` if it is none, or of a kind that no unit property has (dictionaries,
/// variants, maybes).
fn parse(text: &str) -> Option<Value> {
    let mut parser = Parser { rest: text };
    let value = parser.value(None, MAX_DEPTH)?;
    parser.rest.trim().is_empty().then_some(value)
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    /// Takes a character, if it is the next one.
    fn skip(&mut self, wanted: char) -> bool {
        self.rest = self.rest.trim_start();
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn word(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        let belongs = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// A value, of the type that is wanted, or whichever it is.
    fn value(&mut self, wanted: Option<&str>, depth: u32) -> Option<Value> {
        let depth = depth.checked_sub(1)?;
        if self.skip('@') {
            let end = self.rest.find(char::is_whitespace)?;
            let (signature, rest) = self.rest.split_at(end);
            self.rest = rest;
            return self.value(Some(signature), depth);
        }
        if self.skip('[') {
            return self.array(wanted, depth);
        }
        if self.skip('(') {
            return self.tuple(depth);
        }
        for quote in ['\'', '"'] {
            if self.skip(quote) {
                return text_of(self.quoted(quote)?, wanted.unwrap_or("s"));
            }
        }
        let word = self.word();
        match keyword(word) {
            Some(kind) => self.value(Some(kind), depth),
            None => scalar(word, wanted),
        }
    }

    fn array(&mut self, wanted: Option<&str>, depth: u32) -> Option<Value> {
        let mut element = match wanted {
            Some(signature) => Some(signature.strip_prefix('a')?.to_owned()),
            None => None,
        };
        let mut values = Vec::new();
        while !self.skip(']') {
            if !values.is_empty() && !self.skip(',') {
                return None;
            }
            let value = self.value(element.as_deref(), depth)?;
            // The first says for the rest what was not said before.
            let signature = value.signature();
            if element.get_or_insert(signature.clone()) != &signature {
                return None;
            }
            values.push(value);
        }
        Some(Value::Array(element?, values))
    }

    fn tuple(&mut self, depth: u32) -> Option<Value> {
        let mut values = Vec::new();
        while !self.skip(')') {
            if !values.is_empty() && !self.skip(',') {
                return None;
            }
            // A tuple of one has a comma behind it.
            if !values.is_empty() && self.skip(')') {
                break;
            }
            values.push(self.value(None, depth)?);
        }
        (!values.is_empty()).then_some(Value::Struct(values))
    }

    fn quoted(&mut self, quote: char) -> Option<String> {
        let mut text = String::new();
        let mut characters = self.rest.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '\\' => text.push(match characters.next()?.1 {
                    'n' => '\n',
                    't' => '\t',
                    other if other.is_ascii_alphanumeric() => return None,
                    other => other,
                }),
                // D-Bus has no such text.
                '\0' => return None,
                end if end == quote => {
                    self.rest = &self.rest[at + 1..];
                    return Some(text);
                }
                other => text.push(other),
            }
        }
        None
    }
}

/// The type that a keyword before a value says.
fn keyword(word: &str) -> Option<&'static str> {
    Some(match word {
        "boolean" => "b",
        "byte" => "y",
        "int16" => "n",
        "uint16" => "q",
        "int32" => "i",
        "uint32" => "u",
        "int64" => "x",
        "uint64" => "t",
        "double" => "d",
        "string" => "s",
        "objectpath" => "o",
        "signature" => "g",
        _ => return None,
    })
}

fn text_of(text: String, kind: &str) -> Option<Value> {
    match kind {
        "s" => Some(Value::Text(text)),
        "o" => Some(Value::Path(text)),
        "g" if text.len() < 256 => Some(Value::Signature(text)),
        _ => None,
    }
}

/// A truth value or a number; what is not said to be of another type is an `int32` or a double.
fn scalar(word: &str, wanted: Option<&str>) -> Option<Value> {
    let kind = match wanted {
        Some(kind) => kind,
        None if matches!(word, "true" | "false") => "b",
        None if word.contains('.') => "d",
        None => "i",
    };
    Some(match kind {
        "b" => Value::Bool(word.parse().ok()?),
        "y" => Value::Byte(integer(word)?),
        "n" => Value::I16(integer(word)?),
        "q" => Value::U16(integer(word)?),
        "i" => Value::I32(integer(word)?),
        "u" => Value::U32(integer(word)?),
        "x" => Value::I64(integer(word)?),
        "t" => Value::U64(integer(word)?),
        "d" => Value::Double(word.parse().ok()?),
        _ => return None,
    })
}

/// An integer in C's notation: decimal, `0x` hexadecimal, `0` octal.
fn integer<T: TryFrom<i128>>(word: &str) -> Option<T> {
    let (is_negative, digits) = match word.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, word.strip_prefix('+').unwrap_or(word)),
    };
    let (digits, radix) = match digits.strip_prefix("0x") {
        Some(hexadecimal) => (hexadecimal, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        None => (digits, 10),
    };
    if !digits.starts_with(|first: char| first.is_ascii_hexdigit()) {
        return None;
    }
    let number = i128::from_str_radix(digits, radix).ok()?;
    T::try_from(if is_negative { -number } else { number }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_kind_that_units_have_are_read() {
        for (text, expected) in [
            ("uint64 123456789", Value::U64(123_456_789)),
            ("'inactive-or-failed'", Value::text("inactive-or-failed")),
            (r#""it's \"so\"""#, Value::text("it's \"so\"")),
            ("true", Value::Bool(true)),
            ("7", Value::I32(7)),
            ("-0x10", Value::I32(-16)),
            ("byte 010", Value::Byte(8)),
            ("1.5", Value::Double(1.5)),
            ("objectpath '/a'", Value::Path("/a".into())),
            ("['a', 'b']", Value::Array("s".into(), vec![Value::text("a"), Value::text("b")])),
            ("@as []", Value::Array("s".into(), vec![])),
            ("@au [1]", Value::Array("u".into(), vec![Value::U32(1)])),
            ("('x', uint64 2)", Value::Struct(vec![Value::text("x"), Value::U64(2)])),
            (
                "[('/dev/null', 'rw')]",
                Value::Array(
                    "(ss)".into(),
                    vec![Value::Struct(vec![Value::text("/dev/null"), Value::text("rw")])],
                ),
            ),
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_value_is_refused() {
        let deep = "[".repeat(10_000);
        for bad in [
            "",
            "[]",
            "()",
            "'open",
            "uint64",
            "uint64 -1",
            "byte 256",
            "1 2",
            "[1, 'a']",
            "{}",
            "<1>",
            "nothing",
            "'a\\u0041'",
            "[1",
            "@",
            "+-1",
            &deep,
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_annotations_of_systemd_count_and_seconds_become_microseconds() {
        let annotations = |pairs: &[(&str, &str)]| {
            let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            properties(&pairs.iter().map(pair).collect())
        };
        let found = annotations(&[
            ("org.systemd.property.CollectMode", "'inactive'"),
            ("org.systemd.property.TimeoutStopSec", "1.5"),
            ("org.systemd.property.RestartUSec", "uint64 3"),
            ("other", "rubbish"),
        ]);
        let expected = [
            Property::new("CollectMode", Value::text("inactive")),
            Property::new("RestartUSec", Value::U64(3)),
            Property::new("TimeoutStopUSec", Value::U64(1_500_000)),
        ];
        assert_eq!(found.unwrap(), expected);
        for (name, value) in [("Ab", "1"), ("A-b-c", "1"), ("Abc", "?"), ("WaitSec", "'x'")] {
            let key = format!("{PREFIX}{name}");
            let error = annotations(&[(&key, value)]).unwrap_err();
            assert!(matches!(error, Error::Annotation { .. }), "{name}");
        }
    }
}
