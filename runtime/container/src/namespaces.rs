//! Which namespaces a container makes and which it joins.

use crate::error::{Error, refused};
use base_oci::runtime::{IdMapping, Linux, NamespaceKind};
use kernel_sys::{NamespaceFlags, PidfdNamespace, namespace_of, setns};
use rustix::fs::{Mode, OFlags};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The configuration's namespaces, with the joined ones open.
#[derive(Debug, Default)]
pub(crate) struct Namespaces {
    /// Made anew.
    pub(crate) new: NamespaceFlags,
    joined: Vec<(NamespaceKind, OwnedFd)>,
}

impl Namespaces {
    /// Opens what is to be joined.
    pub(crate) fn open(linux: &Linux) -> Result<Self, Error> {
        let mut namespaces = Self::default();
        let mut seen = Vec::new();
        for namespace in &linux.namespaces {
            let kind = namespace.kind;
            if seen.contains(&kind) {
                return Err(Error::Configuration(format!("duplicated namespace {kind:?}")));
            }
            seen.push(kind);
            if namespace.path.is_empty() {
                namespaces.new |= flag(kind);
                continue;
            }
            if !namespace.path.starts_with('/') {
                let path = &namespace.path;
                return Err(Error::Configuration(format!("namespace path {path:?} is relative")));
            }
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            let opened = rustix::fs::open(&namespace.path, flags, Mode::empty())
                .map_err(refused(format!("open namespace {}", namespace.path)))?;
            namespaces.joined.push((kind, opened));
        }
        if namespaces.joins(NamespaceKind::User) {
            return Err(Error::Unimplemented("joining a user namespace by path"));
        }
        Ok(namespaces)
    }

    /// Whether one of this type is made.
    pub(crate) fn makes(&self, kind: NamespaceKind) -> bool {
        self.new.contains(flag(kind))
    }

    /// Whether one of this type is joined.
    pub(crate) fn joins(&self, kind: NamespaceKind) -> bool {
        self.joined.iter().any(|(joined, _)| *joined == kind)
    }

    /// Types that the container does not share with the host.
    pub(crate) fn own(&self) -> Vec<NamespaceKind> {
        ALL.into_iter().filter(|kind| self.makes(*kind) || self.joins(*kind)).collect()
    }

    /// The same as the kernel's bits.
    pub(crate) fn own_flags(&self) -> NamespaceFlags {
        self.own().into_iter().fold(NamespaceFlags::EMPTY, |flags, kind| flags | flag(kind))
    }

    /// What `clone3` makes. A cgroup namespace's root is the cgroup at the time, and a time
    /// namespace's offsets are set from outside, so the child makes these itself.
    pub(crate) fn clone_flags(&self) -> NamespaceFlags {
        self.new.without(NamespaceFlags::CGROUP).without(NamespaceFlags::TIME)
    }

    /// Joins, in the parent, what the child could not join: a pid namespace holds only for
    /// children, and with a new user namespace the child would lack the rights. What it returns
    /// brings the parent back.
    pub(crate) fn join_in_parent(&self) -> Result<Return, Error> {
        let mut back = Return::default();
        let all = self.makes(NamespaceKind::User);
        for (kind, namespace) in &self.joined {
            if *kind == NamespaceKind::Pid || (all && *kind != NamespaceKind::Mount) {
                back.join(*kind, namespace.as_fd())?;
            }
        }
        Ok(back)
    }

    /// Joins the rest, in the child.
    pub(crate) fn join_in_child(&self) -> Result<(), Error> {
        let done = self.makes(NamespaceKind::User);
        for (kind, namespace) in &self.joined {
            if *kind != NamespaceKind::Pid && (!done || *kind == NamespaceKind::Mount) {
                setns(namespace.as_fd(), flag(*kind))
                    .map_err(refused(format!("join {kind:?} namespace")))?;
            }
        }
        Ok(())
    }
}

/// Where the caller was before it joined a namespace for its child.
#[derive(Debug, Default)]
pub(crate) struct Return(Vec<(NamespaceKind, OwnedFd)>);

