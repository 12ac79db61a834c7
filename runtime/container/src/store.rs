//! A container's state on disk.
//!
//! ```text
//! <root>/<id>/state.json    Record, replaced whole; who removes or updates the container has it locked
//!             start.sock    init listens here while it waits to be started
//!             unmade.sock   the same socket until the container is made
//!             seccomp.bpf   the compiled filter, for exec
//!             memory.json   MemoryLimits, once an update changed them
//! ```
//!
//! The record says who init is; what it is doing is asked of the kernel, so that the answer is
//! true whoever died in between: it is created until it has executed its program. A process counts
//! as init only if it started when init did: pids are used again.

use crate::confinement::REFUSED_PROGRAM;
use crate::error::Error;
use crate::listener::Listener;
use base_files::Durability;
use base_oci::runtime::{
    Capabilities, CpuAffinity, Hook, IoPriority, Linux, Memory, MemoryPolicy, Personality, Process,
    Resources, Scheduler,
};
use contracts_runtime_api::{State, Status};
use runtime_cgroups::resctrl::Group;
use runtime_cgroups::{Cgroup, Hierarchy, Scope};
use runtime_confine::seccomp::Filter;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The version of [`Record`] that this program writes.
const VERSION: u32 = 1;
/// The start socket's name.
pub(crate) const START_SOCKET: &str = "start.sock";
/// The same until the container is made.
pub(crate) const UNMADE_SOCKET: &str = "unmade.sock";
/// The limits of memory after an update.
const MEMORY: &str = "memory.json";
/// Between two looks at a lock that somebody holds: a lock cannot be polled.
pub(crate) const LOCK_PAUSE: Duration = Duration::from_millis(1);
/// How long the end of a process may take that has closed its sockets.
const DEATH_TIME: Duration = Duration::from_secs(10);
/// No state file is longer.
const MAX_RECORD: u64 = 16 << 20;

/// What is remembered of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    pub(crate) version: u32,
    pub(crate) id: String,
    /// The configuration's.
    pub(crate) oci_version: String,
    pub(crate) pid: i32,
    /// In clock ticks since boot (`proc_pid_stat(5)`, field 22).
    pub(crate) start_time: u64,
    pub(crate) bundle: PathBuf,
    pub(crate) rootfs: PathBuf,
    pub(crate) created: String,
    pub(crate) annotations: BTreeMap<String, String>,
    /// Namespaces that are not the host's (`CLONE_NEW…` bits).
    pub(crate) namespaces: u64,
    /// Whether it shares a pid namespace, so that its processes outlive init.
    pub(crate) shares_pids: bool,
    pub(crate) cgroup_unified: bool,
    pub(crate) cgroups: Vec<CgroupRecord>,
    /// Its limits of memory as they were asked for: an update may change half of them.
    #[serde(default)]
    pub(crate) memory: MemoryLimits,
    /// The scope that the cgroup is, where systemd is the driver.
    #[serde(default)]
    pub(crate) scope: Option<ScopeRecord>,
    /// Whether it may do without cgroups that its user has no permission for.
    #[serde(default)]
    pub(crate) rootless: bool,
    /// Its class of service, if it has one.
    #[serde(default)]
    pub(crate) resctrl: Option<GroupRecord>,
    /// Whether CRIU makes its init, which so executes no program.
    #[serde(default)]
    pub(crate) is_restored: bool,
    /// Whether CRIU has not come to the end of that.
    #[serde(default)]
    pub(crate) is_being_restored: bool,
    /// Whether its program is executed without a `start`.
    #[serde(default)]
    pub(crate) starts_at_once: bool,
    /// Whether its processes stay in the session keyring of who makes them.
    #[serde(default)]
    pub(crate) keeps_keyring: bool,
    /// Who decides about the calls that its filter leaves open.
    #[serde(default)]
    pub(crate) listener: Option<Listener>,
    /// What `exec` takes over where it is told nothing else.
    pub(crate) process: ProcessDefaults,
    pub(crate) poststart: Vec<Hook>,
    pub(crate) poststop: Vec<Hook>,
}

