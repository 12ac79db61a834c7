//! ttrpc: frames of a ten-byte header and a protobuf body over a stream socket.
//!
//! Header: body length (u32, big-endian), stream id (u32, big-endian; odd, chosen by the client),
//! message type, flags. Only unary calls are used between containerd and shims: one request frame,
//! one response frame of the same stream id.
//! <https://github.com/containerd/ttrpc/blob/main/PROTOCOL.md>

use base_errors::{Classify, Kind};
use prost::Message;
use prost_types::Any;

/// Bytes of a header.
pub const HEADER: usize = 10;
/// Largest body that a peer accepts.
pub const MAX_BODY: usize = 4 << 20;
/// Metadata key of the containerd namespace.
pub const NAMESPACE_KEY: &str = "containerd-namespace-ttrpc";

/// Message type of a [`Request`].
pub const REQUEST: u8 = 1;
/// Message type of a [`Response`].
pub const RESPONSE: u8 = 2;
/// Message type of stream data, which no service here uses.
pub const DATA: u8 = 3;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The call that it belongs to.
    pub stream: u32,
    /// [`REQUEST`], [`RESPONSE`] or [`DATA`].
    pub kind: u8,
    /// Stream flags; 0 for unary calls.
    pub flags: u8,
    /// The encoded message.
    pub body: Vec<u8>,
}

/// Bytes that are no ttrpc, or a message too large for it; the connection is of no further use.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The body is larger than [`MAX_BODY`].
    #[error("ttrpc message of {0} bytes exceeds the limit of {MAX_BODY}")]
    TooLarge(usize),
    /// The body is no protobuf message of the wanted type.
    #[error("decode ttrpc message")]
    Decode(#[from] prost::DecodeError),
}

impl Classify for FrameError {
    fn kind(&self) -> Kind {
        match self {
            Self::TooLarge(_) => Kind::ResourceExhausted,
            Self::Decode(_) => Kind::InvalidArgument,
        }
    }
}

/// A call.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Request {
    /// Full service name.
    #[prost(string, tag = "1")]
    pub service: String,
    /// Method name.
    #[prost(string, tag = "2")]
    pub method: String,
    /// The encoded request message.
    #[prost(bytes = "vec", tag = "3")]
    pub payload: Vec<u8>,
    /// How long the caller will wait; 0 for ever.
    #[prost(int64, tag = "4")]
    pub timeout_nano: i64,
    /// Further headers.
    #[prost(message, repeated, tag = "5")]
    pub metadata: Vec<KeyValue>,
}

impl Request {
    /// The first metadata value of this key.
    #[must_use]
    pub fn header(&self, key: &str) -> Option<&str> {
        self.metadata.iter().find(|pair| pair.key == key).map(|pair| pair.value.as_str())
    }
}

/// One header.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct KeyValue {
    /// Its name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// An answer.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Response {
    /// Why the call failed; absent or of code 0 when it did not.
    #[prost(message, optional, tag = "1")]
    pub status: Option<Status>,
    /// The encoded response message.
    #[prost(bytes = "vec", tag = "2")]
    pub payload: Vec<u8>,
}

impl Response {
    /// An answer with a message.
    #[must_use]
    pub fn of(message: &impl Message) -> Self {
        Self { status: None, payload: message.encode_to_vec() }
    }

    /// An answer with an error.
    #[must_use]
    pub fn failure(kind: Kind, message: impl Into<String>) -> Self {
        let status =
            Status { code: kind.grpc_code(), message: message.into(), details: Vec::new() };
        Self { status: Some(status), payload: Vec::new() }
    }
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Status {
    /// gRPC status code, see [`Kind::from_grpc_code`].
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// For people.
    #[prost(string, tag = "2")]
    pub message: String,
    /// Unused here.
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}

/// Encodes a message as one frame.
///
/// # Errors
/// The message is too large for any peer.
pub fn encode(stream: u32, kind: u8, message: &impl Message) -> Result<Vec<u8>, FrameError> {
    let length = message.encoded_len();
    let body = u32::try_from(length).ok().filter(|_| length <= MAX_BODY);
    let body = body.ok_or(FrameError::TooLarge(length))?;
    let mut frame = Vec::with_capacity(HEADER + length);
    frame.extend_from_slice(&body.to_be_bytes());
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(&[kind, 0]);
    message.encode(&mut frame).expect("a Vec grows as needed");
    Ok(frame)
}

/// Cuts a byte stream into frames.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
}

impl Decoder {
    /// Takes bytes that arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, if it has arrived.
    ///
    /// # Errors
    /// The peer announced a body over the limit.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(header) = self.buffer.first_chunk::<HEADER>() else { return Ok(None) };
        let [l0, l1, l2, l3, s0, s1, s2, s3, kind, flags] = *header;
        let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        if length > MAX_BODY {
            return Err(FrameError::TooLarge(length));
        }
        let Some(body) = self.buffer.get(HEADER..HEADER + length) else { return Ok(None) };
        let stream = u32::from_be_bytes([s0, s1, s2, s3]);
        let frame = Frame { stream, kind, flags, body: body.to_vec() };
        self.buffer.drain(..HEADER + length);
        if self.buffer.is_empty() {
            // An idle connection keeps no memory.
            self.buffer = Vec::new();
        }
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_any_cut_of_the_stream() {
        let request = Request { service: "s".into(), method: "m".into(), ..Default::default() };
        let mut bytes = encode(1, REQUEST, &request).unwrap();
        bytes.extend(encode(3, REQUEST, &request).unwrap());
        let mut decoder = Decoder::default();
        let mut streams = Vec::new();
        for byte in bytes {
            decoder.push(&[byte]);
            while let Some(frame) = decoder.next_frame().unwrap() {
                assert_eq!(Request::decode(frame.body.as_slice()).unwrap(), request);
                streams.push(frame.stream);
            }
        }
        assert_eq!(streams, [1, 3]);
    }

    #[test]
    fn an_oversized_body_is_refused_from_its_header() {
        let mut decoder = Decoder::default();
        decoder.push(&[0, 0x40, 0, 1, 0, 0, 0, 1, REQUEST, 0]);
        assert!(matches!(decoder.next_frame(), Err(FrameError::TooLarge(_))));
        let large = Response { status: None, payload: vec![0; MAX_BODY] };
        assert!(encode(1, RESPONSE, &large).is_err());
    }

    #[test]
    fn an_error_carries_its_kind_as_grpc_code() {
        let response = Response::failure(Kind::NotFound, "no such process");
        assert_eq!(response.status.unwrap().code, 5);
    }
}
