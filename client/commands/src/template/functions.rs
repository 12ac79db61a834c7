//! The functions of templates: Go's and Docker's.

use super::printf::printf;
use super::show::{argument, show};
use serde_json::Value;
use std::cmp::Ordering;

const NAMES: &[&str] = &[
    "and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "index", "slice", "len", "print",
    "printf", "println", "html", "js", "urlquery", "json", "split", "join", "title", "lower",
    "upper", "pad", "truncate",
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

/// A call that failed.
pub(super) struct CallError {
    pub(super) culprit: Culprit,
    pub(super) why: String,
}

/// What an error names.
pub(super) enum Culprit {
    /// The call.
    Call,
    /// The function.
    Function,
    /// One of the arguments.
    Argument(usize),
}

impl From<String> for CallError {
    fn from(why: String) -> Self {
        Self { culprit: Culprit::Call, why }
    }
}

pub(super) fn call(name: &str, arguments: &[Value]) -> Result<Value, CallError> {
    let fail = |why: String| CallError::from(format!("error calling {name}: {why}"));
    let text = |text: String| Ok(Value::String(text));
    match (name, arguments) {
        ("and", [_, ..]) => Ok(pick(arguments, false)),
        ("or", [_, ..]) => Ok(pick(arguments, true)),
        ("not", [value]) => Ok(Value::Bool(!truth(value))),
        ("eq", [first, rest @ ..]) if !rest.is_empty() => {
            for other in rest {
                if same(first, other).map_err(fail)? {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        ("ne", [a, b]) => same(a, b).map(|same| Value::Bool(!same)).map_err(fail),
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
        ("print", _) => text(print(arguments)),
        ("println", _) => text(line(arguments)),
        ("printf", [format, rest @ ..]) => text(printf(&show(format), rest)),
        ("html", [_, ..]) => text(html(&print(arguments))),
        ("js", [_, ..]) => text(js(&print(arguments))),
        ("urlquery", [_, ..]) => text(urlquery(&print(arguments))),
        ("json", [value]) => {
            serde_json::to_string(value).map(Value::String).map_err(|error| fail(error.to_string()))
        }
        ("split", [whole, mark]) => {
            let (whole, mark) = (show(whole), show(mark));
            Ok(if mark.is_empty() {
                whole.chars().map(|c| Value::String(c.into())).collect()
            } else {
                whole.split(mark.as_str()).map(Value::from).collect()
            })
        }
        ("join", [Value::Array(items), mark]) => {
            let items: Vec<String> = items.iter().map(show).collect();
            text(items.join(&show(mark)))
        }
        ("join", [Value::Null, _]) => text(String::new()),
        ("join", [other, _]) => {
            let why = format!("wrong type for value; expected []string; got {}", type_name(other));
            Err(CallError { culprit: Culprit::Argument(0), why })
        }
        ("title", [value]) => text(title(&show(value))),
        ("lower", [value]) => text(show(value).to_lowercase()),
        ("upper", [value]) => text(show(value).to_uppercase()),
        ("pad", [value, before, after]) => pad(&show(value), before, after).map_err(fail),
        ("truncate", [value, length]) => {
            let length = count(length).map_err(fail)?;
            text(show(value).chars().take(length).collect())
        }
        _ => {
            let why = wrong_number(name, arguments.len());
            Err(CallError { culprit: Culprit::Function, why })
        }
    }
}

/// What Go says of a call with too few or too many arguments.
fn wrong_number(name: &str, got: usize) -> String {
    let want = match name {
        "eq" if got == 1 => return "error calling eq: missing argument for comparison".to_owned(),
        "not" | "len" | "json" | "title" | "lower" | "upper" => "1",
        "ne" | "lt" | "le" | "gt" | "ge" | "split" | "join" | "truncate" => "2",
        "pad" => "3",
        _ => "at least 1",
    };
    format!("wrong number of args for {name}: want {want} got {got}")
}

fn pick(arguments: &[Value], wanted: bool) -> Value {
    let found = arguments.iter().find(|value| truth(value) == wanted).or(arguments.last());
    found.cloned().unwrap_or(Value::Null)
}

fn same(a: &Value, b: &Value) -> Result<bool, String> {
    use std::mem::discriminant;
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => Ok(a == b || a.as_f64() == b.as_f64()),
        (Value::Null, _) | (_, Value::Null) => Ok(a == b),
        _ if discriminant(a) != discriminant(b) => {
            Err("incompatible types for comparison".to_owned())
        }
        _ => Ok(a == b),
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
            (Value::String(text), Value::Number(_)) => {
                let at = key.as_u64().and_then(|n| usize::try_from(n).ok());
                let byte = at.and_then(|at| text.as_bytes().get(at)).copied();
                byte.map(Value::from).ok_or_else(|| format!("index out of range: {}", show(key)))?
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
        out.push_str(&argument(value));
    }
    out
}

/// Go's `Sprintln`.
fn line(arguments: &[Value]) -> String {
    let words: Vec<String> = arguments.iter().map(argument).collect();
    words.join(" ") + "\n"
}

fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

fn js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' | '>' | '&' | '=' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if c < ' ' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

fn urlquery(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
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
