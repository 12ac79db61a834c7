//! Limits that cgroups enforce.

use super::DeviceKind;
use std::collections::BTreeMap;

document! {
    /// Limits; those left out stay as they are.
    Resources {
        /// Device access, applied in order.
        devices: Vec<DeviceRule>,
        /// Memory.
        memory: Option<Memory>,
        /// CPU time and placement.
        cpu: Option<Cpu>,
        /// Number of tasks.
        pids: Option<Pids>,
        /// Block devices.
        #[serde(rename = "blockIO")]
        block_io: Option<BlockIo>,
        /// Huge pages.
        hugepage_limits: Vec<HugepageLimit>,
        /// Network classes and priorities.
        network: Option<Network>,
        /// RDMA, by device name.
        rdma: BTreeMap<String, Rdma>,
        /// cgroup v2 files, written as they are.
        unified: BTreeMap<String, String>,
    }
}

document! {
    /// A rule of device access.
    DeviceRule {
        @required {
            /// Allowed or denied.
            allow: bool,
        }
        /// Type of device; all when absent.
        #[serde(rename = "type")]
        kind: Option<DeviceKind>,
        /// Major number; all when absent.
        major: Option<i64>,
        /// Minor number; all when absent.
        minor: Option<i64>,
        /// Some of `r`, `w` and `m`.
        access: String,
    }
}

document! {
    /// Memory limits in bytes; -1 is unlimited.
    Memory {
        /// Ceiling.
        limit: Option<i64>,
        /// Soft limit.
        reservation: Option<i64>,
        /// Ceiling of memory and swap together.
        swap: Option<i64>,
        /// Kernel memory (v1, obsolete).
        kernel: Option<i64>,
        /// Kernel TCP memory (v1, obsolete).
        #[serde(rename = "kernelTCP")]
        kernel_tcp: Option<i64>,
        /// How readily pages are swapped, 0 to 100.
        swappiness: Option<u64>,
        /// No killing when the ceiling is reached (v1).
        #[serde(rename = "disableOOMKiller")]
        disable_oom_killer: Option<bool>,
        /// Obsolete: hierarchies always are.
        use_hierarchy: Option<bool>,
        /// Refuse a new ceiling below the current use.
        check_before_update: Option<bool>,
    }
}

document! {
    /// CPU time and placement.
    Cpu {
        /// Relative weight.
        shares: Option<u64>,
        /// Microseconds of CPU time a period.
        quota: Option<i64>,
        /// Microseconds saved up over a period at most.
        burst: Option<u64>,
        /// Length of the period in microseconds.
        period: Option<u64>,
        /// Microseconds of realtime scheduling a period.
        realtime_runtime: Option<i64>,
        /// Length of the realtime period.
        realtime_period: Option<u64>,
        /// CPU list.
        cpus: String,
        /// Memory node list.
        mems: String,
        /// 1: only when nobody else wants the CPU.
        idle: Option<i64>,
    }
}

document! {
    /// Number of tasks.
    Pids {
        /// Ceiling; unlimited when negative.
        limit: Option<i64>,
    }
}

document! {
    /// Block device weights and ceilings.
    BlockIo {
        /// Relative weight.
        weight: Option<u16>,
        /// Weight against child cgroups (v1).
        leaf_weight: Option<u16>,
        /// Weights by device.
        weight_device: Vec<BlockIoWeight>,
        /// Bytes read a second.
        throttle_read_bps_device: Vec<BlockIoThrottle>,
        /// Bytes written a second.
        throttle_write_bps_device: Vec<BlockIoThrottle>,
        /// Reads a second.
        #[serde(rename = "throttleReadIOPSDevice")]
        throttle_read_iops_device: Vec<BlockIoThrottle>,
        /// Writes a second.
        #[serde(rename = "throttleWriteIOPSDevice")]
        throttle_write_iops_device: Vec<BlockIoThrottle>,
    }
}

document! {
    /// A device's weight.
    BlockIoWeight {
        @required {
            /// Major number.
            major: i64,
            /// Minor number.
            minor: i64,
        }
        /// Relative weight.
        weight: Option<u16>,
        /// Weight against child cgroups (v1).
        leaf_weight: Option<u16>,
    }
}

document! {
    /// A device's ceiling.
    BlockIoThrottle {
        @required {
            /// Major number.
            major: i64,
            /// Minor number.
            minor: i64,
            /// Bytes or operations a second.
            rate: u64,
        }
    }
}

document! {
    /// Ceiling of one size of huge page.
    HugepageLimit {
        @required {
            /// `2MB` and so on.
            page_size: String,
            /// Bytes.
            limit: u64,
        }
    }
}

document! {
    /// Network classes and priorities (v1).
    Network {
        /// `net_cls.classid`.
        #[serde(rename = "classID")]
        class_id: Option<u32>,
        /// `net_prio.ifpriomap`.
        priorities: Vec<InterfacePriority>,
    }
}

document! {
    /// An interface's priority.
    InterfacePriority {
        @required {
            /// Interface.
            name: String,
            /// Priority.
            priority: u32,
        }
    }
}

document! {
    /// Ceilings of one RDMA device.
    Rdma {
        /// Handles.
        hca_handles: Option<u32>,
        /// Objects.
        hca_objects: Option<u32>,
    }
}