/// A cgroup folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CgroupRecord {
    name: String,
    controllers: String,
    path: PathBuf,
}

/// The limits that cgroup v2 needs both of to set one: its swap is what the configuration's "memory
/// and swap" has more than "memory".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct MemoryLimits {
    limit: Option<i64>,
    swap: Option<i64>,
}

impl MemoryLimits {
    pub(crate) fn of(resources: Option<&Resources>) -> Self {
        let mut limits = Self::default();
        if let Some(memory) = resources.and_then(|resources| resources.memory.as_ref()) {
            limits.take_over(memory);
        }
        limits
    }

    /// Takes over an update's, and gives them with what it left out.
    pub(crate) fn complete(&mut self, update: &Memory) -> Memory {
        if update.limit.is_none() && update.swap.is_none() {
            return update.clone();
        }
        self.take_over(update);
        Memory { limit: self.limit, swap: self.swap, ..update.clone() }
    }

    fn take_over(&mut self, memory: &Memory) {
        self.swap = match (memory.limit, memory.swap) {
            // Without a limit of memory there is none of memory with swap.
            (Some(-1), None) => None,
            (_, swap) => swap.or(self.swap),
        };
        self.limit = memory.limit.or(self.limit);
    }
}

/// A scope of systemd's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ScopeRecord {
    unit: String,
    is_users: bool,
}

/// A group of resctrl.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GroupRecord {
    root: PathBuf,
    folder: PathBuf,
    monitoring: Option<PathBuf>,
    is_own: bool,
}

/// What `exec` takes over from init.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ProcessDefaults {
    pub(crate) cwd: String,
    pub(crate) env: Vec<String>,
    pub(crate) capabilities: Option<Capabilities>,
    pub(crate) apparmor_profile: String,
    pub(crate) selinux_label: String,
    pub(crate) oom_score_adj: Option<i32>,
    pub(crate) scheduler: Option<Scheduler>,
    pub(crate) io_priority: Option<IoPriority>,
    pub(crate) exec_cpu_affinity: Option<CpuAffinity>,
    pub(crate) memory_policy: Option<MemoryPolicy>,
    pub(crate) personality: Option<Personality>,
}

impl ProcessDefaults {
    pub(crate) fn of(process: &Process, linux: &Linux) -> Self {
        Self {
            cwd: process.cwd.clone(),
            env: process.env.clone(),
            capabilities: process.capabilities.clone(),
            apparmor_profile: process.apparmor_profile.clone(),
            selinux_label: process.selinux_label.clone(),
            oom_score_adj: process.oom_score_adj,
            scheduler: process.scheduler.clone(),
            io_priority: process.io_priority.clone(),
            exec_cpu_affinity: process.exec_cpu_affinity.clone(),
            memory_policy: linux.memory_policy.clone(),
            personality: linux.personality.clone(),
        }
    }
}

impl Record {
    /// Takes over where the cgroup is.
    pub(crate) fn set_cgroup(&mut self, record: runtime_cgroups::Record) {
        self.cgroup_unified = record.unified;
        self.scope = record.scope.map(|Scope { unit, is_users }| ScopeRecord { unit, is_users });
        self.cgroups = record
            .hierarchies
            .into_iter()
            .map(|Hierarchy { name, controllers, path }| CgroupRecord { name, controllers, path })
            .collect();
    }

    /// The container's cgroup.
    pub(crate) fn cgroup(&self) -> Box<dyn Cgroup> {
        let hierarchies = self
            .cgroups
            .iter()
            .map(|CgroupRecord { name, controllers, path }| Hierarchy {
                name: name.clone(),
                controllers: controllers.clone(),
                path: path.clone(),
            })
            .collect();
        let scope =
            self.scope.clone().map(|ScopeRecord { unit, is_users }| Scope { unit, is_users });
        runtime_cgroups::reopen(runtime_cgroups::Record {
            unified: self.cgroup_unified,
            hierarchies,
            scope,
        })
    }

