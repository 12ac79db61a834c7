//! Intel RDT: shares of caches and memory bandwidth, by the groups of the resctrl file system.
//!
//! A group (class of service) is a folder of that file system; its `schemata` says what the
//! processes in its `tasks` get. Whoever administers the machine mounts it
//! (<https://docs.kernel.org/filesystems/resctrl.html>).

use crate::{Error, knob};
use base_oci::runtime::IntelRdt;
use rustix::fs::statfs;
use rustix::io::Errno;
use std::path::{Path, PathBuf};

const MOUNT_POINT: &str = "/sys/fs/resctrl";
const RDTGROUP_SUPER_MAGIC: u64 = 0x0765_5821;

/// A container's group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Where the file system is mounted.
    pub root: PathBuf,
    /// Its folder.
    pub folder: PathBuf,
    /// The folder of its monitoring group, if it has one.
    pub monitoring: Option<PathBuf>,
    /// Whether it was made for the container and goes with it.
    pub is_own: bool,
}

/// Where the file system is mounted.
///
/// # Errors
/// It is not, or this machine has none.
pub fn root() -> Result<PathBuf, Error> {
    let conventional = statfs(MOUNT_POINT).map_err(|_| Error::NoResctrl)?;
    if u64::try_from(conventional.f_type) == Ok(RDTGROUP_SUPER_MAGIC) {
        return Ok(MOUNT_POINT.into());
    }
    let mounts = knob::read(Path::new("/proc/self"), "mountinfo")?;
    let listed = mounts.lines().find(|line| line.contains(" - resctrl "));
    listed.and_then(|line| line.split(' ').nth(4)).map(PathBuf::from).ok_or(Error::NoResctrl)
}

impl Group {
    /// Makes the group, or finds the one that the configuration names, and sets what it gets.
    ///
    /// # Errors
    /// The configuration wants what the machine does not have, or the kernel refuses.
    pub fn create(root: &Path, config: &IntelRdt, id: &str) -> Result<Self, Error> {
        check(root, config)?;
        let class = if config.clos_id.is_empty() { id } else { &config.clos_id };
        let folder = root.join(class.trim_start_matches('/'));
        let lines: Vec<&str> = [&config.l3_cache_schema, &config.mem_bw_schema]
            .into_iter()
            .chain(&config.schemata)
            .map(String::as_str)
            .filter(|line| !line.is_empty())
            .collect();
        if !config.clos_id.is_empty() && lines.is_empty() && !folder.is_dir() {
            return Err(Error::NoClass(folder));
        }
        let is_new = make(root, &folder)?;
        let monitoring = config.enable_monitoring.then(|| folder.join("mon_groups").join(id));
        let is_own = is_new && config.clos_id.is_empty();
        let group = Self { root: root.to_owned(), folder, monitoring, is_own };
        let made = group.set(&lines).and_then(|()| match &group.monitoring {
            Some(monitoring) => make(root, monitoring).map(drop),
            None => Ok(()),
        });
        match made {
            Ok(()) => Ok(group),
            Err(error) => {
                let _ = group.remove();
                Err(error)
            }
        }
    }

    /// Writes lines of the group's schemata.
    ///
    /// # Errors
    /// The kernel's, with what it says about them.
    pub fn set(&self, lines: &[&str]) -> Result<(), Error> {
        if lines.is_empty() {
            return Ok(());
        }
        let text = format!("{}\n", lines.join("\n"));
        knob::write(&self.folder, "schemata", text).map_err(with_status(&self.root))
    }

    /// Puts a process in.
    ///
    /// # Errors
    /// The kernel's.
    pub fn attach(&self, pid: i32) -> Result<(), Error> {
        knob::write(&self.folder, "tasks", pid).map_err(with_status(&self.root))?;
        let Some(monitoring) = &self.monitoring else { return Ok(()) };
        knob::write(monitoring, "tasks", pid).map_err(with_status(&self.root))
    }

    /// Removes what was made for the container.
    ///
    /// # Errors
    /// The kernel's.
    pub fn remove(&self) -> Result<(), Error> {
        match (&self.monitoring, self.is_own) {
            // The monitoring group goes with it.
            (_, true) => knob::remove(&self.folder),
            (Some(monitoring), false) => knob::remove(monitoring),
            (None, false) => Ok(()),
        }
    }
}

