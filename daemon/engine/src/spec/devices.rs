//! Devices of the host that a container gets. The paths are the host's: an administrator named
//! them, nothing of a container's is looked at.

use super::resources::{default_device_rules, split_device};
use crate::error::{Error, Result};
use base_oci::runtime::{Device, DeviceKind, DeviceRule};
use contracts_engine_api::container::{DeviceMapping, HostConfig};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

/// How deep a folder of devices is walked.
const MAX_DEPTH: usize = 8;
/// Parts of `/dev` that a container has of its own.
const OWN: [&str; 8] = ["pts", "shm", "fd", "mqueue", "console", ".lxc", ".lxd-mounts", ".udev"];

/// A host device's numbers.
pub(super) struct Numbers {
    kind: DeviceKind,
    pub(super) major: i64,
    pub(super) minor: i64,
    mode: u32,
    uid: u32,
    gid: u32,
}

/// Looks at a device node, through symbolic links.
pub(super) fn stat(path: &str) -> io::Result<Numbers> {
    let metadata = std::fs::metadata(path)?;
    let kind = if metadata.file_type().is_block_device() {
        DeviceKind::Block
    } else if metadata.file_type().is_char_device() {
        DeviceKind::Character
    } else {
        return Err(io::Error::other("not a device node"));
    };
    let (major, minor) = split_device(&metadata);
    let mode = metadata.permissions().mode() & 0o7777;
    Ok(Numbers { kind, major, minor, mode, uid: metadata.uid(), gid: metadata.gid() })
}

/// The device nodes to make and the rules for their use.
pub(super) fn all(host: &HostConfig) -> Result<(Vec<Device>, Vec<DeviceRule>)> {
    if host.privileged {
        let mut devices = Vec::new();
        walk(Path::new("/dev"), "/dev", MAX_DEPTH, &mut devices);
        let everything =
            DeviceRule { allow: true, access: "rwm".to_owned(), ..DeviceRule::default() };
        return Ok((devices, vec![everything]));
    }
    let mut devices = Vec::new();
    let mut rules = default_device_rules();
    for mapping in host.devices.iter().flatten() {
        for device in mapped(mapping)? {
            rules.push(DeviceRule {
                allow: true,
                kind: Some(device.kind),
                major: device.major,
                minor: device.minor,
                access: permissions(mapping).to_owned(),
            });
            devices.push(device);
        }
    }
    for text in host.device_cgroup_rules.iter().flatten() {
        rules.push(parse_rule(text)?);
    }
    Ok((devices, rules))
}

fn permissions(mapping: &DeviceMapping) -> &str {
    if mapping.cgroup_permissions.is_empty() { "rwm" } else { &mapping.cgroup_permissions }
}

fn mapped(mapping: &DeviceMapping) -> Result<Vec<Device>> {
    let source = Path::new(&mapping.path_on_host);
    let inside = if mapping.path_in_container.is_empty() {
        &mapping.path_on_host
    } else {
        &mapping.path_in_container
    };
    if source.is_dir() {
        let mut devices = Vec::new();
        walk(source, inside, MAX_DEPTH, &mut devices);
        if !devices.is_empty() {
            return Ok(devices);
        }
    }
    let path = &mapping.path_on_host;
    stat(path).map(|numbers| vec![node(inside, &numbers)]).map_err(|error| {
        let why = match error.kind() {
            io::ErrorKind::NotFound => "no such file or directory".to_owned(),
            _ => error.to_string(),
        };
        Error::internal_text(format!(
            "error gathering device information while adding custom device {path:?}: {why}"
        ))
    })
}

fn node(path: &str, numbers: &Numbers) -> Device {
    Device {
        path: path.to_owned(),
        kind: numbers.kind,
        major: Some(numbers.major),
        minor: Some(numbers.minor),
        file_mode: Some(numbers.mode),
        uid: Some(numbers.uid),
        gid: Some(numbers.gid),
    }
}

fn walk(folder: &Path, inside: &str, depth: usize, devices: &mut Vec<Device>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let (path, target) = (entry.path(), format!("{inside}/{name}"));
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            if depth > 0 && !(inside == "/dev" && OWN.contains(&name.as_str())) {
                walk(&path, &target, depth - 1, devices);
            }
        } else if (kind.is_char_device() || kind.is_block_device())
            && name != "console"
            && let Ok(numbers) = stat(&path.to_string_lossy())
        {
            devices.push(node(&target, &numbers));
        }
    }
}

/// Reads `c 1:3 rwm` (`--device-cgroup-rule`).
fn parse_rule(text: &str) -> Result<DeviceRule> {
    let invalid = || Error::invalid(format!("invalid device cgroup rule format: '{text}'"));
    let parts: Vec<&str> = text.split_whitespace().collect();
    let [kind, numbers, access] = parts[..] else { return Err(invalid()) };
    let (major, minor) = numbers.split_once(':').ok_or_else(invalid)?;
    let number = |part: &str| match part {
        "*" => Ok(None),
        digits => digits.parse::<i64>().map(Some).map_err(|_| invalid()),
    };
    if access.is_empty() || access.len() > 3 || !access.bytes().all(|b| b"rwm".contains(&b)) {
        return Err(invalid());
    }
    let kind = match kind {
        "a" => DeviceKind::All,
        "b" => DeviceKind::Block,
        "c" => DeviceKind::Character,
        _ => return Err(invalid()),
    };
    Ok(DeviceRule {
        allow: true,
        kind: Some(kind),
        major: number(major)?,
        minor: number(minor)?,
        access: access.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_null_device_has_its_numbers() {
        let null = stat("/dev/null").unwrap();
        assert_eq!((null.major, null.minor), (1, 3));
    }

    #[test]
    fn rules_are_read_and_bad_ones_refused() {
        let rule = parse_rule("c 10:* rw").unwrap();
        assert_eq!((rule.major, rule.minor, rule.access.as_str()), (Some(10), None, "rw"));
        for bad in ["", "c", "c 1 rw", "d 1:1 r", "c 1:x r", "c 1:1 rwx"] {
            assert!(parse_rule(bad).is_err(), "{bad}");
        }
    }
}