    /// Whether its cgroup is a scope of its user's systemd.
    pub(crate) fn has_users_scope(&self) -> bool {
        self.scope.as_ref().is_some_and(|scope| scope.is_users)
    }

    /// Takes over which group of resctrl it has.
    pub(crate) fn set_group(&mut self, group: &Group) {
        let Group { root, folder, monitoring, is_own } = group.clone();
        self.resctrl = Some(GroupRecord { root, folder, monitoring, is_own });
    }

    /// The container's group of resctrl, if it has one.
    pub(crate) fn group(&self) -> Option<Group> {
        let GroupRecord { root, folder, monitoring, is_own } = self.resctrl.clone()?;
        Some(Group { root, folder, monitoring, is_own })
    }

    /// Whether init is alive: a process of that number that started when init did, and is no
    /// zombie.
    pub(crate) fn is_alive(&self) -> bool {
        self.init().is_some_and(|init| !init.has_ended())
    }

    /// Whether its program was executed, by this init or before a checkpoint.
    fn has_executed(&self, init: ProcessStat) -> bool {
        if self.is_restored { !self.is_being_restored } else { init.has_executed() }
    }

    /// Whether init, which has closed its connection, ends without having come to its program. That the
    /// kernel refused to execute it is the program's own failure, which it has told on its stderr.
    pub(crate) fn ends_before_its_program(&self) -> bool {
        let deadline = Instant::now() + DEATH_TIME;
        while let Some(init) = self.init().filter(|init| !init.has_executed()) {
            if init.has_ended() {
                return init.exit_status != REFUSED_PROGRAM << 8;
            }
            // Whoever dies closes its sockets a moment before it has ended.
            if Instant::now() > deadline {
                return true;
            }
            std::thread::sleep(LOCK_PAUSE);
        }
        false
    }

    /// Init, also as a zombie.
    fn init(&self) -> Option<ProcessStat> {
        if self.pid <= 0 {
            return None;
        }
        process_stat(self.pid).filter(|stat| stat.start_time == self.start_time)
    }
}

/// The folder of one container.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    id: String,
    path: PathBuf,
}

