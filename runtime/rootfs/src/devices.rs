//! Device files and the links in `/dev`.

use crate::mounts::{attach, clone_path};
use crate::{Error, path, refused};
use base_oci::runtime::{Device, DeviceKind};
use kernel_paths::Root;
use rustix::fs::{
    AtFlags, Dev, FileType, Gid, Mode, OFlags, Uid, chownat, major, makedev, minor, mknodat,
    statat, symlinkat, unlinkat,
};
use rustix::io::Errno;
use std::path::{Path, PathBuf};

/// A device file to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeviceNode {
    path: PathBuf,
    file_type: FileType,
    device: Dev,
    mode: u32,
    owner: (u32, u32),
}

/// The devices that every container has (runtime-spec, "default devices").
const DEFAULT: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/tty", 5, 0),
    ("/dev/urandom", 1, 9),
    ("/dev/random", 1, 8),
];

/// Links of `/dev` to the open files of whoever looks.
const LINKS: [(&str, &str); 4] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
];

impl DeviceNode {
    /// The default devices and those of the configuration, which win.
    pub(crate) fn all(devices: &[Device]) -> Result<Vec<Self>, Error> {
        let mut nodes = devices.iter().map(Self::parse).collect::<Result<Vec<_>, _>>()?;
        for (path, major, minor) in DEFAULT {
            if !nodes.iter().any(|node| node.path == Path::new(path)) {
                nodes.push(Self {
                    path: path.into(),
                    file_type: FileType::CharacterDevice,
                    device: makedev(major, minor),
                    mode: 0o666,
                    owner: (0, 0),
                });
            }
        }
        Ok(nodes)
    }

    fn parse(device: &Device) -> Result<Self, Error> {
        let file_type = match device.kind {
            DeviceKind::Block => FileType::BlockDevice,
            DeviceKind::Character | DeviceKind::Unbuffered => FileType::CharacterDevice,
            DeviceKind::Fifo => FileType::Fifo,
            DeviceKind::All => {
                return Err(Error::Invalid { what: "device type of", value: device.path.clone() });
            }
        };
        let number = |number: Option<i64>| {
            u32::try_from(number.unwrap_or(0)).map_err(|_| Error::Invalid {
                what: "device number of",
                value: device.path.clone(),
            })
        };
        Ok(Self {
            path: Path::new("/").join(&device.path),
            file_type,
            device: makedev(number(device.major)?, number(device.minor)?),
            mode: device.file_mode.unwrap_or(0o666) & 0o7777,
            owner: (device.uid.unwrap_or(0), device.gid.unwrap_or(0)),
        })
    }

    /// Makes it inside `root`; where the kernel forbids that (user namespaces), binds the host's.
    pub(crate) fn make(&self, root: &Root, may_mknod: bool) -> Result<(), Error> {
        let step = || format!("make device {}", self.path.display());
        if !may_mknod {
            return self.bind(root);
        }
        let (directory, name) = root.create_parent(&self.path).map_err(path(step))?;
        let mode = Mode::from_raw_mode(self.mode);
        match mknodat(&directory, &name, self.file_type, mode, self.device) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                let stat =
                    statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW).map_err(refused(step))?;
                let same = FileType::from_raw_mode(stat.st_mode) == self.file_type
                    && (self.file_type == FileType::Fifo || stat.st_rdev == self.device);
                if !same {
                    return Err(refused(step)(Errno::EXIST));
                }
            }
            Err(Errno::PERM) => return self.bind(root),
            Err(errno) => return Err(refused(step)(errno)),
        }
        if self.owner == (0, 0) {
            return Ok(());
        }
        let (uid, gid) = self.owner;
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        chownat(&directory, &name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).map_err(refused(step))
    }

    fn bind(&self, root: &Root) -> Result<(), Error> {
        let step = || format!("bind device {}", self.path.display());
        let source = clone_path(&self.path.to_string_lossy(), false)?;
        let target = root.create_file(&self.path).map_err(path(step))?;
        attach(&source, &target).map_err(refused(step))
    }
}

/// Makes the links of `/dev`, `ptmx` among them.
pub(crate) fn make_links(root: &Root) -> Result<(), Error> {
    for (target, link) in LINKS {
        make_link(root, target, link)?;
    }
    if Path::new("/proc/kcore").exists() {
        make_link(root, "/proc/kcore", "/dev/core")?;
    }
    // Every container opens terminals of its own devpts instance.
    let (directory, name) =
        root.create_parent(Path::new("/dev/ptmx")).map_err(path(|| "open /dev".to_owned()))?;
    let step = || "link /dev/ptmx".to_owned();
    match unlinkat(&directory, &name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(refused(step)(errno)),
    }
    symlinkat("pts/ptmx", &directory, &name).map_err(refused(step))
}

fn make_link(root: &Root, target: &str, link: &str) -> Result<(), Error> {
    let step = || format!("link {link}");
    let (directory, name) = root.create_parent(Path::new(link)).map_err(path(step))?;
    match symlinkat(target, &directory, &name) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(refused(step)(errno)),
    }
}

/// Whether a descriptor is the null device, which masks what is mounted over by it
/// (CVE-2025-31133: an image may have made it something else).
pub(crate) fn is_null_device(descriptor: impl std::os::fd::AsFd) -> bool {
    statat(descriptor, "", AtFlags::EMPTY_PATH).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && (major(stat.st_rdev), minor(stat.st_rdev)) == (1, 3)
    })
}

/// The null device of the container, or else the host's.
pub(crate) fn null_device(root: &Root) -> Result<std::os::fd::OwnedFd, Error> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if let Ok(null) = root.open(Path::new("/dev/null"), flags)
        && is_null_device(&null)
    {
        return Ok(null);
    }
    let step = || "open /dev/null".to_owned();
    let null = rustix::fs::open("/dev/null", flags, Mode::empty()).map_err(refused(step))?;
    if is_null_device(&null) { Ok(null) } else { Err(refused(step)(Errno::NXIO)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configured_device_replaces_the_default_one() {
        let device = Device {
            path: "/dev/null".to_owned(),
            kind: DeviceKind::Character,
            major: Some(1),
            minor: Some(3),
            file_mode: Some(0o600),
            ..Device::default()
        };
        let nodes = DeviceNode::all(&[device]).unwrap();
        assert_eq!(nodes.len(), DEFAULT.len());
        assert_eq!(nodes[0].mode, 0o600);
    }

    #[test]
    fn a_device_without_a_type_is_refused() {
        assert!(
            DeviceNode::all(&[Device { path: "/dev/x".to_owned(), ..Device::default() }]).is_err()
        );
    }
}
