//! Messages wrapped in an `Any`, with containerd's type URLs: a bare full name, no host before it.

use prost::Name;
use prost_types::Any;

/// The type URL of an OCI runtime configuration (JSON): [`Container.spec`].
///
/// [`Container.spec`]: crate::services::containers::Container::spec
pub const SPEC: &str = "types.containerd.io/opencontainers/runtime-spec/1/Spec";
/// The type URL of an OCI process (JSON): the `spec` of an exec.
pub const PROCESS: &str = "types.containerd.io/opencontainers/runtime-spec/1/Process";
/// The type URL of OCI resources (JSON): the `resources` of a task's update.
pub const LINUX_RESOURCES: &str =
    "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources";

/// Why an `Any` could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It holds something else.
    #[error("expected a {expected}, got {actual:?}")]
    Type {
        /// The full name of the wanted message.
        expected: String,
        /// The type URL that was found.
        actual: String,
    },
    /// Its bytes are not a message of its type.
    #[error("damaged {0}")]
    Decode(String, #[source] prost::DecodeError),
}

impl base_errors::Classify for Error {
    fn kind(&self) -> base_errors::Kind {
        base_errors::Kind::InvalidArgument
    }
}

/// Wraps a message.
pub fn pack<M: Name>(message: &M) -> Any {
    Any { type_url: M::full_name(), value: message.encode_to_vec() }
}

/// Wraps a JSON document under one of the type URLs above.
#[must_use]
pub fn json(type_url: &str, document: Vec<u8>) -> Any {
    Any { type_url: type_url.to_owned(), value: document }
}

/// Tells whether this holds an `M`. Go's `type.googleapis.com/` prefix is accepted.
#[must_use]
pub fn is<M: Name>(any: &Any) -> bool {
    any.type_url.rsplit('/').next() == Some(M::full_name().as_str())
}

/// Opens an `Any` that holds an `M`.
///
/// # Errors
/// It holds something else, or damaged bytes.
pub fn unpack<M: Name + Default>(any: &Any) -> Result<M, Error> {
    if !is::<M>(any) {
        return Err(Error::Type { expected: M::full_name(), actual: any.type_url.clone() });
    }
    M::decode(any.value.as_slice()).map_err(|source| Error::Decode(M::full_name(), source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::TaskExit;
    use crate::types::transfer::Progress;

    #[test]
    fn type_urls_are_bare_full_names() {
        let any = pack(&TaskExit { container_id: "a".into(), ..TaskExit::default() });
        assert_eq!(any.type_url, "containerd.events.TaskExit");
        assert_eq!(unpack::<TaskExit>(&any).unwrap().container_id, "a");
        assert_eq!(pack(&Progress::default()).type_url, "containerd.types.transfer.Progress");
    }

    #[test]
    fn a_prefixed_url_is_accepted_and_another_type_refused() {
        let mut any = pack(&TaskExit::default());
        any.type_url.insert_str(0, "type.googleapis.com/");
        assert!(unpack::<TaskExit>(&any).is_ok());
        assert!(unpack::<Progress>(&any).is_err());
    }
}
