//! CRIU's requests and answers: protocol buffers, written and read by hand, since a few fields of
//! them are all that is needed (<https://criu.org/RPC>; the numbers are those of its `rpc.proto`).

use std::io;

/// What CRIU is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Dump = 1,
    Restore = 2,
    PreDump = 4,
    Notify = 6,
}

/// A message that is being written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    pub(crate) fn number(&mut self, field: u32, value: i32) -> &mut Self {
        self.varint(u64::from(field) << 3);
        // Negative ones are written as 64 bits, as protocol buffers have it.
        self.varint(i64::from(value).cast_unsigned());
        self
    }

    /// A flag; left out where it is not set.
    pub(crate) fn flag(&mut self, field: u32, value: bool) -> &mut Self {
        if value { self.number(field, 1) } else { self }
    }

    pub(crate) fn text(&mut self, field: u32, value: &str) -> &mut Self {
        self.bytes(field, value.as_bytes())
    }

    /// A text; left out where there is none.
    pub(crate) fn optional(&mut self, field: u32, value: Option<&str>) -> &mut Self {
        if let Some(value) = value { self.text(field, value) } else { self }
    }

    pub(crate) fn message(&mut self, field: u32, value: &Self) -> &mut Self {
        self.bytes(field, &value.0)
    }

    fn bytes(&mut self, field: u32, value: &[u8]) -> &mut Self {
        self.varint(u64::from(field) << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What CRIU answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) kind: i32,
    pub(crate) is_success: bool,
    /// The restored init.
    pub(crate) pid: Option<i32>,
    /// A step that it has come to and waits at, with the process that this is about.
    pub(crate) step: String,
    pub(crate) step_pid: i32,
    pub(crate) errno: i32,
    pub(crate) message: String,
}

impl Answer {
    pub(crate) fn read(bytes: &[u8]) -> io::Result<Self> {
        let mut answer = Self::default();
        for field in Fields(bytes) {
            match field? {
                (1, Value::Number(kind)) => answer.kind = kind,
                (2, Value::Number(success)) => answer.is_success = success != 0,
                (4, Value::Bytes(restored)) => {
                    for field in Fields(restored) {
                        if let (1, Value::Number(pid)) = field? {
                            answer.pid = Some(pid);
                        }
                    }
                }
                (5, Value::Bytes(step)) => {
                    for field in Fields(step) {
                        match field? {
                            (1, Value::Bytes(name)) => {
                                answer.step = String::from_utf8_lossy(name).into_owned();
                            }
                            (2, Value::Number(pid)) => answer.step_pid = pid,
                            _ => {}
                        }
                    }
                }
                (7, Value::Number(errno)) => answer.errno = errno,
                (9, Value::Bytes(text)) => {
                    answer.message = String::from_utf8_lossy(text).into_owned();
                }
                _ => {}
            }
        }
        Ok(answer)
    }
}

enum Value<'a> {
    Number(i32),
    Bytes(&'a [u8]),
    Other,
}

/// The fields of a message.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> io::Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(io::ErrorKind::UnexpectedEof)?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(io::ErrorKind::InvalidData.into())
    }

    fn take(&mut self, length: u64) -> io::Result<&'a [u8]> {
        let length = usize::try_from(length).map_err(|_| io::ErrorKind::InvalidData)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.0 = rest;
        Ok(taken)
    }

    fn field(&mut self) -> io::Result<(u64, Value<'a>)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            // An int32 is its lower half.
            0 => {
                let [a, b, c, d, ..] = self.varint()?.to_le_bytes();
                Value::Number(i32::from_le_bytes([a, b, c, d]))
            }
            1 => self.take(8).map(|_| Value::Other)?,
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Other)?,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        Ok((tag >> 3, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = io::Result<(u64, Value<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_protocol_buffers() {
        let mut inner = Message::default();
        inner.number(1, 300).flag(3, false).flag(4, true).number(2, -1);
        let mut message = Message::default();
        message.text(13, "/r").message(2, &inner).optional(10, None);
        let negative = [0x10, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1];
        let expected = [&[0x6a, 2, b'/', b'r', 0x12, 16, 0x08, 0xac, 2, 0x20, 1][..], &negative];
        assert_eq!(message.as_bytes(), expected.concat());
    }

    #[test]
    fn an_answer_is_read_and_a_torn_one_refused() {
        let mut step = Message::default();
        step.text(1, "post-restore").number(2, 77);
        let mut restored = Message::default();
        restored.number(1, 78);
        let mut message = Message::default();
        message.number(1, 6).flag(2, true).message(4, &restored).message(5, &step);
        message.number(7, 12).text(9, "why").number(11, 5);
        let answer = Answer::read(message.as_bytes()).unwrap();
        let expected = Answer {
            kind: 6,
            is_success: true,
            pid: Some(78),
            step: "post-restore".to_owned(),
            step_pid: 77,
            errno: 12,
            message: "why".to_owned(),
        };
        assert_eq!(answer, expected);
        for length in 1..8 {
            let torn = &message.as_bytes()[..length];
            assert!(Answer::read(torn).is_err() || length == 2 || length == 4, "{length}");
        }
    }
}
