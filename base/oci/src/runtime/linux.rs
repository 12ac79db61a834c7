//! Namespaces, devices and the rest that only Linux has.

use super::{IdMapping, Resources, Seccomp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

document! {
    /// Everything that only Linux has.
    Linux {
        /// User namespace: user ids.
        uid_mappings: Vec<IdMapping>,
        /// User namespace: group ids.
        gid_mappings: Vec<IdMapping>,
        /// Kernel parameters of the container's namespaces.
        sysctl: BTreeMap<String, String>,
        /// Limits.
        resources: Option<Resources>,
        /// Where the cgroup is; absolute means from the hierarchy's mount point.
        cgroups_path: String,
        /// Namespaces made or joined; the types left out are the runtime's own.
        namespaces: Vec<Namespace>,
        /// Device files.
        devices: Vec<Device>,
        /// Network devices moved into the container, by their name on the host.
        net_devices: BTreeMap<String, NetDevice>,
        /// System call filter.
        seccomp: Option<Seccomp>,
        /// Propagation of the root mount.
        rootfs_propagation: String,
        /// Paths that cannot be read inside.
        masked_paths: Vec<String>,
        /// Paths that cannot be written inside.
        readonly_paths: Vec<String>,
        /// SELinux context of the mounts.
        mount_label: String,
        /// Intel Resource Director Technology.
        intel_rdt: Option<IntelRdt>,
        /// NUMA memory policy.
        memory_policy: Option<MemoryPolicy>,
        /// Execution domain.
        personality: Option<Personality>,
        /// Offsets of a time namespace, by clock name.
        time_offsets: BTreeMap<String, TimeOffset>,
    }
}

/// A type of namespace.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the kernel's own names")]
pub enum NamespaceKind {
    #[default]
    Mount,
    Pid,
    Network,
    Uts,
    Ipc,
    User,
    Cgroup,
    Time,
}

document! {
    /// One namespace: new, or joined by path.
    Namespace {
        @required {
            /// Its type.
            #[serde(rename = "type")]
            kind: NamespaceKind,
        }
        /// A file of an existing namespace to join.
        path: String,
    }
}

/// A type of device file, or `a` for all of them in a cgroup rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceKind {
    /// All; only in cgroup rules.
    #[default]
    #[serde(rename = "a")]
    All,
    /// Block.
    #[serde(rename = "b")]
    Block,
    /// Character.
    #[serde(rename = "c")]
    Character,
    /// Character, unbuffered.
    #[serde(rename = "u")]
    Unbuffered,
    /// Fifo.
    #[serde(rename = "p")]
    Fifo,
}

document! {
    /// A device file.
    Device {
        @required {
            /// Where it is, inside.
            path: String,
            /// Its type.
            #[serde(rename = "type")]
            kind: DeviceKind,
        }
        /// Major number.
        major: Option<i64>,
        /// Minor number.
        minor: Option<i64>,
        /// Permissions.
        file_mode: Option<u32>,
        /// Owner inside.
        uid: Option<u32>,
        /// Group inside.
        gid: Option<u32>,
    }
}

document! {
    /// A network device inside.
    NetDevice {
        /// Its name inside; the same as outside when empty.
        name: String,
    }
}

document! {
    /// Intel Resource Director Technology.
    IntelRdt {
        /// Class of service.
        #[serde(rename = "closID")]
        clos_id: String,
        /// Lines of the schemata file.
        schemata: Vec<String>,
        /// L3 cache line of the schemata file.
        l3_cache_schema: String,
        /// Memory bandwidth line of the schemata file.
        mem_bw_schema: String,
        /// Whether a monitoring group is made.
        enable_monitoring: bool,
    }
}

document! {
    /// `set_mempolicy(2)`.
    MemoryPolicy {
        @required {
            /// `MPOL_BIND` and so on.
            mode: String,
        }
        /// Node list.
        nodes: String,
        /// `MPOL_F_…`.
        flags: Vec<String>,
    }
}

document! {
    /// `personality(2)`.
    Personality {
        @required {
            /// `LINUX` or `LINUX32`.
            domain: String,
        }
        /// Flags; none are defined.
        flags: Vec<String>,
    }
}

document! {
    /// Offset of one clock in a time namespace.
    TimeOffset {
        /// Seconds.
        secs: Option<i64>,
        /// Nanoseconds.
        nanosecs: Option<u32>,
    }
}
