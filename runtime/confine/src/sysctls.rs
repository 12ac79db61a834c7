//! Kernel parameters that belong to a container's namespaces.

use crate::Error;
use base_oci::runtime::NamespaceKind;
use kernel_paths::Procfs;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Checks that each parameter belongs to a namespace of the container's own: anything else would
/// change the host. `own` are the types that the container does not share.
///
/// # Errors
/// A parameter of the host, or one that has a field of its own in the configuration.
pub fn check(sysctls: &BTreeMap<String, String>, own: &[NamespaceKind]) -> Result<(), Error> {
    const IPC: [&str; 12] = [
        "kernel.auto_msgmni",
        "kernel.msg_next_id",
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.sem_next_id",
        "kernel.shm_next_id",
        "kernel.shm_rmid_forced",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
    ];
    for name in sysctls.keys() {
        let dotted = normalized(name).replace('/', ".");
        let needs = if IPC.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.") {
            NamespaceKind::Ipc
        } else if dotted.starts_with("net.") {
            NamespaceKind::Network
        } else if dotted == "kernel.domainname" {
            NamespaceKind::Uts
        } else if dotted.starts_with("user.") {
            // How many namespaces and watches its users may have (namespaces(7)).
            NamespaceKind::User
        } else {
            return Err(Error::HostSysctl(name.clone()));
        };
        if !own.contains(&needs) {
            return Err(Error::HostSysctl(name.clone()));
        }
    }
    Ok(())
}

/// Writes them; the calling process is in the container's namespaces.
///
/// # Errors
/// The kernel's.
pub fn apply(sysctls: &BTreeMap<String, String>, procfs: &Procfs) -> Result<(), Error> {
    for (name, value) in sysctls {
        let path = PathBuf::from(format!("sys/{}", normalized(name)));
        procfs
            .write(&path, value.as_bytes())
            .map_err(|source| Error::Procfs { step: format!("set sysctl {name}"), source })?;
    }
    Ok(())
}

/// A parameter's path. Where the first separator is a dot, dots and slashes change places
/// (sysctl(8)), so that `net.ipv4.conf.eth0/1.forwarding` can name the interface `eth0.1`.
fn normalized(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(at) if name.as_bytes()[at] == b'.' => name
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_parameters_of_own_namespaces_pass() {
        let all =
            [NamespaceKind::Ipc, NamespaceKind::Network, NamespaceKind::Uts, NamespaceKind::User];
        let one = |name: &str| BTreeMap::from([(name.to_owned(), "1".to_owned())]);
        for good in [
            "net.ipv4.ip_forward",
            "net/ipv4/ip_forward",
            "kernel.shmmax",
            "user.max_net_namespaces",
        ] {
            assert!(check(&one(good), &all).is_ok(), "{good}");
            assert!(check(&one(good), &[]).is_err(), "{good}");
        }
        for bad in ["kernel.core_pattern", "vm.swappiness", "kernel/hostname", "fs.file-max"] {
            assert!(check(&one(bad), &all).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_interface_with_a_dot_can_be_named() {
        assert_eq!(
            normalized("net.ipv4.conf.eth0/1.forwarding"),
            "net/ipv4/conf/eth0.1/forwarding"
        );
        assert_eq!(
            normalized("net/ipv4/conf/eth0.1/forwarding"),
            "net/ipv4/conf/eth0.1/forwarding"
        );
    }
}
