//! AppArmor profiles and SELinux labels, where the kernel has them.

use crate::{Error, refused};
use kernel_paths::Procfs;
use rustix::fs::OFlags;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Whether the kernel enforces AppArmor.
#[must_use]
pub fn has_apparmor() -> bool {
    std::fs::read("/sys/module/apparmor/parameters/enabled")
        .is_ok_and(|text| text.starts_with(b"Y"))
}

/// Whether the kernel enforces SELinux.
#[must_use]
pub fn has_selinux() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
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

/// The text for the kernel's `attr/exec`: what the next exec runs under; nothing when the kernel
/// has no such module, which [`without_effect`] tells.
#[must_use]
pub fn exec_label(apparmor: &str, selinux: &str) -> Option<String> {
    if !apparmor.is_empty() && has_apparmor() {
        return Some(format!("exec {apparmor}"));
    }
    if !selinux.is_empty() && has_selinux() {
        return Some(selinux.to_owned());
    }
    None
}

/// Opens the file that takes the label of the calling process' next exec.
///
/// # Errors
/// The kernel's.
pub fn open(procfs: &Procfs) -> Result<OwnedFd, Error> {
    procfs
        .open_file(Path::new("self/attr/exec"), OFlags::WRONLY)
        .map_err(|source| Error::Procfs { step: "open the label".to_owned(), source })
}

/// Writes a label to that file.
///
/// # Errors
/// The kernel's: the profile is not loaded, or the label has no meaning.
pub fn write(file: &OwnedFd, label: &str) -> Result<(), Error> {
    rustix::io::retry_on_intr(|| rustix::io::write(file, label.as_bytes()))
        .map(drop)
        .map_err(refused(format!("set label {label:?}")))
}
