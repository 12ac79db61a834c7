//! The cgroup hierarchies of this machine, put otherwise for programs that want them so.

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
