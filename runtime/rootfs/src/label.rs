//! The SELinux label of a container's new file systems (runtime-spec, `mountLabel`).

use rustix::fs::{Mode, OFlags, XattrFlags, fsetxattr, openat};
use std::os::fd::AsFd;

/// Empty for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MountLabel(String);

impl MountLabel {
    pub(crate) fn new(label: &str) -> Self {
        Self(label.to_owned())
    }

    /// The mount option, as mount(8) writes it: labels may have commas.
    pub(crate) fn option(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| format!("context=\"{}\"", self.0))
    }

    /// Whether file systems of a type have the option, as under runc. procfs, sysfs and cgroups have
    /// labels by the policy, and mqueue is one for all of an ipc namespace, which takes none.
    pub(crate) fn is_given_to(fstype: &str) -> bool {
        !matches!(fstype, "proc" | "sysfs" | "cgroup" | "cgroup2" | "mqueue")
    }

    /// Gives it to the top folder of a mount instead.
    pub(crate) fn set_on(&self, mount: impl AsFd) -> rustix::io::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = openat(mount, ".", flags, Mode::empty())?;
        fsetxattr(&top, "security.selinux", self.0.as_bytes(), XattrFlags::empty())
    }
}
