//! The kinds of failure that every program shares.
//!
//! A module has its own error enum (thiserror; a variant is the step that failed). What all of
//! them have in common is a [`Kind`], which decides the HTTP status, the gRPC code and the exit
//! code at the edges, and the [`Classify`] trait that tells it.

#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;

/// What sort of failure an error is; the names follow containerd's errdefs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request itself is wrong.
    InvalidArgument,
    /// The named thing does not exist.
    NotFound,
    /// A thing of that name exists already.
    AlreadyExists,
    /// The thing is in a state that does not allow the request.
    FailedPrecondition,
    /// The caller may not do this.
    PermissionDenied,
    /// The caller did not prove who it is.
    Unauthenticated,
    /// The request asks for what is so already.
    NotModified,
    /// A bound (disk, memory, count, size) was reached.
    ResourceExhausted,
    /// A peer cannot be reached now; the same request may succeed later.
    Unavailable,
    /// Not offered by this program.
    Unimplemented,
    /// The work was given up at the caller's request.
    Cancelled,
    /// A time limit passed.
    DeadlineExceeded,
    /// Stored data is damaged.
    DataLoss,
    /// Everything else: our fault or the machine's.
    Internal,
}

impl Kind {
    /// The HTTP status that dockerd answers for this kind (moby `daemon/server/httpstatus`).
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::InvalidArgument => 400,
            Self::Unauthenticated => 401,
            Self::PermissionDenied => 403,
            Self::NotFound => 404,
            Self::AlreadyExists | Self::FailedPrecondition => 409,
            Self::NotModified => 304,
            Self::Unimplemented => 501,
            Self::Unavailable => 503,
            Self::ResourceExhausted
            | Self::Cancelled
            | Self::DeadlineExceeded
            | Self::DataLoss
            | Self::Internal => 500,
        }
    }

    /// The gRPC status code of this kind (also used by ttrpc).
    #[must_use]
    pub const fn grpc_code(self) -> i32 {
        match self {
            Self::Cancelled => 1,
            Self::InvalidArgument => 3,
            Self::DeadlineExceeded => 4,
            Self::NotFound => 5,
            Self::AlreadyExists => 6,
            Self::PermissionDenied => 7,
            Self::ResourceExhausted => 8,
            Self::FailedPrecondition | Self::NotModified => 9,
            Self::Unimplemented => 12,
            Self::Internal => 13,
            Self::Unavailable => 14,
            Self::DataLoss => 15,
            Self::Unauthenticated => 16,
        }
    }

    /// The kind of a gRPC or ttrpc status code.
    #[must_use]
    pub const fn from_grpc_code(code: i32) -> Self {
        match code {
            1 => Self::Cancelled,
            3 | 11 => Self::InvalidArgument,
            4 => Self::DeadlineExceeded,
            5 => Self::NotFound,
            6 => Self::AlreadyExists,
            7 => Self::PermissionDenied,
            8 => Self::ResourceExhausted,
            9 | 10 => Self::FailedPrecondition,
            12 => Self::Unimplemented,
            14 => Self::Unavailable,
            15 => Self::DataLoss,
            16 => Self::Unauthenticated,
            _ => Self::Internal,
        }
    }

    /// The kind of an operating system error, where nothing better is known.
    #[must_use]
    pub fn from_io(error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        match error.kind() {
            Io::NotFound => Self::NotFound,
            Io::AlreadyExists => Self::AlreadyExists,
            Io::PermissionDenied => Self::PermissionDenied,
            Io::InvalidInput => Self::InvalidArgument,
            Io::StorageFull | Io::QuotaExceeded | Io::OutOfMemory => Self::ResourceExhausted,
            Io::TimedOut => Self::DeadlineExceeded,
            Io::ConnectionRefused | Io::ConnectionReset | Io::BrokenPipe => Self::Unavailable,
            _ => Self::Internal,
        }
    }
}

/// An error that knows its [`Kind`].
pub trait Classify: Error {
    /// The kind of this error.
    fn kind(&self) -> Kind;
}

/// Displays an error and its sources as `a: b: c`; for the edge of a program, once.
pub struct Chain<'a>(pub &'a (dyn Error + 'a));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_codes_round_trip_but_for_not_modified() {
        for code in [1, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15, 16] {
            assert_eq!(Kind::from_grpc_code(code).grpc_code(), code);
        }
    }

    #[test]
    fn a_chain_prints_each_source_once() {
        #[derive(Debug)]
        struct Outer(std::io::Error);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("open config")
            }
        }
        impl Error for Outer {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.0)
            }
        }
        let error = Outer(std::io::Error::other("disk on fire"));
        assert_eq!(Chain(&error).to_string(), "open config: disk on fire");
    }
}