impl Folder {
    /// Takes the id, for the first time. While the descriptor is open, here or in init, the
    /// container counts as being created.
    pub(crate) fn create(root: &Path, id: &str) -> Result<(Self, OwnedFd), Error> {
        let folder = Self::named(root, id)?;
        let make = |path: &Path| std::fs::DirBuilder::new().mode(0o711).create(path);
        let made = match make(&folder.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut builder = std::fs::DirBuilder::new();
                builder.mode(0o700).recursive(true).create(root).and_then(|()| make(&folder.path))
            }
            result => result,
        };
        match made {
            Ok(()) => match folder.lock(FlockOperation::NonBlockingLockExclusive) {
                Ok(creating) => Ok((folder, creating)),
                Err(errno) => Err(folder.not_locked(errno)),
            },
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => folder.take_over(),
            Err(source) => Err(Error::State { step: "make", path: folder.path, source }),
        }
    }

    /// Takes the folder of a creation, or a removal, that was cut short when there was no record.
    fn take_over(self) -> Result<(Self, OwnedFd), Error> {
        if self.record_path().exists() {
            return Err(Error::AlreadyExists);
        }
        let creating = self
            .lock(FlockOperation::NonBlockingLockExclusive)
            .map_err(|errno| self.not_locked(errno))?;
        // Looked at again: who held the lock may have come further meanwhile.
        if self.record_path().exists() {
            return Err(Error::AlreadyExists);
        }
        self.clear()?;
        Ok((self, creating))
    }

    /// Why a folder cannot be taken.
    fn not_locked(&self, errno: Errno) -> Error {
        match errno {
            Errno::WOULDBLOCK => Error::AlreadyExists,
            errno => Error::State { step: "lock", path: self.path.clone(), source: errno.into() },
        }
    }

    /// Holds the folder against those who would take it; nothing when it is being created.
    pub(crate) fn keep(&self) -> Result<Option<OwnedFd>, Error> {
        match self.lock(FlockOperation::NonBlockingLockShared) {
            Ok(kept) => Ok(Some(kept)),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(Errno::NOENT) => Err(Error::DoesNotExist),
            Err(errno) => Err(self.not_locked(errno)),
        }
    }

    /// Waits until nobody else is removing or updating the container: a container's end and its user may both
    /// want to, and of two at once one would stumble over what the other has done. Who waited finds
    /// no record. Nothing where there is none, or after the deadline: who is at it may be stopped.
    pub(crate) fn turn_to_remove(&self, deadline: Instant) -> Option<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let record = rustix::fs::open(self.record_path(), flags, Mode::empty()).ok()?;
        loop {
            match flock(&record, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Some(record),
                Err(Errno::WOULDBLOCK) if Instant::now() < deadline => {
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err(_) => return None,
            }
        }
    }

    /// Locks the folder; the kernel unlocks it when the last copy of the descriptor is closed.
    fn lock(&self, operation: FlockOperation) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(&self.path, flags, Mode::empty())?;
        flock(&opened, operation)?;
        Ok(opened)
    }

    /// Whether somebody is at creating it.
    pub(crate) fn is_being_created(&self) -> bool {
        matches!(self.lock(FlockOperation::NonBlockingLockShared), Err(Errno::WOULDBLOCK))
    }

    /// Finds a container.
    pub(crate) fn find(root: &Path, id: &str) -> Result<(Self, Record), Error> {
        let folder = Self::named(root, id)?;
        let record = folder.read()?;
        Ok((folder, record))
    }

    /// Finds a container's folder, with a record or without.
    pub(crate) fn find_any(root: &Path, id: &str) -> Result<Option<Self>, Error> {
        let folder = Self::named(root, id)?;
        Ok(folder.path.is_dir().then_some(folder))
    }

    fn named(root: &Path, id: &str) -> Result<Self, Error> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'+' | b'-' | b'.');
        if id.is_empty() || id.len() > 1024 || matches!(id, "." | "..") || !id.bytes().all(allowed)
        {
            return Err(Error::InvalidId(id.to_owned()));
        }
        Ok(Self { id: id.to_owned(), path: root.join(id) })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where init listens while it waits to be started.
    pub(crate) fn start_socket(&self) -> PathBuf {
        self.path.join(START_SOCKET)
    }

    /// The same while its maker has not said that it is made. It outlives a maker that was killed:
    /// what that left behind is not taken for a container that can be started.
    fn unmade_socket(&self) -> PathBuf {
        self.path.join(UNMADE_SOCKET)
    }

    /// Lets the container be started.
    pub(crate) fn is_made(&self) -> Result<(), Error> {
        let path = self.unmade_socket();
        std::fs::rename(&path, self.start_socket()).map_err(|source| Error::State {
            step: "rename",
            path,
            source,
        })
    }

    fn record_path(&self) -> PathBuf {
        self.path.join("state.json")
    }

    /// Its container's id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn read(&self) -> Result<Record, Error> {
        let path = self.record_path();
        let read = std::fs::metadata(&path).and_then(|metadata| {
            if metadata.len() > MAX_RECORD {
                return Err(io::Error::from(io::ErrorKind::FileTooLarge));
            }
            std::fs::read(&path)
        });
        let bytes = match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::DoesNotExist);
            }
            result => result.map_err(|source| Error::State { step: "read", path, source })?,
        };
        let bad = |reason: String| Error::StateFormat { id: self.id.clone(), reason };
        let record: Record = serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))?;
        if record.version > VERSION {
            return Err(bad(format!("version {} is newer than {VERSION}", record.version)));
        }
        Ok(record)
    }

    /// Writes the record.
    pub(crate) fn write(&self, record: &Record) -> Result<(), Error> {
        let path = self.record_path();
        let record = Record { version: VERSION, ..record.clone() };
        let bytes = serde_json::to_vec(&record).map_err(|error| Error::StateFormat {
            id: self.id.clone(),
            reason: error.to_string(),
        })?;
        base_files::replace(&path, &bytes, 0o600, Durability::Processes)
            .map_err(|source| Error::State { step: "write", path, source })
    }

    /// Keeps the filter for `exec`.
    pub(crate) fn write_filter(&self, filter: &[u8]) -> Result<(), Error> {
        let path = self.path.join("seccomp.bpf");
        std::fs::write(&path, filter).map_err(|source| Error::State { step: "write", path, source })
    }

    /// The limits of memory that were asked for last.
    pub(crate) fn memory_limits(&self, record: &Record) -> MemoryLimits {
        let text = std::fs::read(self.path.join(MEMORY)).ok();
        let limits = text.and_then(|text| serde_json::from_slice(&text).ok());
        limits.unwrap_or_else(|| record.memory.clone())
    }

    /// Keeps them for the next update. Not in the record: that file is what is locked.
    pub(crate) fn write_memory_limits(&self, limits: &MemoryLimits) -> Result<(), Error> {
        let path = self.path.join(MEMORY);
        let bytes = serde_json::to_vec(limits).expect("two numbers always serialize");
        base_files::replace(&path, &bytes, 0o600, Durability::Processes)
            .map_err(|source| Error::State { step: "write", path, source })
    }

    /// The filter that init has, if it has one.
    pub(crate) fn read_filter(&self) -> Result<Option<Filter>, Error> {
        let path = self.path.join("seccomp.bpf");
        match std::fs::read(&path) {
            Ok(bytes) => Filter::from_bytes(&bytes).map(Some).ok_or_else(|| Error::StateFormat {
                id: self.id.clone(),
                reason: "seccomp.bpf is damaged".to_owned(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::State { step: "read", path, source }),
        }
    }

    /// Removes everything; the record last, so that what is cut short can be done again.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        self.clear()?;
        gone(&self.record_path(), std::fs::remove_file(self.record_path()))?;
        gone(&self.path, std::fs::remove_dir(&self.path))
    }

    /// Removes everything but the record.
    fn clear(&self) -> Result<(), Error> {
        let record = self.record_path();
        let entries = match std::fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(|source| Error::State {
                step: "list",
                path: self.path.clone(),
                source,
            })?,
        };
        for path in entries.flatten().map(|entry| entry.path()).filter(|path| *path != record) {
            gone(&path, std::fs::remove_file(&path))?;
        }
        Ok(())
    }

    /// What the container is doing, asked of the kernel.
    pub(crate) fn status(&self, record: &Record) -> Status {
        let lives = record.init().filter(|init| !init.has_ended());
        match lives {
            Some(init) if record.has_executed(init) && record.cgroup().is_frozen() => {
                Status::Paused
            }
            Some(init) if record.has_executed(init) => Status::Running,
            _ if self.is_being_created() => Status::Creating,
            // Its maker was killed, and it ends or waits in vain.
            Some(_) if record.starts_at_once || record.is_restored => Status::Creating,
            Some(_) if self.unmade_socket().exists() => Status::Creating,
            Some(_) => Status::Created,
            None => Status::Stopped,
        }
    }

    /// The state document.
    pub(crate) fn state(&self, record: &Record) -> State {
        self.state_as(record, self.status(record))
    }

    /// The state document of a container of which the status is known.
    pub(crate) fn state_as(&self, record: &Record, status: Status) -> State {
        let owner = std::fs::metadata(&self.path).map_or(0, |metadata| metadata.uid());
        State {
            // The version that this document follows, not the configuration's.
            oci_version: base_oci::runtime::VERSION.to_owned(),
            id: record.id.clone(),
            pid: if status == Status::Stopped { 0 } else { record.pid },
            status,
            bundle: record.bundle.display().to_string(),
            rootfs: record.rootfs.display().to_string(),
            created: record.created.clone(),
            annotations: record.annotations.clone(),
            owner: if owner == 0 { String::new() } else { owner.to_string() },
        }
    }
}

