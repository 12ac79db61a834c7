//! What is to be mounted, made and hidden: the configuration, read and checked.

use crate::Error;
use crate::cgroups::CgroupMounts;
use crate::devices::DeviceNode;
use crate::options::{Options, propagation};
use base_oci::runtime::{Linux, Mount, NamespaceKind, Spec};
use std::path::{Path, PathBuf};

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
#[derive(Clone, Debug)]
pub(crate) struct PlannedMount {
    pub(crate) destination: PathBuf,
    pub(crate) fstype: String,
    pub(crate) source: String,
    pub(crate) options: Options,
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
    pub(crate) new_user_namespace: bool,
}

impl Plan {
    /// Reads the configuration.
    ///
    /// # Errors
    /// A value without meaning, or a feature that is not offered.
    pub fn new(request: Request<'_>) -> Result<Self, Error> {
        let Request { spec, bundle, base, cgroups } = request;
        let root = spec.root.as_ref().map_or("rootfs", |root| root.path.as_str());
        let none = Linux::default();
        let linux = spec.linux.as_ref().unwrap_or(&none);
        let mounts = spec
            .mounts
            .iter()
            .map(|mount| planned(mount, bundle))
            .collect::<Result<Vec<_>, _>>()?;
        let owns_dev = !mounts
            .iter()
            .any(|mount| mount.options.bind.is_some() && mount.destination == Path::new("/dev"));
        let absolute = |what, paths: &[String]| {
            let check = |path: &String| match Path::new(path) {
                path if path.is_absolute() => Ok(path.to_owned()),
                _ => Err(Error::Invalid { what, value: path.clone() }),
            };
            paths.iter().map(check).collect::<Result<Vec<_>, _>>()
        };
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
            readonly: spec.root.as_ref().is_some_and(|root| root.readonly),
            propagation,
            devices: if owns_dev { DeviceNode::all(&linux.devices)? } else { Vec::new() },
            owns_dev,
            masked: absolute("masked path", &linux.masked_paths)?,
            readonly_paths: absolute("read-only path", &linux.readonly_paths)?,
            cgroups,
            new_user_namespace: linux
                .namespaces
                .iter()
                .any(|namespace| namespace.kind == NamespaceKind::User),
            mounts,
        })
    }

    /// Whether a mount shows the container's own cgroups.
    #[must_use]
    pub fn shows_cgroups(&self) -> bool {
        self.mounts.iter().any(|mount| mount.fstype.starts_with("cgroup"))
    }
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
    }
}

fn planned(mount: &Mount, bundle: &Path) -> Result<PlannedMount, Error> {
    let mut options = Options::parse(&mount.options);
    if mount.destination.is_empty() {
        return Err(Error::Invalid { what: "mount destination", value: String::new() });
    }
    if options.idmap.is_some() || !mount.uid_mappings.is_empty() {
        return Err(Error::Unimplemented("idmapped mounts"));
    }
    if mount.fstype == "bind" && options.bind.is_none() {
        options.bind = Some(false);
    }
    // mount(8): a bind mount's file system options are not changed by it.
    if options.bind.is_some() {
        options.data.clear();
    }
    let source = if options.bind.is_some() {
        bundle.join(&mount.source).into_os_string().into_string().map_err(|source| {
            Error::Invalid { what: "mount source", value: source.to_string_lossy().into_owned() }
        })?
    } else {
        mount.source.clone()
    };
    Ok(PlannedMount {
        // Relative destinations are read against the root (runtime-spec, "mounts").
        destination: Path::new("/").join(&mount.destination),
        fstype: mount.fstype.clone(),
        source,
        options,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Result<Plan, Error> {
        let spec: Spec = serde_json::from_str(text).unwrap();
        let cgroups = CgroupMounts::default();
        Plan::new(Request { spec: &spec, bundle: Path::new("/b"), base: Vec::new(), cgroups })
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
    fn relative_masked_paths_are_refused() {
        assert!(plan(r#"{"linux":{"maskedPaths":["proc/kcore"]}}"#).is_err());
        assert!(plan(r#"{"linux":{"rootfsPropagation":"sideways"}}"#).is_err());
    }
}
