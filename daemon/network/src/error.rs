//! What can go wrong, in Docker's words where clients read them.

use base_errors::{Classify, Kind};
use base_ids::ContainerId;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::Protocol;

/// A failure of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No network has this name or id.
    #[error("network {0} not found")]
    NetworkNotFound(String),
    /// Several networks' ids begin so.
    #[error("network {0} is ambiguous ({1} matches found on ID prefix)")]
    AmbiguousNetwork(String, usize),
    /// No sandbox belongs to this container.
    #[error("sandbox {0} not found")]
    SandboxNotFound(ContainerId),
    /// The container has a sandbox already.
    #[error("container {0} has a sandbox already")]
    SandboxExists(ContainerId),
    /// `host` goes with no other network.
    #[error("conflicting options: host network and another network in one sandbox")]
    HostNotAlone,
    /// A sandbox in a network without addresses cannot publish ports.
    #[error("cannot publish ports without an address on a bridge network")]
    PortsWithoutAddress,
    /// The fixed address is outside the network's subnet.
    #[error("no configured subnet contains IP address {0}")]
    AddressOutsideSubnet(Ipv4Addr),
    /// The fixed address is taken.
    #[error("Address already in use")]
    AddressInUse(Ipv4Addr),
    /// No address is left.
    #[error("no available IPv4 addresses on this network's address pools: {network} ({id})")]
    NoAddressLeft {
        /// The network's name.
        network: String,
        /// Its id.
        id: String,
    },
    /// Every subnet of the pools overlaps something on this host.
    #[error("all predefined address pools have been fully subnetted")]
    NoSubnetLeft,
    /// Ports could not be published.
    #[error(
        "driver failed programming external connectivity on endpoint {name} ({endpoint}): {source}"
    )]
    Publish {
        /// The container's name.
        name: String,
        /// The endpoint's id.
        endpoint: String,
        /// Why.
        source: PortError,
    },
    /// A file could not be read or written.
    #[error("{step} {path}")]
    File {
        /// What was attempted.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A stored record cannot be understood.
    #[error("read {path}: damaged")]
    Record {
        /// Which.
        path: PathBuf,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// A stored record has a form that only a newer daemon knows.
    #[error("read {path}: written by a newer version (form {version})")]
    NewerRecord {
        /// Which.
        path: PathBuf,
        /// The form's version.
        version: u32,
    },
    /// The kernel refused a step.
    #[error("{step}")]
    Kernel {
        /// What was attempted, and on what.
        step: String,
        /// Why it failed.
        source: io::Error,
    },
}

/// Why a port could not be published.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Another sandbox has it.
    #[error("Bind for {} failed: port is already allocated", SocketAddr::new(*.host_ip, *.host_port))]
    Allocated {
        /// The host's address.
        host_ip: IpAddr,
        /// The host's port.
        host_port: u16,
    },
    /// Another program has it, or it may not be had.
    #[error(
        "failed to bind host port {}/{protocol}: {}",
        SocketAddr::new(*.host_ip, *.host_port),
        reason(.source)
    )]
    Bind {
        /// The host's address.
        host_ip: IpAddr,
        /// The host's port.
        host_port: u16,
        /// The protocol.
        protocol: Protocol,
        /// What bind(2) said.
        source: io::Error,
    },
    /// Nothing is free in the range.
    #[error("all ports are allocated")]
    Exhausted,
    /// Nobody could carry what reaches the port to an IPv4 address.
    #[error(
        "cannot publish {protocol} on {host_ip}: containers have IPv4 addresses only, and no \
         userland proxy carries it to them"
    )]
    Ipv6 {
        /// The host's address.
        host_ip: IpAddr,
        /// The protocol.
        protocol: Protocol,
    },
    /// The kernel refused the forwarding.
    #[error("program forwarding: {0}")]
    Forward(io::Error),
}

/// Go's lower-case wording of the common case, which clients compare with.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "address already in use".to_owned(),
        io::ErrorKind::AddrNotAvailable => "cannot assign requested address".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

impl Error {
    pub(crate) fn file(step: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::File { step, path: path.into(), source }
    }

    pub(crate) fn kernel(step: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Kernel { step: step.into(), source: source.into() }
    }
}

impl Classify for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::NetworkNotFound(_) | Self::SandboxNotFound(_) => Kind::NotFound,
            Self::AmbiguousNetwork(..)
            | Self::HostNotAlone
            | Self::PortsWithoutAddress
            | Self::AddressOutsideSubnet(_) => Kind::InvalidArgument,
            Self::SandboxExists(_) => Kind::AlreadyExists,
            // dockerd answers 403 to a fixed address that is taken.
            Self::AddressInUse(_) => Kind::PermissionDenied,
            Self::NoAddressLeft { .. } | Self::NoSubnetLeft => Kind::ResourceExhausted,
            Self::Publish { .. } => Kind::Internal,
            Self::Record { .. } => Kind::DataLoss,
            Self::NewerRecord { .. } => Kind::FailedPrecondition,
            Self::File { source, .. } | Self::Kernel { source, .. } => {
                match Kind::from_io(source) {
                    // A missing file of ours is not a missing thing of the user's.
                    Kind::NotFound | Kind::AlreadyExists | Kind::InvalidArgument => Kind::Internal,
                    kind => kind,
                }
            }
        }
    }
}
