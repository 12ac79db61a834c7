//! Writing to standard output and error. Not `println!`: it panics when the reader has gone, and
//! buffers lines, where a container's output must pass at once.

use crate::failure::Failure;
use std::io::{self, Write};

/// Standard output or error, unbuffered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Out {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = match self {
            Self::Stdout => rustix::io::write(io::stdout(), bytes)?,
            Self::Stderr => rustix::io::write(io::stderr(), bytes)?,
        };
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes text to standard output.
///
/// # Errors
///
/// When it cannot be written.
pub fn print(text: &str) -> Result<(), Failure> {
    Ok(Out::Stdout.write_all(text.as_bytes())?)
}

/// Writes a line to standard output.
///
/// # Errors
///
/// When it cannot be written.
pub fn line(text: impl AsRef<str>) -> Result<(), Failure> {
    print(&(text.as_ref().to_owned() + "\n"))
}

/// Writes a line to standard error; nothing is left to be done where that fails.
pub fn note(text: impl AsRef<str>) {
    let _ = Out::Stderr.write_all((text.as_ref().to_owned() + "\n").as_bytes());
}
