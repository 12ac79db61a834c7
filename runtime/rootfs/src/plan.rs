//! What is to be mounted, made and hidden: the configuration, read and checked.

use crate::cgroups::CgroupMounts;
use crate::devices::DeviceNode;
use crate::label::MountLabel;
use crate::mounts::{change_propagation, detached, map_ids};
use crate::options::{MS_SHARED, MS_SLAVE, Options, propagation};
use crate::{Error, refused};
use base_oci::runtime::{IdMapping, Linux, Mount, NamespaceKind, Spec};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

/// What [`Plan::new`] reads.
#[derive(Debug)]
pub struct Request<'a> {
    /// The configuration.
    pub spec: &'a Spec,
    /// The bundle, absolute.
    pub bundle: &'a Path,
    /// Mounts of which the root is made; when empty it is `spec.root.path` as it is.
    pub base: Vec<BaseMount>,
    /// What a mount of type `cgroup` shows.
    pub cgroups: CgroupMounts,
    /// The SELinux label of new file systems; empty for none.
    pub mount_label: &'a str,
}

/// A mount of which the root is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseMount {
    /// `overlay`, `bind` and so on.
    pub fstype: String,
    /// Source.
    pub source: String,
    /// Where below the root; empty for the root itself.
    pub target: String,
    /// Options as mount(8) writes them.
    pub options: Vec<String>,
}

/// A mount that the container's first process makes.
#[derive(Debug)]
pub(crate) struct PlannedMount {
    pub(crate) destination: PathBuf,
    pub(crate) fstype: String,
    pub(crate) source: String,
    pub(crate) options: Options,
    /// Whose ids it shows, if not the host's.
    idmap: Option<IdMap>,
    /// What [`Plan::open_sources`] opened: not attached anywhere yet.
    pub(crate) opened: Option<OwnedFd>,
}

/// The ids of an id-mapped mount.
#[derive(Clone, Debug, PartialEq)]
pub enum IdMap {
    /// Those of the container's user namespace.
    Container,
    /// These.
    Own {
        /// User ids.
        uids: Vec<IdMapping>,
        /// Group ids.
        gids: Vec<IdMapping>,
    },
}

impl PlannedMount {
    /// Whether it is a new procfs or sysfs: all that is in it is the kernel's.
    pub(crate) fn is_of_kernel(&self) -> bool {
        matches!(self.fstype.as_str(), "proc" | "sysfs")
            && self.options.bind.is_none()
            && !self.options.remount
    }
}

/// Everything about a root file system, read and checked.
#[derive(Debug)]
pub struct Plan {
    pub(crate) root: PathBuf,
    pub(crate) base: Vec<PlannedMount>,
    pub(crate) readonly: bool,
    pub(crate) propagation: Option<(u64, bool)>,
    pub(crate) mounts: Vec<PlannedMount>,
    /// Empty when `/dev` is somebody else's.
    pub(crate) devices: Vec<DeviceNode>,
    pub(crate) owns_dev: bool,
    pub(crate) masked: Vec<PathBuf>,
    pub(crate) readonly_paths: Vec<PathBuf>,
    pub(crate) cgroups: CgroupMounts,
    pub(crate) mount_label: MountLabel,
    pub(crate) new_user_namespace: bool,
}