impl Return {
    /// Joins a namespace, remembering the present one.
    pub(crate) fn join(
        &mut self,
        kind: NamespaceKind,
        namespace: BorrowedFd<'_>,
    ) -> Result<(), Error> {
        let name = match kind {
            NamespaceKind::Pid => "pid_for_children",
            NamespaceKind::Network => "net",
            NamespaceKind::Ipc => "ipc",
            NamespaceKind::Uts => "uts",
            NamespaceKind::Cgroup => "cgroup",
            NamespaceKind::Time => "time_for_children",
            NamespaceKind::Mount => "mnt",
            NamespaceKind::User => "user",
        };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let present = rustix::fs::open(format!("/proc/self/ns/{name}"), flags, Mode::empty())
            .map_err(refused("open own namespace"))?;
        setns(namespace, flag(kind)).map_err(refused(format!("join {kind:?} namespace")))?;
        self.0.push((kind, present));
        Ok(())
    }

    /// Goes back.
    pub(crate) fn back(self) -> Result<(), Error> {
        for (kind, present) in &self.0 {
            setns(present.as_fd(), flag(*kind)).map_err(refused("return to own namespace"))?;
        }
        Ok(())
    }
}

const ALL: [NamespaceKind; 8] = [
    NamespaceKind::User,
    NamespaceKind::Mount,
    NamespaceKind::Pid,
    NamespaceKind::Network,
    NamespaceKind::Ipc,
    NamespaceKind::Uts,
    NamespaceKind::Cgroup,
    NamespaceKind::Time,
];

/// The kernel's bit of a type.
const fn flag(kind: NamespaceKind) -> NamespaceFlags {
    match kind {
        NamespaceKind::Mount => NamespaceFlags::MOUNT,
        NamespaceKind::Pid => NamespaceFlags::PID,
        NamespaceKind::Network => NamespaceFlags::NETWORK,
        NamespaceKind::Uts => NamespaceFlags::UTS,
        NamespaceKind::Ipc => NamespaceFlags::IPC,
        NamespaceKind::User => NamespaceFlags::USER,
        NamespaceKind::Cgroup => NamespaceFlags::CGROUP,
        NamespaceKind::Time => NamespaceFlags::TIME,
    }
}

/// Descriptors of the namespaces that a process does not share with the host; empty before Linux
/// 6.11, which is only slower.
pub(crate) fn keep_alive(pidfd: BorrowedFd<'_>, own: NamespaceFlags) -> Vec<OwnedFd> {
    [
        (NamespaceFlags::NETWORK, PidfdNamespace::Network),
        (NamespaceFlags::MOUNT, PidfdNamespace::Mount),
        (NamespaceFlags::IPC, PidfdNamespace::Ipc),
        (NamespaceFlags::PID, PidfdNamespace::Pid),
        (NamespaceFlags::UTS, PidfdNamespace::Uts),
    ]
    .into_iter()
    .filter(|(flag, _)| own.contains(*flag))
    .filter_map(|(_, kind)| namespace_of(pidfd, kind).ok())
    .collect()
}

/// Writes a user namespace's maps for its first process.
pub(crate) fn write_maps(pid: i32, linux: &Linux) -> Result<(), Error> {
    let write = |file: &str, text: &str| {
        let path = format!("/proc/{pid}/{file}");
        std::fs::write(&path, text).map_err(|source| Error::State {
            step: "write",
            path: path.into(),
            source,
        })
    };
    write("uid_map", &map_text(&linux.uid_mappings))?;
    write("gid_map", &map_text(&linux.gid_mappings))
}

fn map_text(mappings: &[IdMapping]) -> String {
    mappings
        .iter()
        .map(|map| format!("{} {} {}\n", map.container_id, map.host_id, map.size))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base_oci::runtime::Namespace;

    fn linux(namespaces: &[(NamespaceKind, &str)]) -> Linux {
        let namespaces = namespaces
            .iter()
            .map(|(kind, path)| Namespace { kind: *kind, path: (*path).to_owned() })
            .collect();
        Linux { namespaces, ..Linux::default() }
    }

    #[test]
    fn duplicates_and_relative_paths_are_refused() {
        for bad in [
            linux(&[(NamespaceKind::Pid, ""), (NamespaceKind::Pid, "")]),
            linux(&[(NamespaceKind::Network, "netns/x")]),
            linux(&[(NamespaceKind::Network, "/nowhere/at/all")]),
        ] {
            assert!(Namespaces::open(&bad).is_err());
        }
    }

    #[test]
    fn made_and_joined_namespaces_are_both_own() {
        let config =
            linux(&[(NamespaceKind::Pid, ""), (NamespaceKind::Network, "/proc/self/ns/net")]);
        let namespaces = Namespaces::open(&config).unwrap();
        assert_eq!(namespaces.own(), [NamespaceKind::Pid, NamespaceKind::Network]);
        assert_eq!(namespaces.clone_flags(), NamespaceFlags::PID);
    }
}
