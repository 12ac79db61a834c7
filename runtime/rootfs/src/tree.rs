//! Building the tree inside the container's mount namespace, and moving into it.

use crate::console::{bind_console, open_terminal};
use crate::copy::{copy_owner_but, copy_tree};
use crate::devices::make_links;
use crate::label::MountLabel;
use crate::mask::{make_paths_readonly, mask};
use crate::mounts::{
    apply_attributes, apply_propagation, attach, change_propagation, clone_path, detached,
    make_readonly, reconfigure,
};
use crate::move_root::hide_kernel_mounts;
use crate::options::{MS_PRIVATE, MS_SLAVE};
use crate::plan::{Plan, PlannedMount};
use crate::{Error, path, refused};
use kernel_paths::Root;
use kernel_sys::mount::{Change, mount_setattr};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, fchmod, fstatfs, openat, openat2, statat,
};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const PROC_SUPER_MAGIC: u64 = 0x9fa0;
const PROC_ROOT_INODE: u64 = 1;

/// Files of `/proc` that may be covered, because they only inform (lxcfs does it); runc's list.
const PROC_FILES: [&str; 11] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/net/dev",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

/// A root file system that is built but not entered.
#[derive(Debug)]
pub struct Tree<'a> {
    plan: &'a Plan,
    root: Root,
    /// The mounts of the kernel's own file systems with their destinations: what is hidden in them
    /// is looked up through them. By its path, an image that somebody renames folders in meanwhile
    /// could have something else hidden (CVE-2019-19921).
    kernel_mounts: Vec<(PathBuf, Root)>,
    /// Those of the configuration in which places of other mounts and devices are still made.
    readonly_in_the_end: Vec<OwnedFd>,
}

impl Plan {
    /// Stops mounts of this mount namespace from reaching the host's; the host's still arrive
    /// until the root is changed. Where the configuration wants mounts to be shared they stay so:
    /// then [`Tree`] sees to it that its own do not reach the host.
    ///
    /// # Errors
    /// The kernel's.
    pub fn isolate(&self) -> Result<(), Error> {
        if self.is_shared() {
            return Ok(());
        }
        let change = Change { propagation: MS_SLAVE, ..Change::default() };
        mount_setattr(CWD, c"/", true, change, None)
            .map_err(refused(|| "make / a slave of the host's".to_owned()))
    }

    /// Mounts the root and everything in it. `before_cgroups` is called before a mount that shows
    /// the container's cgroups: then this process must be in them.
    ///
    /// # Errors
    /// The first mount or device that failed; the namespace's end cleans up.
    pub fn build<E: From<Error>>(
        &self,
        mut before_cgroups: impl FnMut() -> Result<(), E>,
    ) -> Result<Tree<'_>, E> {
        let mut tree = Tree {
            plan: self,
            root: self.mount_root()?,
            kernel_mounts: Vec::new(),
            readonly_in_the_end: Vec::new(),
        };
        for mount in &self.mounts {
            if mount.fstype == "cgroup" || mount.fstype == "cgroup2" {
                before_cgroups()?;
                let cgroups = self.cgroups.mount(&tree.root, mount, &self.mount_label)?;
                drop(cgroups);
            } else {
                tree.mount(mount)?;
            }
        }
        if self.owns_dev {
            for device in &self.devices {
                device.make(&tree.root, !self.new_user_namespace)?;
            }
            make_links(&tree.root)?;
        }
        Ok(tree)
    }

    /// Mounts the root itself: it must be a mount of its own to be pivoted to, on one that is not
    /// shared. [`Plan::build`] begins with it; CRIU does the rest itself.
    ///
    /// # Errors
    /// A mount that failed.
    pub fn mount_root(&self) -> Result<Root, Error> {
        let step = || format!("mount root {}", self.root.display());
        if self.is_shared() {
            self.keep_place_private().map_err(refused(step))?;
        }
        let target = Root::open_trusted(&self.root).map_err(path(step))?;
        let mut rest = self.base.iter();
        let (tree, is_bind) = match rest.next() {
            Some(first) => (detached(first)?, first.options.bind.is_some()),
            None => (clone_path(&self.root.to_string_lossy(), true)?, true),
        };
        let stays_slave = self.propagation.is_some_and(|(propagation, _)| propagation == MS_SLAVE);
        if is_bind && !stays_slave {
            change_propagation(&tree, MS_PRIVATE, false).map_err(refused(step))?;
        }
        attach(&tree, &target).map_err(refused(step))?;
        let root = Root::from(tree);
        for mount in rest {
            let place = root.create_directory(&mount.destination).map_err(path(step))?;
            attach(&detached(mount)?, &place).map_err(refused(step))?;
        }
        Ok(root)
    }

    /// Makes the mount private that the root lies on, which is at the nearest folder above that is
    /// a mount's.
    fn keep_place_private(&self) -> rustix::io::Result<()> {
        let change = Change { propagation: MS_PRIVATE, ..Change::default() };
        for folder in self.root.ancestors() {
            let folder = CString::new(folder.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)?;
            match mount_setattr(CWD, &folder, false, change, None) {
                // No mount's own folder.
                Err(Errno::INVAL) => {}
                result => return result,
            }
        }
        Err(Errno::INVAL)
    }
}

