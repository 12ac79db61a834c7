//! User namespaces: their maps, and ones without any container, for the ids of a mount.
//!
//! root writes any map. Anybody else may map their own id alone; for ranges of `/etc/subuid` and
//! `/etc/subgid` there are the set-user-id programs `newuidmap(1)` and `newgidmap(1)`, the only
//! programs of the host that are run to make a container (`user_namespaces(7)`, "Defining user and
//! group ID mappings").

use crate::error::{Error, reason, refused};
use base_oci::runtime::IdMapping;
use kernel_paths::Procfs;
use kernel_sys::{Cloned, NamespaceFlags, clone3, signals};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use std::fmt::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

/// No map file is longer: the kernel takes 340 lines.
const MAX_MAP: usize = 16 << 10;

/// Whether the caller is not root of its user namespace: it then has no rights over the namespaces
/// that it is in, only over those of a user namespace that it makes.
pub(crate) fn is_ordinary_user() -> bool {
    !rustix::process::geteuid().is_root()
}

/// Whether the caller has no rights over the namespaces that it is in, were it root there or not: it
/// could not go back to them from others.
#[must_use]
pub fn is_without_return() -> bool {
    /// What the host's root's own map says.
    const ALL_IDS: [&str; 3] = ["0", "0", "4294967295"];
    // Neither changes in a process that makes containers.
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        is_ordinary_user()
            || std::fs::read_to_string("/proc/self/uid_map")
                .is_ok_and(|map| !map.split_whitespace().eq(ALL_IDS))
    })
}

/// Makes a user namespace with these maps, which nobody is in.
pub(crate) fn make(uids: &[IdMapping], gids: &[IdMapping]) -> Result<OwnedFd, Error> {
    let (end, other_end) = pipe_with(PipeFlags::CLOEXEC).map_err(refused("make a pipe"))?;
    let cloned =
        clone3(NamespaceFlags::USER, None).map_err(refused("make a user namespace for a mount"))?;
    let Cloned::Parent { pid, pidfd } = cloned else {
        drop(other_end);
        // Until it is killed, or its maker died.
        let _ = rustix::io::read(&end, &mut [0_u8; 1]);
        kernel_sys::exit_now(0)
    };
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let made = write_maps(pid, uids, gids).and_then(|()| {
        rustix::fs::open(format!("/proc/{pid}/ns/user"), flags, Mode::empty())
            .map_err(refused("open the user namespace of a mount"))
    });
    let _ = signals::send(pidfd.as_fd(), 9);
    let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
    made
}

/// Writes a user namespace's maps for its first process.
pub(crate) fn write_maps(pid: i32, uids: &[IdMapping], gids: &[IdMapping]) -> Result<(), Error> {
    write_map(pid, "uid_map", "newuidmap", uids)?;
    let own = rustix::process::getegid().as_raw();
    if is_ordinary_user() && forbids_groups(gids, own) {
        write(pid, "setgroups", "deny").map_err(|source| Error::State {
            step: "write",
            path: format!("/proc/{pid}/setgroups").into(),
            source,
        })?;
    }
    write_map(pid, "gid_map", "newgidmap", gids)
}

/// Whether `setgroups(2)` has to be forbidden before this map is written: the kernel's condition for
/// mapping one's own group alone, since leaving a group could give rights.
pub(crate) fn forbids_groups(gids: &[IdMapping], own: u32) -> bool {
    matches!(gids, [map] if map.host_id == own && map.size == 1)
}

/// Writes a map, or where that is not allowed has `program` do it.
fn write_map(pid: i32, file: &str, program: &'static str, maps: &[IdMapping]) -> Result<(), Error> {
    match write(pid, file, &map_text(maps)) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::PERM) => {
            map_by_program(pid, program, maps)
        }
        result => result.map_err(|source| Error::State {
            step: "write",
            path: format!("/proc/{pid}/{file}").into(),
            source,
        }),
    }
}

fn write(pid: i32, file: &str, text: &str) -> std::io::Result<()> {
    std::fs::write(format!("/proc/{pid}/{file}"), text)
}

fn map_by_program(pid: i32, program: &'static str, maps: &[IdMapping]) -> Result<(), Error> {
    let numbers = maps.iter().flat_map(|map| [map.container_id, map.host_id, map.size]);
    let failed = |reason: String| Error::Mapping { program, reason };
    let output = Command::new(program)
        .arg(pid.to_string())
        .args(numbers.map(|number| number.to_string()))
        .output()
        .map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::NOENT) => failed(
                "there is no such program in PATH (Debian's package uidmap has it); without it only \
                 the own id can be mapped"
                    .to_owned(),
            ),
            Some(errno) => failed(reason(errno)),
            None => failed(error.to_string()),
        })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim().trim_start_matches(program).trim_start_matches(": ");
    Err(failed(format!("{said} (this user's ranges are in /etc/subuid and /etc/subgid)")))
}

/// Checks that the calling process' user namespace has these maps. Engines say both which
/// namespace is to be joined and what its maps are; that they do not fit would go unnoticed.
pub(crate) fn expect_maps(
    procfs: &Procfs,
    uids: &[IdMapping],
    gids: &[IdMapping],
) -> Result<(), Error> {
    for (file, maps) in [("self/uid_map", uids), ("self/gid_map", gids)] {
        if !maps.is_empty() && ranges(&read(procfs, file)?) != ranges(&map_text(maps)) {
            let text = "user namespaces enabled, but both namespace path and non-matching mapping \
                        specified -- you may only provide one";
            return Err(Error::Configuration(text.to_owned()));
        }
    }
    Ok(())
}

fn read(procfs: &Procfs, file: &str) -> Result<String, Error> {
    let file = procfs.open_file(Path::new(file), OFlags::RDONLY)?;
    let mut text = Vec::with_capacity(MAX_MAP);
    while text.len() < MAX_MAP {
        let read = rustix::io::read(&file, rustix::buffer::spare_capacity(&mut text))
            .map_err(refused("read the user namespace's maps"))?;
        if read == 0 {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The lines of a map file, sorted: first id inside, first outside, how many.
fn ranges(text: &str) -> Vec<Vec<u32>> {
    let numbers =
        |line: &str| line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let mut ranges: Vec<Vec<u32>> = text.lines().map(numbers).collect();
    ranges.sort_unstable();
    ranges
}

fn map_text(maps: &[IdMapping]) -> String {
    maps.iter().fold(String::new(), |mut text, map| {
        let _ = writeln!(text, "{} {} {}", map.container_id, map.host_id, map.size);
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_the_same_in_whatever_order_and_form() {
        let maps = [
            IdMapping { container_id: 5, host_id: 100, size: 2 },
            IdMapping { container_id: 0, host_id: 1000, size: 1 },
        ];
        let kernel = "         0       1000          1\n         5        100          2\n";
        assert_eq!(ranges(kernel), ranges(&map_text(&maps)));
        assert_ne!(ranges(kernel), ranges(&map_text(&maps[..1])));
    }
}