/// A removal, of what may be gone already.
fn gone(path: &Path, removed: io::Result<()>) -> Result<(), Error> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => {
            result.map_err(|source| Error::State { step: "remove", path: path.to_owned(), source })
        }
    }
}

/// What the kernel says about a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessStat {
    pub(crate) state: u8,
    /// `PF_…` (linux/sched.h).
    pub(crate) flags: u64,
    pub(crate) start_time: u64,
    /// As `wait(2)` tells it, once it has ended; 0 for who may not know it.
    pub(crate) exit_status: i32,
}

impl ProcessStat {
    /// Whether only its parent's wait is missing.
    fn has_ended(self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }

    /// Whether it has executed a program since it was cloned.
    fn has_executed(self) -> bool {
        /// `PF_FORKNOEXEC`.
        const ONLY_CLONED: u64 = 0x40;
        self.flags & ONLY_CLONED == 0
    }
}

/// Reads `/proc/<pid>/stat`; nothing when there is no such process.
pub(crate) fn process_stat(pid: i32) -> Option<ProcessStat> {
    // Longer than the file can be: one read gives all of it.
    let mut text = [0_u8; 2048];
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open(format!("/proc/{pid}/stat"), flags, Mode::empty()).ok()?;
    let length = rustix::io::read(&file, &mut text).ok()?;
    parse_stat(&String::from_utf8_lossy(&text[..length]))
}

