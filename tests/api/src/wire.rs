//! A client that sends bytes and shows what came back, without knowing the API.

use anyhow::{Context as _, Result, bail};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// No answer of a scenario takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, in order.
    pub headers: Vec<(String, String)>,
    /// The body, its chunks joined.
    pub body: Vec<u8>,
}

/// A request.
#[derive(Clone, Debug, Default)]
pub struct Call<'a> {
    /// The verb.
    pub method: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// Headers besides `Host`, `Connection` and `Content-Length`.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
}

/// Sends a request on a connection of its own and reads until the daemon closes it.
///
/// # Errors
/// The connection fails, or the answer is not HTTP.
pub fn exchange(socket: &Path, call: &Call<'_>) -> Result<Answer> {
    let mut stream = UnixStream::connect(socket).context("connect")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut head = format!("{} {} HTTP/1.1\r\nHost: d\r\n", call.method, call.target);
    let upgrade = call.headers.iter().any(|(name, _)| *name == "Upgrade");
    head += if upgrade { "Connection: Upgrade\r\n" } else { "Connection: close\r\n" };
    if !call.body.is_empty() {
        head += &format!("Content-Length: {}\r\n", call.body.len());
    }
    for (name, value) in call.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    let request = [head.as_bytes(), call.body].concat();
    stream.write_all(&request).context("send")?;
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        // A daemon that closes without having read the body resets the connection behind its
        // answer.
        Err(error) if error.kind() != ErrorKind::ConnectionReset || bytes.is_empty() => {
            Err(error).context("receive")
        }
        _ => parse(&bytes),
    }
}

/// A connection that one writes to and reads from step by step.
#[derive(Debug)]
pub struct Session(UnixStream);

impl Session {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn open(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket).context("connect")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(stream))
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// The connection is closed.
    pub fn send(&mut self, bytes: &str) -> Result<()> {
        self.0.write_all(bytes.as_bytes()).context("send")
    }

    /// Says that nothing more will be sent.
    ///
    /// # Errors
    /// The connection is closed.
    pub fn half_close(&mut self) -> Result<()> {
        self.0.shutdown(Shutdown::Write).context("half-close")
    }

    /// Reads up to and with the next blank line.
    ///
    /// # Errors
    /// The connection ends, or nothing comes in time.
    pub fn head(&mut self) -> Result<String> {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            bytes.extend(self.bytes(1)?);
        }
        String::from_utf8(bytes).context("head")
    }

    /// Reads so many bytes.
    ///
    /// # Errors
    /// The connection ends, or nothing comes in time.
    pub fn bytes(&mut self, count: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).context("receive")?;
        Ok(bytes)
    }

    /// Reads to the end.
    ///
    /// # Errors
    /// The connection fails, or nothing comes in time.
    pub fn rest(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).context("receive")?;
        Ok(bytes)
    }
}

/// Output and error output of a multiplexed stream.
///
/// # Errors
/// The bytes are no frames.
pub fn demultiplex(mut bytes: &[u8]) -> Result<(String, String)> {
    let mut streams = [Vec::new(), Vec::new(), Vec::new()];
    while !bytes.is_empty() {
        let Some((&[stream @ (1 | 2), 0, 0, 0, a, b, c, d], rest)) = bytes.split_first_chunk()
        else {
            bail!("no frame: {:?}", String::from_utf8_lossy(bytes));
        };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let (payload, rest) = rest.split_at_checked(length).context("a frame is cut short")?;
        streams[usize::from(stream)].extend_from_slice(payload);
        bytes = rest;
    }
    let [_, out, err] = streams;
    Ok((String::from_utf8(out)?, String::from_utf8(err)?))
}

fn parse(bytes: &[u8]) -> Result<Answer> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        bail!("no head in {:?}", String::from_utf8_lossy(bytes));
    };
    let head = std::str::from_utf8(&bytes[..end]).context("head")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let status = status.parse().context("status")?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let body = &bytes[end + 4..];
    let chunked = headers
        .iter()
        .any(|(name, value)| name.eq_ignore_ascii_case("transfer-encoding") && value == "chunked");
    let body = if chunked { join_chunks(body)? } else { body.to_vec() };
    Ok(Answer { status, headers, body })
}

fn join_chunks(mut bytes: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n").context("chunk size")?;
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end])?, 16)?;
        bytes = &bytes[end + 2..];
        if size == 0 {
            return Ok(body);
        }
        if bytes.len() < size + 2 {
            bail!("a chunk is cut short");
        }
        body.extend_from_slice(&bytes[..size]);
        bytes = &bytes[size + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined() {
        let text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
        let answer = parse(text).unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"hello"[..]));
    }
}
