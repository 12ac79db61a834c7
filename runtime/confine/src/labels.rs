//! AppArmor profiles and SELinux labels, where the kernel has them.

use crate::Error;
use kernel_paths::Procfs;
use rustix::fs::{OFlags, StatVfs, StatVfsMountFlags, statvfs};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Whether the kernel enforces AppArmor.
#[must_use]
pub fn has_apparmor() -> bool {
    std::fs::read("/sys/module/apparmor/parameters/enabled")
        .is_ok_and(|text| text.starts_with(b"Y"))
}

/// Whether the kernel has SELinux, with a policy. A container that is shown it read-only is to take
/// it for absent, as libselinux and runc do.
#[must_use]
pub fn has_selinux() -> bool {
    let is_usable = |found: StatVfs| !found.f_flag.contains(StatVfsMountFlags::RDONLY);
    statvfs("/sys/fs/selinux/enforce").is_ok_and(is_usable)
        // What everything is called before there is a policy.
        && std::fs::read("/proc/self/attr/current").is_ok_and(|own| own.trim_ascii_end() != b"kernel\0")
}

/// Which of a process' labels have no effect, since the kernel has no such module.
#[must_use]
pub fn without_effect(apparmor: &str, selinux: &str) -> Option<&'static str> {
    match (!apparmor.is_empty() && !has_apparmor(), !selinux.is_empty() && !has_selinux()) {
        (true, true) => Some("AppArmor profile and SELinux label"),
        (true, false) => Some("AppArmor profile"),
        (false, true) => Some("SELinux label"),
        (false, false) => None,
    }
}

/// What a process' next exec runs under, as far as the kernel has such modules; what has no effect
/// [`without_effect`] tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    apparmor: Option<String>,
    selinux: Option<String>,
}

impl Labels {
    /// Those of a configuration.
    #[must_use]
    pub fn new(apparmor: &str, selinux: &str) -> Self {
        let given = |label: &str, has_module: fn() -> bool| {
            (!label.is_empty() && has_module()).then(|| label.to_owned())
        };
        Self { apparmor: given(apparmor, has_apparmor), selinux: given(selinux, has_selinux) }
    }

    /// Has the keyrings that the calling process makes belong to its next exec's label.
    ///
    /// # Errors
    /// The label has no meaning, or the kernel refuses.
    pub fn apply_to_keys(&self, procfs: &Procfs) -> Result<(), Error> {
        let Some(label) = &self.selinux else { return Ok(()) };
        let file = match open(procfs, "self/attr/keycreate") {
            // The kernel has no keyrings.
            Err(Errno::NOENT) => return Ok(()),
            file => file,
        };
        file.and_then(|file| write(&file, label)).map_err(refused_selinux(label))
    }

    /// Has the calling process' next exec run under them. The kernel looks for them at once.
    ///
    /// # Errors
    /// The profile is not loaded, the label has no meaning, or the kernel refuses.
    pub fn apply(&self, procfs: &Procfs) -> Result<(), Error> {
        if let Some(profile) = &self.apparmor {
            // Before Linux 5.8 there is only that of whichever module is the first.
            let file = match open(procfs, "self/attr/apparmor/exec") {
                Err(Errno::NOENT) => open(procfs, "self/attr/exec"),
                file => file,
            };
            file.and_then(|file| write(&file, &format!("exec {profile}")))
                .map_err(|errno| Error::AppArmor { profile: profile.clone(), errno })?;
        }
        if let Some(label) = &self.selinux {
            open(procfs, "self/attr/exec")
                .and_then(|file| write(&file, label))
                .map_err(refused_selinux(label))?;
        }
        Ok(())
    }
}

fn refused_selinux(label: &str) -> impl FnOnce(Errno) -> Error {
    move |errno| Error::SeLinux { label: label.to_owned(), errno }
}

fn open(procfs: &Procfs, path: &str) -> rustix::io::Result<OwnedFd> {
    procfs.open_file(Path::new(path), OFlags::WRONLY).map_err(|error| error.errno())
}

fn write(file: &OwnedFd, label: &str) -> rustix::io::Result<()> {
    rustix::io::retry_on_intr(|| rustix::io::write(file, label.as_bytes())).map(drop)
}
