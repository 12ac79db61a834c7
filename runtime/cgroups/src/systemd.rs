//! The systemd driver: the container's cgroup is a scope that systemd makes, keeps in its books and
//! removes (<https://systemd.io/CGROUP_DELEGATION/>, runc's `--systemd-cgroup`).
//!
//! A scope begins with a process, so that it is made for the container's first one. Limits go to
//! systemd as properties of the unit, which it writes to the cgroup again when it sees fit, and then
//! to the same files as the cgroupfs driver's, for it knows but some of them. Everything else is the
//! cgroupfs driver's business: the scope is delegated.
//!
//! - [`name`]: from `cgroupsPath` to unit and folder.
//! - [`limits`], [`annotation`]: from the configuration to properties.
//! - [`units`]: systemd's calls.
//! - [`dbus`]: how they are made.

mod annotation;
mod dbus;
mod error;
mod limits;
mod name;
mod units;

pub use dbus::Error as BusError;
pub use error::Error;

use crate::{Below, Cgroup, Record, discover, is_forbidden, knob, reopen, v1, v2};
use base_oci::runtime::Resources;
use contracts_runtime_api::Stats;
use dbus::Value;
use name::Name;
use rustix::fs::Uid;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::Path;
use units::Manager;

/// The ids of a user namespace that has them all.
const ALL_IDS: &str = "0 0 4294967295";

/// What a delegation needs where the kernel does not list it (before Linux 4.15).
const DELEGATED: &str = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads";

/// A scope of systemd's, for [`Record`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Its name: `docker-ID.scope`.
    pub unit: String,
    /// Whether it is the user's own systemd that has it.
    pub is_users: bool,
}

/// Whose systemd is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Machine,
    User,
}

/// A property of a unit.
#[derive(Clone, Debug, PartialEq)]
struct Property {
    name: String,
    value: Value,
    /// The version of systemd that it came with; 0 where every one has it.
    since: u32,
}

impl Property {
    fn new(name: impl Into<String>, value: Value) -> Self {
        Self { name: name.into(), value, since: 0 }
    }

    fn since(self, version: u32) -> Self {
        Self { since: version, ..self }
    }
}

/// The cgroup of a container in a scope.
pub(crate) struct Systemd {
    /// The same folders, as the cgroupfs driver has them.
    files: Box<dyn Cgroup>,
    record: Record,
    scope: Scope,
    /// What the unit is made with; empty when it has been.
    properties: Vec<Property>,
    /// Whose its folder becomes, where that is to be somebody else.
    owner: Option<u32>,
}

/// Finds where the scope of a container belongs: `cgroups_path` is `slice:prefix:name`, and further
/// properties of it are `annotations`. On cgroup v2 its folder becomes `owner`'s.
///
/// # Errors
/// The path or an annotation is of another form, systemd does not run, or does not answer.
pub fn locate(
    cgroups_path: &str,
    id: &str,
    annotations: &BTreeMap<String, String>,
    owner: Option<u32>,
) -> Result<Box<dyn Cgroup>, crate::Error> {
    let whose = whose();
    let default_slice = if whose == Whose::User { "user.slice" } else { "system.slice" };
    let name = Name::parse(cgroups_path, id, default_slice)?;
    let mut properties = vec![
        Property::new("Description", Value::Text(format!("Gantry container {id}"))),
        Property::new("Slice", Value::text(name.full_slice())),
        Property::new("Delegate", Value::Bool(true)),
        // No ordering against shutdown.target: what stops the container is its own manager.
        Property::new("DefaultDependencies", Value::Bool(false)),
        Property::new("MemoryAccounting", Value::Bool(true)),
        Property::new("CPUAccounting", Value::Bool(true)),
        Property::new("TasksAccounting", Value::Bool(true)),
    ];
    let above = Manager::connect(whose)?.control_group()?;
    // In a container, init may be in its scope already (runc does the same).
    let above = above.trim_end_matches("/init.scope");
    let folder = format!("{above}/{}", name.folder()?);
    let record = discover::locate(&folder, id)?.record();
    let io = if record.unified { "IOAccounting" } else { "BlockIOAccounting" };
    properties.push(Property::new(io, Value::Bool(true)));
    properties.extend(annotation::properties(annotations)?);
    let scope = Scope { unit: name.unit, is_users: whose == Whose::User };
    let record = Record { scope: Some(scope.clone()), ..record };
    Ok(Box::new(Systemd { properties, owner, ..Systemd::new(record, scope) }))
}

