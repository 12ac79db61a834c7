//! The operations on a container that exists: state, signals, freezing, limits, removal.

use crate::error::{Error, refused};
use crate::hooks;
use crate::store::{Folder, LOCK_PAUSE, Record};
use base_faults::{Step, reach, step};
use base_oci::runtime::Resources;
use contracts_runtime_api::{State, Stats, Status};
use kernel_sys::signals;
use runtime_cgroups::Cgroup;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

const ENDED: &Step = step("runtime.delete.ended");
const CGROUP_REMOVED: &Step = step("runtime.delete.cgroup-removed");
const FOLDER_REMOVED: &Step = step("runtime.delete.folder-removed");

pub(crate) const SIGKILL: i32 = 9;
/// How long a killed container may take to end.
const END_TIME: Duration = Duration::from_secs(10);

pub(crate) fn state(root: &Path, id: &str) -> Result<State, Error> {
    let (folder, record) = Folder::find(root, id)?;
    Ok(folder.state(&record))
}

pub(crate) fn processes(root: &Path, id: &str) -> Result<Vec<i32>, Error> {
    let (folder, record) = Folder::find(root, id)?;
    if folder.status(&record) == Status::Stopped && !record.shares_pids {
        return Ok(Vec::new());
    }
    match record.cgroup().processes() {
        Err(runtime_cgroups::Error::NoCgroup) => Ok(in_pid_namespace(&record)),
        result => Ok(result?),
    }
}

/// Every process of a container's pid namespace: what there is to go by without a cgroup. Who may
/// not look at a process is not told of it.
fn in_pid_namespace(record: &Record) -> Vec<i32> {
    let namespace = |pid: i32| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let own = if record.shares_pids { None } else { namespace(record.pid) };
    let Some(own) = own else { return vec![record.pid] };
    let Ok(entries) = std::fs::read_dir("/proc") else { return vec![record.pid] };
    let mut pids: Vec<i32> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| namespace(*pid).as_ref() == Some(&own))
        .collect();
    pids.sort_unstable();
    pids
}

pub(crate) fn kill(root: &Path, id: &str, signal: i32, all: bool) -> Result<(), Error> {
    let (_, record) = Folder::find(root, id)?;
    if all {
        return kill_all(&record, signal);
    }
    let init = open(&record)?.ok_or(Error::NotRunning)?;
    match signals::send(init.as_fd(), signal) {
        Ok(()) => {}
        Err(Errno::SRCH) => return Err(Error::NotRunning),
        Err(errno) => return Err(refused(format!("send signal {signal}"))(errno)),
    }
    let cgroup = record.cgroup();
    if signal == SIGKILL && record.shares_pids {
        // The others do not end with init.
        return kill_all(&record, signal);
    }
    if signal == SIGKILL && !record.cgroup_unified && cgroup.is_frozen() {
        // A process frozen by cgroup v1 does not even die.
        cgroup.freeze(false)?;
    }
    Ok(())
}

/// Signals every process of the cgroup; a container without a pid namespace leaves some behind.
/// They stand still meanwhile, so that none is born unseen.
pub(crate) fn kill_all(record: &Record, signal: i32) -> Result<(), Error> {
    let cgroup = record.cgroup();
    if signal == SIGKILL && cgroup.kill() {
        return Ok(());
    }
    let was_frozen = cgroup.is_frozen();
    if !was_frozen {
        // A host without a freezer: as good as it gets.
        let _ = cgroup.freeze(true);
    }
    let signalled = signal_each(record, &*cgroup, signal);
    // Processes frozen by cgroup v1 do not even die.
    if (!was_frozen || signal == SIGKILL) && cgroup.is_frozen() {
        cgroup.freeze(false)?;
    }
    signalled
}

fn signal_each(record: &Record, cgroup: &dyn Cgroup, signal: i32) -> Result<(), Error> {
    let list = match cgroup.processes() {
        // A container whose cgroup is gone has no processes.
        Err(error) if error.errno() == Some(Errno::NOENT) => Vec::new(),
        Err(runtime_cgroups::Error::NoCgroup) if !record.is_alive() => Vec::new(),
        Err(runtime_cgroups::Error::NoCgroup) => in_pid_namespace(record),
        result => result?,
    };
    for pid in list.into_iter().filter_map(Pid::from_raw) {
        let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
        match signals::send(process.as_fd(), signal) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(errno) => return Err(refused(format!("send signal {signal}"))(errno)),
        }
    }
    Ok(())
}

/// Init, if it is alive and the same.
pub(crate) fn open(record: &Record) -> Result<Option<OwnedFd>, Error> {
    let Some(pid) = Pid::from_raw(record.pid) else { return Ok(None) };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) if record.is_alive() => Ok(Some(pidfd)),
        Ok(_) | Err(Errno::SRCH) => Ok(None),
        Err(errno) => Err(refused("open the container's init")(errno)),
    }
}

pub(crate) fn pause(root: &Path, id: &str) -> Result<(), Error> {
    let (folder, record) = Folder::find(root, id)?;
    match folder.status(&record) {
        Status::Running | Status::Created => Ok(record.cgroup().freeze(true)?),
        _ => Err(Error::NotRunning),
    }
}

pub(crate) fn resume(root: &Path, id: &str) -> Result<(), Error> {
    let (folder, record) = Folder::find(root, id)?;
    if folder.status(&record) == Status::Stopped || !record.cgroup().is_frozen() {
        return Err(Error::NotPaused);
    }
    Ok(record.cgroup().freeze(false)?)
}

