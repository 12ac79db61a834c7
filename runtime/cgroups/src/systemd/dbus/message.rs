//! Messages: calls that are sent, answers and signals that are received (D-Bus specification,
//! "Message Protocol").

use super::value::{Value, align};

/// No message that is exchanged here is longer. systemd's own are a few kilobytes.
pub(super) const MAX_MESSAGE: usize = 1 << 20;
/// The part of the header that every message has.
pub(super) const FIXED_HEADER: usize = 16;

const LITTLE_ENDIAN: u8 = b'l';
const METHOD_CALL: u8 = 1;
const PROTOCOL_VERSION: u8 = 1;

const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SENDER: u8 = 7;
const SIGNATURE: u8 = 8;

/// Whom a call goes to.
#[derive(Clone, Copy, Debug)]
pub(in crate::systemd) struct Target<'a> {
    pub(in crate::systemd) destination: &'a str,
    pub(in crate::systemd) path: &'a str,
    pub(in crate::systemd) interface: &'a str,
}

/// Writes a method call; `None` where it is longer than a message may be.
pub(super) fn call(
    serial: u32,
    target: Target<'_>,
    member: &str,
    arguments: &[Value],
) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    for argument in arguments {
        argument.write(&mut body);
    }
    let field =
        |code, value| Value::Struct(vec![Value::Byte(code), Value::Variant(Box::new(value))]);
    let mut fields = vec![
        field(PATH, Value::Path(target.path.to_owned())),
        field(INTERFACE, Value::text(target.interface)),
        field(MEMBER, Value::text(member)),
        field(DESTINATION, Value::text(target.destination)),
    ];
    if !arguments.is_empty() {
        let signature = arguments.iter().map(Value::signature).collect();
        fields.push(field(SIGNATURE, Value::Signature(signature)));
    }
    let mut message = vec![LITTLE_ENDIAN, METHOD_CALL, 0, PROTOCOL_VERSION];
    Value::U32(u32::try_from(body.len()).ok()?).write(&mut message);
    Value::U32(serial).write(&mut message);
    Value::Array("(yv)".to_owned(), fields).write(&mut message);
    align(&mut message, 8);
    message.extend(body);
    (message.len() <= MAX_MESSAGE).then_some(message)
}

/// What kind of message was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Return,
    Error,
    Signal,
    /// A call, which nobody here answers, or a kind of later days.
    Other,
}

/// A message that was received.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) kind: Kind,
    pub(super) reply_serial: Option<u32>,
    pub(super) interface: String,
    pub(super) member: String,
    pub(super) error_name: String,
    /// Who sent it, as the bus says; empty on a connection without a bus.
    pub(super) sender: String,
    signature: String,
    body: Vec<u8>,
}

/// How long a message is whose fixed header this is; `None` if it is none, or too long.
pub(super) fn total_length(header: &[u8; FIXED_HEADER]) -> Option<usize> {
    if header[0] != LITTLE_ENDIAN || header[3] != PROTOCOL_VERSION {
        return None;
    }
    let number = |at: usize| Some(u32::from_le_bytes(header.get(at..at + 4)?.try_into().ok()?));
    let (body, fields) = (usize::try_from(number(4)?).ok()?, usize::try_from(number(12)?).ok()?);
    let length =
        FIXED_HEADER.checked_add(fields)?.checked_next_multiple_of(8)?.checked_add(body)?;
    (length <= MAX_MESSAGE).then_some(length)
}

impl Received {
    /// Reads a whole message; `None` if it is malformed.
    pub(super) fn parse(message: &[u8]) -> Option<Self> {
        let kind = match message.get(1)? {
            2 => Kind::Return,
            3 => Kind::Error,
            4 => Kind::Signal,
            _ => Kind::Other,
        };
        let fields_length = u32::from_le_bytes(message.get(12..16)?.try_into().ok()?);
        let end = FIXED_HEADER.checked_add(usize::try_from(fields_length).ok()?)?;
        let mut received = Self {
            kind,
            reply_serial: None,
            interface: String::new(),
            member: String::new(),
            error_name: String::new(),
            sender: String::new(),
            signature: String::new(),
            body: message.get(end.checked_next_multiple_of(8)?..)?.to_vec(),
        };
        let mut reader = Reader { bytes: message.get(..end)?, at: FIXED_HEADER };
        while reader.at < end {
            reader.align(8)?;
            let code = *reader.take(1)?.first()?;
            match (code, reader.variant()?) {
                (INTERFACE, Value::Text(text)) => received.interface = text,
                (MEMBER, Value::Text(text)) => received.member = text,
                (ERROR_NAME, Value::Text(text)) => received.error_name = text,
                (SENDER, Value::Text(text)) => received.sender = text,
                (SIGNATURE, Value::Signature(text)) => received.signature = text,
                (REPLY_SERIAL, Value::U32(serial)) => received.reply_serial = Some(serial),
                _ => {}
            }
        }
        Some(received)
    }

    /// Its arguments, where all are of basic types, or variants of such.
    pub(super) fn arguments(&self) -> Option<Vec<Value>> {
        let mut reader = Reader { bytes: &self.body, at: 0 };
        self.signature.chars().map(|kind| reader.value(kind)).collect()
    }
}

