//! What runs: arguments, environment, identity, limits.

document! {
    /// A process of a container: its init, or one that `exec` adds.
    Process {
        @required {
            /// Who it runs as, in the container's ids.
            user: User,
            /// Working directory, absolute.
            cwd: String,
        }
        /// Whether it gets a pseudo-terminal.
        terminal: bool,
        /// The terminal's size at the start.
        console_size: Option<ConsoleSize>,
        /// Program and arguments.
        args: Vec<String>,
        /// Environment, `NAME=value`.
        env: Vec<String>,
        /// Capability sets; absent means none at all.
        capabilities: Option<Capabilities>,
        /// Resource limits.
        rlimits: Vec<Rlimit>,
        /// Whether exec may never add privileges.
        no_new_privileges: bool,
        /// AppArmor profile.
        apparmor_profile: String,
        /// Adjustment of the out-of-memory score.
        oom_score_adj: Option<i32>,
        /// SELinux label.
        selinux_label: String,
        /// `ioprio_set(2)`.
        io_priority: Option<IoPriority>,
        /// `sched_setattr(2)`.
        scheduler: Option<Scheduler>,
        /// CPUs for `exec`.
        #[serde(rename = "execCPUAffinity")]
        exec_cpu_affinity: Option<CpuAffinity>,
    }
}

document! {
    /// A terminal's size in cells.
    ConsoleSize {
        @required {
            /// Rows.
            height: u64,
            /// Columns.
            width: u64,
        }
    }
}

document! {
    /// Identity inside the container.
    User {
        @required {
            /// User id.
            uid: u32,
            /// Group id.
            gid: u32,
        }
        /// File mode creation mask.
        umask: Option<u32>,
        /// Supplementary groups.
        additional_gids: Vec<u32>,
        /// Not used on Linux.
        username: String,
    }
}

document! {
    /// Capability sets, names as `CAP_CHOWN`.
    Capabilities {
        /// Upper bound over every exec.
        bounding: Vec<String>,
        /// Those in force.
        effective: Vec<String>,
        /// Those that a program file may take over.
        inheritable: Vec<String>,
        /// Those that may be put in force.
        permitted: Vec<String>,
        /// Those that survive the exec of an ordinary program.
        ambient: Vec<String>,
    }
}

document! {
    /// One resource limit.
    Rlimit {
        @required {
            /// `RLIMIT_NOFILE` and so on.
            #[serde(rename = "type")]
            kind: String,
            /// Ceiling.
            hard: u64,
            /// In force.
            soft: u64,
        }
    }
}

document! {
    /// I/O priority.
    IoPriority {
        @required {
            /// `IOPRIO_CLASS_RT`, `IOPRIO_CLASS_BE` or `IOPRIO_CLASS_IDLE`.
            class: String,
            /// Priority within the class.
            priority: i32,
        }
    }
}

document! {
    /// Scheduling policy.
    Scheduler {
        @required {
            /// `SCHED_OTHER` and so on.
            policy: String,
        }
        /// Nice value.
        nice: Option<i32>,
        /// Static priority.
        priority: Option<i32>,
        /// `SCHED_FLAG_…`.
        flags: Vec<String>,
        /// Deadline policy: runtime in nanoseconds.
        runtime: Option<u64>,
        /// Deadline policy: deadline in nanoseconds.
        deadline: Option<u64>,
        /// Deadline policy: period in nanoseconds.
        period: Option<u64>,
    }
}

document! {
    /// CPUs of an exec'd process, as lists (`0-3,7`).
    CpuAffinity {
        /// While it is set up, before it joins the cgroup.
        initial: String,
        /// Afterwards.
        r#final: String,
    }
}
