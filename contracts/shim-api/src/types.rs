//! Messages and enumerations that several services share (`containerd.types`,
//! `containerd.v1.types`), and how messages travel inside an `Any`.

use prost::Message;
use prost_types::Any;

/// A message that travels in an `Any`. containerd's type URLs are the plain message name, without
/// the `type.googleapis.com/` prefix.
pub trait Named {
    /// The `type_url`.
    const TYPE_URL: &str;
}

/// The `type_url` prefix of OCI runtime-spec objects, which travel as JSON.
pub const SPEC_TYPE_PREFIX: &str = "types.containerd.io/opencontainers/runtime-spec/1/";

/// An `Any` of another type, or one that does not decode.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// Another type than the wanted one.
    #[error("expected {expected}, got {actual:?}")]
    Type {
        /// The wanted type URL.
        expected: &'static str,
        /// The one that came.
        actual: String,
    },
    /// Not a message of that type.
    #[error("decode {0}")]
    Decode(&'static str, #[source] prost::DecodeError),
}

/// Packs a message into an `Any`.
#[must_use]
pub fn pack<M: Message + Named>(message: &M) -> Any {
    Any { type_url: M::TYPE_URL.to_owned(), value: message.encode_to_vec() }
}

/// Unpacks a message; a URL with a prefix (`type.googleapis.com/…`) is accepted too.
///
/// # Errors
/// The `Any` holds another type, or does not decode.
pub fn unpack<M: Message + Named + Default>(any: &Any) -> Result<M, UnpackError> {
    let name = any.type_url.rsplit('/').next().unwrap_or_default();
    if name != M::TYPE_URL {
        return Err(UnpackError::Type { expected: M::TYPE_URL, actual: any.type_url.clone() });
    }
    M::decode(any.value.as_slice()).map_err(|error| UnpackError::Decode(M::TYPE_URL, error))
}

/// `containerd.v1.types.Status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum TaskStatus {
    /// Not known.
    Unknown = 0,
    /// Created, not started.
    Created = 1,
    /// Running.
    Running = 2,
    /// Ended.
    Stopped = 3,
    /// Frozen.
    Paused = 4,
    /// About to be frozen.
    Pausing = 5,
}

/// A mount, as snapshotters give them (`containerd.types.Mount`).
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Mount {
    /// File system type, or `bind`.
    #[prost(string, tag = "1")]
    pub fstype: String,
    /// Device or directory.
    #[prost(string, tag = "2")]
    pub source: String,
    /// Where, relative to the root file system.
    #[prost(string, tag = "3")]
    pub target: String,
    /// Options as in fstab.
    #[prost(string, repeated, tag = "4")]
    pub options: Vec<String>,
}

/// One process of a container (`containerd.v1.types.ProcessInfo`).
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ProcessInfo {
    /// Process id in the host's pid namespace.
    #[prost(uint32, tag = "1")]
    pub pid: u32,
    /// [`ProcessDetails`](crate::options::ProcessDetails) for execs.
    #[prost(message, optional, tag = "2")]
    pub info: Option<Any>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::ProcessDetails;

    #[test]
    fn an_any_has_the_plain_name_and_refuses_other_types() {
        let any = pack(&ProcessDetails { exec_id: "e".into() });
        assert_eq!(any.type_url, "containerd.runc.v1.ProcessDetails");
        assert_eq!(unpack::<ProcessDetails>(&any).unwrap().exec_id, "e");
        let other = Any { type_url: "containerd.runc.v1.Options".into(), value: Vec::new() };
        assert!(matches!(unpack::<ProcessDetails>(&other), Err(UnpackError::Type { .. })));
    }
}
