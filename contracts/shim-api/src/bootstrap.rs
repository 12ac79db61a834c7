//! What the shim's `start` action is given, and what it prints.
//!
//! Output: containerd before 1.7 takes a plain address, 1.7 to 2.2 and our supervisor take JSON,
//! later ones take a protobuf message and both older forms. Our shim prints JSON when the caller
//! says that it understands version 3 ([`MAX_VERSION_VARIABLE`], or bootstrap parameters on
//! standard input); a plain address, which every version takes, when it does not.

use prost::Message;
use prost_types::Any;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the Task service (and of this contract) that the shim offers.
pub const VERSION: u32 = 3;
/// Environment variable with the highest version that the caller understands. containerd always
/// says 2.
pub const MAX_VERSION_VARIABLE: &str = "MAX_SHIM_VERSION";
/// Environment variable with the address for events.
pub const TTRPC_ADDRESS_VARIABLE: &str = "TTRPC_ADDRESS";
/// Environment variable of our supervisor: the directory for the shim's socket.
pub const SOCKET_DIRECTORY_VARIABLE: &str = "GANTRY_SHIM_SOCKET_DIR";
/// Environment variable of our supervisor: the runtime's state directory for this namespace,
/// `<root>` of ARCHITECTURE.md. `Options.root` wins over it.
pub const RUNTIME_ROOT_VARIABLE: &str = "GANTRY_RUNTIME_ROOT";
/// Largest standard input or output of the `start` action.
pub const MAX_DOCUMENT: usize = 1 << 20;
/// Longest path of a Unix socket (`sun_path` without its final zero).
pub const MAX_SOCKET_PATH: usize = 107;

/// What `start` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootstrapParams {
    /// Version of the Task service: 2 or 3.
    pub version: u32,
    /// `unix:///PATH`.
    pub address: String,
    /// `ttrpc` (or `grpc`, which ours never says).
    pub protocol: String,
}

/// An answer of `start` that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// Nothing, too much, or no text.
    #[error("shim printed no address")]
    Empty,
    /// Broken JSON.
    #[error("parse the shim's bootstrap parameters")]
    Json(#[from] serde_json::Error),
    /// Made for later callers.
    #[error("shim version {0} is not supported")]
    Version(u32),
    /// Another protocol than ttrpc, or no Unix socket.
    #[error("shim address {address:?} with protocol {protocol:?} is not supported")]
    Address {
        /// The address.
        address: String,
        /// The protocol.
        protocol: String,
    },
}

impl BootstrapParams {
    /// Parameters of a ttrpc server on this Unix socket.
    #[must_use]
    pub fn unix(path: &str) -> Self {
        Self { version: VERSION, address: format!("unix://{path}"), protocol: "ttrpc".to_owned() }
    }

    /// What `start` prints for a caller that understands versions up to `caller`.
    #[must_use]
    pub fn print(&self, caller: u32) -> String {
        if caller < VERSION {
            return self.address.clone();
        }
        serde_json::to_string(self).expect("strings and numbers always serialize")
    }

    /// Reads what `start` printed.
    ///
    /// # Errors
    /// See [`BootstrapError`].
    pub fn parse(output: &[u8]) -> Result<Self, BootstrapError> {
        let text = std::str::from_utf8(output).map_err(|_| BootstrapError::Empty)?.trim();
        if text.is_empty() || text.len() > MAX_DOCUMENT {
            return Err(BootstrapError::Empty);
        }
        let params: Self = if text.starts_with('{') {
            serde_json::from_str(text)?
        } else {
            Self { version: 2, address: text.to_owned(), protocol: "ttrpc".to_owned() }
        };
        if !(2..=VERSION).contains(&params.version) {
            return Err(BootstrapError::Version(params.version));
        }
        if params.protocol != "ttrpc" || params.socket_path().is_none() {
            return Err(BootstrapError::Address {
                address: params.address,
                protocol: params.protocol,
            });
        }
        Ok(params)
    }

    /// The path of the Unix socket.
    #[must_use]
    pub fn socket_path(&self) -> Option<&str> {
        self.address.strip_prefix("unix://").filter(|path| path.starts_with('/'))
    }
}

