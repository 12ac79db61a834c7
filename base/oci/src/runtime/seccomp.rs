//! The system call filter.

use serde::{Deserialize, Serialize};

document! {
    /// A system call filter.
    Seccomp {
        /// What happens to calls that no rule matches. A filter must have it; without it, and
        /// without rules, there is none.
        default_action: Option<Action>,
        /// The errno of `default_action` where it has one.
        default_errno_ret: Option<u32>,
        /// `SCMP_ARCH_X86_64` and so on.
        architectures: Vec<String>,
        /// `SECCOMP_FILTER_FLAG_…`.
        flags: Vec<String>,
        /// Socket that receives the notification descriptor.
        listener_path: String,
        /// Passed to that socket.
        listener_metadata: String,
        /// The rules.
        syscalls: Vec<SyscallRule>,
    }
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Action {
    /// The thread dies.
    #[serde(rename = "SCMP_ACT_KILL")]
    Kill,
    /// The process dies.
    #[serde(rename = "SCMP_ACT_KILL_PROCESS")]
    KillProcess,
    /// The thread dies.
    #[serde(rename = "SCMP_ACT_KILL_THREAD")]
    KillThread,
    /// SIGSYS.
    #[serde(rename = "SCMP_ACT_TRAP")]
    Trap,
    /// The call fails.
    #[serde(rename = "SCMP_ACT_ERRNO")]
    Errno,
    /// A tracer decides.
    #[serde(rename = "SCMP_ACT_TRACE")]
    Trace,
    /// The call is made.
    #[serde(rename = "SCMP_ACT_ALLOW")]
    Allow,
    /// The call is made and logged.
    #[serde(rename = "SCMP_ACT_LOG")]
    Log,
    /// A listener decides.
    #[serde(rename = "SCMP_ACT_NOTIFY")]
    Notify,
}

document! {
    /// A rule for some system calls.
    SyscallRule {
        @required {
            /// Their names.
            names: Vec<String>,
        }
        /// What happens to them. A filter's rules must have it.
        action: Option<Action>,
        /// The errno of `action` where it has one.
        errno_ret: Option<u32>,
        /// Conditions, all of which must hold.
        args: Vec<Argument>,
    }
}

document! {
    /// A condition on one argument.
    Argument {
        @required {
            /// Which argument, from 0.
            index: u32,
            /// What it is compared with.
            value: u64,
        }
        /// For `SCMP_CMP_MASKED_EQ`: the value after masking with `value`.
        value_two: Option<u64>,
        /// The comparison. A filter's conditions must have it.
        op: Option<Operator>,
    }
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Operator {
    /// Not equal.
    #[serde(rename = "SCMP_CMP_NE")]
    NotEqual,
    /// Less.
    #[serde(rename = "SCMP_CMP_LT")]
    Less,
    /// Less or equal.
    #[serde(rename = "SCMP_CMP_LE")]
    LessOrEqual,
    /// Equal.
    #[serde(rename = "SCMP_CMP_EQ")]
    Equal,
    /// Greater or equal.
    #[serde(rename = "SCMP_CMP_GE")]
    GreaterOrEqual,
    /// Greater.
    #[serde(rename = "SCMP_CMP_GT")]
    Greater,
    /// Equal after masking.
    #[serde(rename = "SCMP_CMP_MASKED_EQ")]
    MaskedEqual,
}
