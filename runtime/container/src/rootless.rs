//! What an ordinary user's configuration must have, told before anything is made.
//!
//! The words are runc's where it has some.

use crate::error::Error;
use crate::namespaces::Namespaces;
use crate::user_namespace;
use base_oci::runtime::{IdMapping, Linux, Mount, NamespaceKind, Spec, User};

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
    if let Some(process) = &spec.process
        && namespaces.makes(NamespaceKind::User)
    {
        check_user(&process.user, linux)?;
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

/// Checks that the process can become its user.
fn check_user(user: &User, linux: &Linux) -> Result<(), Error> {
    let own = rustix::process::getegid().as_raw();
    if !user.additional_gids.is_empty() && user_namespace::forbids_groups(&linux.gid_mappings, own)
    {
        return Err(Error::Configuration(
            "cannot set any additional groups in a rootless container that has the user's own group \
             alone"
                .to_owned(),
        ));
    }
    let groups = std::iter::once(&user.gid).chain(&user.additional_gids);
    let groups = groups.map(|gid| ("group", *gid, &linux.gid_mappings));
    for (what, id, maps) in std::iter::once(("user", user.uid, &linux.uid_mappings)).chain(groups) {
        if !is_mapped(id, maps) {
            return Err(Error::Configuration(format!(
                "{what} {id} of the process is not mapped in its user namespace"
            )));
        }
    }
    Ok(())
}

/// Whether an id inside has one outside.
fn is_mapped(id: u32, maps: &[IdMapping]) -> bool {
    let holds =
        |map: &IdMapping| id.checked_sub(map.container_id).is_some_and(|offset| offset < map.size);
    maps.iter().any(holds)
}

/// Checks that a file system's owner is somebody inside.
fn check_owner(mount: &Mount, key: &str, maps: &[IdMapping]) -> Result<(), Error> {
    for option in &mount.options {
        let Some(id) = option.strip_prefix(key).and_then(|id| id.parse::<u32>().ok()) else {
            continue;
        };
        if !is_mapped(id, maps) {
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

    fn with_user(maps: &str, user: &str) -> String {
        let process = format!(r#"{{"process":{{"user":{{{user}}}}},"#);
        config(maps, r#""options":[]"#).replacen('{', &process, 1)
    }

    #[test]
    fn what_only_root_may_do_is_told_before_anything_is_made() {
        let map = r#"[{"containerID":0,"hostID":1000,"size":1}]"#;
        assert_eq!(message(&config(map, r#""options":["gid=0","uid=0"]"#)), None);
        for (config, words) in [
            (with_user(map, r#""uid":5,"gid":0"#), "user 5 of the process is not mapped"),
            (with_user(map, r#""uid":0,"gid":0,"additionalGids":[7]"#), "7 of the process"),
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