/// The second field, the program's name, may hold anything, parentheses and blanks included.
pub(crate) fn parse_stat(text: &str) -> Option<ProcessStat> {
    let (_, fields) = text.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = *fields.next()?.as_bytes().first()?;
    let flags = fields.nth(5)?.parse().ok()?;
    let start_time = fields.nth(12)?.trim().parse().ok()?;
    let exit_status = fields.nth(29).and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    Some(ProcessStat { state, flags, start_time, exit_status })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_program_name_does_not_shift_the_fields() {
        let text = "7 (a) Z 1 (b) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 1 2\n";
        assert_eq!(
            parse_stat(text),
            Some(ProcessStat { state: b'S', flags: 4194560, start_time: 12345, exit_status: 0 })
        );
        let rest = "0 ".repeat(29);
        let ended =
            parse_stat(&format!("7 (a) Z 1 2 3 4 5 64 {}99 {rest}65280\n", "0 ".repeat(12)));
        assert_eq!(
            ended,
            Some(ProcessStat { state: b'Z', flags: 64, start_time: 99, exit_status: 255 << 8 })
        );
        assert_eq!(parse_stat("7 (x"), None);
    }

    #[test]
    fn ids_that_are_paths_are_refused() {
        let root = tempfile::tempdir().unwrap();
        for bad in ["", ".", "..", "a/b", "a b", "ä"] {
            assert!(matches!(Folder::create(root.path(), bad), Err(Error::InvalidId(_))), "{bad}");
        }
        Folder::create(root.path(), "a_b-c.d+1").unwrap();
    }

    #[test]
    fn an_id_is_taken_by_its_maker_and_by_a_record_but_not_by_what_was_cut_short_before() {
        let root = tempfile::tempdir().unwrap();
        let create = || Folder::create(root.path(), "x");
        let (folder, creating) = create().unwrap();
        assert!(matches!(create(), Err(Error::AlreadyExists)));
        std::fs::write(folder.path().join("seccomp.bpf"), "old").unwrap();
        drop(creating);
        let (folder, creating) = create().unwrap();
        assert!(folder.read_filter().unwrap().is_none());
        folder.write(&Record::default()).unwrap();
        drop(creating);
        assert!(matches!(create(), Err(Error::AlreadyExists)));
    }

    #[test]
    fn a_name_that_is_no_text_hides_no_process() {
        std::thread::spawn(|| {
            rustix::thread::set_name(c"\xff) Z").unwrap();
            let own = rustix::thread::gettid().as_raw_nonzero().get();
            assert!(!process_stat(own).unwrap().has_ended());
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_recycled_pid_is_not_taken_for_the_container() {
        let own = i32::try_from(std::process::id()).unwrap();
        let start_time = process_stat(own).unwrap().start_time;
        let record = Record { pid: own, start_time, ..Record::default() };
        assert!(record.is_alive());
        assert!(!Record { start_time: start_time + 1, ..record }.is_alive());
    }

    #[test]
    fn a_container_is_being_created_for_as_long_as_its_maker_lives() {
        let root = tempfile::tempdir().unwrap();
        let (folder, creating) = Folder::create(root.path(), "x").unwrap();
        assert_eq!(folder.status(&Record::default()), Status::Creating);
        drop(creating);
        assert_eq!(folder.status(&Record::default()), Status::Stopped);
    }

    #[test]
    fn half_of_the_limits_of_memory_is_completed_by_what_was_asked_for_before() {
        let memory = |limit, swap| Memory { limit, swap, ..Memory::default() };
        let made = |limit, swap| {
            let memory = Some(memory(limit, swap));
            MemoryLimits::of(Some(&Resources { memory, ..Resources::default() }))
        };
        for (before, update, after) in [
            ((Some(100), Some(300)), (Some(200), None), (Some(200), Some(300))),
            ((Some(100), Some(300)), (None, Some(500)), (Some(100), Some(500))),
            ((Some(100), Some(300)), (None, None), (None, None)),
            ((Some(100), Some(300)), (Some(-1), None), (Some(-1), None)),
            ((Some(100), None), (Some(200), None), (Some(200), None)),
            ((None, None), (None, Some(500)), (None, Some(500))),
        ] {
            let completed = made(before.0, before.1).complete(&memory(update.0, update.1));
            assert_eq!((completed.limit, completed.swap), after, "{before:?} {update:?}");
        }
        let root = tempfile::tempdir().unwrap();
        let (folder, _creating) = Folder::create(root.path(), "x").unwrap();
        let record = Record { memory: made(Some(1), None), ..Record::default() };
        assert_eq!(folder.memory_limits(&record), made(Some(1), None));
        folder.write_memory_limits(&made(Some(1), Some(2))).unwrap();
        assert_eq!(folder.memory_limits(&record), made(Some(1), Some(2)));
    }

    #[test]
    fn a_record_of_an_older_program_is_read() {
        let text = r#"{"version":1,"id":"x","ociVersion":"1.2.0","pid":7,"startTime":1,"bundle":"/b",
            "rootfs":"/b/rootfs","created":"","annotations":{},"namespaces":0,"sharesPids":false,
            "cgroupUnified":false,"cgroups":[],"process":{"cwd":"/","noNewPrivileges":true},
            "poststart":[],"poststop":[]}"#;
        let root = tempfile::tempdir().unwrap();
        let (folder, _) = Folder::create(root.path(), "x").unwrap();
        std::fs::write(folder.path().join("state.json"), text).unwrap();
        let (_, record) = Folder::find(root.path(), "x").unwrap();
        assert_eq!((record.pid, record.process.cwd.as_str()), (7, "/"));
        assert!(record.listener.is_none() && record.group().is_none() && !record.keeps_keyring);
    }

    #[test]
    fn a_record_of_a_newer_version_is_refused_politely() {
        let root = tempfile::tempdir().unwrap();
        let (folder, creating) = Folder::create(root.path(), "x").unwrap();
        drop(creating);
        folder.write(&Record { id: "x".to_owned(), ..Record::default() }).unwrap();
        let path = folder.path().join("state.json");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("\"version\":1", "\"version\":9")).unwrap();
        let error = Folder::find(root.path(), "x").unwrap_err();
        assert!(error.to_string().contains("version 9 is newer"), "{error}");
    }
}
