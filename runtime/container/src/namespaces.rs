//! Which namespaces a container makes and which it joins.

use crate::error::{Error, refused};
use base_oci::runtime::{Linux, NamespaceKind};
use kernel_sys::{NamespaceFlags, PidfdNamespace, namespace_of, setns};
use rustix::fs::{Mode, OFlags, fstat, stat};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The configuration's namespaces, with the joined ones open.
#[derive(Debug, Default)]
pub(crate) struct Namespaces {
    /// Made anew.
    new: NamespaceFlags,
    /// Joined, and which of those are not the runtime's own.
    joined: Vec<(NamespaceKind, OwnedFd)>,
    foreign: NamespaceFlags,
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
            match is_own(kind, &opened) {
                // The kernel lets nobody join the user namespace that it is in.
                true if kind == NamespaceKind::User => continue,
                true => {}
                false => namespaces.foreign |= flag(kind),
            }
            namespaces.joined.push((kind, opened));
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

    /// The joined namespace of a type.
    pub(crate) fn joined(&self, kind: NamespaceKind) -> Option<BorrowedFd<'_>> {
        self.joined.iter().find(|(joined, _)| *joined == kind).map(|(_, opened)| opened.as_fd())
    }

    /// Types that the container does not share with the runtime. A path may well name the
    /// runtime's own namespace: what is set there is set on the host.
    pub(crate) fn own(&self) -> Vec<NamespaceKind> {
        let own = self.new | self.foreign;
        ALL.into_iter().filter(|kind| own.contains(flag(*kind))).collect()
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

    /// Whether a user namespace takes the child's rights over the host's namespaces.
    pub(crate) fn has_user(&self) -> bool {
        self.makes(NamespaceKind::User) || self.joins(NamespaceKind::User)
    }

    /// What has to be joined before the child exists: a pid namespace holds only for children,
    /// and with a user namespace the child would lack the rights. A mount namespace is left to the
    /// child, which needs the host's `/proc` first.
    fn before_child(&self) -> impl Iterator<Item = (NamespaceKind, BorrowedFd<'_>)> {
        let all = self.has_user();
        self.joined.iter().map(|(kind, opened)| (*kind, opened.as_fd())).filter(move |(kind, _)| {
            match kind {
                NamespaceKind::Pid => true,
                NamespaceKind::Mount | NamespaceKind::User => false,
                _ => all,
            }
        })
    }

    /// Joins what the child could not; for a caller that goes back afterwards.
    pub(crate) fn join_in_parent(&self) -> Result<Return, Error> {
        let mut back = Return::default();
        for (kind, namespace) in self.before_child() {
            if let Err(error) = back.join(kind, namespace) {
                back.back()?;
                return Err(error);
            }
        }
        Ok(back)
    }

    /// The same for a process that stays, and the user namespace: at last, for that takes root's
    /// rights over the others; but first where they come from nowhere else.
    pub(crate) fn join_for_good(&self, is_ordinary_user: bool) -> Result<(), Error> {
        let user = self.joined(NamespaceKind::User).map(|opened| (NamespaceKind::User, opened));
        let (first, last) = if is_ordinary_user { (user, None) } else { (None, user) };
        for (kind, namespace) in first.into_iter().chain(self.before_child()).chain(last) {
            join(kind, namespace)?;
        }
        Ok(())
    }

    /// Joins the rest, in the child.
    pub(crate) fn join_in_child(&self) -> Result<(), Error> {
        let all = self.has_user();
        for (kind, namespace) in &self.joined {
            let is_done = match kind {
                NamespaceKind::Pid | NamespaceKind::User => true,
                NamespaceKind::Mount => false,
                _ => all,
            };
            if !is_done {
                join(*kind, namespace.as_fd())?;
            }
        }
        Ok(())
    }
}

fn join(kind: NamespaceKind, namespace: BorrowedFd<'_>) -> Result<(), Error> {
    setns(namespace, flag(kind)).map_err(refused(format!("join {kind:?} namespace")))
}

/// Whether a namespace is the runtime's own.
fn is_own(kind: NamespaceKind, namespace: &OwnedFd) -> bool {
    let own = stat(format!("/proc/self/ns/{}", file_name(kind)));
    let same = |own: &rustix::fs::Stat, other: &rustix::fs::Stat| {
        (own.st_dev, own.st_ino) == (other.st_dev, other.st_ino)
    };
    matches!((own, fstat(namespace)), (Ok(own), Ok(other)) if same(&own, &other))
}

/// The name below `/proc/PID/ns` of what children get.
const fn file_name(kind: NamespaceKind) -> &'static str {
    match kind {
        NamespaceKind::Pid => "pid_for_children",
        NamespaceKind::Network => "net",
        NamespaceKind::Ipc => "ipc",
        NamespaceKind::Uts => "uts",
        NamespaceKind::Cgroup => "cgroup",
        NamespaceKind::Time => "time_for_children",
        NamespaceKind::Mount => "mnt",
        NamespaceKind::User => "user",
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
        let name = file_name(kind);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let present = rustix::fs::open(format!("/proc/self/ns/{name}"), flags, Mode::empty())
            .map_err(refused("open own namespace"))?;
        join(kind, namespace)?;
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
        // Any other namespace than this process' own will do.
        let config =
            linux(&[(NamespaceKind::Pid, ""), (NamespaceKind::Network, "/proc/self/ns/uts")]);
        let namespaces = Namespaces::open(&config).unwrap();
        assert_eq!(namespaces.own(), [NamespaceKind::Pid, NamespaceKind::Network]);
        assert_eq!(namespaces.clone_flags(), NamespaceFlags::PID);
    }

    #[test]
    fn a_path_to_the_runtimes_own_namespace_shares_it() {
        let config = linux(&[(NamespaceKind::Network, "/proc/self/ns/net")]);
        assert!(Namespaces::open(&config).unwrap().own().is_empty());
    }
}
