//! What all forms of `inspect` share: fetching things by name, and printing them.
//!
//! What the daemon says is printed as it says it, not as we understand it: nothing is lost that a
//! newer daemon adds.

use crate::failure::{Failure, told};
use crate::listing::bad_template;
use crate::output;
use crate::template::Template;
use client_http::Error;
use serde_json::Value;

/// Fetches each name and prints them: as a JSON list, or each by the template.
///
/// # Errors
///
/// When some could not be fetched (after the others were printed), or the template fails.
pub(crate) fn inspect(
    names: &[String],
    format: &str,
    mut fetch: impl FnMut(&str) -> Result<Value, Error>,
) -> Result<(), Failure> {
    let template = match format {
        "" | "json" => None,
        format => Some(Template::parse(format)),
    };
    let template = template.transpose().map_err(bad_template)?;
    let mut found = Vec::new();
    let mut failures = Vec::new();
    for name in names {
        match fetch(name) {
            Ok(value) => found.push(value),
            Err(error) => failures.push(told(&error)),
        }
    }
    match template {
        None if format == "json" => output::line(Value::Array(found).to_string())?,
        None => output::line(pretty(&Value::Array(found)))?,
        Some(template) => {
            let mut texts = Vec::new();
            for value in &found {
                match template.render(value) {
                    Ok(text) => texts.push(text),
                    Err(error) => failures.push(format!("template parsing error: {error}")),
                }
            }
            // Docker ends its output with a line even when there is none.
            output::line(texts.join("\n"))?;
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(Failure::text(failures.join("\n"))) }
}

/// JSON with Docker's indentation.
#[must_use]
pub(crate) fn pretty(value: &Value) -> String {
    indented(value, b"    ")
}

/// JSON with another indentation.
#[must_use]
pub(crate) fn indented(value: &Value, indentation: &[u8]) -> String {
    use serde::Serialize;
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(indentation);
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    value.serialize(&mut serializer).expect("a JSON value is always serialisable");
    String::from_utf8(out).expect("JSON is UTF-8")
}
