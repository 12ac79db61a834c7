//! `favordynmods`: attaching a process to a cgroup v1 hierarchy without a wait.
//!
//! The kernel guards every attachment by a lock whose writers wait for an RCU grace period, and a
//! container's start attaches to some nine hierarchies. A hierarchy made with this option has the
//! whole kernel use a lock of each process instead (since Linux 6.18), and the kernel stays so when
//! the hierarchy has gone. `docs/decisions/0010-favordynmods.md` says what that costs others.

use rustix::fs::statfs;
use rustix::io::Errno;
use rustix::mount::{FsOpenFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsopen};

/// `statfs(2)`.
const CGROUP2_SUPER_MAGIC: u64 = 0x6367_7270;
/// The first kernel that keeps it when the hierarchy has gone; earlier ones would need one for as
/// long as containers are started, which every process would show in `/proc/PID/cgroup`.
const FIRST_KERNEL: (u32, u32) = (6, 18);

/// Why it was not switched on.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    /// Processes are born in their cgroup, which takes no such lock.
    #[error("cgroup v2 does not need it")]
    Unified,
    /// See [`FIRST_KERNEL`].
    #[error("kernel {0} does not keep it")]
    Kernel(String),
    /// The kernel refused.
    #[error("make a hierarchy")]
    Hierarchy(#[from] Errno),
}

/// Switches it on where that is of use. Takes some ten milliseconds, for which nobody should wait.
pub(crate) fn switch_on() {
    match try_switch_on() {
        Ok(()) => tracing::info!("favordynmods is on"),
        Err(error @ (Refusal::Unified | Refusal::Kernel(_))) => {
            tracing::debug!(reason = %error, "favordynmods is left alone");
        }
        Err(error) => {
            let error = base_errors::Chain(&error);
            tracing::info!(%error, "favordynmods cannot be switched on; starts take longer");
        }
    }
}

fn try_switch_on() -> Result<(), Refusal> {
    let top = statfs("/sys/fs/cgroup")?;
    if u64::try_from(top.f_type) == Ok(CGROUP2_SUPER_MAGIC) {
        return Err(Refusal::Unified);
    }
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    if version(&release).is_none_or(|version| version < FIRST_KERNEL) {
        return Err(Refusal::Kernel(release));
    }
    // Never mounted anywhere: the hierarchy goes with this descriptor.
    let context = fsopen("cgroup", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_flag(&context, "none")?;
    fsconfig_set_string(&context, "name", format!("gantry-{}", std::process::id()))?;
    fsconfig_set_flag(&context, "favordynmods")?;
    Ok(fsconfig_create(&context)?)
}

/// The first two numbers of a kernel's release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn a_kernels_version_is_read_from_its_release() {
        assert_eq!(version("6.18.44-fc-v657"), Some((6, 18)));
        assert_eq!(version("6.1.0-41-cloud-amd64"), Some((6, 1)));
        assert_eq!(version("7.0-rc1"), Some((7, 0)));
        assert_eq!(version("strange"), None);
        assert!((6, 9) < FIRST_KERNEL && (7, 0) > FIRST_KERNEL);
    }

    /// The kernel tells nowhere whether it is on; that no hierarchy stays is told.
    #[test]
    fn no_hierarchy_is_left_behind() {
        match try_switch_on() {
            Ok(())
            | Err(Refusal::Unified | Refusal::Kernel(_) | Refusal::Hierarchy(Errno::PERM)) => {}
            Err(error) => panic!("{}", base_errors::Chain(&error)),
        }
        let name = format!("name=gantry-{}:", std::process::id());
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::fs::read_to_string("/proc/self/cgroup").unwrap().contains(&name) {
            assert!(Instant::now() < deadline, "{name} is still there");
            std::thread::yield_now();
        }
    }
}
