//! `checkpoint`: a running container becomes files.

use crate::criu::{Criu, CriuOptions, Kind, Launch, Message, external_mounts};
use crate::error::{Error, refused};
use crate::lifecycle;
use crate::request::Stdio;
use crate::store::{Folder, Record};
use base_faults::{Step, reach, step};
use base_oci::runtime::{NamespaceKind, Spec};
use contracts_runtime_api::Status;
use rustix::fs::stat;
use std::path::{Path, PathBuf};

/// A container to be written down.
#[derive(Debug)]
pub struct CheckpointRequest<'a> {
    /// Folder of all containers' state.
    pub root: &'a Path,
    /// The container's id.
    pub id: &'a str,
    /// Its configuration.
    pub spec: &'a Spec,
    /// How.
    pub options: CriuOptions,
    /// Let it run on.
    pub leave_running: bool,
    /// Write only memory, as the parent of a later checkpoint; it runs on.
    pub pre_dump: bool,
    /// The image of an earlier pre-dump, relative to this one.
    pub parent: Option<String>,
    /// Address and port of the page server that receives memory.
    pub page_server: Option<(String, u16)>,
    /// Descriptor that gets a byte once lazy pages can be asked for.
    pub status_fd: Option<i32>,
    /// Restore deleted files that are linked elsewhere by linking them again.
    pub link_remap: bool,
}

/// Where restore finds what stdin, stdout and stderr were.
pub(crate) const DESCRIPTORS: &str = "descriptors.json";
const LOG: &str = "dump.log";

const CRIU_STARTED: &Step = step("runtime.checkpoint.criu-started");
const STOPPED: &Step = step("runtime.checkpoint.stopped");
const WRITTEN: &Step = step("runtime.checkpoint.written");
const ANSWERED: &Step = step("runtime.checkpoint.answered");

/// Writes a container down.
pub(crate) fn checkpoint(request: &CheckpointRequest<'_>) -> Result<(), Error> {
    let CheckpointRequest { root, id, spec, options, .. } = request;
    let (folder, record) = Folder::find(root, id)?;
    let status = folder.status(&record);
    if !matches!(status, Status::Running | Status::Paused) {
        return Err(Error::NotToBeCheckpointed(status));
    }
    options.make_folders()?;
    let folders = options.folders()?;
    let mut message = options.message(&folders, spec, LOG);
    message
        .number(2, record.pid)
        .flag(3, request.leave_running)
        .text(13, &record.rootfs.to_string_lossy())
        .flag(15, request.pre_dump || request.parent.is_some())
        .optional(14, request.parent.as_deref())
        .flag(18, request.link_remap);
    if let Some((address, port)) = &request.page_server {
        let mut server = Message::default();
        server.text(1, address).number(2, i32::from(*port));
        message.message(11, &server);
    }
    if let Some(descriptor) = request.status_fd {
        message.number(49, descriptor);
    }
    if status == Status::Paused
        && let Some(freezer) = freezer(&record)
    {
        message.text(44, &freezer.to_string_lossy());
    }
    for (destination, _) in external_mounts(spec, &record.bundle, &record.cgroup().record()) {
        message.text(37, &format!("mnt[{destination}]:{destination}"));
    }
    for (kind, name, path) in external_namespaces(spec) {
        let inode = stat(path).map_err(refused(format!("look at namespace {path}")))?.st_ino;
        message.text(37, &format!("{kind}[{inode}]:{name}"));
    }
    if !request.pre_dump {
        write_descriptors(&record, &options.image)?;
    }
    let kind = if request.pre_dump { Kind::PreDump } else { Kind::Dump };
    let launch = Launch { folders, others: &[], stdio: Stdio::Inherit };
    let asked = Criu::start(launch, || Ok(())).and_then(|criu| {
        reach(CRIU_STARTED);
        criu.ask(kind, &message, |step, _| {
            match step.step.as_str() {
                "network-lock" => reach(STOPPED),
                "post-dump" => reach(WRITTEN),
                _ => {}
            }
            Ok(())
        })
    });
    let made = match asked {
        Ok(answer) if !answer.is_success => Err(options.failure(&answer, LOG)),
        result => result.map(drop),
    };
    reach(ANSWERED);
    if made.is_ok() && !request.leave_running && !request.pre_dump {
        return lifecycle::delete(root, id, true).map(drop);
    }
    made.and(stay_paused(status, &record))
}

/// CRIU thaws what it looks at, and one that was killed does not freeze it again.
fn stay_paused(before: Status, record: &Record) -> Result<(), Error> {
    let cgroup = record.cgroup();
    if before == Status::Paused && record.is_alive() && !cgroup.is_frozen() {
        cgroup.freeze(true)?;
    }
    Ok(())
}

/// Namespaces that are not the container's own, which CRIU is to leave alone: of which type, under
/// which name they are known, and where they are.
pub(crate) fn external_namespaces(
    spec: &Spec,
) -> impl Iterator<Item = (&'static str, &'static str, &str)> {
    let namespaces = spec.linux.iter().flat_map(|linux| &linux.namespaces);
    namespaces.filter(|namespace| !namespace.path.is_empty()).filter_map(|namespace| {
        let (kind, name) = match namespace.kind {
            NamespaceKind::Network => ("net", "extRootNetNS"),
            NamespaceKind::Pid => ("pid", "extRootPidNS"),
            _ => return None,
        };
        Some((kind, name, namespace.path.as_str()))
    })
}

/// The folder whose freezer holds a paused container.
fn freezer(record: &Record) -> Option<PathBuf> {
    let record = record.cgroup().record();
    let is_it = |controllers: &str| controllers.split(',').any(|name| name == "freezer");
    let found = record.hierarchies.iter().find(|h| record.unified || is_it(&h.controllers));
    found.map(|hierarchy| hierarchy.path.clone())
}

/// Writes down what stdin, stdout and stderr are (runc's form).
fn write_descriptors(record: &Record, image: &Path) -> Result<(), Error> {
    let name = |number: i32| {
        let link = std::fs::read_link(format!("/proc/{}/fd/{number}", record.pid));
        link.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    };
    let names: Vec<String> = (0..3).map(name).collect();
    let path = image.join(DESCRIPTORS);
    let text = serde_json::to_vec(&names).map_err(std::io::Error::other);
    text.and_then(|text| std::fs::write(&path, text)).map_err(|source| Error::State {
        step: "write",
        path,
        source,
    })
}
