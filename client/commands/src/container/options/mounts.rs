//! `--volume`, `--mount` and `--tmpfs`.

use crate::flag::parse_bool;
use crate::quantity;
use contracts_engine_api::container::{
    BindOptions, ImageOptions, Member, Mount, MountDriver, TmpfsOptions, VolumeOptions,
};
use std::collections::BTreeMap;
use std::path::Path;

/// Binds and anonymous volumes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Volumes {
    pub(super) binds: Vec<String>,
    pub(super) anonymous: BTreeMap<String, Member>,
}

/// Reads `--volume` flags; relative paths start at `here`.
pub(super) fn volumes<'a>(
    flags: impl Iterator<Item = &'a str>,
    here: &Path,
) -> Result<Volumes, String> {
    let mut volumes = Volumes::default();
    for text in flags {
        match text.split_once(':') {
            None if text.is_empty() => {
                return Err("invalid empty volume spec".to_owned());
            }
            None => {
                volumes.anonymous.insert(text.to_owned(), Member {});
            }
            Some((source, target)) => {
                if source.is_empty() || target.split(':').any(str::is_empty) {
                    return Err(format!("invalid spec: {text}: empty section between colons"));
                }
                volumes.binds.push(format!("{}:{target}", absolute(source, here)));
            }
        }
    }
    Ok(volumes)
}

/// Only a path that begins with a dot is relative; other words are volumes' names.
fn absolute(source: &str, here: &Path) -> String {
    if source == "~" || source.starts_with("~/") {
        return source.to_owned();
    }
    if !source.starts_with('.') {
        return source.to_owned();
    }
    let mut path = here.to_path_buf();
    for part in Path::new(source).components() {
        match part {
            std::path::Component::ParentDir => {
                path.pop();
            }
            std::path::Component::CurDir => {}
            part => path.push(part),
        }
    }
    path.display().to_string()
}

/// Reads `--tmpfs PATH[:OPTIONS]`.
pub(super) fn tmpfs<'a>(flags: impl Iterator<Item = &'a str>) -> BTreeMap<String, String> {
    let split = |text: &'a str| text.split_once(':').unwrap_or((text, ""));
    flags.map(split).map(|(path, options)| (path.to_owned(), options.to_owned())).collect()
}

/// Reads `--mount type=…,source=…,target=…`.
pub(super) fn mount(text: &str, here: &Path) -> Result<Mount, String> {
    let mut mount = Mount { kind: "volume".to_owned(), ..Mount::default() };
    for field in csv(text) {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_ascii_lowercase(), Some(value)),
            None => (field.to_ascii_lowercase(), None),
        };
        match value {
            Some(value) => with_value(&mut mount, &key, value, here)?,
            None => without_value(&mut mount, &key, &field)?,
        }
    }
    check(&mount)?;
    Ok(mount)
}

/// Comma-separated fields, each possibly in double quotes.
fn csv(text: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields.last_mut().expect("there is always a last field").push(c),
        }
    }
    fields
}

fn without_value(mount: &mut Mount, key: &str, field: &str) -> Result<(), String> {
    match key {
        "readonly" | "ro" => mount.read_only = true,
        "volume-nocopy" => mount.volume_options.get_or_insert_default().no_copy = true,
        "bind-nonrecursive" => mount.bind_options.get_or_insert_default().non_recursive = true,
        _ => return Err(format!("invalid field '{field}' must be a key=value pair")),
    }
    Ok(())
}

