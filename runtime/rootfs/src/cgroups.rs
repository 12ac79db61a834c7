//! Mounts of type `cgroup`: what a container sees of its own cgroups.

use crate::label::MountLabel;
use crate::mounts::{
    apply_attributes, apply_propagation, attach, attach_at, clone_path, new_mount,
};
use crate::options::Options;
use crate::plan::PlannedMount;
use crate::{Error, path, refused};
use kernel_paths::Root;
use rustix::fs::{Mode, mkdirat, symlinkat};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// The container's cgroups as the host names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CgroupMounts {
    /// Its hierarchies.
    pub hierarchies: Vec<CgroupMount>,
    /// Whether the one hierarchy is cgroup v2.
    pub unified: bool,
    /// Whether the container has a cgroup namespace of its own.
    pub private: bool,
}

/// One hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupMount {
    /// The folder's name, `memory` or `cpu,cpuacct`.
    pub name: String,
    /// Controllers, or `name=systemd`, as mount options.
    pub controllers: String,
    /// The container's own folder on the host.
    pub path: PathBuf,
}

impl CgroupMounts {
    /// Makes the mount. The calling process is in its cgroups, and in its cgroup namespace if it
    /// has one.
    pub(crate) fn mount(
        &self,
        root: &Root,
        mount: &PlannedMount,
        label: &MountLabel,
    ) -> Result<OwnedFd, Error> {
        let step = || format!("mount cgroup to {}", mount.destination.display());
        let target = root.create_directory(&mount.destination).map_err(path(step))?;
        let options = Options { data: Vec::new(), ..mount.options.clone() };
        if self.hierarchies.is_empty() {
            // Nothing of its own to show. It hides what a bind mount of `/sys` shows there, which
            // the container's user may be allowed to write (CVE-2023-25809).
            let tree = new_mount("tmpfs", "tmpfs", &Options::readonly(label))?;
            attach(&tree, &target).map_err(refused(step))?;
            return Ok(tree);
        }
        if self.unified {
            let tree = if self.private {
                let made = new_mount("cgroup2", "cgroup", &options);
                match (made, self.hierarchies.first()) {
                    (Ok(tree), _) => tree,
                    // A user namespace may not mount it anew: show the host's folder.
                    (Err(_), Some(own)) => bind(own, &options)?,
                    (Err(error), None) => return Err(error),
                }
            } else {
                let own = self.hierarchies.first();
                bind(own.ok_or(Errno::NODEV).map_err(refused(step))?, &options)?
            };
            attach(&tree, &target).map_err(refused(step))?;
            apply_propagation(&tree, &options).map_err(refused(step))?;
            return Ok(tree);
        }
        self.mount_v1(&options, &target, label).map_err(|error| match error {
            Error::Refused { errno, .. } => refused(step)(errno),
            other => other,
        })
    }

    /// A tmpfs with a folder for each hierarchy, and links for those that share one.
    fn mount_v1(
        &self,
        options: &Options,
        target: &OwnedFd,
        label: &MountLabel,
    ) -> Result<OwnedFd, Error> {
        let plain = |what: &str| format!("mount cgroup: {what}");
        let writable = options.writable();
        let data = label.option().into_iter().chain(["mode=755".to_owned()]).collect();
        let tmpfs = Options { data, ..writable.clone() };
        let tree = new_mount("tmpfs", "tmpfs", &tmpfs)?;
        attach(&tree, target).map_err(refused(|| plain("tmpfs")))?;
        for hierarchy in &self.hierarchies {
            // Nobody else has been in this file system, so its names need no care.
            match mkdirat(&tree, &hierarchy.name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(refused(|| plain(&hierarchy.name))(errno)),
            }
            let mount = if self.private {
                let data = hierarchy.controllers.split(',').map(str::to_owned).collect();
                let mut own = Options { data, ..options.clone() };
                // What the list of mounts shows as their source is runc's.
                let source = match hierarchy.controllers.strip_prefix("name=") {
                    Some(name) => {
                        own.data.push("none".to_owned());
                        name
                    }
                    None => "cgroup",
                };
                new_mount("cgroup", source, &own)?
            } else {
                bind(hierarchy, options)?
            };
            attach_at(&mount, &tree, &hierarchy.name)
                .map_err(refused(|| plain(&hierarchy.name)))?;
            if hierarchy.name.contains(',') {
                for part in hierarchy.name.split(',') {
                    match symlinkat(hierarchy.name.as_str(), &tree, part) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(errno) => return Err(refused(|| plain(part))(errno)),
                    }
                }
            }
        }
        apply_propagation(&tree, options).map_err(refused(|| plain("propagation")))?;
        // The tmpfs itself stays writable, as under runc: it is the container's own.
        Ok(tree)
    }
}

fn bind(hierarchy: &CgroupMount, options: &Options) -> Result<OwnedFd, Error> {
    let tree = clone_path(&hierarchy.path.to_string_lossy(), false)?;
    apply_attributes(&tree, options)
        .map_err(refused(|| format!("bind cgroup {}", hierarchy.name)))?;
    Ok(tree)
}

impl Options {
    /// The same without read-only, for a file system that is filled first.
    fn writable(&self) -> Self {
        let mut options = self.clone();
        options.change.set &= !kernel_sys::mount::attribute::RDONLY;
        options
    }
}
