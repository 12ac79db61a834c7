//! What an ordinary user's configuration must have, told before anything is made.
//!
//! The words are runc's where it has some.

use crate::error::Error;
use crate::namespaces::Namespaces;
use base_oci::runtime::{IdMapping, Linux, Mount, NamespaceKind, Spec};

/// Checks a configuration for a caller who is not root.
pub(crate) fn check(spec: &Spec, linux: &Linux, namespaces: &Namespaces) -> Result<(), Error> {
    let wrong = |text: &str| Err(Error::Configuration(text.to_owned()));
    if !namespaces.has_user() {
        return wrong(
            "rootless container requires user namespaces (see `spec --rootless` for one that has all \
             that is needed)",
        );
    }
    if namespaces.makes(NamespaceKind::User) {
        if linux.uid_mappings.is_empty() {
            return wrong("rootless containers requires at least one UID mapping");
        }
        if linux.gid_mappings.is_empty() {
            return wrong("rootless containers requires at least one GID mapping");
        }
        for mount in &spec.mounts {
            check_owner(mount, "uid=", &linux.uid_mappings)?;
            check_owner(mount, "gid=", &linux.gid_mappings)?;
        }
    }
    let maps_ids = |mount: &Mount| {
        let is_option = |option: &String| matches!(option.as_str(), "idmap" | "ridmap");
        !mount.uid_mappings.is_empty() || mount.options.iter().any(is_option)
    };
    match spec.mounts.iter().find(|mount| maps_ids(mount)) {
        Some(mount) => wrong(&format!(
            "mount {:?} has mapped ids, which only root may make",
            mount.destination
        )),
        None => Ok(()),
    }
}

/// Checks that a file system's owner is somebody inside.
fn check_owner(mount: &Mount, key: &str, maps: &[IdMapping]) -> Result<(), Error> {
    for option in &mount.options {
        let Some(id) = option.strip_prefix(key).and_then(|id| id.parse::<u32>().ok()) else {
            continue;
        };
        let holds = |map: &IdMapping| {
            id.checked_sub(map.container_id).is_some_and(|offset| offset < map.size)
        };
        if !maps.iter().any(holds) {
            return Err(Error::Configuration(format!(
                "cannot specify {option} mount option for rootless container: no mapping has that id \
                 (mount {:?})",
                mount.destination
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(config: &str) -> Option<String> {
        let spec: Spec = serde_json::from_str(config).unwrap();
        let linux = spec.linux.clone().unwrap();
        let namespaces = Namespaces::open(&linux).unwrap();
        check(&spec, &linux, &namespaces).err().map(|error| error.to_string())
    }

    fn config(maps: &str, mount: &str) -> String {
        format!(
            r#"{{"mounts":[{{"destination":"/x","type":"tmpfs",{mount}}}],"linux":{{
                "namespaces":[{{"type":"user"}}],"uidMappings":{maps},"gidMappings":{maps}}}}}"#
        )
    }

    #[test]
    fn what_only_root_may_do_is_told_before_anything_is_made() {
        let map = r#"[{"containerID":0,"hostID":1000,"size":1}]"#;
        assert_eq!(message(&config(map, r#""options":["gid=0","uid=0"]"#)), None);
        for (config, words) in [
            (r#"{"linux":{"namespaces":[]}}"#.to_owned(), "requires user namespaces"),
            (config("[]", r#""options":[]"#), "at least one UID mapping"),
            (config(map, r#""options":["gid=5"]"#), "cannot specify gid=5"),
            (config(map, r#""options":["ridmap"]"#), "only root may make"),
        ] {
            let text = message(&config).unwrap_or_default();
            assert!(text.contains(words), "{text}");
        }
    }
}
