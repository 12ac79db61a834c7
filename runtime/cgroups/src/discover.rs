//! Which hierarchies the host has, and where in them a container's cgroup belongs.

use crate::{Cgroup, Error, Record, knob, reopen};
use rustix::fs::statfs;
use std::cell::OnceCell;
use std::path::{Component, Path, PathBuf};

const CGROUP_SUPER_MAGIC: u64 = 0x0027_e0eb;
const CGROUP2_SUPER_MAGIC: u64 = 0x6367_7270;
const OWN_PROCESS: &str = "/proc/self";
const MOUNT_POINT: &str = "/sys/fs/cgroup";
/// Where systemd mounts cgroup v2 beside v1.
const HYBRID_NAME: &str = "unified";

/// A container's folder in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// The mount point's name: `memory`, `cpu,cpuacct`, `systemd`; empty for
    /// cgroup v2 alone.
    pub name: String,
    /// The controllers as mount options: `memory`, `cpu,cpuacct`, `name=systemd`; empty for
    /// cgroup v2.
    pub controllers: String,
    /// The container's folder.
    pub path: PathBuf,
}

impl Hierarchy {
    /// Whether this hierarchy has a controller.
    #[must_use]
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.split(',').any(|part| part == controller)
    }
}

/// Finds where the cgroup of a container belongs: an absolute `cgroups_path` starts from each
/// hierarchy's mount point, a relative one from this process' own cgroup, and none is `id`.
///
/// # Errors
/// The path climbs out, or is written for the systemd driver.
pub fn locate(cgroups_path: &str, id: &str) -> Result<Box<dyn Cgroup>, Error> {
    let wanted = if cgroups_path.is_empty() { id } else { cgroups_path };
    if !wanted.starts_with('/') && wanted.matches(':').count() == 2 {
        return Err(Error::NeedsSystemd(wanted.to_owned()));
    }
    let path = Path::new(wanted);
    if path.components().any(|part| matches!(part, Component::ParentDir)) || wanted == "/" {
        return Err(Error::InvalidPath(wanted.to_owned()));
    }
    let own = knob::read(Path::new(OWN_PROCESS), "cgroup").unwrap_or_default();
    let place = |mount: PathBuf, own: &str| match path.strip_prefix("/") {
        Ok(absolute) => mount.join(absolute),
        Err(_) => mount.join(own.trim_start_matches('/')).join(path),
    };
    if magic(Path::new(MOUNT_POINT)) == CGROUP2_SUPER_MAGIC {
        let own = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
        return Ok(reopen(Record {
            unified: true,
            hierarchies: vec![Hierarchy {
                name: String::new(),
                controllers: String::new(),
                path: place(MOUNT_POINT.into(), own),
            }],
            scope: None,
        }));
    }
    let (list, mounts) = (OnceCell::new(), OnceCell::new());
    let listed = || {
        let read = || knob::read(Path::new(OWN_PROCESS), "mountinfo").unwrap_or_default();
        mounts.get_or_init(|| Mounts::parse(list.get_or_init(read)))
    };
    // In the order in which they were mounted, which is the reverse of this file's.
    let mut hierarchies: Vec<Hierarchy> = own
        .lines()
        .rev()
        .filter_map(own_cgroup)
        .filter_map(|(controllers, own)| {
            let mount =
                conventional_mount_point(controllers).or_else(|| listed().of(controllers))?;
            Some(Hierarchy {
                name: mount.file_name()?.to_string_lossy().into_owned(),
                controllers: controllers.to_owned(),
                path: place(mount, own),
            })
        })
        .collect();
    // Hybrid hosts: the process tree of cgroup v2, without controllers.
    let hybrid = Path::new(MOUNT_POINT).join(HYBRID_NAME);
    if let Some(own) = own.lines().find_map(|line| line.strip_prefix("0::"))
        && magic(&hybrid) == CGROUP2_SUPER_MAGIC
    {
        hierarchies.push(Hierarchy {
            name: HYBRID_NAME.to_owned(),
            controllers: String::new(),
            path: place(hybrid, own),
        });
    }
    Ok(reopen(Record { unified: false, hierarchies, scope: None }))
}

/// Controllers and path of a line of `/proc/self/cgroup` (`cgroups(7)`); cgroup v2's is left out.
pub(crate) fn own_cgroup(line: &str) -> Option<(&str, &str)> {
    let mut parts = line.splitn(3, ':');
    let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    (!controllers.is_empty()).then_some((controllers, path))
}

/// Where a v1 hierarchy is mounted by convention: under its controllers' names.
fn conventional_mount_point(controllers: &str) -> Option<PathBuf> {
    let name = controllers.strip_prefix("name=").unwrap_or(controllers);
    let conventional = Path::new(MOUNT_POINT).join(name);
    (magic(&conventional) == CGROUP_SUPER_MAGIC).then_some(conventional)
}

/// The mounts of v1 hierarchies that `/proc/self/mountinfo` lists (`proc_pid_mountinfo(5)`), which is
/// long on a busy host and so read at most once, and only for what is not where it is by convention.
///
/// Where any hierarchy is mounted in the usual place, a mount elsewhere is somebody's own (a test's, a
/// container's that is being built) and may be gone in a moment: the host is taken to be without that
/// hierarchy, as under runc (libcontainer, `FindCgroupMountpoint`). Of several mounts the one that
/// shows the hierarchy's root is where absolute paths start.
pub(crate) struct Mounts<'a>(Vec<Mount<'a>>);