impl Plan {
    /// Reads the configuration.
    ///
    /// # Errors
    /// A value without meaning, or a feature that is not offered.
    pub fn new(request: Request<'_>) -> Result<Self, Error> {
        let Request { spec, bundle, base, cgroups, mount_label } = request;
        let mount_label = MountLabel::new(mount_label);
        let root = spec.root.as_ref().map_or("rootfs", |root| root.path.as_str());
        let none = Linux::default();
        let linux = spec.linux.as_ref().unwrap_or(&none);
        let mounts = spec
            .mounts
            .iter()
            .map(|mount| planned(mount, bundle, &mount_label))
            .collect::<Result<Vec<_>, _>>()?;
        let owns_dev = !mounts
            .iter()
            .any(|mount| mount.options.bind.is_some() && mount.destination == Path::new("/dev"));
        let absolute = |what, paths: &[String]| {
            let check = |path: &String| match Path::new(path) {
                path if path.is_absolute() => Ok(cleaned(path)),
                _ => Err(Error::Invalid { what, value: path.clone() }),
            };
            paths.iter().map(check).collect::<Result<Vec<_>, _>>()
        };
        let masked = absolute("masked path", &linux.masked_paths)?;
        if masked.iter().any(|path| is_root(path)) {
            return Err(Error::Invalid { what: "masked path", value: "/".to_owned() });
        }
        let mut readonly_paths = absolute("read-only path", &linux.readonly_paths)?;
        // A mount of the root over itself would not be the root.
        let all = readonly_paths.len();
        readonly_paths.retain(|path| !is_root(path));
        let is_root_readonly = readonly_paths.len() < all;
        let propagation = match linux.rootfs_propagation.as_str() {
            "" => None,
            name => Some(propagation(name).ok_or_else(|| Error::Invalid {
                what: "rootfs propagation",
                value: name.to_owned(),
            })?),
        };
        Ok(Self {
            root: bundle.join(root),
            base: base.into_iter().map(base_mount).collect(),
            readonly: is_root_readonly || spec.root.as_ref().is_some_and(|root| root.readonly),
            propagation,
            devices: if owns_dev { DeviceNode::all(&linux.devices)? } else { Vec::new() },
            owns_dev,
            masked,
            readonly_paths,
            cgroups,
            mount_label,
            new_user_namespace: linux
                .namespaces
                .iter()
                .any(|namespace| namespace.kind == NamespaceKind::User),
            mounts,
        })
    }

    /// Changes what a mount of type `cgroup` shows.
    pub fn show_cgroups(&mut self, cgroups: CgroupMounts) {
        self.cgroups = cgroups;
    }

    /// Whether what is mounted inside shows outside, too.
    pub(crate) fn is_shared(&self) -> bool {
        self.propagation.is_some_and(|(propagation, _)| propagation == MS_SHARED)
    }

    /// Opens what the container's first process may not: the sources of bind mounts where it has
    /// a user namespace, whose root need not reach them, and id-mapped mounts, which take rights
    /// over the file system. `user_namespace` gives a user namespace with such ids.
    ///
    /// # Errors
    /// A source cannot be opened, or its file system cannot be id-mapped.
    pub fn open_sources<E: From<Error>>(
        &mut self,
        mut user_namespace: impl FnMut(&IdMap) -> Result<OwnedFd, E>,
    ) -> Result<(), E> {
        let all = self.new_user_namespace;
        for mount in &mut self.mounts {
            if mount.options.bind.is_none()
                || mount.options.remount
                || !(all || mount.idmap.is_some())
            {
                continue;
            }
            let tree = detached(mount)?;
            if let Some(idmap) = &mount.idmap {
                let namespace = user_namespace(idmap)?;
                let recursive = mount.options.idmap == Some(true);
                map_ids(&tree, &mount.source, recursive, namespace.as_fd())?;
            }
            // It was cloned from the host's own mounts: nothing may go back to them.
            change_propagation(&tree, MS_SLAVE, true)
                .map_err(refused(|| format!("make a slave of {}", mount.source)))?;
            mount.opened = Some(tree);
        }
        Ok(())
    }
}

/// An absolute path without `.` and `..`, as Go's `filepath.Clean` makes it: such a path may be looked
/// up through the mount that it begins with.
fn cleaned(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    clean
}

fn is_root(path: &Path) -> bool {
    path.parent().is_none()
}

fn base_mount(mount: BaseMount) -> PlannedMount {
    let mut options = Options::parse(&mount.options);
    if mount.fstype == "bind" && options.bind.is_none() {
        options.bind = Some(false);
    }
    PlannedMount {
        destination: Path::new("/").join(mount.target.trim_start_matches('/')),
        fstype: mount.fstype,
        source: mount.source,
        options,
        idmap: None,
        opened: None,
    }
}

