//! `exit.json`: a container's exit status, in its bundle until somebody has collected it.

use serde::{Deserialize, Serialize};

/// The file's name in a bundle.
pub const FILE: &str = "exit.json";
/// The form that is written.
pub const VERSION: u32 = 1;
/// Larger files are refused.
pub const MAX_SIZE: usize = 4096;

/// The exit of a container's init process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// [`VERSION`].
    pub version: u32,
    /// The init process' id.
    pub pid: u32,
    /// Its exit status; 128 + the number of the signal that killed it.
    pub exit_status: u32,
    /// When it ended, RFC 3339 with nanoseconds.
    pub exited_at: String,
}

/// An `exit.json` that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ExitError {
    /// Not the JSON that [`ExitRecord`] is.
    #[error("parse {FILE}")]
    Json(#[from] serde_json::Error),
    /// Too large, of a later version, or with a broken date.
    #[error("{FILE} is not of version {VERSION}")]
    Form,
}

impl ExitRecord {
    /// The record of an exit at `at`.
    #[must_use]
    pub fn new(pid: u32, exit_status: u32, at: &prost_types::Timestamp) -> Self {
        Self { version: VERSION, pid, exit_status, exited_at: at.to_string() }
    }

    /// The file's content.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers always serialize")
    }

    /// Reads the file's content.
    ///
    /// # Errors
    /// See [`ExitError`].
    pub fn parse(content: &[u8]) -> Result<Self, ExitError> {
        if content.len() > MAX_SIZE {
            return Err(ExitError::Form);
        }
        let record: Self = serde_json::from_slice(content)?;
        if record.version != VERSION || record.timestamp().is_none() {
            return Err(ExitError::Form);
        }
        Ok(record)
    }

    /// When it ended.
    #[must_use]
    pub fn timestamp(&self) -> Option<prost_types::Timestamp> {
        self.exited_at.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_its_file_and_a_later_one_is_refused() {
        let at = prost_types::Timestamp { seconds: 1_700_000_000, nanos: 5 };
        let record = ExitRecord::new(7, 137, &at);
        assert_eq!(ExitRecord::parse(&record.to_json()).unwrap(), record);
        assert_eq!(record.timestamp(), Some(at));
        let later = ExitRecord { version: 2, ..record };
        assert!(ExitRecord::parse(&later.to_json()).is_err());
    }
}
