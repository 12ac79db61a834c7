//! Values, and how they are written (D-Bus specification, "Marshaling (Wire Format)").

/// A value of D-Bus' types, as far as unit properties have them.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::systemd) enum Value {
    Byte(u8),
    Bool(bool),
    I16(i16),
    U16(u16),
    I32(i32),
    U32(u32),
    I64(i64),
    U64(u64),
    Double(f64),
    Text(String),
    Path(String),
    Signature(String),
    /// The elements' signature, for an array has one even when it is empty.
    Array(String, Vec<Value>),
    Struct(Vec<Value>),
    Variant(Box<Value>),
}

impl Value {
    pub(in crate::systemd) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// What type it has.
    pub(in crate::systemd) fn signature(&self) -> String {
        match self {
            Self::Byte(_) => "y".to_owned(),
            Self::Bool(_) => "b".to_owned(),
            Self::I16(_) => "n".to_owned(),
            Self::U16(_) => "q".to_owned(),
            Self::I32(_) => "i".to_owned(),
            Self::U32(_) => "u".to_owned(),
            Self::I64(_) => "x".to_owned(),
            Self::U64(_) => "t".to_owned(),
            Self::Double(_) => "d".to_owned(),
            Self::Text(_) => "s".to_owned(),
            Self::Path(_) => "o".to_owned(),
            Self::Signature(_) => "g".to_owned(),
            Self::Array(element, _) => format!("a{element}"),
            Self::Struct(fields) => {
                format!("({})", fields.iter().map(Self::signature).collect::<String>())
            }
            Self::Variant(_) => "v".to_owned(),
        }
    }

    /// Appends it to a message, or a part of one, whose first byte lies at a multiple of eight.
    pub(super) fn write(&self, message: &mut Vec<u8>) {
        match self {
            Self::Byte(value) => message.push(*value),
            Self::Bool(value) => put(message, &u32::from(*value).to_le_bytes()),
            Self::I16(value) => put(message, &value.to_le_bytes()),
            Self::U16(value) => put(message, &value.to_le_bytes()),
            Self::I32(value) => put(message, &value.to_le_bytes()),
            Self::U32(value) => put(message, &value.to_le_bytes()),
            Self::I64(value) => put(message, &value.to_le_bytes()),
            Self::U64(value) => put(message, &value.to_le_bytes()),
            Self::Double(value) => put(message, &value.to_le_bytes()),
            Self::Text(text) | Self::Path(text) => {
                put(message, &length(text.len()).to_le_bytes());
                message.extend_from_slice(text.as_bytes());
                message.push(0);
            }
            Self::Signature(signature) => write_signature(message, signature),
            Self::Array(element, values) => {
                put(message, &0_u32.to_le_bytes());
                let length_at = message.len() - 4;
                // The padding before the first element does not count, and is there without one.
                align(message, alignment(element));
                let begin = message.len();
                for value in values {
                    value.write(message);
                }
                let bytes = length(message.len() - begin).to_le_bytes();
                message[length_at..length_at + 4].copy_from_slice(&bytes);
            }
            Self::Struct(fields) => {
                align(message, 8);
                for field in fields {
                    field.write(message);
                }
            }
            Self::Variant(value) => {
                write_signature(message, &value.signature());
                value.write(message);
            }
        }
    }
}

/// A length; what is longer than any message is caught where the message is sent.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn write_signature(message: &mut Vec<u8>, signature: &str) {
    message.push(u8::try_from(signature.len()).unwrap_or(u8::MAX));
    message.extend_from_slice(signature.as_bytes());
    message.push(0);
}

/// Appends a number, aligned to its own size.
fn put(message: &mut Vec<u8>, bytes: &[u8]) {
    align(message, bytes.len());
    message.extend_from_slice(bytes);
}

/// Pads to a multiple of `to`.
pub(super) fn align(message: &mut Vec<u8>, to: usize) {
    message.resize(message.len().next_multiple_of(to), 0);
}

/// To how many bytes a value of a type is aligned.
fn alignment(signature: &str) -> usize {
    match signature.as_bytes().first() {
        Some(b'n' | b'q') => 2,
        Some(b'b' | b'i' | b'u' | b's' | b'o' | b'a') => 4,
        Some(b'x' | b't' | b'd' | b'(' | b'{') => 8,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &Value) -> Vec<u8> {
        let mut message = Vec::new();
        value.write(&mut message);
        message
    }

    #[test]
    fn numbers_are_little_endian_and_aligned_to_their_size() {
        let value = Value::Struct(vec![Value::Byte(1), Value::U64(2), Value::U16(3)]);
        assert_eq!(value.signature(), "(ytq)");
        assert_eq!(written(&value), [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0]);
    }

    #[test]
    fn texts_have_a_length_and_a_zero_that_does_not_count() {
        assert_eq!(written(&Value::text("ab")), [2, 0, 0, 0, b'a', b'b', 0]);
        assert_eq!(written(&Value::Signature("as".into())), [2, b'a', b's', 0]);
        assert_eq!(written(&Value::Bool(true)), [1, 0, 0, 0]);
    }

    #[test]
    fn an_arrays_length_leaves_out_the_padding_before_its_first_element() {
        let array = Value::Array("t".into(), vec![Value::U64(7)]);
        assert_eq!(written(&array), [8, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
        let empty = Value::Array("(sv)".into(), Vec::new());
        assert_eq!(written(&empty), [0; 8]);
        assert_eq!(empty.signature(), "a(sv)");
    }

    #[test]
    fn a_variant_carries_its_signature() {
        let variant = Value::Variant(Box::new(Value::Array("y".into(), vec![Value::Byte(5)])));
        assert_eq!(written(&variant), [2, b'a', b'y', 0, 1, 0, 0, 0, 5]);
    }
}