/// Standard input of `start` from containerd 2.3 on
/// (`containerd.runtime.bootstrap.v1.BootstrapParams`).
#[derive(Clone, PartialEq, Eq, Message)]
pub struct StartParams {
    /// The container.
    #[prost(string, tag = "1")]
    pub instance_id: String,
    /// The containerd namespace.
    #[prost(string, tag = "2")]
    pub namespace: String,
    /// How much to log.
    #[prost(int32, tag = "3")]
    pub log_level: i32,
    /// The caller's version.
    #[prost(string, tag = "4")]
    pub containerd_version: String,
    /// Address for events.
    #[prost(string, tag = "5")]
    pub containerd_ttrpc_address: String,
    /// The caller's gRPC address.
    #[prost(string, tag = "6")]
    pub containerd_grpc_address: String,
    /// The caller's binary.
    #[prost(string, tag = "7")]
    pub containerd_binary: String,
    /// Runtime options and more.
    #[prost(message, repeated, tag = "8")]
    pub extensions: Vec<Extension>,
    /// Directory for the shim's socket.
    #[prost(string, optional, tag = "9")]
    pub socket_dir: Option<String>,
}

/// One extension of [`StartParams`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Extension {
    /// The extension.
    #[prost(message, optional, tag = "1")]
    pub value: Option<Any>,
}

/// Standard output of `start` from containerd 2.3 on.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct BootstrapResult {
    /// Version of the Task service.
    #[prost(int32, tag = "1")]
    pub version: i32,
    /// The server's address.
    #[prost(string, tag = "2")]
    pub address: String,
    /// Its protocol.
    #[prost(string, tag = "3")]
    pub protocol: String,
    /// Known capabilities.
    #[prost(int32, repeated, tag = "4")]
    pub capabilities: Vec<i32>,
    /// Anything else.
    #[prost(btree_map = "string, string", tag = "5")]
    pub metadata: BTreeMap<String, String>,
}

/// What `-info` prints (`containerd.types.RuntimeInfo`).
#[derive(Clone, PartialEq, Message)]
pub struct RuntimeInfo {
    /// The shim's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its version.
    #[prost(message, optional, tag = "2")]
    pub version: Option<RuntimeVersion>,
    /// The options that were given.
    #[prost(message, optional, tag = "3")]
    pub options: Option<Any>,
    /// OCI runtime features, as JSON.
    #[prost(message, optional, tag = "4")]
    pub features: Option<Any>,
    /// Anything else.
    #[prost(btree_map = "string, string", tag = "5")]
    pub annotations: BTreeMap<String, String>,
}

/// A version in [`RuntimeInfo`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RuntimeVersion {
    /// The release.
    #[prost(string, tag = "1")]
    pub version: String,
    /// The commit.
    #[prost(string, tag = "2")]
    pub revision: String,
}

/// Standard input of `start`: [`StartParams`], or options alone (containerd up to 2.2).
#[derive(Clone, Debug, PartialEq)]
pub enum StartInput {
    /// Nothing.
    None,
    /// Runtime options.
    Options(Any),
    /// Bootstrap parameters.
    Params(Box<StartParams>),
}

impl StartInput {
    /// Tells the two forms apart: an `Any` has no field above 2, and parameters always have the
    /// caller's address.
    #[must_use]
    pub fn parse(input: &[u8]) -> Self {
        if input.is_empty() {
            return Self::None;
        }
        if let Ok(params) = StartParams::decode(input)
            && !params.containerd_ttrpc_address.is_empty()
        {
            return Self::Params(Box::new(params));
        }
        Any::decode(input).map_or(Self::None, Self::Options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_printed_forms_are_parsed_again() {
        let params = BootstrapParams::unix("/run/s/abc");
        assert_eq!(params.print(2), "unix:///run/s/abc");
        assert_eq!(BootstrapParams::parse(params.print(3).as_bytes()).unwrap(), params);
        let old = BootstrapParams::parse(b"unix:///run/s/abc\n").unwrap();
        assert_eq!((old.version, old.socket_path()), (2, Some("/run/s/abc")));
    }

    #[test]
    fn later_versions_and_other_protocols_are_refused() {
        for bad in [
            &b""[..],
            br#"{"version":4,"address":"unix:///a","protocol":"ttrpc"}"#,
            br#"{"version":3,"address":"unix:///a","protocol":"grpc"}"#,
            br#"{"version":3,"address":"vsock://1:2","protocol":"ttrpc"}"#,
            b"{",
        ] {
            assert!(BootstrapParams::parse(bad).is_err());
        }
    }

    #[test]
    fn options_and_bootstrap_parameters_are_told_apart() {
        let any = Any { type_url: "containerd.runc.v1.Options".into(), value: vec![8, 1] };
        assert_eq!(StartInput::parse(&any.encode_to_vec()), StartInput::Options(any));
        let params = StartParams {
            instance_id: "a".into(),
            namespace: "b".into(),
            containerd_ttrpc_address: "/x".into(),
            ..Default::default()
        };
        let parsed = StartInput::parse(&params.encode_to_vec());
        assert_eq!(parsed, StartInput::Params(Box::new(params)));
        assert_eq!(StartInput::parse(b""), StartInput::None);
    }
}
