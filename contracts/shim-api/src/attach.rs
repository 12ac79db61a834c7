//! The attach socket's messages: daemon to shim, one connection per attachment.
//!
//! Each message is a frame of a big-endian u32 length and the protobuf bytes. The daemon sends one
//! [`AttachRequest`] and with it, in the same `sendmsg`, one descriptor by `SCM_RIGHTS`: the duplex
//! stream to the client. The shim answers one [`AttachResponse`], and, when it had no error, one
//! [`AttachEnd`] later. When the daemon closes the connection early, the attachment goes on.

use prost::Message;

/// The socket's name in a bundle.
pub const SOCKET: &str = "stdio.sock";
/// Largest frame.
pub const MAX_FRAME: usize = 2 << 20;

/// Asks for an attachment.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AttachRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The exec; empty for the init process.
    #[prost(string, tag = "2")]
    pub exec_id: String,
    /// Bytes from the client are the process' standard input.
    #[prost(bool, tag = "3")]
    pub stdin: bool,
    /// The client gets the standard output.
    #[prost(bool, tag = "4")]
    pub stdout: bool,
    /// The client gets the standard error.
    #[prost(bool, tag = "5")]
    pub stderr: bool,
    /// How output is put on the stream.
    #[prost(enumeration = "Framing", tag = "6")]
    pub framing: i32,
    /// The bytes that detach; empty for none.
    #[prost(bytes = "vec", tag = "7")]
    pub detach_keys: Vec<u8>,
    /// Input that the daemon has already read from the client.
    #[prost(bytes = "vec", tag = "8")]
    pub buffered_stdin: Vec<u8>,
}

/// How output is put on the client's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Framing {
    /// As it is (terminals).
    Raw = 0,
    /// Docker's eight-byte headers: stream (1 or 2), three zeros, big-endian u32 length.
    Multiplexed = 1,
}

/// Tells that output from now on reaches the client, or why it does not.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AttachResponse {
    /// Empty when attached.
    #[prost(string, tag = "1")]
    pub error: String,
    /// gRPC status code of the error.
    #[prost(int32, tag = "2")]
    pub code: i32,
}

/// Tells that the attachment is over.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AttachEnd {
    /// Why.
    #[prost(enumeration = "EndReason", tag = "1")]
    pub reason: i32,
}

/// Why an attachment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum EndReason {
    /// The process' output ended, and the client has been sent all of it.
    Ended = 0,
    /// The client typed the detach keys.
    Detached = 1,
    /// The client's stream is broken.
    ClientGone = 2,
}

/// Bytes that are no frame of this socket.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// Over [`MAX_FRAME`].
    #[error("attach message of {0} bytes exceeds the limit of {MAX_FRAME}")]
    TooLarge(usize),
    /// No protobuf message of the wanted type.
    #[error("decode attach message")]
    Decode(#[from] prost::DecodeError),
}

/// Encodes one message as a frame.
///
/// # Errors
/// The message is over [`MAX_FRAME`].
pub fn encode(message: &impl Message) -> Result<Vec<u8>, AttachError> {
    let length = message.encoded_len();
    let header = u32::try_from(length).ok().filter(|_| length <= MAX_FRAME);
    let header = header.ok_or(AttachError::TooLarge(length))?;
    let mut frame = Vec::with_capacity(4 + length);
    frame.extend_from_slice(&header.to_be_bytes());
    message.encode(&mut frame).expect("a Vec grows as needed");
    Ok(frame)
}

/// Takes one message from the front of `buffer`, if it has arrived whole.
///
/// # Errors
/// See [`AttachError`].
pub fn decode<M: Message + Default>(buffer: &mut Vec<u8>) -> Result<Option<M>, AttachError> {
    let Some(header) = buffer.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*header) as usize;
    if length > MAX_FRAME {
        return Err(AttachError::TooLarge(length));
    }
    let Some(body) = buffer.get(4..4 + length) else { return Ok(None) };
    let message = M::decode(body)?;
    buffer.drain(..4 + length);
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_one_by_one() {
        let mut buffer = encode(&AttachResponse::default()).unwrap();
        assert_eq!(buffer, [0, 0, 0, 0]);
        buffer.extend(encode(&AttachEnd { reason: EndReason::Detached.into() }).unwrap());
        assert_eq!(decode(&mut buffer).unwrap(), Some(AttachResponse::default()));
        let end: AttachEnd = decode(&mut buffer).unwrap().unwrap();
        assert_eq!(end.reason(), EndReason::Detached);
        assert_eq!(decode::<AttachEnd>(&mut buffer).unwrap(), None);
    }

    #[test]
    fn an_oversized_frame_is_refused_from_its_header() {
        let mut buffer = vec![0xff; 4];
        assert!(decode::<AttachRequest>(&mut buffer).is_err());
    }
}
