//! Cgroup v1: one folder in each mounted hierarchy.

mod limits;
mod stats;

use crate::devices::{self, Kind, Rule};
use crate::knob::Knob;
use crate::{Below, Cgroup, Error, Hierarchy, Record, events, knob};
use base_oci::runtime::Resources;
use contracts_runtime_api::Stats;
use std::fmt::Write as _;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the freezer may take.
const FREEZE_TIME: Duration = Duration::from_secs(10);

/// A container's folders in the hierarchies of cgroup v1.
pub(crate) struct Split(Record);

impl Split {
    pub(crate) fn new(record: Record) -> Self {
        Self(record)
    }

    fn hierarchies(&self) -> &[Hierarchy] {
        &self.0.hierarchies
    }

    /// The folder in the hierarchy of a controller, where that is mounted.
    fn folder(&self, controller: &str) -> Option<&Path> {
        self.hierarchies().iter().find(|h| h.has(controller)).map(|h| h.path.as_path())
    }
}

impl Cgroup for Split {
    fn create(&self, _: Option<i32>) -> Result<bool, Error> {
        let mut new = Vec::with_capacity(self.hierarchies().len());
        let made = self.hierarchies().iter().try_for_each(|hierarchy| {
            if knob::make(&hierarchy.path)? {
                new.push(hierarchy.path.as_path());
            } else {
                knob::expect_nobody_in(&hierarchy.path)?;
            }
            if hierarchy.has("cpuset") { inherit_cpuset(&hierarchy.path) } else { Ok(()) }
        });
        let checked = match made {
            Ok(()) if new.len() < self.hierarchies().len() && self.is_frozen() => {
                Err(Error::Frozen)
            }
            Ok(()) => Ok(!new.is_empty()),
            Err(error) => Err(error),
        };
        if checked.is_err() {
            for folder in new {
                let _ = knob::remove(folder);
            }
        }
        checked
    }

    fn apply(&self, resources: &Resources) -> Result<(), Error> {
        limits::apply(self, resources)
    }

    fn apply_devices(&self, resources: &Resources) -> Result<(), Error> {
        let (everything, rules) = devices::exceptions(&resources.devices)?;
        let Some(folder) = self.folder("devices") else { return Ok(()) };
        let (allow, deny) =
            (Knob::open(folder, "devices.allow")?, Knob::open(folder, "devices.deny")?);
        let knob = |is_allowing| if is_allowing { &allow } else { &deny };
        knob(everything).write("a")?;
        for rule in &rules {
            knob(rule.allow).write(line(rule))?;
        }
        Ok(())
    }

    fn attach(&self, pid: i32) -> Result<(), Error> {
        for hierarchy in self.hierarchies() {
            knob::write(&hierarchy.path, "cgroup.procs", pid)?;
        }
        Ok(())
    }

    fn attach_further(&self, pid: i32, below: &Below, _: i32) -> Result<(), Error> {
        if let Some(name) = below.unknown(|name| self.folder(name).is_some()) {
            return Err(Error::Invalid { what: "cgroup controller", value: name.to_owned() });
        }
        for hierarchy in self.hierarchies() {
            knob::write(&below.of(&hierarchy.path, &hierarchy.controllers), "cgroup.procs", pid)?;
        }
        Ok(())
    }

    fn clone_target(&self) -> Option<OwnedFd> {
        None
    }

    fn freeze(&self, frozen: bool) -> Result<(), Error> {
        let folder = self.folder("freezer").ok_or(Error::NoFreezer)?;
        let wanted = if frozen { "FROZEN" } else { "THAWED" };
        let deadline = Instant::now() + FREEZE_TIME;
        loop {
            knob::write(folder, "freezer.state", wanted)?;
            // FREEZING: some processes are not stopped yet; a fork meanwhile can make that last,
            // so it is asked for again.
            if knob::read(folder, "freezer.state")? == wanted {
                return Ok(());
            }
            if Instant::now() > deadline {
                let _ = knob::write(folder, "freezer.state", "THAWED");
                return Err(Error::Freezing(folder.to_owned()));
            }
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    fn is_frozen(&self) -> bool {
        self.folder("freezer").is_some_and(|folder| {
            knob::read(folder, "freezer.state").is_ok_and(|state| state != "THAWED")
        })
    }

    fn processes(&self) -> Result<Vec<i32>, Error> {
        let folder = ["devices", "pids", "freezer", "memory"]
            .iter()
            .find_map(|controller| self.folder(controller))
            .or_else(|| self.hierarchies().first().map(|h| h.path.as_path()));
        folder.map_or(Ok(Vec::new()), knob::processes)
    }

    fn kill(&self) -> bool {
        false
    }

    fn stats(&self) -> Result<Stats, Error> {
        Ok(stats::read(self))
    }

    fn oom_kills(&self) -> Option<u64> {
        events::kills(self.folder("memory")?, "memory.oom_control")
    }

    fn memory_events(&self) -> Option<OwnedFd> {
        events::v1(self.folder("memory")?)
    }

    fn remove(&self) -> Result<(), Error> {
        let mut first = Ok(());
        for hierarchy in self.hierarchies() {
            let removed = knob::remove(&hierarchy.path);
            if first.is_ok() {
                first = removed;
            }
        }
        first
    }

    fn record(&self) -> Record {
        self.0.clone()
    }
}

/// A rule as `devices.allow` and `devices.deny` read it (`c 1:3 rwm`).
pub(crate) fn line(rule: &Rule) -> String {
    let number = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |n| n.to_string());
    let kind = match rule.kind {
        Kind::All => 'a',
        Kind::Block => 'b',
        Kind::Character => 'c',
    };
    let mut text = String::with_capacity(16);
    let _ = write!(text, "{kind} {}:{} ", number(rule.major), number(rule.minor));
    let access = rule.access;
    for (wanted, letter) in [(access.read, 'r'), (access.write, 'w'), (access.mknod, 'm')] {
        if wanted {
            text.push(letter);
        }
    }
    text
}

/// A new cpuset has no CPUs and takes no process; it gets its parent's.
pub(crate) fn inherit_cpuset(folder: &Path) -> Result<(), Error> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if !knob::read(folder, file)?.is_empty() {
            continue;
        }
        let Some(parent) = folder.parent() else { continue };
        let mut value = knob::read(parent, file)?;
        if value.is_empty() {
            inherit_cpuset(parent)?;
            value = knob::read(parent, file)?;
        }
        knob::write(folder, file, value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::Access;

    #[test]
    fn rules_are_written_as_the_kernel_reads_them() {
        let access = Access { read: true, write: false, mknod: true };
        let rule =
            Rule { allow: true, kind: Kind::Character, major: Some(136), minor: None, access };
        assert_eq!(line(&rule), "c 136:* rm");
    }
}
