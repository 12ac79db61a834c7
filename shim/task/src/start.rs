//! The `start` action: a listening shim for a bundle, new or that of the container's group.

use crate::attachments::listen_in;
use crate::error::TaskError;
use crate::logging::Log;
use crate::server::{Config, Server};
use base_faults::{Step, reach, step};
use base_files::{Durability, replace};
use contracts_shim_api::bootstrap::{BootstrapParams, MAX_SOCKET_PATH};
use kernel_sys::{CloneFlags, Cloned, clone3};
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io::{BufReader, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

const LISTENING: &Step = step("shim.run.listening");

/// Annotations whose containers share a shim, by their value; the first one there is.
const GROUPS: [&str; 2] = ["io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id"];

/// What the `start` action is told.
#[derive(Debug)]
pub struct StartAction {
    /// The bundle: the working directory.
    pub bundle: PathBuf,
    /// The containerd namespace.
    pub namespace: String,
    /// The container.
    pub id: String,
    /// The caller's address, part of the shim's identity.
    pub address: String,
    /// The socket that takes events.
    pub events: String,
    /// Where the shim's socket goes.
    pub sockets: PathBuf,
    /// The runtime's state directory.
    pub runtime_root: PathBuf,
    /// Whether to log debug lines.
    pub debug: bool,
}

/// Who returns from [`start`].
#[derive(Debug)]
pub enum Started {
    /// The action, with what it is to print.
    Action(BootstrapParams),
    /// The new shim, which is to run.
    Shim(Box<Server>),
}

/// Finds or starts the shim of a container.
///
/// # Errors
/// The configuration cannot be read, or no socket can be made.
pub fn start(action: &StartAction) -> Result<Started, TaskError> {
    let group = group_of(&action.bundle)?.unwrap_or_else(|| action.id.clone());
    let name = socket_name(&[&action.address, &action.namespace, &group]);
    let path = action.sockets.join(&name);
    if path.as_os_str().len() > MAX_SOCKET_PATH {
        return Err(TaskError::Invalid(format!("{}: too long for a socket", path.display())));
    }
    let params = BootstrapParams::unix(&path.to_string_lossy());
    if is_served(&path) {
        write_bundle_file(action, "address", &params.address)?;
        return Ok(Started::Action(params));
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(&action.sockets)
        .map_err(|source| TaskError::Open { path: action.sockets.clone(), source })?;
    let listener = listen_in(&action.sockets, &name)
        .map_err(|errno| TaskError::Open { path: path.clone(), source: errno.into() })?;
    match clone3(CloneFlags::EMPTY, None).map_err(TaskError::system("fork the shim"))? {
        Cloned::Child => become_shim(action, path, listener),
        Cloned::Parent { pid, .. } => {
            write_bundle_file(action, "shim.pid", &pid.to_string())?;
            write_bundle_file(action, "address", &params.address)?;
            Ok(Started::Action(params))
        }
    }
}

/// The child: leaves the caller's session and files.
fn become_shim(
    action: &StartAction,
    socket: PathBuf,
    listener: OwnedFd,
) -> Result<Started, TaskError> {
    let _ = rustix::process::setsid();
    let log = Log::open(&action.bundle, action.debug);
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(TaskError::system("open the null device"))?;
    let _ = rustix::stdio::dup2_stdin(&null);
    let _ = rustix::stdio::dup2_stdout(&null);
    // The caller may wait for the end of this file, unless it is one that never ends.
    let keeps_stderr = rustix::fs::fstat(rustix::stdio::stderr()).is_ok_and(|stat| {
        let kind = FileType::from_raw_mode(stat.st_mode);
        kind == FileType::RegularFile || kind == FileType::CharacterDevice
    });
    if !keeps_stderr {
        let _ = rustix::stdio::dup2_stderr(&null);
    }
    let _ = rustix::process::chdir("/");
    yield_to_the_caller();
    kernel_sys::memory::give_back_freed();
    let config = Config {
        socket,
        namespace: action.namespace.clone(),
        events: action.events.clone(),
        runtime_root: action.runtime_root.clone(),
        log,
    };
    let server = Server::new(config, listener)?;
    reach(LISTENING);
    Ok(Started::Shim(Box::new(server)))
}

/// Under want of memory the kernel shall kill a shim before its supervisor, as with containerd's.
fn yield_to_the_caller() {
    const SCORE: &str = "/proc/self/oom_score_adj";
    let score = std::fs::read_to_string(SCORE).ok().and_then(|text| text.trim().parse().ok());
    if let Some(score) = score {
        let score: i32 = score;
        let _ = std::fs::write(SCORE, (score + 1).min(1000).to_string());
    }
}

fn write_bundle_file(action: &StartAction, name: &str, text: &str) -> Result<(), TaskError> {
    let path = action.bundle.join(name);
    replace(&path, text.as_bytes(), 0o600, Durability::Processes)
        .map_err(|source| TaskError::Open { path, source })
}

/// The group that a bundle's annotations name.
fn group_of(bundle: &Path) -> Result<Option<String>, TaskError> {
    #[derive(Deserialize)]
    struct Annotated {
        #[serde(default)]
        annotations: Option<BTreeMap<String, String>>,
    }
    let path = bundle.join("config.json");
    let failed = |source| TaskError::Open { path: path.clone(), source };
    let file = File::open(&path).map_err(failed)?.take(crate::container::MAX_CONFIG);
    // Read in small pieces: the shim that is forked later inherits this memory.
    let annotated: Annotated = serde_json::from_reader(BufReader::with_capacity(4 << 10, file))
        .map_err(|error| failed(error.into()))?;
    let annotations = annotated.annotations.unwrap_or_default();
    Ok(GROUPS.iter().find_map(|name| annotations.get(*name).cloned()))
}

/// A short name for a shim, the same for the same parts: FNV-1a, 128 bits.
fn socket_name(parts: &[&str]) -> String {
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for part in parts {
        for byte in part.bytes().chain([b'/']) {
            hash =
                (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    }
    format!("{hash:032x}")
}

/// Whether somebody listens on this socket.
pub(crate) fn is_served(path: &Path) -> bool {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
    let (Ok(socket), Ok(address)) = (socket, SocketAddrUnix::new(path)) else { return false };
    // A full backlog (EAGAIN) is a sign of life too.
    !matches!(
        rustix::net::connect(&socket, &address),
        Err(rustix::io::Errno::CONNREFUSED | rustix::io::Errno::NOENT)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_group_annotation_counts() {
        let bundle = tempfile::tempdir().unwrap();
        let write = |text: &str| std::fs::write(bundle.path().join("config.json"), text).unwrap();
        write(r#"{"ociVersion":"1.0.0","process":{"args":["a"]}}"#);
        assert_eq!(group_of(bundle.path()).unwrap(), None);
        write(r#"{"annotations":null}"#);
        assert_eq!(group_of(bundle.path()).unwrap(), None);
        write(
            r#"{"annotations":{"io.kubernetes.cri.sandbox-id":"pod","io.containerd.runc.v2.group":"g"}}"#,
        );
        assert_eq!(group_of(bundle.path()).unwrap().as_deref(), Some("g"));
    }

    #[test]
    fn socket_names_tell_their_parts_apart() {
        assert_eq!(socket_name(&["a", "b"]), socket_name(&["a", "b"]));
        assert_ne!(socket_name(&["a", "b"]), socket_name(&["ab", ""]));
        assert_eq!(socket_name(&["a"]).len(), 32);
    }
}