impl<'a> Mounts<'a> {
    pub(crate) fn parse(list: &'a str) -> Self {
        let mut mounts: Vec<Mount<'a>> = list.lines().filter_map(Mount::parse).collect();
        if mounts.iter().any(|mount| mount.is_in_usual_place()) {
            mounts.retain(|mount| mount.is_in_usual_place());
        }
        Self(mounts)
    }

    /// Where a hierarchy is mounted.
    pub(crate) fn of(&self, controllers: &str) -> Option<PathBuf> {
        let mut fitting = self.0.iter().filter(|mount| mount.has(controllers));
        let first = fitting.clone().next();
        let mount = fitting.find(|mount| mount.root == "/").or(first)?;
        Some(PathBuf::from(mount.point))
    }
}

/// A mount of a v1 hierarchy.
#[derive(Clone, Copy)]
struct Mount<'a> {
    /// What of the hierarchy it shows.
    root: &'a str,
    point: &'a str,
    /// The file system's options, controllers among them.
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        // After a varying number of fields a dash; spaces in fields are escaped.
        let mut fields = line.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let mut filesystem = fields.skip_while(|field| *field != "-").skip(1);
        if filesystem.next()? != "cgroup" {
            return None;
        }
        Some(Self { root, point, options: filesystem.nth(1)? })
    }

    fn has(&self, controllers: &str) -> bool {
        let has = |controller| self.options.split(',').any(|option| option == controller);
        controllers.split(',').all(has)
    }

    fn is_in_usual_place(self) -> bool {
        Path::new(self.point).starts_with(MOUNT_POINT)
    }
}

fn magic(path: &Path) -> u64 {
    statfs(path).map_or(0, |stat| u64::try_from(stat.f_type).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed_mount_point(mounts: &str, controllers: &str) -> Option<PathBuf> {
        Mounts::parse(mounts).of(controllers)
    }

    #[test]
    fn lines_of_proc_are_cut_at_their_first_two_colons() {
        assert_eq!(own_cgroup("4:memory:/a:b"), Some(("memory", "/a:b")));
        assert_eq!(own_cgroup("9:name=systemd:/"), Some(("name=systemd", "/")));
        assert_eq!(own_cgroup("0::/"), None);
        assert_eq!(own_cgroup("rubbish"), None);
    }

    #[test]
    fn mounts_are_found_by_their_controllers() {
        let mounts = "35 31 0:32 / /cg/mem rw,relatime - cgroup cgroup rw,memory\n\
                      36 31 0:33 / /cg/both rw shared:1 - cgroup cgroup rw,cpu,cpuacct\n";
        assert_eq!(listed_mount_point(mounts, "memory"), Some("/cg/mem".into()));
        assert_eq!(listed_mount_point(mounts, "cpu,cpuacct"), Some("/cg/both".into()));
        assert_eq!(listed_mount_point(mounts, "pids"), None);
    }

    #[test]
    fn mounts_outside_of_the_usual_place_count_only_where_nothing_is_mounted_there() {
        let elsewhere = "90 23 0:32 / /tmp/x/memory rw - cgroup cgroup rw,memory\n\
                         91 23 0:40 / /tmp/x/net_cls rw - cgroup cgroup rw,net_cls\n";
        let usual = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
                     35 31 0:32 / /sys/fs/cgroup/mem rw - cgroup cgroup rw,memory\n";
        for mounts in [format!("{elsewhere}{usual}"), format!("{usual}{elsewhere}")] {
            let memory = listed_mount_point(&mounts, "memory");
            assert_eq!(memory, Some("/sys/fs/cgroup/mem".into()));
            assert_eq!(listed_mount_point(&mounts, "net_cls"), None);
        }
        assert_eq!(listed_mount_point(elsewhere, "net_cls"), Some("/tmp/x/net_cls".into()));
        let similar = elsewhere.replace("/tmp/x", "/sys/fs/cgroup-of-x");
        assert!(listed_mount_point(&format!("{similar}{usual}"), "net_cls").is_none());
    }

    #[test]
    fn a_mount_of_the_whole_hierarchy_comes_before_those_of_a_part() {
        let mounts = "90 23 0:32 /a /part rw - cgroup cgroup rw,memory\n\
                      91 23 0:32 / /whole rw - cgroup cgroup rw,memory\n\
                      92 23 0:32 / /later rw - cgroup cgroup rw,memory\n\
                      93 23 0:40 /b /own rw - cgroup cgroup rw,pids\n";
        assert_eq!(listed_mount_point(mounts, "memory"), Some("/whole".into()));
        // In a container there may be no other.
        assert_eq!(listed_mount_point(mounts, "pids"), Some("/own".into()));
    }

    #[test]
    fn paths_that_climb_and_systemd_paths_are_refused() {
        for bad in ["/a/../../b", "..", "system.slice:docker:x", "/"] {
            assert!(locate(bad, "id").is_err(), "{bad}");
        }
    }
}
