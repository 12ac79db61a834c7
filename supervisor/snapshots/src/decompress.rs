//! Finds out how a layer is compressed and decompresses it.
//!
//! The stream's first bytes decide, not the media type, which registries have been seen to get
//! wrong (containerd decides so too). No helper program is ever run.

use std::io::{self, BufRead, BufReader, Read};

/// Bytes read from the compressed stream at once.
const INPUT_BUFFER: usize = 64 << 10;

/// The largest zstd window accepted, as a power of two: 128 MiB, zstd's own default.
const ZSTD_WINDOW_LOG: u32 = 27;

/// A decompressing view of `source`.
///
/// # Errors
/// Reading the first bytes failed.
pub fn decompress<'a>(source: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
    let mut source = Peeked::new(BufReader::with_capacity(INPUT_BUFFER, source));
    let start = source.peek4()?;
    Ok(match start {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(source)),
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(source)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
        [b'B', b'Z', b'h', _] | [0xfd, b'7', b'z', b'X'] => {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "layers are compressed with gzip or zstd, this one with bzip2 or xz",
            ));
        }
        _ => Box::new(source),
    })
}

/// A reader whose first four bytes were looked at, even if they came one by one.
struct Peeked<R> {
    start: Vec<u8>,
    given: usize,
    rest: R,
}

impl<R: BufRead> Peeked<R> {
    fn new(rest: R) -> Self {
        Self { start: Vec::new(), given: 0, rest }
    }

    fn peek4(&mut self) -> io::Result<[u8; 4]> {
        let mut bytes = Vec::new();
        (&mut self.rest).take(4).read_to_end(&mut bytes)?;
        let mut start = [0; 4];
        start[..bytes.len()].copy_from_slice(&bytes);
        self.start = bytes;
        Ok(start)
    }
}

impl<R: BufRead> Read for Peeked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.start.len() {
            return self.rest.read(buffer);
        }
        let length = (&self.start[self.given..]).read(buffer)?;
        self.given += length;
        Ok(length)
    }
}

impl<R: BufRead> BufRead for Peeked<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.given == self.start.len() {
            return self.rest.fill_buf();
        }
        Ok(&self.start[self.given..])
    }

    fn consume(&mut self, amount: usize) {
        if self.given == self.start.len() {
            self.rest.consume(amount);
        } else {
            self.given += amount;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn all(data: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        decompress(data)?.read_to_end(&mut out)?;
        Ok(out)
    }

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn every_member_of_a_gzip_stream_is_read() {
        assert_eq!(all(&[gzip(b"one "), gzip(b"two")].concat()).unwrap(), b"one two");
    }

    #[test]
    fn every_frame_of_a_zstd_stream_is_read_and_skippable_ones_are_skipped() {
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"xyz"].concat();
        let frame = |data: &[u8]| zstd::stream::encode_all(data, 1).unwrap();
        let stream = [skippable.clone(), frame(b"one "), skippable, frame(b"two")].concat();
        assert_eq!(all(&stream).unwrap(), b"one two");
    }

    #[test]
    fn anything_else_passes_as_it_is() {
        for data in [&b""[..], b"a", b"abc", b"abcde"] {
            assert_eq!(all(data).unwrap(), data);
        }
    }

    #[test]
    fn a_truncated_stream_is_an_error() {
        let whole = gzip(&[7; 5000]);
        assert!(all(&whole[..whole.len() - 4]).is_err());
        let whole = zstd::stream::encode_all(&[7_u8; 5000][..], 1).unwrap();
        assert!(all(&whole[..whole.len() - 2]).is_err());
    }
}
