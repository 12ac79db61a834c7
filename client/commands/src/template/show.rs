//! Values as Go's `fmt` prints them.

use serde_json::Value;

/// `%v`.
pub(super) fn show(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(argument).collect::<Vec<_>>().join(" "))
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            let members: Vec<String> =
                members.iter().map(|(name, value)| format!("{name}:{}", argument(value))).collect();
            format!("map[{}]", members.join(" "))
        }
    }
}

/// As an argument of a printing function, or within another value.
pub(super) fn argument(value: &Value) -> String {
    if value.is_null() { "<nil>".to_owned() } else { show(value) }
}
