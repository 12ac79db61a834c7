//! Capabilities by name.

use crate::error::{Error, Result};
use base_oci::capabilities::NAMES;

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

/// The capabilities that this daemon may give: those in its own bounding set.
pub(crate) fn available() -> Vec<String> {
    let bounding = std::fs::read_to_string("/proc/self/status").ok().and_then(|status| {
        let line = status.lines().find_map(|line| line.strip_prefix("CapBnd:"))?;
        u64::from_str_radix(line.trim(), 16).ok()
    });
    let bounding = bounding.unwrap_or(u64::MAX);
    let given = NAMES.iter().enumerate().filter(|(bit, _)| bounding & (1 << bit) != 0);
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
        if NAMES.contains(&full.as_str()) {
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
        let all = names(&NAMES);
        let resolve = |add: &[&str], drop: &[&str]| resolve(false, &names(add), &names(drop), &all);
        assert_eq!(resolve(&["CAP_CHOWN"], &["ALL"]), ["CAP_CHOWN"]);
        assert_eq!(resolve(&[], &[]).len(), 14);
        assert_eq!(resolve(&[], &["CAP_CHOWN"]).len(), 13);
        assert_eq!(resolve(&["ALL"], &["CAP_SYS_ADMIN"]).len(), 40);
        assert_eq!(resolve(&["CAP_SYS_ADMIN"], &[]).len(), 15);
    }
}
