# A container's life, from create to delete, on which what is asked of each driver and machine is hung: before
# this come `create`, `at_start`, `after_update` and `at_end`, and for cgroup v2 the container's group.
set -eu
. /payload/machine/assertions
status() { gantry-runtime --root /run/runtime state box | sed -n 's/.*"status": "\(.*\)".*/\1/p'; }
ended() { for i in $(seq 100); do [ "$(status)" = stopped ] && return; sleep 0.1; done; exit 1; }
later() { gantry-runtime --root /run/runtime "$@"; }


# What v2's files say of the container.
files_at_start() {
    expect memory "$(cat $group/memory.max)" 33554432
    expect cpu "$(cat $group/cpu.max)" "50000 100000"
    expect weight "$(cat $group/cpu.weight)" 59
    expect cpus "$(cat $group/cpuset.cpus)" 0
    expect pids "$(cat $group/pids.max)" 20
    expect inside "$(later exec box cat /proc/self/cgroup)" 0::/
    expect shown "$(later exec box cat /sys/fs/cgroup/memory.max)" 33554432
}
files_after_update() {
    expect memory "$(cat $group/memory.max)" 67108864
    expect cpu "$(cat $group/cpu.max)" "50000 200000"
    expect pids "$(cat $group/pids.max)" 30
}

create box </dev/null >/tmp/out 2>&1 || { cat /tmp/out; exit 1; }
later start box
at_start
later exec box sh -c 'dd if=/dev/zero of=/dev/null count=1 2>/dev/null' || exit 1
has devices "$(later exec box sh -c 'cat /dev/forbidden' 2>&1 || true)" "not permitted"
later update --memory 67108864 --cpu-period 200000 --pids-limit 30 box
after_update
later pause box
expect paused "$(status)" paused
later resume box
expect resumed "$(status)" running
later kill box KILL
ended
later delete box
at_end
echo "to the end"
