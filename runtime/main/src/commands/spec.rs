//! `spec`: a configuration to begin with.

use super::document;
use crate::Global;
use crate::arguments::Parsed;
use crate::failure::Failure;
use serde_json::{Value, json};
use std::path::Path;

/// As runc's: nothing that its user would not want to see and change.
const EXAMPLE: &str = include_str!("spec/config.json");

/// `spec`.
pub(crate) fn spec(_: &Global, parsed: &Parsed) -> Result<u8, Failure> {
    let bundle = Path::new(parsed.flags.value("bundle").unwrap_or("."));
    let path = bundle.join("config.json");
    if path.exists() {
        return Err(Failure::Other("File config.json exists. Remove it first".to_owned()));
    }
    let text = if parsed.flags.has("rootless") {
        format!("{}\n", document::pretty(&rootless()?)?)
    } else {
        EXAMPLE.to_owned()
    };
    std::fs::write(&path, text)
        .map_err(|error| Failure::Other(format!("write {}: {error}", path.display())))?;
    Ok(0)
}

/// The same for a user without privileges: their own ids mapped, nothing that needs the host's.
fn rootless() -> Result<Value, Failure> {
    let mut spec: Value =
        serde_json::from_str(EXAMPLE).map_err(|error| Failure::Other(error.to_string()))?;
    let map = |id: u32| json!([{"containerID": 0, "hostID": id, "size": 1}]);
    let linux = &mut spec["linux"];
    linux["uidMappings"] = map(rustix::process::geteuid().as_raw());
    linux["gidMappings"] = map(rustix::process::getegid().as_raw());
    if let Some(linux) = linux.as_object_mut() {
        linux.shift_remove("resources");
    }
    if let Some(namespaces) = linux["namespaces"].as_array_mut() {
        namespaces.retain(|namespace| namespace["type"] != "network");
        namespaces.push(json!({"type": "user"}));
    }
    if let Some(mounts) = spec["mounts"].as_array_mut() {
        for mount in mounts {
            if mount["destination"] == "/sys" {
                *mount = json!({
                    "destination": "/sys", "type": "none", "source": "/sys",
                    "options": ["rbind", "nosuid", "noexec", "nodev", "ro"],
                });
            } else if let Some(options) = mount.get_mut("options").and_then(Value::as_array_mut) {
                // Ids that are not mapped.
                options.retain(|option| {
                    let option = option.as_str().unwrap_or_default();
                    !option.starts_with("gid=") && !option.starts_with("uid=")
                });
            }
        }
    }
    Ok(spec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base_oci::runtime::{NamespaceKind, Spec, VERSION};

    #[test]
    fn the_examples_are_configurations_of_this_version() {
        let spec: Spec = serde_json::from_str(EXAMPLE).unwrap();
        assert_eq!(spec.oci_version, VERSION);
        assert_eq!(serde_json::to_string_pretty(&spec).unwrap() + "\n", EXAMPLE);
        let spec: Spec = serde_json::from_value(rootless().unwrap()).unwrap();
        let linux = spec.linux.unwrap();
        assert!(linux.resources.is_none() && linux.uid_mappings.len() == 1);
        let kinds: Vec<_> = linux.namespaces.iter().map(|namespace| namespace.kind).collect();
        assert!(kinds.contains(&NamespaceKind::User) && !kinds.contains(&NamespaceKind::Network));
        let mount = |place| spec.mounts.iter().find(|mount| mount.destination == place).unwrap();
        assert_eq!(mount("/sys").fstype, "none");
        // It hides the cgroups that the bind mount of /sys shows.
        assert_eq!(mount("/sys/fs/cgroup").fstype, "cgroup");
        assert!(!mount("/dev/pts").options.contains(&"gid=5".to_owned()));
    }
}