fn planned(mount: &Mount, bundle: &Path, label: &MountLabel) -> Result<PlannedMount, Error> {
    let mut options = match mount.fstype.as_str() {
        // Several in one, as mount(2) takes them.
        "tmpfs" => {
            let all: Vec<&str> = mount.options.iter().flat_map(|all| all.split(',')).collect();
            Options::parse(&all)
        }
        _ => Options::parse(&mount.options),
    };
    if mount.destination.is_empty() {
        return Err(Error::Invalid { what: "mount destination", value: String::new() });
    }
    if mount.fstype == "bind" && options.bind.is_none() {
        options.bind = Some(false);
    }
    let idmap = idmap(mount, &options)?;
    // mount(8): a bind mount's file system options are not changed by it.
    if options.bind.is_some() {
        options.data.clear();
    } else if mount.fstype == "tmpfs" && !options.remount {
        options.put_readonly_off();
    }
    if options.bind.is_none() && !options.remount && MountLabel::is_given_to(&mount.fstype) {
        options.data.extend(label.option());
    }
    let source = if options.bind.is_some() {
        bundle.join(&mount.source).into_os_string().into_string().map_err(|source| {
            Error::Invalid { what: "mount source", value: source.to_string_lossy().into_owned() }
        })?
    } else {
        mount.source.clone()
    };
    // Relative destinations are read against the root (runtime-spec, "mounts").
    let destination = Path::new("/").join(&mount.destination);
    if is_root(&cleaned(&destination)) && !options.remount {
        // It would lie on top of the root, where nobody sees it.
        return Err(Error::Invalid { what: "mount destination", value: mount.destination.clone() });
    }
    Ok(PlannedMount {
        destination,
        fstype: mount.fstype.clone(),
        source,
        options,
        idmap,
        opened: None,
    })
}

