//! Cgroup v2: one folder.

mod device_program;
pub(crate) mod limits;
mod stats;

use crate::devices::effective;
use crate::{Below, Cgroup, Error, Record, events, knob};
use base_oci::runtime::Resources;
use contracts_runtime_api::Stats;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const MOUNT_POINT: &str = "/sys/fs/cgroup";
/// How long the freezer may take.
const FREEZE_TIME: Duration = Duration::from_secs(10);

/// A container's folder in the hierarchy of cgroup v2.
pub(crate) struct Unified(Record);

impl Unified {
    pub(crate) fn new(record: Record) -> Self {
        Self(record)
    }

    fn folder(&self) -> &Path {
        self.0.hierarchies.first().map_or(Path::new(MOUNT_POINT), |h| h.path.as_path())
    }

    fn open(&self) -> Result<OwnedFd, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(self.folder(), flags, Mode::empty()).map_err(|errno| Error::Refused {
            step: "open cgroup".to_owned(),
            path: self.folder().to_owned(),
            errno,
        })
    }
}

impl Cgroup for Unified {
    fn create(&self, _: Option<i32>) -> Result<bool, Error> {
        let is_new = knob::make(self.folder())?;
        if !is_new {
            knob::expect_nobody_in(self.folder())?;
            if self.is_frozen() {
                return Err(Error::Frozen);
            }
        }
        pass_on_controllers(self.folder());
        Ok(is_new)
    }

    fn apply(&self, resources: &Resources) -> Result<(), Error> {
        limits::apply(self.folder(), resources)
    }

    fn apply_devices(&self, resources: &Resources) -> Result<(), Error> {
        let (everything, rules) = effective(&resources.devices)?;
        if everything && rules.is_empty() {
            return Ok(());
        }
        let program = device_program::compile(everything, &rules);
        let folder = self.open()?;
        let refused = |step: &str| {
            let (step, path) = (step.to_owned(), self.folder().to_owned());
            move |errno: Errno| Error::Refused { step, path, errno }
        };
        let loaded = kernel_sys::bpf::load_device(&program)
            .map_err(refused("load the device program of"))?;
        kernel_sys::bpf::attach_device(folder.as_fd(), loaded.as_fd())
            .map_err(refused("attach the device program to"))
    }

    fn attach(&self, pid: i32) -> Result<(), Error> {
        knob::write(self.folder(), "cgroup.procs", pid)
    }

    fn attach_further(&self, pid: i32, below: &Below, init: i32) -> Result<(), Error> {
        // There is one hierarchy here for all of them.
        if let Some(name) = below.unknown(|_| false) {
            return Err(Error::Invalid { what: "cgroup controller", value: name.to_owned() });
        }
        let named = knob::write(&below.of(self.folder(), ""), "cgroup.procs", pid);
        match named {
            Err(error) if below.is_empty() => {
                let beside = folder_of(init).ok_or(error)?;
                knob::write(&beside, "cgroup.procs", pid)
            }
            result => result,
        }
    }

    fn clone_target(&self) -> Option<OwnedFd> {
        self.open().ok()
    }

    fn freeze(&self, frozen: bool) -> Result<(), Error> {
        knob::write(self.folder(), "cgroup.freeze", u8::from(frozen))?;
        let wanted = format!("frozen {}", u8::from(frozen));
        let deadline = Instant::now() + FREEZE_TIME;
        while !knob::read(self.folder(), "cgroup.events")?.lines().any(|line| line == wanted) {
            if Instant::now() > deadline {
                let _ = knob::write(self.folder(), "cgroup.freeze", 0);
                return Err(Error::Freezing(self.folder().to_owned()));
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        Ok(())
    }

    fn is_frozen(&self) -> bool {
        knob::number(self.folder(), "cgroup.freeze") == 1
    }

    fn processes(&self) -> Result<Vec<i32>, Error> {
        knob::processes(self.folder())
    }

    fn kill(&self) -> bool {
        knob::write(self.folder(), "cgroup.kill", 1).is_ok()
    }

    fn stats(&self) -> Result<Stats, Error> {
        Ok(stats::read(self.folder()))
    }

    fn oom_kills(&self) -> Option<u64> {
        events::kills(self.folder(), "memory.events")
    }

    fn memory_events(&self) -> Option<OwnedFd> {
        events::v2(self.folder())
    }

    fn remove(&self) -> Result<(), Error> {
        knob::remove(self.folder())
    }

    fn record(&self) -> Record {
        self.0.clone()
    }
}

/// Has each folder above pass its controllers on: one works in a folder only then.
pub(crate) fn pass_on_controllers(folder: &Path) {
    let mut above: Vec<PathBuf> = folder
        .ancestors()
        .skip(1)
        .take_while(|folder| folder.starts_with(MOUNT_POINT))
        .map(Path::to_owned)
        .collect();
    above.reverse();
    for folder in above {
        let offered = knob::read(&folder, "cgroup.controllers").unwrap_or_default();
        let passed = knob::read(&folder, "cgroup.subtree_control").unwrap_or_default();
        for controller in offered.split_whitespace() {
            if !passed.split_whitespace().any(|name| name == controller) {
                // A folder with processes of its own, or a delegated one: what is missing
                // then shows when a limit needs it.
                let _ = knob::write(&folder, "cgroup.subtree_control", format!("+{controller}"));
            }
        }
    }
}

/// The folder that a process is in now (`cgroups(7)`, `/proc/PID/cgroup`).
pub(crate) fn folder_of(pid: i32) -> Option<PathBuf> {
    let text = knob::read(&Path::new("/proc").join(pid.to_string()), "cgroup").ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(MOUNT_POINT).join(path))
}
