//! Whose runtime this is: the host's root's, or that of somebody with fewer rights.

use crate::failure::Failure;
use runtime_container::is_without_return;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::PathBuf;

/// What `--rootless` says: new containers do without cgroups that may not be made. As under runc,
/// `auto` is so for whoever is not root, and for root of a user namespace.
pub(crate) fn is_rootless(flag: &str) -> Result<bool, Failure> {
    match flag.to_ascii_lowercase().as_str() {
        "" | "auto" => Ok(is_without_return()),
        "true" | "t" | "1" => Ok(true),
        "false" | "f" | "0" => Ok(false),
        _ => Err(Failure::Usage(format!(
            "invalid value {flag:?} for --rootless: it is true, false or auto"
        ))),
    }
}

/// Where containers' state is when `--root` does not say: below `XDG_RUNTIME_DIR` for whoever is not
/// the host's root, in a folder that is made with the sticky bit, so that nobody tidies it away (XDG
/// Base Directory Specification).
pub(crate) fn default_root() -> Result<PathBuf, Failure> {
    let is_hosts_root = || {
        let is_root = rustix::process::geteuid().is_root();
        let is_called_root = std::env::var_os("USER").is_some_and(|user| user == "root");
        is_root && (!is_without_return() || is_called_root)
    };
    let folder = std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty());
    let folder = match folder {
        Some(folder) if !is_hosts_root() => folder,
        None if !rustix::process::geteuid().is_root() => {
            return Err(Failure::Other(
                "XDG_RUNTIME_DIR is not set: name a folder for the state of containers with --root"
                    .to_owned(),
            ));
        }
        _ => return Ok(PathBuf::from("/run/gantry-runtime")),
    };
    let root = PathBuf::from(folder).join("gantry-runtime");
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&root)
        .and_then(|()| std::fs::set_permissions(&root, PermissionsExt::from_mode(0o1700)))
        .map_err(|error| {
            let root = root.display();
            Failure::Other(format!(
                "make {root} in $XDG_RUNTIME_DIR: {error} (name another folder with --root)"
            ))
        })?;
    Ok(root)
}

/// The name of a user who is given by number; none is root. Who has no name is `#NUMBER`.
pub(crate) fn user_name(number: &str) -> String {
    if number.is_empty() {
        return "root".to_owned();
    }
    let named = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    };
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    passwd.lines().find_map(named).unwrap_or_else(|| format!("#{number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rootless_is_told_by_word_and_nothing_else() {
        assert!(is_rootless("true").unwrap() && is_rootless("1").unwrap());
        assert!(!is_rootless("FALSE").unwrap());
        assert!(is_rootless("auto").is_ok() && is_rootless("").is_ok());
        assert!(is_rootless("maybe").is_err());
    }

    #[test]
    fn users_have_names_or_numbers() {
        assert_eq!(user_name(""), "root");
        assert_eq!(user_name("0"), "root");
        assert_eq!(user_name("4294967290"), "#4294967290");
    }
}
