//! Taking out of an answer what no two runs have in common.

use regex_lite::Regex;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// How much of an answer has to be equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Every value that is not an id, a time, an address or a size.
    Values,
    /// Which fields there are, and of which type: what describes the machine.
    Shape,
}

/// Texts inside strings, and what stands for them.
static TEXTS: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    [
        (r"sha256:[0-9a-f]{64}", "<digest>"),
        (r"\b[0-9a-f]{64}\b", "<id>"),
        (r"\b[0-9a-f]{12}\b", "<short id>"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "<time>"),
        (r"\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b", "<mac>"),
        (r"127\.0\.0\.1:\d+", "<registry>"),
        (r"\b(172|192|10)\.\d+\.\d+\.\d+(/\d+)?", "<address>"),
        (r"/tmp/gantry-[A-Za-z0-9./_-]*?/(data|exec)\b", "<$1>"),
        (r"Up (Less than a second|\d+ seconds?|About a minute)", "Up <while>"),
        (r"(Exited \(\d+\)) (Less than a second|\d+ seconds?) ago", "$1 <while> ago"),
        (r"Docker/[^ ]+", "Docker/<version>"),
    ]
    .into_iter()
    .map(|(pattern, name)| (Regex::new(pattern).expect("a pattern written here"), name))
    .collect()
});

/// Fields whose numbers differ from run to run.
const NUMBERS: [&str; 20] = [
    "execDuration",
    "Content",
    "Total",
    "Unpacked",
    "Created",
    "HostPort",
    "LayersSize",
    "LogPath",
    "Pid",
    "PublicPort",
    "Size",
    "SizeRootFs",
    "SizeRw",
    "SharedSize",
    "TotalSize",
    "Reclaimable",
    "VirtualSize",
    "time",
    "timeNano",
    "size",
];

/// An answer's body with placeholders; lines of JSON become a list.
#[must_use]
pub fn body(bytes: &[u8], depth: Depth) -> Value {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(value) = serde_json::from_str::<Value>(&text) {
        return normal(value, depth);
    }
    let lines: Result<Vec<Value>, _> =
        text.lines().filter(|line| !line.is_empty()).map(serde_json::from_str).collect();
    match lines {
        Ok(lines) if lines.len() > 1 => {
            Value::Array(lines.into_iter().map(|line| normal(line, depth)).collect())
        }
        _ => Value::String(placeholders(&text)),
    }
}

/// A string with placeholders.
#[must_use]
pub fn placeholders(text: &str) -> String {
    TEXTS.iter().fold(text.to_owned(), |text, (pattern, name)| {
        pattern.replace_all(&text, *name).into_owned()
    })
}

fn normal(value: Value, depth: Depth) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, value)| {
                    let value = if NUMBERS.contains(&name.as_str()) && !value.is_object() {
                        shape(value)
                    } else {
                        normal(value, depth)
                    };
                    (placeholders(&name), value)
                })
                .collect::<Map<_, _>>(),
        ),
        Value::Array(values) => {
            let mut values = sorted(values.into_iter().map(|value| normal(value, depth)).collect());
            if depth == Depth::Shape {
                // How many there are depends on the machine.
                values.dedup();
                values.truncate(1);
            }
            Value::Array(values)
        }
        Value::String(text) if depth == Depth::Values => Value::String(placeholders(&text)),
        // What counts something may be zero by chance.
        Value::Number(number) if depth == Depth::Shape && number.as_i64() == Some(0) => {
            json!("<number>")
        }
        other if depth == Depth::Shape => shape(other),
        other => other,
    }
}

/// By what to sort a list that the original sends in the random order of a Go map, mounts by their
/// place, networks by their name, ports; and events, because what happens in one moment is told in
/// any order (`tests/engine` knows which order means something). Other lists keep theirs.
fn order(value: &Value) -> Option<String> {
    if let (Some(kind), Some(action), Some(actor)) =
        (value.get("Type"), value.get("Action"), value.get("Actor"))
    {
        let attributes: BTreeMap<&String, &Value> =
            actor.get("Attributes").and_then(Value::as_object).into_iter().flatten().collect();
        return Some(format!("{kind} {action} {} {attributes:?}", actor["ID"]));
    }
    let mount = value.get("Destination").filter(|_| value.get("Propagation").is_some());
    let network = value.get("Name").filter(|_| value.get("IPAM").is_some());
    let name = mount.or(network).and_then(Value::as_str).map(str::to_owned);
    name.or_else(|| value.get("PrivatePort").map(ToString::to_string))
}

/// A recorded body with its lists in today's order.
#[must_use]
pub fn in_order(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| (name, in_order(value))).collect())
        }
        Value::Array(values) => Value::Array(sorted(values.into_iter().map(in_order).collect())),
        other => other,
    }
}

fn sorted(mut values: Vec<Value>) -> Vec<Value> {
    if values.iter().all(|value| order(value).is_some()) {
        values.sort_by_key(order);
    }
    values
}

/// A value's type. A number below one keeps its value: −1 and 0 mean something in a size.
fn shape(value: Value) -> Value {
    match value {
        Value::Number(number) if number.as_i64().is_some_and(|number| number > 0) => {
            json!("<number>")
        }
        Value::String(text) if !text.is_empty() => json!("<text>"),
        Value::Bool(_) => json!("<switch>"),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_times_addresses_and_sizes_become_placeholders() {
        let id = "ab".repeat(32);
        let text = format!(
            r#"{{"Id":"{id}","Image":"sha256:{id}","Created":5,"At":"2026-11-22T09:00:00.5Z",
                "IPAddress":"172.17.0.2","ExitCode":3,"Networks":{{"{id}":-1}}}}"#
        );
        let expected = json!({"Id": "<id>", "Image": "<digest>", "Created": "<number>",
            "At": "<time>", "IPAddress": "<address>", "ExitCode": 3, "Networks": {"<id>": -1}});
        assert_eq!(body(text.as_bytes(), Depth::Values), expected);
    }

    #[test]
    fn a_shape_keeps_types_and_what_is_below_zero() {
        let text = r#"{"A":"x","B":"","C":5,"D":-1,"E":[1,2],"F":null}"#;
        let expected = json!({"A": "<text>", "B": "", "C": "<number>", "D": -1,
            "E": ["<number>"], "F": null});
        assert_eq!(body(text.as_bytes(), Depth::Shape), expected);
    }
}
