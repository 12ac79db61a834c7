//! `config.json` (runtime-spec 1.3, Linux).

mod linux;
mod process;
mod resources;
mod seccomp;

pub use linux::{
    Device, DeviceKind, IntelRdt, Linux, MemoryPolicy, Namespace, NamespaceKind, NetDevice,
    Personality, TimeOffset,
};
pub use process::{
    Capabilities, ConsoleSize, CpuAffinity, IoPriority, Process, Rlimit, Scheduler, User,
};
pub use resources::{
    BlockIo, BlockIoThrottle, BlockIoWeight, Cpu, DeviceRule, HugepageLimit, InterfacePriority,
    Memory, Network, Pids, Rdma, Resources,
};
pub use seccomp::{Action, Argument, Operator, Seccomp, SyscallRule};

use std::collections::BTreeMap;

/// The version of the runtime specification that these types follow.
pub const VERSION: &str = "1.3.0";

document! {
    /// A container's whole configuration: `config.json`.
    Spec {
        @required {
            /// Version of the specification that the document was written for.
            oci_version: String,
        }
        /// What to run.
        process: Option<Process>,
        /// The root file system.
        root: Option<Root>,
        /// Host name; needs a UTS namespace.
        hostname: String,
        /// NIS domain name; needs a UTS namespace.
        domainname: String,
        /// Mounts, made in this order.
        mounts: Vec<Mount>,
        /// Programs that the runtime calls on the way.
        hooks: Option<Hooks>,
        /// Free key and value pairs.
        annotations: BTreeMap<String, String>,
        /// Everything that only Linux has.
        linux: Option<Linux>,
    }
}

document! {
    /// The root file system.
    Root {
        @required {
            /// Its folder, absolute or relative to the bundle.
            path: String,
        }
        /// Whether it is read-only inside.
        readonly: bool,
    }
}

document! {
    /// One mount.
    Mount {
        @required {
            /// Where it appears, inside the container.
            destination: String,
        }
        /// File system type; `bind` and `none` are allowed for bind mounts.
        #[serde(rename = "type")]
        fstype: String,
        /// Device, folder or file.
        source: String,
        /// Options as mount(8) writes them.
        options: Vec<String>,
        /// Id-mapped mount: user ids.
        uid_mappings: Vec<IdMapping>,
        /// Id-mapped mount: group ids.
        gid_mappings: Vec<IdMapping>,
    }
}

document! {
    /// A range of ids and where it lies in the parent namespace.
    IdMapping {
        @required {
            /// First id inside.
            #[serde(rename = "containerID")]
            container_id: u32,
            /// First id outside.
            #[serde(rename = "hostID")]
            host_id: u32,
            /// How many.
            size: u32,
        }
    }
}

document! {
    /// The hooks of every phase.
    Hooks {
        /// Deprecated; as `create_runtime`, before it.
        prestart: Vec<Hook>,
        /// In the runtime's namespaces, once the container's exist.
        create_runtime: Vec<Hook>,
        /// In the container's namespaces, before the root is changed.
        create_container: Vec<Hook>,
        /// In the container, before the program.
        start_container: Vec<Hook>,
        /// In the runtime's namespaces, after the program was started.
        poststart: Vec<Hook>,
        /// In the runtime's namespaces, after the container was deleted.
        poststop: Vec<Hook>,
    }
}

document! {
    /// One hook.
    Hook {
        @required {
            /// The program, an absolute path.
            path: String,
        }
        /// Its arguments, the zeroth included.
        args: Vec<String>,
        /// Its environment.
        env: Vec<String>,
        /// Seconds after which it is killed.
        timeout: Option<i64>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_fields_are_left_out_and_required_ones_are_written() {
        let spec = Spec {
            oci_version: VERSION.to_owned(),
            mounts: vec![Mount { destination: "/proc".to_owned(), ..Mount::default() }],
            ..Spec::default()
        };
        assert_eq!(
            serde_json::to_string(&spec).unwrap(),
            r#"{"ociVersion":"1.3.0","mounts":[{"destination":"/proc"}]}"#
        );
    }

    #[test]
    fn null_and_unknown_fields_read_as_absent() {
        let spec: Spec = serde_json::from_str(
            r#"{"ociVersion":"1.0.2","mounts":null,"process":{"args":null,"cwd":"/","x":1},"y":{}}"#,
        )
        .unwrap();
        assert_eq!(spec.process.unwrap().cwd, "/");
        assert!(spec.mounts.is_empty());
    }

    #[test]
    fn an_array_is_no_object() {
        for text in [
            r#"{"root":["/path",false]}"#,
            r#"{"process":{"user":[1000,5]}}"#,
            r#"{"linux":{"seccomp":[]}}"#,
            r#"{"mounts":[["/proc"]]}"#,
            "[]",
        ] {
            let error = serde_json::from_str::<Spec>(text).unwrap_err().to_string();
            assert!(error.contains("expected an object"), "{text}: {error}");
        }
        assert_eq!(serde_json::from_str::<Spec>(r#"{"linux":null}"#).unwrap(), Spec::default());
    }

    #[test]
    fn names_with_capitals_survive_a_round_trip() {
        let text = r#"{"ociVersion":"1.3.0","linux":{"uidMappings":[{"containerID":0,"hostID":1000,"size":1}],"resources":{"devices":[{"allow":false,"access":"rwm"}],"memory":{"limit":4096,"disableOOMKiller":true},"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1}],"throttleReadIOPSDevice":[{"major":8,"minor":0,"rate":2}]},"network":{"classID":3}},"namespaces":[{"type":"network","path":"/proc/1/ns/net"}],"seccomp":{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,"architectures":["SCMP_ARCH_X86_64"],"syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"valueTwo":2,"op":"SCMP_CMP_MASKED_EQ"}]}]},"intelRdt":{"closID":"a","l3CacheSchema":"L3:0=f"}}}"#;
        let spec: Spec = serde_json::from_str(text).unwrap();
        let again: serde_json::Value = serde_json::to_value(&spec).unwrap();
        assert_eq!(again, serde_json::from_str::<serde_json::Value>(text).unwrap());
    }

    #[test]
    fn an_unknown_namespace_type_is_refused() {
        let text = r#"{"linux":{"namespaces":[{"type":"universe"}]}}"#;
        assert!(serde_json::from_str::<Spec>(text).is_err());
    }
}