fn check(root: &Path, config: &IntelRdt) -> Result<(), Error> {
    let class = config.clos_id.as_str();
    if matches!(class, "." | "..") || (class.len() > 1 && class.contains('/')) {
        return Err(Error::Invalid { what: "intelRdt.ClosID", value: class.to_owned() });
    }
    for (schema, part, field, what) in [
        (&config.l3_cache_schema, "L3", "l3CacheSchema", "CAT"),
        (&config.mem_bw_schema, "MB", "memBwSchema", "MBA"),
    ] {
        if !schema.is_empty() && !root.join("info").join(part).exists() {
            return Err(Error::NoResctrlPart { field, what });
        }
    }
    Ok(())
}

/// Makes a folder whose parent exists. Whether it is new.
fn make(root: &Path, folder: &Path) -> Result<bool, Error> {
    match rustix::fs::mkdir(folder, rustix::fs::Mode::from_raw_mode(0o755)) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(errno) => Err(with_status(root)(Error::Refused {
            step: "make resctrl group".to_owned(),
            path: folder.to_owned(),
            errno,
        })),
    }
}

/// Adds what the kernel says about the last failure.
fn with_status(root: &Path) -> impl Fn(Error) -> Error {
    move |error| match (error, knob::read(&root.join("info"), "last_cmd_status")) {
        (Error::Refused { step, path, errno }, Ok(status)) => {
            Error::Refused { step: format!("{step} (last_cmd_status: {status})"), path, errno }
        }
        (error, _) => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with what resctrl has; a new group's files are the kernel's, so they are made first.
    fn fake(group: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("info/L3")).unwrap();
        std::fs::write(root.path().join("info/last_cmd_status"), "ok\n").unwrap();
        let group = root.path().join(group);
        std::fs::create_dir_all(group.join("mon_groups/box")).unwrap();
        for file in ["schemata", "tasks", "mon_groups/box/tasks"] {
            std::fs::write(group.join(file), "").unwrap();
        }
        root
    }

    #[test]
    fn a_named_class_is_set_entered_and_left_in_place() {
        let root = fake("gold");
        let config = IntelRdt {
            clos_id: "gold".to_owned(),
            l3_cache_schema: "L3:0=f".to_owned(),
            schemata: vec!["L2:0=3".to_owned()],
            enable_monitoring: true,
            ..IntelRdt::default()
        };
        let group = Group::create(root.path(), &config, "box").unwrap();
        assert!(!group.is_own);
        group.attach(7).unwrap();
        let read = |file: &str| std::fs::read_to_string(group.folder.join(file)).unwrap();
        assert_eq!(read("schemata"), "L3:0=f\nL2:0=3\n");
        assert_eq!((read("tasks").as_str(), read("mon_groups/box/tasks").as_str()), ("7", "7"));
        std::fs::remove_file(group.folder.join("mon_groups/box/tasks")).unwrap();
        group.remove().unwrap();
        assert!(group.folder.exists() && !group.folder.join("mon_groups/box").exists());
    }

    #[test]
    fn a_group_of_its_own_goes_with_the_container() {
        let root = fake("other");
        let group = Group::create(root.path(), &IntelRdt::default(), "box").unwrap();
        assert!(group.is_own && root.path().join("box").is_dir());
        group.remove().unwrap();
        assert!(!root.path().join("box").exists());
    }

    #[test]
    fn what_the_machine_does_not_have_and_paths_for_classes_are_refused() {
        let root = fake("gold");
        let create = |config: &IntelRdt| Group::create(root.path(), config, "box");
        let class = |clos_id: &str| IntelRdt { clos_id: clos_id.to_owned(), ..IntelRdt::default() };
        for bad in [class(".."), class("a/b"), class("missing")] {
            assert!(create(&bad).is_err(), "{bad:?}");
        }
        let bandwidth = IntelRdt { mem_bw_schema: "MB:0=20".to_owned(), ..IntelRdt::default() };
        assert!(matches!(create(&bandwidth), Err(Error::NoResctrlPart { .. })));
        assert!(!root.path().join("box").exists());
    }
}
