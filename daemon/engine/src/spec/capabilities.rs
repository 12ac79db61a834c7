//! Capabilities by name.

use crate::error::{Error, Result};

/// What every container has unless it drops it.
pub(crate) const DEFAULT: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// Every capability, in the kernel's order (capability.h).
const ALL: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// The capabilities that this daemon may give: those in its own bounding set.
pub(crate) fn available() -> Vec<String> {
    let bounding = std::fs::read_to_string("/proc/self/status").ok().and_then(|status| {
        let line = status.lines().find_map(|line| line.strip_prefix("CapBnd:"))?;
        u64::from_str_radix(line.trim(), 16).ok()
    });
    let bounding = bounding.unwrap_or(u64::MAX);
    let given = ALL.iter().enumerate().filter(|(bit, _)| bounding & (1 << bit) != 0);
    given.map(|(_, name)| (*name).to_owned()).collect()
}

/// `net_admin`, `NET_ADMIN` and `CAP_NET_ADMIN` as the kernel's name; `ALL` stays.
pub(crate) fn normalize(option: &str, names: &[String]) -> Result<Vec<String>> {
    let one = |name: &String| {
        let upper = name.to_ascii_uppercase();
        if upper == "ALL" {
            return Ok(upper);
        }
        let full = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
        if ALL.contains(&full.as_str()) {
            Ok(full)
        } else {
            Err(Error::invalid(format!("invalid {option}: unknown capability: \"{full}\"")))
        }
    };
    names.iter().map(one).collect()
}

/// The set of a container; `add` and `drop` are normalized.
pub(crate) fn resolve(
    privileged: bool,
    add: &[String],
    drop: &[String],
    available: &[String],
) -> Vec<String> {
    let has = |list: &[String], name: &str| list.iter().any(|one| one == name);
    if privileged {
        return available.to_vec();
    }
    let base: Vec<String> = match (has(add, "ALL"), has(drop, "ALL")) {
        (true, _) => available.iter().filter(|name| !has(drop, name)).cloned().collect(),
        (false, true) => Vec::new(),
        (false, false) => {
            let kept = DEFAULT.iter().filter(|name| !has(drop, name));
            kept.map(|name| (*name).to_owned()).collect()
        }
    };
    let mut set = base;
    for name in add.iter().filter(|name| *name != "ALL") {
        if !set.contains(name) {
            set.push(name.clone());
        }
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn names_are_taken_in_any_form_and_unknown_ones_refused() {
        let all = normalize("CapAdd", &names(&["net_admin", "CAP_SYS_TIME", "all"])).unwrap();
        assert_eq!(all, ["CAP_NET_ADMIN", "CAP_SYS_TIME", "ALL"]);
        assert_eq!(
            normalize("CapAdd", &names(&["x"])).unwrap_err().to_string(),
            "invalid CapAdd: unknown capability: \"CAP_X\""
        );
    }

    #[test]
    fn dropping_all_and_adding_one_leaves_one() {
        let all = names(&ALL);
        let resolve = |add: &[&str], drop: &[&str]| resolve(false, &names(add), &names(drop), &all);
        assert_eq!(resolve(&["CAP_CHOWN"], &["ALL"]), ["CAP_CHOWN"]);
        assert_eq!(resolve(&[], &[]).len(), 14);
        assert_eq!(resolve(&[], &["CAP_CHOWN"]).len(), 13);
        assert_eq!(resolve(&["ALL"], &["CAP_SYS_ADMIN"]).len(), 40);
        assert_eq!(resolve(&["CAP_SYS_ADMIN"], &[]).len(), 15);
    }
}