impl Tree<'_> {
    fn mount(&mut self, mount: &PlannedMount) -> Result<(), Error> {
        let step = || {
            format!(
                "mount {} to {}",
                if mount.source.is_empty() { &mount.fstype } else { &mount.source },
                mount.destination.display()
            )
        };
        if mount.options.remount {
            let target = self.root.open(&mount.destination, OFlags::PATH).map_err(path(step))?;
            return reconfigure(&target, &mount.options)
                .and_then(|()| apply_attributes(&target, &mount.options))
                .map_err(refused(step));
        }
        let tree = match &mount.opened {
            // Another descriptor of the same mount.
            Some(opened) => opened.try_clone().map_err(|_| refused(step)(Errno::MFILE))?,
            None => detached(mount)?,
        };
        if mount.fstype == "mqueue" && mount.options.bind.is_none() {
            match self.plan.mount_label.set_on(&tree) {
                // It belongs to who made the ipc namespace, whom the user namespace does not know.
                Err(Errno::PERM) if self.plan.new_user_namespace => {}
                result => result.map_err(refused(step))?,
            }
        }
        if let Some(mode) = self.inherited_mode(mount) {
            // Not by a mount option, which would show in the list of mounts.
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            openat(&tree, ".", flags, Mode::empty())
                .and_then(|folder| fchmod(&folder, Mode::from_raw_mode(mode)))
                .map_err(refused(step))?;
        }
        let target = self.target(mount, &tree)?;
        if mount.options.copy_up && mount.fstype == "tmpfs" {
            let hidden = self
                .root
                .open(&mount.destination, OFlags::RDONLY | OFlags::DIRECTORY)
                .map_err(path(step))?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            openat(&tree, ".", flags, Mode::empty())
                .and_then(|top| {
                    copy_tree(&hidden, &top, 0)?;
                    copy_owner_but(&hidden, &top, &mount.options.data)
                })
                .map_err(refused(|| format!("copy up {}", mount.destination.display())))?;
        }
        attach(&tree, &target).map_err(refused(step))?;
        apply_propagation(&tree, &mount.options).map_err(refused(step))?;
        if mount.is_of_kernel() {
            self.kernel_mounts.push((mount.destination.clone(), Root::from(tree)));
        } else if mount.options.readonly_in_the_end {
            self.readonly_in_the_end.push(tree);
        }
        Ok(())
    }

    /// The permissions that a tmpfs takes over from the folder that it hides, as under runc.
    fn inherited_mode(&self, mount: &PlannedMount) -> Option<u32> {
        let has_mode = mount.options.data.iter().any(|option| option.starts_with("mode="));
        if mount.fstype != "tmpfs" || has_mode {
            return None;
        }
        let hidden = self.root.open(&mount.destination, OFlags::PATH | OFlags::DIRECTORY).ok()?;
        Some(statat(&hidden, "", AtFlags::EMPTY_PATH).ok()?.st_mode & 0o7777)
    }

    /// The place of a mount, made if it is missing: a file for a file, else a folder.
    fn target(&self, mount: &PlannedMount, tree: &OwnedFd) -> Result<OwnedFd, Error> {
        let step = || format!("find {} in the root", mount.destination.display());
        if mount.is_of_kernel() {
            return self.plain_folder(&mount.destination);
        }
        let is_folder = mount.options.bind.is_none() || {
            let stat = statat(tree, "", AtFlags::EMPTY_PATH).map_err(refused(step))?;
            FileType::from_raw_mode(stat.st_mode) == FileType::Directory
        };
        let target = if is_folder {
            self.root.create_directory(&mount.destination)
        } else {
            self.root.create_file(&mount.destination)
        }
        .map_err(path(step))?;
        let kind = fstatfs(&target).map_err(refused(step))?;
        let on_proc = u64::try_from(kind.f_type) == Ok(PROC_SUPER_MAGIC);
        let allowed = mount.destination == Path::new("/proc")
            || PROC_FILES.iter().any(|file| mount.destination == Path::new(file));
        if on_proc && !allowed {
            return Err(Error::InsideProc(mount.destination.display().to_string()));
        }
        if self.is_proc(&target) && !is_procfs_root(tree) {
            return Err(Error::NotProc(mount.destination.display().to_string()));
        }
        Ok(target)
    }

    /// Whether a folder is the root's `/proc`, under whatever path it was found.
    fn is_proc(&self, target: &OwnedFd) -> bool {
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        let Ok(proc) = self.root.open(Path::new("/proc"), flags) else { return false };
        let identity = |folder: &OwnedFd| {
            statat(folder, "", AtFlags::EMPTY_PATH).ok().map(|stat| (stat.st_dev, stat.st_ino))
        };
        identity(&proc).is_some_and(|proc| identity(target) == Some(proc))
    }

    /// `/proc` and `/sys` must not be links: else an image could have them mounted elsewhere and
    /// put forgeries in their place (CVE-2019-19921, CVE-2023-27561).
    fn plain_folder(&self, destination: &Path) -> Result<OwnedFd, Error> {
        let step = || format!("{} must be a folder, not a link", destination.display());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        match openat2(&self.root, destination, flags, Mode::empty(), how) {
            Err(Errno::NOENT) => {
                self.root.create_directory(destination).map_err(path(step))?;
                openat2(&self.root, destination, flags, Mode::empty(), how).map_err(refused(step))
            }
            result => result.map_err(refused(step)),
        }
    }

    /// Opens a terminal of the container's devpts, its slave also as `/dev/console`; master and
    /// slave. `size` is rows and columns.
    ///
    /// # Errors
    /// There is no devpts at `/dev/pts`, or the kernel refuses.
    pub fn console(&self, size: Option<(u16, u16)>) -> Result<(OwnedFd, OwnedFd), Error> {
        let (master, slave) = open_terminal(&self.root, size)?;
        bind_console(&self.root, &slave)?;
        Ok((master, slave))
    }

    /// Makes a folder inside, with its parents; one that is there is left as it is.
    ///
    /// # Errors
    /// The kernel's.
    pub fn create_directory(&self, wanted: &Path) -> Result<(), Error> {
        self.root
            .create_directory(wanted)
            .map(drop)
            .map_err(path(|| format!("make {}", wanted.display())))
    }

    /// Hides what must not be read and protects what must not be written.
    ///
    /// # Errors
    /// The kernel's.
    pub fn seal(&self) -> Result<(), Error> {
        make_paths_readonly(self, &self.plan.readonly_paths)?;
        mask(self, &self.plan.masked)?;
        for mount in &self.readonly_in_the_end {
            make_readonly(mount, false).map_err(refused(|| "make a tmpfs read-only".to_owned()))?;
        }
        if self.plan.readonly {
            make_readonly(&self.root, false)
                .map_err(refused(|| "make the root read-only".to_owned()))?;
        }
        Ok(())
    }

    /// What is at a path that is to be hidden or protected, if anything is.
    pub(crate) fn existing(&self, wanted: &Path) -> Result<Option<OwnedFd>, Error> {
        let of_kernel =
            self.kernel_mounts.iter().rev().find_map(|(destination, mount)| {
                Some((mount, wanted.strip_prefix(destination).ok()?))
            });
        let (root, rest) = of_kernel.unwrap_or((&self.root, wanted));
        match root.open(rest, OFlags::PATH) {
            Ok(found) => Ok(Some(found)),
            Err(error) if matches!(error.errno(), Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(path(|| format!("look for {}", wanted.display()))(error)),
        }
    }

    /// The label of new file systems.
    pub(crate) fn mount_label(&self) -> &MountLabel {
        &self.plan.mount_label
    }

    /// The root itself.
    pub(crate) fn root(&self) -> &Root {
        &self.root
    }

    /// Makes it this process' working directory.
    ///
    /// # Errors
    /// The kernel's.
    pub fn enter_folder(&self) -> Result<(), Error> {
        rustix::process::fchdir(&self.root).map_err(refused(|| "enter the root".to_owned()))
    }

    /// Makes it this process' root and leaves the host's behind. Without `pivot` the root is
    /// moved over the host's instead (for hosts that run from an initramfs).
    ///
    /// # Errors
    /// The kernel's.
    pub fn enter(self, pivot: bool) -> Result<(), Error> {
        let step = || "change the root".to_owned();
        self.enter_folder()?;
        if pivot {
            let old = Root::open_trusted(Path::new("/")).map_err(path(step))?;
            // Both at the same place: the old root then lies on top and is taken off
            // (pivot_root(2), "pivot_root(".", ".")").
            rustix::process::pivot_root(".", ".").map_err(refused(step))?;
            if self.plan.is_shared() {
                // So that the host keeps what is taken off here.
                change_propagation(&old, MS_SLAVE, true).map_err(refused(step))?;
            }
            unmount(".", UnmountFlags::DETACH).map_err(refused(step))?;
        } else {
            hide_kernel_mounts(&self.root)?;
            rustix::mount::mount_move(".", "/").map_err(refused(step))?;
            rustix::process::chroot(".").map_err(refused(step))?;
        }
        rustix::process::chdir("/").map_err(refused(step))?;
        if let Some((propagation, recursive)) = self.plan.propagation {
            change_propagation(&self.root, propagation, recursive)
                .map_err(refused(|| "set the root's propagation".to_owned()))?;
        }
        Ok(())
    }
}

/// Whether a mount shows a whole procfs.
fn is_procfs_root(mount: &OwnedFd) -> bool {
    let is_procfs =
        fstatfs(mount).is_ok_and(|kind| u64::try_from(kind.f_type) == Ok(PROC_SUPER_MAGIC));
    is_procfs
        && statat(mount, "", AtFlags::EMPTY_PATH).is_ok_and(|stat| stat.st_ino == PROC_ROOT_INODE)
}

/// Opens a terminal of the devpts that the calling process sees, for a process that joined a
/// container; master and slave. `size` is rows and columns.
///
/// # Errors
/// There is no devpts at `/dev/pts`, or the kernel refuses.
pub fn terminal(size: Option<(u16, u16)>) -> Result<(OwnedFd, OwnedFd), Error> {
    let root = Root::open_trusted(Path::new("/")).map_err(path(|| "open /".to_owned()))?;
    open_terminal(&root, size)
}
