//! User namespaces: their maps, and ones without any container, for the ids of a mount.

use crate::error::{Error, refused};
use base_oci::runtime::IdMapping;
use kernel_paths::Procfs;
use kernel_sys::{Cloned, NamespaceFlags, clone3, signals};
use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use std::fmt::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// No map file is longer: the kernel takes 340 lines.
const MAX_MAP: usize = 16 << 10;

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
    let write = |file: &str, maps: &[IdMapping]| {
        let path = format!("/proc/{pid}/{file}");
        std::fs::write(&path, map_text(maps)).map_err(|source| Error::State {
            step: "write",
            path: path.into(),
            source,
        })
    };
    write("uid_map", uids)?;
    write("gid_map", gids)
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
