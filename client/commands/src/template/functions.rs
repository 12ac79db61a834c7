//! The functions of templates: Go's and Docker's.

use super::show::show;
use serde_json::Value;
use std::cmp::Ordering;

const NAMES: &[&str] = &[
    "and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "index", "slice", "len", "print",
    "printf", "println", "json", "split", "join", "title", "lower", "upper", "pad", "truncate",
    "table",
];

pub(super) fn exists(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Whether a function only changes how its argument looks.
pub(super) fn shapes_text(name: &str) -> bool {
    matches!(name, "json" | "split" | "join" | "title" | "lower" | "upper" | "pad" | "truncate")
}

/// Go's idea of an empty value.
pub(super) fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

pub(super) fn call(name: &str, arguments: &[Value]) -> Result<Value, String> {
    let fail = |why: String| format!("error calling {name}: {why}");
    match (name, arguments) {
        ("and", [_, ..]) => Ok(pick(arguments, false)),
        ("or", [_, ..]) => Ok(pick(arguments, true)),
        ("not", [value]) => Ok(Value::Bool(!truth(value))),
        ("eq", [first, rest @ ..]) if !rest.is_empty() => {
            Ok(Value::Bool(rest.iter().any(|other| same(first, other))))
        }
        ("ne", [a, b]) => Ok(Value::Bool(!same(a, b))),
        ("lt" | "le" | "gt" | "ge", [a, b]) => {
            let order = order(a, b).map_err(fail)?;
            Ok(Value::Bool(match name {
                "lt" => order == Ordering::Less,
                "le" => order != Ordering::Greater,
                "gt" => order == Ordering::Greater,
                _ => order != Ordering::Less,
            }))
        }
        ("index", [value, keys @ ..]) => index(value, keys).map_err(fail),
        ("slice", [value, bounds @ ..]) => slice(value, bounds).map_err(fail),
        ("len", [value]) => length(value).map(Value::from).map_err(fail),
        ("print", _) => Ok(Value::String(print(arguments))),
        ("println", _) => {
            let words: Vec<String> = arguments.iter().map(show).collect();
            Ok(Value::String(words.join(" ") + "\n"))
        }
        ("printf", [format, rest @ ..]) => Ok(Value::String(printf(&show(format), rest))),
        ("json", [value]) => {
            serde_json::to_string(value).map(Value::String).map_err(|error| fail(error.to_string()))
        }
        ("split", [text, mark]) => {
            let (text, mark) = (show(text), show(mark));
            Ok(if mark.is_empty() {
                text.chars().map(|c| Value::String(c.into())).collect()
            } else {
                text.split(mark.as_str()).map(Value::from).collect()
            })
        }
        ("join", [Value::Array(items), mark]) => {
            let items: Vec<String> = items.iter().map(show).collect();
            Ok(Value::String(items.join(&show(mark))))
        }
        ("join", [Value::Null, _]) => Ok(Value::String(String::new())),
        ("title", [text]) => Ok(Value::String(title(&show(text)))),
        ("lower", [text]) => Ok(Value::String(show(text).to_lowercase())),
        ("upper", [text]) => Ok(Value::String(show(text).to_uppercase())),
        ("pad", [text, before, after]) => pad(&show(text), before, after).map_err(fail),
        ("truncate", [text, length]) => {
            let length = count(length).map_err(fail)?;
            Ok(Value::String(show(text).chars().take(length).collect()))
        }
        ("table", [value]) => Ok(value.clone()),
        _ => Err(format!("wrong number of args for {name}: got {}", arguments.len())),
    }
}

fn pick(arguments: &[Value], wanted: bool) -> Value {
    let found = arguments.iter().find(|value| truth(value) == wanted).or(arguments.last());
    found.cloned().unwrap_or(Value::Null)
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

fn order(a: &Value, b: &Value) -> Result<Ordering, String> {
    match (a, b) {
        (Value::String(a), Value::String(b)) => Ok(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => {
            let both = a.as_f64().zip(b.as_f64());
            both.and_then(|(a, b)| a.partial_cmp(&b)).ok_or_else(|| "not a number".to_owned())
        }
        _ => Err("incompatible types for comparison".to_owned()),
    }
}

fn count(value: &Value) -> Result<usize, String> {
    /// Wider padding is a mistake, and a gigabyte of spaces.
    const MAX: usize = 65_536;
    let number = value.as_u64().and_then(|n| usize::try_from(n).ok());
    number.filter(|n| *n <= MAX).ok_or_else(|| format!("unusable number {}", show(value)))
}

fn index(value: &Value, keys: &[Value]) -> Result<Value, String> {
    let mut value = value.clone();
    for key in keys {
        value = match (&value, key) {
            (Value::Array(items), Value::Number(_)) => {
                let at = key.as_u64().and_then(|n| usize::try_from(n).ok());
                let item = at.and_then(|at| items.get(at)).cloned();
                item.ok_or_else(|| format!("index out of range: {}", show(key)))?
            }
            (Value::Object(members), Value::String(name)) => {
                members.get(name).cloned().unwrap_or_else(|| Value::String(String::new()))
            }
            (Value::Null, _) => return Err("index of untyped nil".to_owned()),
            _ => return Err(format!("can't index item of type {}", type_name(&value))),
        };
    }
    Ok(value)
}

fn slice(value: &Value, bounds: &[Value]) -> Result<Value, String> {
    let length = length(value)?;
    let from = bounds.first().map_or(Ok(0), count)?;
    let to = bounds.get(1).map_or(Ok(length), count)?;
    if from > to || to > length {
        return Err(format!("index out of range: {to}"));
    }
    match value {
        Value::String(text) => text
            .get(from..to)
            .map(Value::from)
            .ok_or_else(|| "the bounds cut a character".to_owned()),
        Value::Array(items) => Ok(Value::Array(items[from..to].to_vec())),
        other => Err(format!("can't slice item of type {}", type_name(other))),
    }
}

fn length(value: &Value) -> Result<usize, String> {
    match value {
        Value::String(text) => Ok(text.len()),
        Value::Array(items) => Ok(items.len()),
        Value::Object(members) => Ok(members.len()),
        Value::Null => Ok(0),
        other => Err(format!("len of type {}", type_name(other))),
    }
}

/// Go's `Sprint`: a space between two values when neither is a text.
fn print(arguments: &[Value]) -> String {
    let mut out = String::new();
    for (at, value) in arguments.iter().enumerate() {
        if at > 0 && !value.is_string() && !arguments[at - 1].is_string() {
            out.push(' ');
        }
        out.push_str(&show(value));
    }
    out
}

/// Go's `Sprintf` with `%s %v %d %q %t %x %%`, width and `-`.
fn printf(format: &str, arguments: &[Value]) -> String {
    let mut out = String::new();
    let mut arguments = arguments.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut left = false;
        let mut zero = false;
        let mut width = String::new();
        while let Some(&c) = chars.peek() {
            match c {
                '-' => left = true,
                '0' if width.is_empty() => zero = true,
                c if c.is_ascii_digit() && width.len() < 4 => width.push(c),
                _ => break,
            }
            chars.next();
        }
        let Some(verb) = chars.next() else { break };
        if verb == '%' {
            out.push('%');
            continue;
        }
        let text = match (verb, arguments.next()) {
            (_, None) => format!("%!{verb}(MISSING)"),
            ('q', Some(value)) => format!("{:?}", show(value)),
            ('x', Some(value)) => match value.as_i64() {
                Some(number) => format!("{number:x}"),
                None => show(value).bytes().map(|b| format!("{b:02x}")).collect(),
            },
            (_, Some(value)) => show(value),
        };
        let width = width.parse().unwrap_or(0);
        out.push_str(&match (left, zero) {
            (true, _) => format!("{text:<width$}"),
            (false, true) => format!("{text:0>width$}"),
            (false, false) => format!("{text:>width$}"),
        });
    }
    out
}

fn title(text: &str) -> String {
    let mut start = true;
    text.chars()
        .map(|c| {
            let upper = start;
            start = !c.is_alphanumeric() && c != '_' && c != '\'';
            if upper { c.to_uppercase().next().unwrap_or(c) } else { c }
        })
        .collect()
}

fn pad(text: &str, before: &Value, after: &Value) -> Result<Value, String> {
    if text.is_empty() {
        return Ok(Value::String(String::new()));
    }
    let (before, after) = (count(before)?, count(after)?);
    Ok(Value::String(format!("{}{text}{}", " ".repeat(before), " ".repeat(after))))
}
