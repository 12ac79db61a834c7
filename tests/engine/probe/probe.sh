# What a container is given, as text: run as `sh -s` inside a debian container.
# Everything that differs from run to run (ids, addresses, device numbers) is replaced.
export LC_ALL=C
clean() {
    sed -E \
        -e 's/[0-9a-f]{64}/ID/g' -e 's/\b[0-9a-f]{12}\b/SHORT/g' \
        -e 's/\b172\.[0-9]+\.[0-9]+\.[0-9]+/ADDRESS/g' \
        -e 's/([0-9a-f]{2}:){5}[0-9a-f]{2}/MAC/g'
}
section() { echo "== $1"; }

section status
grep -E '^(Cap|NoNewPrivs|Seccomp|Uid|Gid|Groups|Umask)' /proc/self/status

section mounts
# Fields: root, mount point, options, optional fields, type, source, super options.
awk '{
    root=$4; point=$5; options=$6; i=7; optional=""
    while ($i != "-") { sub(/:[0-9]+/, "", $i); optional = optional $i ","; i++ }
    type=$(i+1); source=$(i+2); super=$(i+3)
    if (type == "overlay") { super = (super ~ /^ro/) ? "ro" : "rw" }
    if (point ~ /^\/etc\//) { root="FILE"; source="DISK"; super="rw"; type="DISK" }
    gsub(/size=[0-9]+k/, "size=SIZE", super); gsub(/nr_inodes=[0-9]+/, "nr_inodes=N", super)
    print point, root, options, optional, type, source, super
}' /proc/self/mountinfo | clean

section hidden
for path in /proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats \
    /proc/timer_list /proc/timer_stats /proc/sched_debug /proc/scsi /sys/firmware \
    /sys/devices/virtual/powercap; do
    [ -e "$path" ] || continue
    if [ -d "$path" ]; then echo "$path: $(ls -A "$path" | wc -l) entries"; else echo "$path: $(head -c 16 "$path" 2>/dev/null | wc -c) bytes"; fi
done
for path in /proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger /sys/fs/cgroup /sys/kernel; do
    [ -e "$path" ] || continue
    if [ -w "$path" ] && ! grep -q " $path .*ro," /proc/self/mounts; then echo "$path: writable mode"; fi
    grep " $path " /proc/self/mounts | sed -E 's/^[^ ]+ ([^ ]+) ([^ ]+) ([a-z]+),.*/\1 \2 \3/'
done

section devices
find /dev -printf '%p %y %M %U:%G %l\n' | sort | clean
for device in $(find /dev -type c | sort); do stat -c '%n %t:%T' "$device"; done

section limits
grep -vE 'Max (pending signals|processes)' /proc/self/limits | sed -E 's/ +/ /g'

section cgroups
# A hierarchy that is mounted nowhere is the machine's business, not the engine's.
grep -v ':/$' /proc/self/cgroup | sed -E 's/^[0-9]+:/N:/' | sort | clean
for file in memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes memory/memory.swappiness \
    memory/memory.oom_control cpu/cpu.shares cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us cpuset/cpuset.cpus \
    pids/pids.max blkio/blkio.weight devices/devices.list; do
    [ -e "/sys/fs/cgroup/$file" ] && { echo "-- $file"; cat "/sys/fs/cgroup/$file"; }
done

section environment
env | grep -vE '^(_|SHLVL|OLDPWD)=' | sort | clean

section process
cat /proc/self/oom_score_adj /proc/self/coredump_filter /proc/self/personality 2>/dev/null
tr '\0' ' ' </proc/1/cmdline; echo
# One by one: the shell that reads this has others, for a moment each.
for fd in 0 1 2; do
    echo "$fd -> $(readlink /proc/1/fd/$fd | sed -E 's/^(pipe|socket):.*/pipe/')"
done
readlink /proc/self/cwd
ls /proc/self/ns

section files
for file in /etc/hostname /etc/hosts /etc/resolv.conf; do
    stat -c '%n %a %u:%g' "$file"
    grep -vE '^(#|search|options|$)' "$file" | sed 's/^nameserver .*/nameserver HOST/' | clean
done
hostname | clean; uname -n | clean

section sysctls
for name in net/ipv4/ip_unprivileged_port_start net/ipv4/ping_group_range \
    net/ipv4/conf/all/rp_filter net/ipv6/conf/all/disable_ipv6 net/ipv6/conf/eth0/disable_ipv6 \
    kernel/shmmax kernel/msgmax kernel/domainname; do
    [ -e "/proc/sys/$name" ] && echo "$name = $(cat "/proc/sys/$name")"
done

section network
ip -o link show | sed -E 's/^[0-9]+: //; s/@if[0-9]+/@ifN/; s/link-netnsid [0-9]+//' | clean
ip -o addr show | sed -E 's/^[0-9]+: //' | clean
ip route show | clean
ip -6 route show | clean

section seccomp
# Each system call with arguments that no call accepts: the verdict is the error, or the signal.
perl -e '
use strict; use POSIX ":sys_wait_h";
my %skip = map { $_ => 1 } (15, 34, 57, 58, 60, 61, 231, 247, 130, 23, 270, 7, 271, 232, 281, 441, 35, 230, 128, 202, 219, 449, 62, 200, 234);
for my $number (0 .. 470) {
    next if $skip{$number};
    my $child = fork();
    if (!$child) {
        alarm 60; close STDOUT; close STDERR; close STDIN;
        my $result = syscall($number, -1, -1, -1, -1, -1, -1);
        exit($result == -1 ? ($! + 0) % 256 : 0);
    }
    waitpid($child, 0);
    my $verdict = ($? & 127) ? "signal " . ($? & 127) : ($? >> 8);
    print "$number $verdict\n" if $verdict eq "1" || $verdict eq "38" || $verdict =~ /signal/;
}'