/// Reads values of basic types.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn align(&mut self, to: usize) -> Option<()> {
        self.at = self.at.checked_next_multiple_of(to)?;
        Some(())
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(taken)
    }

    fn number<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.align(N)?;
        self.take(N)?.try_into().ok()
    }

    /// A text of a length that was read, and the zero after it.
    fn text(&mut self, length: usize) -> Option<String> {
        let text = std::str::from_utf8(self.take(length)?).ok()?.to_owned();
        (self.take(1)? == [0]).then_some(text)
    }

    fn signature(&mut self) -> Option<String> {
        let length = *self.take(1)?.first()?;
        self.text(usize::from(length))
    }

    fn variant(&mut self) -> Option<Value> {
        let signature = self.signature()?;
        let mut kinds = signature.chars();
        match (kinds.next()?, kinds.next()) {
            ('v', _) | (_, Some(_)) => None,
            (kind, None) => self.value(kind),
        }
    }

    fn value(&mut self, kind: char) -> Option<Value> {
        Some(match kind {
            'y' => Value::Byte(*self.take(1)?.first()?),
            'b' => Value::Bool(u32::from_le_bytes(self.number()?) != 0),
            'n' => Value::I16(i16::from_le_bytes(self.number()?)),
            'q' => Value::U16(u16::from_le_bytes(self.number()?)),
            'i' => Value::I32(i32::from_le_bytes(self.number()?)),
            'u' => Value::U32(u32::from_le_bytes(self.number()?)),
            'x' => Value::I64(i64::from_le_bytes(self.number()?)),
            't' => Value::U64(u64::from_le_bytes(self.number()?)),
            'd' => Value::Double(f64::from_le_bytes(self.number()?)),
            's' | 'o' => {
                let length = usize::try_from(u32::from_le_bytes(self.number()?)).ok()?;
                let text = self.text(length)?;
                if kind == 's' { Value::Text(text) } else { Value::Path(text) }
            }
            'g' => Value::Signature(self.signature()?),
            'v' => Value::Variant(Box::new(self.variant()?)),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Target<'static> = Target { destination: "a.b", path: "/x", interface: "c.d" };

    fn message(kind: u8, fields: Vec<(u8, Value)>, body: &[Value]) -> Vec<u8> {
        let mut written = call(1, TARGET, "M", body).unwrap();
        let body_at = written.len() - usize::from(written[4]);
        let body = written.split_off(body_at);
        let fields = fields
            .into_iter()
            .map(|(code, value)| {
                Value::Struct(vec![Value::Byte(code), Value::Variant(Box::new(value))])
            })
            .collect();
        let mut message = written[..12].to_vec();
        message[1] = kind;
        Value::Array("(yv)".into(), fields).write(&mut message);
        align(&mut message, 8);
        message.extend(body);
        message
    }

    #[test]
    fn a_call_without_arguments_is_written_byte_for_byte() {
        let expected = b"l\x01\0\x01\0\0\0\0\x05\0\0\0\x3c\0\0\0\
            \x01\x01o\0\x02\0\0\0/x\0\0\0\0\0\0\
            \x02\x01s\0\x03\0\0\0c.d\0\0\0\0\0\
            \x03\x01s\0\x01\0\0\0M\0\0\0\0\0\0\0\
            \x06\x01s\0\x03\0\0\0a.b\0\0\0\0\0";
        assert_eq!(call(5, TARGET, "M", &[]).unwrap(), expected);
    }

    #[test]
    fn a_signal_is_read_with_its_arguments() {
        let arguments = [
            Value::U32(7),
            Value::Path("/job/7".into()),
            Value::text("x.scope"),
            Value::text("done"),
        ];
        let fields = vec![
            (INTERFACE, Value::text("c.d")),
            (MEMBER, Value::text("JobRemoved")),
            (SENDER, Value::text(":1.2")),
            (SIGNATURE, Value::Signature("uoss".into())),
        ];
        let bytes = message(4, fields, &arguments);
        let header = bytes[..FIXED_HEADER].try_into().unwrap();
        assert_eq!(total_length(&header), Some(bytes.len()));
        let signal = Received::parse(&bytes).unwrap();
        assert_eq!((signal.kind, signal.member.as_str()), (Kind::Signal, "JobRemoved"));
        assert_eq!(signal.sender, ":1.2");
        assert_eq!(signal.arguments().unwrap(), arguments);
    }

    #[test]
    fn every_shorter_part_of_a_message_is_refused() {
        let arguments = [Value::Variant(Box::new(Value::text("252")))];
        let fields = vec![(REPLY_SERIAL, Value::U32(9)), (SIGNATURE, Value::Signature("v".into()))];
        let bytes = message(2, fields, &arguments);
        let whole = Received::parse(&bytes).unwrap();
        assert_eq!((whole.kind, whole.reply_serial), (Kind::Return, Some(9)));
        assert_eq!(whole.arguments().unwrap(), arguments);
        for length in 0..bytes.len() {
            let part = Received::parse(&bytes[..length]);
            assert!(part.and_then(|part| part.arguments()).is_none(), "{length} bytes");
        }
    }

    #[test]
    fn headers_of_other_byte_orders_and_of_giants_are_refused() {
        let good = message(2, vec![(REPLY_SERIAL, Value::U32(9))], &[]);
        let header: [u8; FIXED_HEADER] = good[..FIXED_HEADER].try_into().unwrap();
        assert!(total_length(&header).is_some());
        for (at, byte) in [(0, b'B'), (3, 2), (7, 0xff), (6, 0x20), (15, 0xff)] {
            let mut bad = header;
            bad[at] = byte;
            assert_eq!(total_length(&bad), None, "byte {at} is {byte}");
        }
    }

    #[test]
    fn variants_in_variants_and_containers_are_not_read() {
        let nested = Value::Variant(Box::new(Value::Variant(Box::new(Value::Byte(1)))));
        let bytes = message(2, vec![(SIGNATURE, Value::Signature("v".into()))], &[nested]);
        assert!(Received::parse(&bytes).unwrap().arguments().is_none());
    }

    #[test]
    fn a_call_that_is_too_long_is_not_made() {
        assert!(call(1, TARGET, "M", &[Value::text("x".repeat(MAX_MESSAGE))]).is_none());
    }
}