pub(crate) fn update(root: &Path, id: &str, resources: &Resources) -> Result<(), Error> {
    let (folder, record) = Folder::find(root, id)?;
    // As with runc, devices stay: only a new container is told which it may use.
    let apply = |resources: &Resources| {
        if folder.status(&record) == Status::Stopped {
            return Err(Error::NotRunning);
        }
        Ok(record.cgroup().apply(resources)?)
    };
    let Some(memory) = resources.memory.as_ref().filter(|_| record.cgroup_unified) else {
        return apply(resources);
    };
    let _turn = folder.turn_to_remove(Instant::now() + END_TIME);
    let before = folder.memory_limits(&record);
    let mut limits = before.clone();
    let memory = Some(limits.complete(memory));
    apply(&Resources { memory, ..resources.clone() })?;
    if limits == before { Ok(()) } else { folder.write_memory_limits(&limits) }
}

pub(crate) fn update_schemata(root: &Path, id: &str, lines: &[&str]) -> Result<(), Error> {
    let (folder, record) = Folder::find(root, id)?;
    if folder.status(&record) == Status::Stopped {
        return Err(Error::NotRunning);
    }
    let group = record.group().ok_or(runtime_cgroups::Error::NoResctrl)?;
    Ok(group.set(lines)?)
}

pub(crate) fn stats(root: &Path, id: &str) -> Result<Stats, Error> {
    let (folder, record) = Folder::find(root, id)?;
    if folder.status(&record) == Status::Stopped {
        return Err(Error::NotRunning);
    }
    Ok(record.cgroup().stats()?)
}

pub(crate) fn delete(root: &Path, id: &str, force: bool) -> Result<Vec<Error>, Error> {
    match delete_existing(root, id, force) {
        Err(Error::DoesNotExist) if force => Ok(Vec::new()),
        result => result,
    }
}

fn delete_existing(root: &Path, id: &str, force: bool) -> Result<Vec<Error>, Error> {
    let folder = Folder::find_any(root, id)?.ok_or(Error::DoesNotExist)?;
    if force {
        end_creation(&folder)?;
    }
    let turn = folder.turn_to_remove(Instant::now() + END_TIME);
    let record = match folder.read() {
        // What was cut short before there was a record.
        Err(Error::DoesNotExist) if force => return folder.remove().map(|()| Vec::new()),
        read => read?,
    };
    // Nobody takes the id while what bears it is being removed.
    let creating = || Error::NotStopped { id: record.id.clone(), status: Status::Creating };
    let _removing = folder.keep()?.ok_or_else(creating)?;
    let status = folder.status(&record);
    match status {
        Status::Stopped => {}
        // `Creating` with nobody at it: that was cut short.
        Status::Created | Status::Creating => end(&record)?,
        Status::Running | Status::Paused if force => end(&record)?,
        status => return Err(Error::NotStopped { id: record.id.clone(), status }),
    }
    let state = folder.state_as(&record, Status::Stopped);
    let cgroup = record.cgroup();
    // CRIU may have died, too, when it had made processes and nobody knew which.
    if (record.shares_pids || record.is_being_restored) && status == Status::Stopped {
        kill_all(&record, SIGKILL)?;
    }
    reach(ENDED);
    cgroup.remove()?;
    if let Some(group) = record.group() {
        group.remove()?;
    }
    reach(CGROUP_REMOVED);
    folder.remove()?;
    reach(FOLDER_REMOVED);
    drop(turn);
    Ok(hooks::run_each("poststop", &record.poststop, &state))
}

/// Ends the creation of a container that is to be removed by force, if there is one: a maker that
/// lives sees its init end, and cleans up; a dead one's init ends by itself, or by this.
fn end_creation(folder: &Folder) -> Result<(), Error> {
    let deadline = Instant::now() + END_TIME;
    while folder.is_being_created() {
        match folder.read() {
            Ok(record) => {
                // Whoever restores it is in its cgroup.
                if record.is_being_restored {
                    let _ = kill_all(&record, SIGKILL);
                }
                if let Some(init) = open(&record)? {
                    let _ = signals::send(init.as_fd(), SIGKILL);
                }
            }
            Err(Error::DoesNotExist) => {}
            Err(error) => return Err(error),
        }
        if Instant::now() > deadline {
            let id = folder.id().to_owned();
            return Err(Error::NotStopped { id, status: Status::Creating });
        }
        std::thread::sleep(LOCK_PAUSE);
    }
    Ok(())
}

/// Kills init, and what a missing pid namespace would leave behind, and waits for its end.
fn end(record: &Record) -> Result<(), Error> {
    let init = open(record)?;
    if let Some(init) = &init {
        let _ = signals::send(init.as_fd(), SIGKILL);
    }
    let cgroup = record.cgroup();
    if record.shares_pids {
        kill_all(record, SIGKILL)?;
    }
    if cgroup.is_frozen() {
        cgroup.freeze(false)?;
    }
    let Some(init) = init else { return Ok(()) };
    let deadline = Instant::now() + END_TIME;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let limit = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(0),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        match poll(&mut [PollFd::new(&init, PollFlags::IN)], Some(&limit)) {
            Ok(0) => return Err(refused("wait for the container's end")(Errno::TIMEDOUT)),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(refused("wait for the container's end")(errno)),
        }
    }
}
