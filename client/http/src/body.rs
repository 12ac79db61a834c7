//! Answers' bodies: of a given length, chunked, or until the connection ends.

use crate::client::Client;
use crate::message::Head;
use crate::request::Method;
use crate::transport::Stream;
use std::io::{self, BufRead, BufReader, Read};

/// The longest line between chunks that is accepted.
const MAX_CHUNK_LINE: u64 = 4 * 1024;
/// How many trailer lines are passed over.
const MAX_TRAILERS: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(u64),
    /// Bytes left in this chunk; 0: a size line comes next.
    Chunked {
        left: u64,
        first: bool,
    },
    ToTheEnd,
    Done,
}

/// A body, to be read once. Read to its end, it gives its connection back for the next request.
#[derive(Debug)]
pub struct Body<'c> {
    client: &'c Client,
    connection: Option<BufReader<Stream>>,
    framing: Framing,
    keep: bool,
}

impl<'c> Body<'c> {
    pub(crate) fn new(
        client: &'c Client,
        connection: BufReader<Stream>,
        method: Method,
        head: &Head,
    ) -> io::Result<Self> {
        let framing = framing(method, head)?;
        let keep = framing != Framing::ToTheEnd && !head.says("Connection", "close");
        let mut body = Self { client, connection: Some(connection), framing, keep };
        if framing == Framing::Length(0) {
            body.framing = Framing::Done;
        }
        if body.framing == Framing::Done {
            body.give_back();
        }
        Ok(body)
    }

    fn give_back(&mut self) {
        self.framing = Framing::Done;
        if let Some(connection) = self.connection.take()
            && self.keep
        {
            self.client.keep(connection);
        }
    }

    /// Reads the size line of the next chunk; the end of the last chunk ends the body.
    fn next_chunk(&mut self, first: bool) -> io::Result<()> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        if !first {
            line(connection)?;
        }
        let size = line(connection)?;
        let digits = size.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(digits, 16)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "invalid chunk size"))?;
        if size > 0 {
            self.framing = Framing::Chunked { left: size, first: false };
            return Ok(());
        }
        for _ in 0..MAX_TRAILERS {
            if line(connection)?.is_empty() {
                self.give_back();
                return Ok(());
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "too many trailers"))
    }

    fn read_part(&mut self, into: &mut [u8], left: u64) -> io::Result<usize> {
        let Some(connection) = &mut self.connection else { return Ok(0) };
        let wanted = into.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = connection.read(&mut into[..wanted])?;
        if count == 0 && wanted > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "unexpected EOF"));
        }
        Ok(count)
    }
}

fn framing(method: Method, head: &Head) -> io::Result<Framing> {
    if method == Method::Head || matches!(head.status, 204 | 304) {
        return Ok(Framing::Done);
    }
    if head.says("Transfer-Encoding", "chunked") {
        return Ok(Framing::Chunked { left: 0, first: true });
    }
    match head.header("Content-Length") {
        Some(length) => length
            .parse()
            .map(Framing::Length)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "invalid Content-Length")),
        None => Ok(Framing::ToTheEnd),
    }
}

/// One line without its end.
fn line(from: &mut BufReader<Stream>) -> io::Result<String> {
    let mut bytes = Vec::new();
    from.take(MAX_CHUNK_LINE).read_until(b'\n', &mut bytes)?;
    if bytes.pop() != Some(b'\n') {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "unexpected EOF"));
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "invalid chunk header"))
}

impl Read for Body<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            match self.framing {
                Framing::Done => return Ok(0),
                Framing::ToTheEnd => {
                    let Some(connection) = &mut self.connection else { return Ok(0) };
                    let count = connection.read(into)?;
                    if count == 0 {
                        self.give_back();
                    }
                    return Ok(count);
                }
                Framing::Length(left) => {
                    let count = self.read_part(into, left)?;
                    let left = left - count as u64;
                    self.framing = Framing::Length(left);
                    if left == 0 {
                        self.give_back();
                    }
                    return Ok(count);
                }
                Framing::Chunked { left: 0, first } => self.next_chunk(first)?,
                Framing::Chunked { left, first } => {
                    let count = self.read_part(into, left)?;
                    self.framing = Framing::Chunked { left: left - count as u64, first };
                    return Ok(count);
                }
            }
        }
    }
}
