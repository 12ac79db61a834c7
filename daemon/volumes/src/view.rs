//! A detached, read-only look into a root file system.

use base_errors::{Classify, Kind};
use kernel_paths::Root;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen,
};
use std::fs::File;
use std::io::Read;
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
    /// Puts the layers together. Needs Linux 6.5 for more than one layer (`lowerdir+`).
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn open(layers: &Layers) -> Result<Self, ViewError> {
        if let [one] = &layers.0[..] {
            return Ok(Self(Root::open_trusted(one)?));
        }
        let failed = |step| move |source| ViewError::Mount { step, source };
        let context =
            fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(failed("open overlay"))?;
        for layer in &layers.0 {
            fsconfig_set_string(&context, "lowerdir+", layer.as_path())
                .map_err(failed("add layer"))?;
        }
        fsconfig_create(&context).map_err(failed("create overlay"))?;
        let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
            .map_err(failed("mount overlay"))?;
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

#[cfg(test)]
mod tests {
    use super::*;

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
