//! The cgroup hierarchies of this machine, put otherwise for programs that want them so.

use crate::output_of;
use std::process::Command;

/// Lines of shell that mount cgroup v1 alone, with every controller that the kernel has and
/// `cpu,cpuacct` as a second name of `cpu`. For a mount namespace of the caller's own.
pub const ONLY_V1: &str = r#"
cgroups=$(mktemp -d)
mount -t tmpfs tmpfs "$cgroups"
for name in $(awk '$3 == "cgroup" { print $2 }' /proc/self/mounts | grep '^/sys/fs/cgroup/'); do
    mkdir "$cgroups/${name##*/}"
    mount --bind "$name" "$cgroups/${name##*/}"
done
for name in cpuset cpu cpuacct blkio memory devices freezer net_cls perf_event net_prio hugetlb pids; do
    [ -e "$cgroups/$name" ] && continue
    mkdir "$cgroups/$name"
    mount -t cgroup -o "$name" "$name" "$cgroups/$name" 2>/dev/null || rmdir "$cgroups/$name"
done
[ -e "$cgroups/cpu,cpuacct" ] || ln -s cpu "$cgroups/cpu,cpuacct"
mount --move "$cgroups" /sys/fs/cgroup
rmdir "$cgroups"
"#;

/// Mounts of the v1 hierarchies that exist and are mounted nowhere; they go on drop. A hierarchy
/// outlives its mount; containerd's shim finds it in `/proc/PID/cgroup`, then no mount of it, and
/// gives no figures at all ("cannot find cgroup mount destination").
pub struct HiddenHierarchies(tempfile::TempDir);

impl HiddenHierarchies {
    /// Mounts them, for everyone on the machine to find.
    ///
    /// # Panics
    /// When one cannot be mounted.
    #[must_use]
    pub fn mount() -> Self {
        let folder =
            tempfile::Builder::new().prefix("gantry-cgroups-").tempdir().expect("temporary folder");
        for names in hidden() {
            let place = folder.path().join(&names);
            std::fs::create_dir_all(&place).expect("create a mount point");
            let mut command = Command::new("mount");
            let _ = output_of(command.args(["-t", "cgroup", "-o", &names, "cgroup"]).arg(place));
        }
        Self(folder)
    }
}

impl Drop for HiddenHierarchies {
    fn drop(&mut self) {
        for place in std::fs::read_dir(self.0.path()).into_iter().flatten().flatten() {
            let _ = Command::new("umount").arg("-l").arg(place.path()).status();
        }
    }
}

/// The controllers of each hierarchy that is mounted nowhere.
fn hidden() -> Vec<String> {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let (cgroups, mounts) = (read("/proc/self/cgroup"), read("/proc/self/mounts"));
    let mounted: Vec<&str> = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .filter(|fields| fields.get(2) == Some(&"cgroup"))
        .filter_map(|fields| fields.get(3).copied())
        .flat_map(|options| options.split(','))
        .collect();
    cgroups
        .lines()
        .filter_map(|line| line.split(':').nth(1))
        .filter(|names| !names.is_empty() && !names.starts_with("name="))
        .filter(|names| !names.split(',').any(|name| mounted.contains(&name)))
        .map(str::to_owned)
        .collect()
}