fn with_value(mount: &mut Mount, key: &str, value: &str, here: &Path) -> Result<(), String> {
    let switch = || parse_bool(value).map_err(|_| format!("invalid value for {key}: {value}"));
    match key {
        "type" => mount.kind = value.to_ascii_lowercase(),
        "source" | "src" => {
            mount.source = if value.starts_with('.')
                && (value == "." || value.starts_with("./") || value.starts_with(".."))
            {
                absolute(value, here)
            } else {
                value.to_owned()
            };
        }
        "target" | "dst" | "destination" => value.clone_into(&mut mount.target),
        "readonly" | "ro" => mount.read_only = switch()?,
        "consistency" => mount.consistency = value.to_ascii_lowercase(),
        "bind-propagation" => {
            bind(mount).propagation = value.to_ascii_lowercase();
        }
        "bind-nonrecursive" => bind(mount).non_recursive = switch()?,
        "bind-recursive" => match value {
            "enabled" => {}
            "disabled" => bind(mount).non_recursive = true,
            "writable" => bind(mount).read_only_non_recursive = true,
            "readonly" => bind(mount).read_only_force_recursive = true,
            _ => {
                return Err(format!(
                    "invalid value for {key}: {value} (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")"
                ));
            }
        },
        "volume-subpath" => value.clone_into(&mut volume(mount).subpath),
        "image-subpath" => {
            let options: &mut ImageOptions = mount.image_options.get_or_insert_default();
            value.clone_into(&mut options.subpath);
        }
        "volume-nocopy" => volume(mount).no_copy = switch()?,
        "volume-label" => {
            let (name, label) = value.split_once('=').unwrap_or((value, ""));
            let labels = volume(mount).labels.get_or_insert_default();
            labels.insert(name.to_owned(), label.to_owned());
        }
        "volume-driver" => value.clone_into(&mut driver(mount).name),
        "volume-opt" => {
            let (name, option) = value.split_once('=').unwrap_or((value, ""));
            let options = driver(mount).options.get_or_insert_default();
            options.insert(name.to_owned(), option.to_owned());
        }
        "tmpfs-size" => {
            let size = quantity::parse_bytes(value);
            tmpfs_options(mount).size_bytes =
                size.map_err(|_| format!("invalid value for {key}: {value}"))?;
        }
        "tmpfs-mode" => {
            let mode = u32::from_str_radix(value, 8);
            tmpfs_options(mount).mode =
                mode.map_err(|_| format!("invalid value for {key}: {value}"))?;
        }
        _ => return Err(format!("unexpected key '{key}' in '{key}={value}'")),
    }
    Ok(())
}

fn bind(mount: &mut Mount) -> &mut BindOptions {
    mount.bind_options.get_or_insert_default()
}

fn volume(mount: &mut Mount) -> &mut VolumeOptions {
    mount.volume_options.get_or_insert_default()
}

fn driver(mount: &mut Mount) -> &mut MountDriver {
    volume(mount).driver_config.get_or_insert_default()
}

fn tmpfs_options(mount: &mut Mount) -> &mut TmpfsOptions {
    mount.tmpfs_options.get_or_insert_default()
}

fn check(mount: &Mount) -> Result<(), String> {
    if mount.kind.is_empty() {
        return Err("type is required".to_owned());
    }
    if mount.target.is_empty() {
        return Err("target is required".to_owned());
    }
    for (options, kind, given) in [
        ("bind", "bind", mount.bind_options.is_some()),
        ("volume", "volume", mount.volume_options.is_some()),
        ("image", "image", mount.image_options.is_some()),
        ("tmpfs", "tmpfs", mount.tmpfs_options.is_some()),
    ] {
        if given && mount.kind != kind {
            return Err(format!(
                "cannot mix '{options}-*' options with mount type '{}'",
                mount.kind
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_names_paths_or_anonymous() {
        let flags = ["/data", "name:/a", "./x/../y:/b:ro", "/c:/d"];
        let volumes = volumes(flags.into_iter(), Path::new("/here")).unwrap();
        assert_eq!(volumes.binds, ["name:/a", "/here/y:/b:ro", "/c:/d"]);
        assert!(volumes.anonymous.contains_key("/data"));
        for bad in [":x", "a:", "a::b", "a:/b:"] {
            assert!(super::volumes([bad].into_iter(), Path::new("/")).is_err(), "{bad}");
        }
    }

    #[test]
    fn mounts_are_read_with_their_options() {
        let text = "type=bind,\"source=/a,b\",target=/c,readonly,bind-propagation=rslave";
        let mount = mount(text, Path::new("/")).unwrap();
        assert_eq!((mount.source.as_str(), mount.read_only), ("/a,b", true));
        assert_eq!(mount.bind_options.unwrap().propagation, "rslave");
        let mount = super::mount("type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1777", Path::new("/"));
        let options = mount.unwrap().tmpfs_options.unwrap();
        assert_eq!((options.size_bytes, options.mode), (1 << 20, 0o1777));
    }

    #[test]
    fn wrong_mounts_are_told() {
        let wrong = |text| mount(text, Path::new("/")).unwrap_err();
        assert_eq!(wrong("type=bind,source=/a"), "target is required");
        assert_eq!(wrong("foo"), "invalid field 'foo' must be a key=value pair");
        assert_eq!(wrong("foo=1,target=/a"), "unexpected key 'foo' in 'foo=1'");
        assert_eq!(
            wrong("type=bind,source=/a,target=/b,volume-nocopy"),
            "cannot mix 'volume-*' options with mount type 'bind'"
        );
    }
}
