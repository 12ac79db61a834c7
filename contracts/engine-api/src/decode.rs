//! JSON as Go's `encoding/json` reads it.
//!
//! Docker's clients were written against Go's decoder, and lean on its leniency: `null` leaves any
//! field at its default, names match without regard to case, unknown fields are skipped. It is
//! also particular: a string where a list belongs is refused, in a text that people search for.

mod node;

use node::{Mismatch, Node};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Why a body was not accepted; the texts are those of dockerd.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// There is no body.
    #[error("invalid JSON: EOF")]
    Empty,
    /// The body stops in the middle.
    #[error("invalid JSON: unexpected EOF")]
    Truncated,
    /// The body is not JSON.
    #[error("invalid JSON: {0}")]
    Syntax(String),
    /// A value has the wrong type.
    #[error("invalid JSON: {0}")]
    Type(Mismatch),
    /// Something follows the value.
    #[error("unexpected content after JSON")]
    Trailing,
}

impl base_errors::Classify for DecodeError {
    fn kind(&self) -> base_errors::Kind {
        base_errors::Kind::InvalidArgument
    }
}

/// Reads one value of a known type.
///
/// # Errors
/// The bytes are not one JSON value of that type.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    from_value(&parse(bytes)?)
}

/// Reads a value that is parsed already.
///
/// # Errors
/// The value is not of that type.
pub fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T, DecodeError> {
    T::deserialize(Node(value)).map_err(DecodeError::Type)
}

/// Reads a value that is a part of a larger one, whose name error texts then give.
///
/// # Errors
/// The value is not of that type.
pub fn from_part<T: DeserializeOwned>(
    value: &Value,
    structure: &'static str,
    field: Option<&str>,
) -> Result<T, DecodeError> {
    T::deserialize(Node(value)).map_err(|error| DecodeError::Type(error.inside(structure, field)))
}

/// Reads a structure whose fields stand among those of the one that embeds it.
///
/// # Errors
/// The value is not of that type.
pub fn from_embedded<T: DeserializeOwned>(
    value: &Value,
    structure: &'static str,
    embedded: &str,
) -> Result<T, DecodeError> {
    T::deserialize(Node(value))
        .map_err(|error| DecodeError::Type(error.embedded(structure, embedded)))
}

/// Parses one JSON value with nothing but white space behind it.
///
/// # Errors
/// The bytes are something else.
pub fn parse(bytes: &[u8]) -> Result<Value, DecodeError> {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>();
    let value = match values.next() {
        None => return Err(DecodeError::Empty),
        Some(Err(error)) => return Err(syntax(&error, bytes)),
        Some(Ok(value)) => value,
    };
    let rest = &bytes[values.byte_offset()..];
    if rest.iter().all(u8::is_ascii_whitespace) { Ok(value) } else { Err(DecodeError::Trailing) }
}

/// A field's value in an object, its name matched as Go does it.
#[must_use]
pub fn field<'v>(object: &'v Value, name: &str) -> Option<&'v Value> {
    let object = object.as_object()?;
    object
        .get(name)
        .or_else(|| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v))
}

/// Says in Go's words where and why the parser stopped.
fn syntax(error: &serde_json::Error, bytes: &[u8]) -> DecodeError {
    if error.is_eof() {
        return DecodeError::Truncated;
    }
    let line = bytes.split(|b| *b == b'\n').nth(error.line().saturating_sub(1)).unwrap_or(&[]);
    let character = line.get(error.column().saturating_sub(1)).copied().unwrap_or(b' ');
    let character = char::from(character);
    let text = error.to_string();
    let context = match text.split(" at line").next().unwrap_or_default() {
        "expected value" | "trailing comma" => "looking for beginning of value",
        "key must be a string" => "looking for beginning of object key string",
        "expected `,` or `}`" => "after object key:value pair",
        "expected `,` or `]`" => "after array element",
        "expected `:`" => "after object key",
        "expected ident" => "in literal",
        "invalid number" => "in numeric literal",
        _ => "in string literal",
    };
    DecodeError::Syntax(format!("invalid character {character:?} {context}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::{CreateRequest, HostConfig};
    use crate::exec::ExecStartRequest;

    #[test]
    fn null_unknown_and_differently_cased_fields_are_accepted() {
        let text = br#"{"memory": null, "BINDS": ["/a:/b"], "Nothing": {"x": 1}, "NanoCpus": 5,
            "ConsoleSize": null, "RestartPolicy": {"Name": null, "MaximumRetryCount": null},
            "PortBindings": {"80/tcp": null}}"#;
        let config: HostConfig = from_slice(text).unwrap();
        assert_eq!((config.memory, config.nano_cpus), (0, 5));
        assert_eq!(config.binds, Some(vec!["/a:/b".to_owned()]));
        assert!(config.port_bindings.unwrap()["80/tcp"].is_none());
    }

    #[test]
    fn a_string_where_a_list_belongs_is_refused_in_gos_words() {
        let error = CreateRequest::from_slice(br#"{"Cmd": "echo hi"}"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid JSON: json: cannot unmarshal string into Go struct field \
             CreateRequest.Config.Cmd of type []string"
        );
        let error = CreateRequest::from_slice(br#"{"HostConfig": {"Memory": "1g"}}"#).unwrap_err();
        assert!(
            error.to_string().ends_with("HostConfig.HostConfig.Resources.Memory of type int64"),
            "{error}"
        );
    }

    #[test]
    fn broken_bodies_fail_in_gos_words() {
        let decode = |text: &[u8]| from_slice::<ExecStartRequest>(text).unwrap_err().to_string();
        assert_eq!(decode(b""), "invalid JSON: EOF");
        assert_eq!(decode(b"{\"Detach\": tr"), "invalid JSON: unexpected EOF");
        assert_eq!(decode(b"{} {}"), "unexpected content after JSON");
        assert_eq!(
            decode(b"hello"),
            "invalid JSON: invalid character 'h' looking for beginning of value"
        );
        assert_eq!(
            decode(b"[]"),
            "invalid JSON: json: cannot unmarshal array into Go value of type \
             container.ExecStartRequest"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes: Vec<u8>) {
            let _ = CreateRequest::from_slice(&bytes);
        }

        #[test]
        fn any_cut_of_a_body_is_refused_as_cut(length in 1_usize..90) {
            let text = br#"{"Image":"debian","Cmd":["true"],"HostConfig":{"Memory":12,"Dns":null},"Labels":{"a":"b"}}"#;
            let error = CreateRequest::from_slice(&text[..length]).unwrap_err();
            proptest::prop_assert_eq!(error, DecodeError::Truncated);
        }
    }
}