/// root speaks to the machine's systemd; anybody else, and root in a user namespace, to the user's.
fn whose() -> Whose {
    let ids = knob::read(Path::new("/proc/self"), "uid_map").unwrap_or_default();
    let has_all_ids = ids.split_whitespace().eq(ALL_IDS.split(' '));
    if rustix::process::geteuid().is_root() && has_all_ids { Whose::Machine } else { Whose::User }
}

impl Systemd {
    pub(crate) fn new(record: Record, scope: Scope) -> Self {
        let files = reopen(Record { scope: None, ..record.clone() });
        Self { files, record, scope, properties: Vec::new(), owner: None }
    }

    fn manager(&self) -> Result<Manager, Error> {
        Manager::connect(if self.scope.is_users { Whose::User } else { Whose::Machine })
    }

    /// Where a further process belongs, as seen from the scope: `/a/b`, or nothing for the scope
    /// itself.
    fn below(&self, below: &Below, init: i32) -> Option<String> {
        let scope = self.record.hierarchies.first().filter(|_| self.record.unified)?;
        let folder = match below.is_empty() {
            true => v2::folder_of(init)?,
            false => below.of(&scope.path, ""),
        };
        let inside = folder.strip_prefix(&scope.path).ok()?.to_str()?;
        Some(if inside.is_empty() { String::new() } else { format!("/{inside}") })
    }

    /// Makes what systemd leaves to others: on v1 the folders in hierarchies that it does not use,
    /// on v2 the controllers that it does not know.
    fn complete(&self) -> Result<(), crate::Error> {
        for hierarchy in &self.record.hierarchies {
            let is_new = knob::make(&hierarchy.path)?;
            if self.record.unified {
                v2::pass_on_controllers(&hierarchy.path);
            } else if is_new && hierarchy.has("cpuset") {
                v1::inherit_cpuset(&hierarchy.path)?;
            }
        }
        Ok(())
    }

    /// Gives the folder to its owner, with those of its files that a delegation needs (cgroups(7),
    /// "Cgroups delegation: delegating a hierarchy to a less privileged user").
    fn give_away(&self) -> Result<(), crate::Error> {
        let scope = self.record.hierarchies.first().filter(|_| self.record.unified);
        let (Some(scope), Some(owner)) = (scope, self.owner) else { return Ok(()) };
        let listed = knob::read(Path::new("/sys/kernel/cgroup"), "delegate");
        match give(&scope.path, listed.as_deref().unwrap_or(DELEGATED), owner) {
            // An ordinary user gives nothing away, and does without.
            Err(error) if self.scope.is_users && is_forbidden(&error) => Ok(()),
            result => result,
        }
    }
}

/// Gives a folder and some of its files to somebody.
fn give(folder: &Path, files: &str, owner: u32) -> Result<(), crate::Error> {
    for path in std::iter::once(folder.to_owned()).chain(files.lines().map(|f| folder.join(f))) {
        match rustix::fs::chown(&path, Some(Uid::from_raw(owner)), None) {
            Ok(()) => {}
            // That of a controller that is not there.
            Err(Errno::NOENT) if path != folder => {}
            Err(errno) => {
                return Err(crate::Error::Refused {
                    step: "change the owner of".into(),
                    path,
                    errno,
                });
            }
        }
    }
    Ok(())
}

impl Cgroup for Systemd {
    fn needs_process(&self) -> bool {
        true
    }

    fn create(&self, first: Option<i32>) -> Result<bool, crate::Error> {
        let pid = first.and_then(|pid| u32::try_from(pid).ok()).ok_or(Error::NoProcess)?;
        for hierarchy in &self.record.hierarchies {
            if hierarchy.path.exists() {
                knob::expect_nobody_in(&hierarchy.path)?;
            }
        }
        let mut properties = self.properties.clone();
        let pids = Value::Array("u".to_owned(), vec![Value::U32(pid)]);
        properties.push(Property::new("PIDs", pids));
        let mut manager = self.manager()?;
        manager.start(&self.scope.unit, &properties)?;
        let attached = self.complete().and_then(|()| self.files.attach(pid.cast_signed()));
        match attached.and_then(|()| self.give_away()) {
            Ok(()) => Ok(true),
            Err(error) => {
                let _ = manager.stop(&self.scope.unit);
                let _ = self.files.remove();
                Err(error)
            }
        }
    }

