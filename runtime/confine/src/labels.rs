//! AppArmor profiles and SELinux labels, where the kernel has them.

use crate::Error;
use kernel_paths::Procfs;
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

/// The text for the kernel's `attr/exec`: what the next exec runs under; nothing when the kernel
/// has no such module, as runc does.
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

/// Writes a label for the calling thread's next exec.
///
/// # Errors
/// The kernel's: the profile is not loaded, or the label has no meaning.
pub fn apply(procfs: &Procfs, label: &str) -> Result<(), Error> {
    procfs
        .write(Path::new("self/attr/exec"), label.as_bytes())
        .map_err(|source| Error::Procfs { step: format!("set label {label:?}"), source })
}
