//! A detached, read-only look into a root file system.

use base_errors::{Classify, Kind};
use kernel_paths::Root;
use kernel_sys::mount::{Change, mount_setattr};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen,
};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The folders that a root file system is made of, the topmost first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layers(Vec<PathBuf>);

/// A root file system that could not be looked into.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The mount is of a sort that no layers can be read from.
    #[error("cannot read a root file system of type {0:?}")]
    Kind(String),
    /// The kernel refused to put the layers together.
    #[error("look into root file system: {step}")]
    Mount {
        /// What was attempted.
        step: &'static str,
        /// Why it failed.
        source: Errno,
    },
    /// A path inside could not be opened.
    #[error(transparent)]
    Path(#[from] kernel_paths::Error),
    /// A file inside could not be read.
    #[error("read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl Classify for ViewError {
    fn kind(&self) -> Kind {
        match self {
            Self::Path(error) => error.kind(),
            _ => Kind::Internal,
        }
    }
}

impl Layers {
    /// The layers behind a mount as the snapshot service describes it. The writable layer is one
    /// of them: nothing is written through a view.
    ///
    /// # Errors
    /// It is neither an overlay nor a bind mount.
    pub fn of_mount(fstype: &str, source: &str, options: &[String]) -> Result<Self, ViewError> {
        let value = |key: &str| options.iter().find_map(|option| option.strip_prefix(key));
        match fstype {
            "bind" => Ok(Self(vec![PathBuf::from(source)])),
            "overlay" => {
                let upper = value("upperdir=").map(PathBuf::from);
                let lower = value("lowerdir=").unwrap_or_default();
                let lower = lower.split(':').filter(|part| !part.is_empty()).map(PathBuf::from);
                let more = options.iter().filter_map(|option| option.strip_prefix("lowerdir+="));
                Ok(Self(upper.into_iter().chain(lower).chain(more.map(PathBuf::from)).collect()))
            }
            other => Err(ViewError::Kind(other.to_owned())),
        }
    }
}

/// A root file system, open for reading.
pub struct RootView(Root);

impl RootView {
    /// Puts the layers together.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn open(layers: &Layers) -> Result<Self, ViewError> {
        if let [one] = &layers.0[..] {
            return Ok(Self(Root::open_trusted(one)?));
        }
        let mount = match overlay(layers) {
            // Perhaps only because this kernel's overlayfs is configured in another way.
            Err(ViewError::Mount { source: Errno::INVAL, .. }) => old_overlay(layers),
            result => result,
        }?;
        Ok(Self(Root::from(mount)))
    }

    /// Reads a regular file of at most `limit` bytes; `None` when it does not exist.
    ///
    /// # Errors
    /// It is something else, too big, or cannot be read.
    pub fn read(&self, path: &Path, limit: u64) -> Result<Option<String>, ViewError> {
        // O_NONBLOCK: a fifo in its place must not hang us.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = match self.0.open(path, flags) {
            Ok(fd) => File::from(fd),
            Err(error) if matches!(error.errno(), Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let failed = |source| ViewError::Read { path: path.to_owned(), source };
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() || metadata.len() > limit {
            return Err(failed(std::io::Error::other("not a regular file of sensible size")));
        }
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes).map_err(failed)?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    pub(crate) const fn root(&self) -> &Root {
        &self.0
    }
}

const ATTRIBUTES: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY
    .union(MountAttrFlags::MOUNT_ATTR_NOSUID)
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// The layers one by one, each by its own option (Linux 6.8).
fn overlay(layers: &Layers) -> Result<OwnedFd, ViewError> {
    let failed = |step| move |source| ViewError::Mount { step, source };
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(failed("open overlay"))?;
    for layer in &layers.0 {
        fsconfig_set_string(&context, "lowerdir+", layer.as_path()).map_err(failed("add layer"))?;
    }
    fsconfig_create(&context).map_err(failed("create overlay"))?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, ATTRIBUTES).map_err(failed("mount overlay"))
}

/// All layers at once, by a thread that nobody else's working directory depends on.
fn old_overlay(layers: &Layers) -> Result<OwnedFd, ViewError> {
    let lower: Vec<&Path> = layers.0.iter().map(PathBuf::as_path).collect();
    let make = || {
        let mount = kernel_sys::overlay::detached(&lower, None, &[])?;
        let change = Change { set: u64::from(ATTRIBUTES.bits()), ..Change::default() };
        mount_setattr(mount.as_fd(), c"", false, change, None)?;
        Ok(mount)
    };
    let made = std::thread::scope(|scope| scope.spawn(make).join());
    made.unwrap_or(Err(Errno::CANCELED))
        .map_err(|source| ViewError::Mount { step: "mount overlay by one string", source })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Layers that each have a file of their own and one in common.
    fn three_layers(root: &Path) -> Layers {
        let layers = ["top", "middle", "bottom"].map(|name| root.join("layers").join(name));
        for layer in &layers {
            std::fs::create_dir_all(layer).unwrap();
            let name = layer.file_name().unwrap().to_str().unwrap();
            std::fs::write(layer.join(name), name).unwrap();
            std::fs::write(layer.join("which"), name).unwrap();
        }
        Layers(layers.into())
    }

    #[test]
    fn layers_are_put_together_in_the_new_way_and_the_old() {
        let root = tempfile::tempdir().unwrap();
        let layers = three_layers(root.path());
        let here = std::env::current_dir().unwrap();
        for way in [overlay, old_overlay] {
            let view = RootView(Root::from(way(&layers).unwrap()));
            assert_eq!(view.read(Path::new("which"), 9).unwrap().unwrap(), "top");
            assert_eq!(view.read(Path::new("bottom"), 9).unwrap().unwrap(), "bottom");
            assert!(view.root().open(Path::new("new"), OFlags::CREATE | OFlags::WRONLY).is_err());
        }
        assert_eq!(std::env::current_dir().unwrap(), here);
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(root.path().to_str().unwrap()), "a mount that others can see");
        let many = Layers(vec![layers.0[0].clone(); 900]);
        assert!(old_overlay(&many).is_err());
    }

    fn options(list: &[&str]) -> Vec<String> {
        list.iter().map(|one| (*one).to_owned()).collect()
    }

    #[test]
    fn the_writable_layer_is_the_topmost() {
        let layers = Layers::of_mount(
            "overlay",
            "overlay",
            &options(&["lowerdir=/b:/c", "upperdir=/a", "workdir=/w"]),
        );
        assert_eq!(layers.unwrap(), Layers(vec!["/a".into(), "/b".into(), "/c".into()]));
        assert!(Layers::of_mount("zfs", "x", &[]).is_err());
    }

    #[test]
    fn links_out_of_a_layer_stay_inside_and_a_fifo_does_not_hang() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/shadow", root.path().join("link")).unwrap();
        std::fs::write(root.path().join("file"), "x").unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            root.path().join("fifo"),
            rustix::fs::FileType::Fifo,
            0o600.into(),
            0,
        )
        .unwrap();
        let view = RootView::open(&Layers(vec![root.path().to_owned()])).unwrap();
        assert_eq!(view.read(Path::new("/link"), 9).unwrap(), None);
        assert_eq!(view.read(Path::new("/../file"), 9).unwrap().unwrap(), "x");
        assert!(view.read(Path::new("/fifo"), 9).is_err());
    }
}
