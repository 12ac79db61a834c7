//! The `delete` action: removes what a dead shim left behind.
//!
//! Each step is tried whatever became of the one before, because nobody comes after this.

use crate::error::TaskError;
use crate::runtime::Runtime;
use crate::start::is_served;
use base_files::{Durability, replace};
use contracts_shim_api::attach;
use contracts_shim_api::bootstrap::BootstrapParams;
use contracts_shim_api::exit::{self, ExitRecord};
use contracts_shim_api::options::Options;
use contracts_shim_api::task::DeleteResponse;
use prost_types::Timestamp;
use rustix::mount::UnmountFlags;
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The bundle's file that tells which runtime made its container.
const RUNTIME_FILE: &str = "runtime.json";

/// What the file says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RuntimeRecord {
    root: PathBuf,
    binary: String,
    systemd_cgroup: bool,
}

impl RuntimeRecord {
    /// Tells a later `delete` action which runtime this is.
    pub(crate) fn write(bundle: &Path, options: &Options, root: &Path) -> std::io::Result<()> {
        let record = Self {
            root: root.to_owned(),
            binary: options.binary_name.clone(),
            systemd_cgroup: options.systemd_cgroup,
        };
        let text = serde_json::to_vec(&record)?;
        replace(&bundle.join(RUNTIME_FILE), &text, 0o600, Durability::Processes)
    }

    fn read(bundle: &Path) -> Option<Runtime> {
        let record: Self = serde_json::from_str(&read(&bundle.join(RUNTIME_FILE))?).ok()?;
        let options = Options {
            binary_name: record.binary,
            systemd_cgroup: record.systemd_cgroup,
            ..Options::default()
        };
        Some(Runtime::new(&options, record.root))
    }
}

/// What the `delete` action is told.
#[derive(Debug)]
pub struct DeleteAction {
    /// The bundle.
    pub bundle: PathBuf,
    /// The container.
    pub id: String,
    /// The runtime's state directory.
    pub runtime_root: PathBuf,
}

/// Kills the container, and removes it and its mounts.
///
/// # Errors
/// The container could not be removed, after everything else has been tried.
pub fn delete(action: &DeleteAction) -> Result<DeleteResponse, TaskError> {
    let runtime = RuntimeRecord::read(&action.bundle)
        .unwrap_or_else(|| Runtime::Linked(action.runtime_root.clone()));
    let removed = runtime.delete(&action.bundle, &action.id);
    // Ours mounts inside the container's namespace only; another shim may have been here before.
    let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
    let _ = rustix::mount::unmount(action.bundle.join("rootfs"), flags);
    let _ = std::fs::remove_file(action.bundle.join(attach::SOCKET));
    remove_dead_socket(&action.bundle);
    let record = exit_record(&action.bundle);
    removed.map_err(|failure| failure.into_error("OCI runtime delete failed"))?;
    Ok(DeleteResponse {
        pid: record.pid,
        exit_status: record.exit_status,
        exited_at: record.timestamp(),
    })
}

/// Removes the shim's socket, unless a shim of the same group listens on it.
fn remove_dead_socket(bundle: &Path) {
    let address = read(&bundle.join("address")).unwrap_or_default();
    if let Ok(params) = BootstrapParams::parse(address.as_bytes())
        && let Some(path) = params.socket_path().map(Path::new)
        && !is_served(path)
    {
        let _ = std::fs::remove_file(path);
    }
}

/// The recorded exit; where there is none, the container was killed just now.
fn exit_record(bundle: &Path) -> ExitRecord {
    let path = bundle.join(exit::FILE);
    let recorded = read(&path).and_then(|text| ExitRecord::parse(text.as_bytes()).ok());
    recorded.unwrap_or_else(|| {
        let pid = read(&bundle.join("init.pid")).and_then(|text| text.trim().parse().ok());
        let now: Timestamp = SystemTime::now().into();
        let record = ExitRecord::new(pid.unwrap_or(0), 128 + 9, &now);
        let _ = replace(&path, &record.to_json(), 0o600, Durability::Processes);
        record
    })
}

/// A small file's text.
fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(exit::MAX_SIZE as u64).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_was_never_made_is_deleted_with_a_kill_status() {
        let bundle = tempfile::tempdir().unwrap();
        std::fs::write(bundle.path().join("init.pid"), "77").unwrap();
        let record = exit_record(bundle.path());
        assert_eq!((record.pid, record.exit_status), (77, 137));
        // The second time tells the same.
        assert_eq!(exit_record(bundle.path()), record);
    }
}