    fn apply(&self, resources: &Resources) -> Result<(), crate::Error> {
        if let (true, Some(memory)) = (self.record.unified, &resources.memory)
            && let Some(scope) = self.record.hierarchies.first()
        {
            // The files' driver would be too late: systemd writes the limit before.
            v2::limits::check_memory(&scope.path, memory)?;
        }
        let properties = limits::properties(resources, &self.record)?;
        if !properties.is_empty() {
            self.manager()?.set(&self.scope.unit, properties)?;
        }
        self.files.apply(resources)
    }

    fn apply_devices(&self, resources: &Resources) -> Result<(), crate::Error> {
        if self.record.unified {
            return self.files.apply_devices(resources);
        }
        let groups = knob::read(Path::new("/proc"), "devices")?;
        let properties = limits::devices(&resources.devices, &groups)?;
        // systemd denies everything before it allows what is allowed, and so do the files: the
        // container's first process, which makes devices at this time, is not to notice.
        let is_frozen = self.files.freeze(true).is_ok();
        let applied = self
            .manager()
            .and_then(|mut manager| manager.set(&self.scope.unit, properties))
            .map_err(crate::Error::from)
            .and_then(|()| self.files.apply_devices(resources));
        let thawed = if is_frozen { self.files.freeze(false) } else { Ok(()) };
        applied.and(thawed)
    }

    fn attach(&self, pid: i32) -> Result<(), crate::Error> {
        self.files.attach(pid)
    }

    fn attach_further(&self, pid: i32, below: &Below, init: i32) -> Result<(), crate::Error> {
        match self.files.attach_further(pid, below, init) {
            // Its own cgroup is the user's, but where the process comes from may not be: from another
            // part of the tree only root, and so systemd, moves it (cgroups(7), "Delegation").
            Err(error) if self.scope.is_users && is_forbidden(&error) => {
                let (Some(below), Ok(pid)) = (self.below(below, init), u32::try_from(pid)) else {
                    return Err(error);
                };
                Ok(self.manager()?.attach(&self.scope.unit, &below, pid)?)
            }
            result => result,
        }
    }

    fn clone_target(&self) -> Option<OwnedFd> {
        self.files.clone_target()
    }

    fn freeze(&self, frozen: bool) -> Result<(), crate::Error> {
        self.files.freeze(frozen)
    }

    fn is_frozen(&self) -> bool {
        self.files.is_frozen()
    }

    fn processes(&self) -> Result<Vec<i32>, crate::Error> {
        self.files.processes()
    }

    fn kill(&self) -> bool {
        self.files.kill()
    }

    fn stats(&self) -> Result<Stats, crate::Error> {
        self.files.stats()
    }

    fn oom_kills(&self) -> Option<u64> {
        self.files.oom_kills()
    }

    fn memory_events(&self) -> Option<OwnedFd> {
        self.files.memory_events()
    }

    fn remove(&self) -> Result<(), crate::Error> {
        self.manager()?.stop(&self.scope.unit)?;
        self.files.remove()
    }

    fn record(&self) -> Record {
        self.record.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_folder_is_given_away_with_the_files_that_are_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = |file: &str| folder.path().join(file);
        for file in ["cgroup.procs", "memory.max"] {
            std::fs::write(path(file), "").unwrap();
        }
        // Anybody may give what is their own to themselves.
        let own = rustix::process::geteuid().as_raw();
        let owner = if own == 0 { 1234 } else { own };
        give(folder.path(), "cgroup.procs\nmemory.reclaim", owner).unwrap();
        assert_eq!(folder.path().metadata().unwrap().uid(), owner);
        assert_eq!(path("cgroup.procs").metadata().unwrap().uid(), owner);
        assert_eq!(path("memory.max").metadata().unwrap().uid(), own);
        assert!(give(&path("nosuch"), "", owner).is_err());
    }
}