/// Whose ids a mount shows; the option without ids means the container's.
fn idmap(mount: &Mount, options: &Options) -> Result<Option<IdMap>, Error> {
    let invalid = |what| Err(Error::Invalid { what, value: mount.destination.clone() });
    let (uids, gids) = (&mount.uid_mappings, &mount.gid_mappings);
    if options.idmap.is_none() && uids.is_empty() && gids.is_empty() {
        return Ok(None);
    }
    if options.bind.is_none() {
        return invalid("id-mapped mounts are only supported for bind-mounts:");
    }
    match (uids.is_empty(), gids.is_empty()) {
        (true, true) => Ok(Some(IdMap::Container)),
        (false, false) => Ok(Some(IdMap::Own { uids: uids.clone(), gids: gids.clone() })),
        _ => invalid("id-mapped mounts must have both uid and gid mappings specified:"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Result<Plan, Error> {
        labelled(text, "")
    }

    fn labelled(text: &str, mount_label: &str) -> Result<Plan, Error> {
        let spec: Spec = serde_json::from_str(text).unwrap();
        let (bundle, cgroups) = (Path::new("/b"), CgroupMounts::default());
        Plan::new(Request { spec: &spec, bundle, base: Vec::new(), cgroups, mount_label })
    }

    #[test]
    fn new_file_systems_have_the_label_that_do_not_get_it_otherwise() {
        let options = |mount: &str| {
            let text = format!(r#"{{"mounts":[{{"destination":"/x",{mount}}}]}}"#);
            labelled(&text, "a:b:c:s0:c1,c2").unwrap().mounts.remove(0).options.data
        };
        let context = r#"context="a:b:c:s0:c1,c2""#;
        assert_eq!(options(r#""type":"tmpfs","options":["size=1m"]"#), ["size=1m", context]);
        assert_eq!(options(r#""type":"devpts""#), [context]);
        for other in ["proc", "sysfs", "cgroup", "mqueue", "bind"] {
            assert!(options(&format!(r#""type":"{other}""#)).is_empty(), "{other}");
        }
        assert!(options(r#""type":"tmpfs","options":["remount"]"#).is_empty());
    }

    #[test]
    fn bind_sources_start_from_the_bundle_and_destinations_from_the_root() {
        let plan = plan(
            r#"{"root":{"path":"rootfs"},"mounts":[{"destination":"etc/x","source":"x","options":["bind"]}]}"#,
        )
        .unwrap();
        assert_eq!(plan.root, Path::new("/b/rootfs"));
        assert_eq!(plan.mounts[0].source, "/b/x");
        assert_eq!(plan.mounts[0].destination, Path::new("/etc/x"));
    }

    #[test]
    fn devices_are_left_alone_when_dev_is_bound_from_the_host() {
        let plan =
            plan(r#"{"mounts":[{"destination":"/dev","source":"/dev","options":["rbind"]}]}"#)
                .unwrap();
        assert!(plan.devices.is_empty());
    }

    #[test]
    fn id_mapped_mounts_are_binds_with_both_kinds_of_ids() {
        let map = r#"[{"containerID":0,"hostID":1000,"size":1}]"#;
        let mount = |rest: &str| {
            plan(&format!(r#"{{"mounts":[{{"destination":"/x","source":"/x",{rest}}}]}}"#))
        };
        let container = mount(r#""options":["bind","idmap"]"#).unwrap();
        assert_eq!(container.mounts[0].idmap, Some(IdMap::Container));
        let own = mount(&format!(r#""options":["bind"],"uidMappings":{map},"gidMappings":{map}"#));
        assert!(matches!(own.unwrap().mounts[0].idmap, Some(IdMap::Own { .. })));
        assert!(mount(&format!(r#""options":["bind"],"uidMappings":{map}"#)).is_err());
        assert!(mount(r#""type":"tmpfs","options":["idmap"]"#).is_err());
    }

    #[test]
    fn paths_to_hide_are_told_without_dots() {
        let hidden = plan(
            r#"{"linux":{"maskedPaths":["/proc/../etc/./x/"],"readonlyPaths":["/a/../../b","/.."]}}"#,
        )
        .unwrap();
        assert_eq!(hidden.masked, [Path::new("/etc/x")]);
        assert_eq!(hidden.readonly_paths, [Path::new("/b")]);
        assert!(hidden.readonly);
        assert!(plan(r#"{"linux":{"maskedPaths":["/."]}}"#).is_err());
    }

    #[test]
    fn nothing_is_mounted_over_the_root_itself() {
        let mount = |options: &str| {
            plan(&format!(
                r#"{{"mounts":[{{"destination":"/x/..","type":"tmpfs","options":[{options}]}}]}}"#
            ))
        };
        assert!(mount(r#""ro""#).is_err());
        assert!(mount(r#""remount","ro""#).is_ok());
    }

    #[test]
    fn a_tmpfs_becomes_readonly_last() {
        let mount = |fstype: &str, option: &str| {
            let text = format!(
                r#"{{"mounts":[{{"destination":"/x","type":"{fstype}","options":["{option}"]}}]}}"#
            );
            plan(&text).unwrap().mounts.remove(0).options
        };
        for option in ["ro", "rro"] {
            let options = mount("tmpfs", option);
            assert!(options.readonly_in_the_end && options.data.is_empty(), "{options:?}");
            assert!(options.change.is_empty() && options.recursive.is_empty(), "{options:?}");
        }
        let options = mount("tmpfs", "size=1m,mode=700,ro");
        assert!(options.readonly_in_the_end && options.data == ["size=1m", "mode=700"]);
        assert!(!mount("tmpfs", "rw").readonly_in_the_end);
        assert!(!mount("sysfs", "ro").readonly_in_the_end);
    }

    #[test]
    fn relative_masked_paths_are_refused() {
        assert!(plan(r#"{"linux":{"maskedPaths":["proc/kcore"]}}"#).is_err());
        assert!(plan(r#"{"linux":{"rootfsPropagation":"sideways"}}"#).is_err());
    }
}
