//! The runtime's two cgroup drivers, on both versions of cgroups.

#![forbid(unsafe_code)]

use tests_vm::{Machine, bundle};

const LIFE: &str = include_str!("../guest/life.sh");

/// What systemd says of the container.
const UNIT: &str = r#"
create() { gantry-runtime --root /run/runtime --systemd-cgroup create --bundle /payload/bundle "$1"; }
shown() { systemctl show --property "$1" --value gantry-box.scope; }
unit_at_start() {
    expect unit "$(shown ActiveState)" active
    expect slice "$(shown Slice)" test-deep.slice
    expect delegated "$(shown Delegate)" yes
    expect ordering "$(shown DefaultDependencies)" no
    expect tasks "$(shown TasksMax)" 20
    expect quota "$(shown CPUQuotaPerSecUSec)" 500ms
    expect cpus "$(shown AllowedCPUs)" 0
    expect annotated "$(shown TimeoutStopUSec) $(shown CollectMode)" "17s inactive-or-failed"
}
unit_after_update() {
    expect tasks "$(shown TasksMax)" 30
    expect quota "$(shown CPUQuotaPerSecUSec)" 250ms
}
unit_is_gone() {
    expect unit "$(shown LoadState)" not-found
    expect groups "$(find /sys/fs/cgroup -name 'gantry-box*')" ""
}
"#;

const SCOPE: &str = "test-deep.slice:gantry:box";

/// CRIU puts the container into a scope that was made for CRIU itself.
#[test]
fn a_container_is_restored_into_a_scope() {
    let driver = r#"
        group=/sys/fs/cgroup/test.slice/test-deep.slice/gantry-box.scope
        # A file outside is nothing that CRIU takes along.
        create() {
            gantry-runtime --root /run/runtime --systemd-cgroup create --bundle /payload/bundle "$1" >/dev/null 2>&1
        }
        at_start() {
            files_at_start
            later checkpoint --image-path /tmp/image box || { grep Error /tmp/image/dump.log; exit 1; }
            unit_is_gone
            gantry-runtime --root /run/runtime --systemd-cgroup restore --detach \
                --bundle /payload/bundle --image-path /tmp/image box </dev/null >/tmp/out 2>&1 ||
                { cat /tmp/out; grep Error /tmp/image/restore.log; exit 1; }
            unit_at_start
            files_at_start
            expect where "$(shown ControlGroup)" /test.slice/test-deep.slice/gantry-box.scope
            expect alone "$(cat $group/cgroup.procs)" "$(later ps --format json box | tr -d '[]\n')"
        }
        after_update() {
            files_after_update
            unit_after_update
        }
        at_end() {
            unit_is_gone
            # One that fails leaves none.
            mv /payload/criu/bin/criu.real /payload/criu/bin/away
            gantry-runtime --root /run/runtime --systemd-cgroup restore --detach \
                --bundle /payload/bundle --image-path /tmp/image box </dev/null >/tmp/out 2>&1 && exit 1
            unit_is_gone
        }
    "#;
    lives(Machine::systemd().with_criu(), SCOPE, &[UNIT, driver]);
}

fn lives(machine: Machine, cgroups_path: &str, script: &[&str]) {
    let folder = tempfile::tempdir().expect("temporary folder");
    bundle::write(folder.path(), cgroups_path);
    let script = script.concat() + LIFE;
    let printed = machine.with("bundle", folder.path()).with_programs().run(&script);
    assert!(printed.ends_with("to the end\n"), "{printed}");
}

#[test]
fn a_container_lives_on_cgroup_v2_without_systemd() {
    let driver = r#"
        group=/sys/fs/cgroup/test/box
        create() {
            refused=$(gantry-runtime --root /run/runtime --systemd-cgroup create --bundle /payload/bundle no 2>&1 || true)
            has refused "$refused" 'expected cgroupsPath to be of format \"slice:prefix:name\"'
            sed 's#/test/box#:a:b#' /payload/bundle/config.json > /payload/scope.json
            mkdir /payload/scope && mv /payload/scope.json /payload/scope/config.json
            ln -s /payload/bundle/rootfs /payload/scope/rootfs
            sed -i 's|"resources":{|"resources":{"unified":{"memory.high":"29999104"},|' /payload/bundle/config.json
            refused=$(gantry-runtime --root /run/runtime --systemd-cgroup create --bundle /payload/scope no 2>&1 || true)
            has refused "$refused" "systemd is not running on this host"
            gantry-runtime --root /run/runtime create --bundle /payload/bundle "$1"
        }
        at_start() {
            files_at_start
            expect unified "$(cat $group/memory.high)" 29999104
            has event "$(later events --stats box)" '"psi":{'
        }
        after_update() {
            files_after_update
            # Memory and swap are one sum, of which either half may be left out.
            expect swap "$(cat $group/memory.swap.max)" max
            later update --memory-swap 100663296 box
            expect swap "$(cat $group/memory.swap.max)" 33554432
            later update --memory 83886080 box
            expect swap "$(cat $group/memory.max) $(cat $group/memory.swap.max)" "83886080 16777216"
            has refused "$(later update --memory 134217728 box 2>&1 || true)" "swap limit"
            later update --memory-swap 134217728 --memory 67108864 box
            expect swap "$(cat $group/memory.max) $(cat $group/memory.swap.max)" "67108864 67108864"
            later update --memory -1 box
            expect swap "$(cat $group/memory.max) $(cat $group/memory.swap.max)" "max max"
            # A burst may not be longer than the quota, in force or to come.
            later update --cpu-quota 40000 --cpu-burst 30000 box
            later update --cpu-quota 10000 --cpu-burst 5000 box
            expect burst "$(cat $group/cpu.max) $(cat $group/cpu.max.burst)" "10000 200000 5000"
            later update --cpu-quota 40000 --cpu-burst 30000 box
            expect burst "$(cat $group/cpu.max) $(cat $group/cpu.max.burst)" "40000 200000 30000"
        }
        at_end() { expect group "$(ls -d $group 2>/dev/null || true)" ""; }
    "#;
    lives(Machine::bare(), "/test/box", &[driver]);
}

#[test]
fn a_container_lives_in_a_scope_of_systemds() {
    let driver = r#"
        group=/sys/fs/cgroup/test.slice/test-deep.slice/gantry-box.scope
        at_start() {
            files_at_start
            unit_at_start
            expect memory "$(shown MemoryMax) $(shown CPUWeight)" "33554432 59"
            expect where "$(shown ControlGroup)" /test.slice/test-deep.slice/gantry-box.scope
        }
        after_update() {
            files_after_update
            unit_after_update
            expect memory "$(shown MemoryMax)" 67108864
        }
        at_end() {
            unit_is_gone
            # A failed create leaves no unit, and one that is there is told of.
            sed 's|"sleep"|"nosuch"|' /payload/bundle/config.json > /payload/config.json
            mv /payload/config.json /payload/bundle/config.json
            has refused "$(create box 2>&1 || true)" "executable file not found"
            unit_is_gone
            systemd-run --quiet --scope --unit gantry-box sleep 100 &
            until [ "$(shown ActiveState)" = active ]; do sleep 0.1; done
            has refused "$(create box 2>&1 || true)" "gantry-box.scope was already loaded"
            expect other "$(shown ActiveState)" active
            # Without the bus, systemd's own socket is used.
            systemctl stop gantry-box.scope
            mv /run/dbus/system_bus_socket /run/dbus/away
            sed -i 's|"nosuch"|"sleep"|' /payload/bundle/config.json
            create box </dev/null >/tmp/out 2>&1 || { cat /tmp/out; exit 1; }
            unit_at_start
            later delete --force box
            unit_is_gone
            # Root of a user namespace gets the folder that it sees as the root and may write to.
            ids='[{"containerID":0,"hostID":100000,"size":65536}]'
            sed -e 's|"namespaces":\[|"namespaces":[{"type":"user"},|' \
                -e "s|\"linux\":{|\"linux\":{\"uidMappings\":$ids,\"gidMappings\":$ids,|" \
                -e 's|"devices":\[{[^]]*forbidden[^]]*\]|"devices":[]|' \
                /payload/bundle/config.json > /payload/readonly.json
            for options in ro rw; do
                sed 's|"options":\["ro"\]|"options":["'$options'"]|' /payload/readonly.json > /payload/bundle/config.json
                create box </dev/null >/tmp/out 2>&1 || { cat /tmp/out; exit 1; }
                later start box
                made=$(later exec box /bin/busybox mkdir /sys/fs/cgroup/inner 2>&1 || true)
                owners=$(stat -c %u $group $group/cgroup.procs $group/memory.max | tr '\n' ' ')
                case $options in
                    ro) expect owners "$owners" "0 0 0 "; has made "$made" "ead-only" ;;
                    rw) expect owners "$owners" "100000 100000 0 "; expect made "$made" "" ;;
                esac
                later delete --force box
                unit_is_gone
            done
        }
    "#;
    lives(Machine::systemd(), SCOPE, &[UNIT, driver]);
}

#[test]
fn a_container_lives_in_a_scope_on_cgroup_v1() {
    let driver = r#"
        group=test.slice/test-deep.slice/gantry-box.scope
        at_start() {
            unit_at_start
            expect memory "$(shown MemoryLimit) $(shown CPUShares)" "33554432 512"
            cd /sys/fs/cgroup
            expect memory "$(cat memory/$group/memory.limit_in_bytes)" 33554432
            expect cpu "$(cat cpu/$group/cpu.shares) $(cat cpu/$group/cpu.cfs_quota_us)" "512 50000"
            expect pids "$(cat pids/$group/pids.max)" 20
            expect cpus "$(cat cpuset/$group/cpuset.cpus)" 0
            pid=$(later ps --format json box | tr -d '[]\n')
            for name in freezer systemd devices; do
                expect $name "$(cat $name/$group/cgroup.procs)" "$pid"
            done
        }
        after_update() {
            unit_after_update
            expect memory "$(shown MemoryLimit)" 67108864
            # What it believes it writes again.
            systemctl daemon-reload
            expect memory "$(cat memory/$group/memory.limit_in_bytes)" 67108864
            has devices "$(later exec box sh -c 'cat /dev/forbidden' 2>&1 || true)" "not permitted"
        }
        at_end() { unit_is_gone; }
    "#;
    lives(Machine::systemd_on_cgroup_v1(), SCOPE, &[UNIT, driver]);
}

/// An ordinary user's life with systemd of their own; `as_user` runs a command outside of what their
/// systemd has, as a login by ssh is.
const USER: &str = r#"
set -eu
. /payload/machine/assertions
id=1000
user=/sys/fs/cgroup/user.slice/user-$id.slice/user@$id.service
trap 'code=$?; [ $code = 0 ] || journalctl --boot --no-pager --lines 30; exit $code' EXIT
systemctl start user@$id.service
mount --make-rprivate /
cp -a /payload/bundle /home/somebody/bundle
chown -R somebody: /home/somebody
as_user() {
    setpriv --reuid $id --regid $id --clear-groups \
        env HOME=/home/somebody XDG_RUNTIME_DIR=/run/user/$id "$@"
}
runtime() { as_user gantry-runtime --systemd-cgroup "$@"; }
shown() { as_user systemctl --user show --property "$1" --value "$unit"; }
ended() { until [ "$(runtime state box | sed -n 's/.*"status": "\(.*\)".*/\1/p')" = stopped ]; do sleep 0.1; done; }
create() { runtime create --bundle /home/somebody/bundle box </dev/null >/tmp/out 2>&1 || { cat /tmp/out; exit 1; }; }
# configured SED-SCRIPT: the configuration changed.
configured() { sed "$1" /payload/bundle/config.json > /home/somebody/bundle/config.json; }
is_gone() {
    expect unit "$(shown LoadState)" not-found
    expect groups "$(find /sys/fs/cgroup -name "${unit%.scope}*")" ""
}
expect elsewhere "$(as_user cat /proc/self/cgroup)" 0::/system.slice/gantry-test.service

unit=gantry-box.scope
group=$user/user.slice/$unit
create
expect unit "$(shown ActiveState)" active
expect where "$(shown ControlGroup)" "${group#/sys/fs/cgroup}"
expect slice "$(shown Slice)" user.slice
expect delegated "$(shown Delegate)" yes
expect properties "$(shown MemoryMax) $(shown CPUQuotaPerSecUSec) $(shown TasksMax)" "33554432 500ms 20"
expect annotated "$(shown TimeoutStopUSec)" 17s
expect files "$(cat $group/memory.max) $(cat $group/cpu.max) $(cat $group/pids.max)" "33554432 50000 100000 20"
expect machine "$(systemctl show --property LoadState --value $unit)" not-found
runtime start box
# A further process comes from outside of the user's part of the tree, and is limited all the same.
expect inside "$(runtime exec box cat /proc/self/cgroup)" 0::/
expect shown "$(runtime exec box cat /sys/fs/cgroup/memory.max)" 33554432
mkdir $group/deeper && chown $id $group/deeper $group/deeper/cgroup.procs
expect below "$(runtime exec --cgroup deeper box cat /proc/self/cgroup)" 0::/deeper
rmdir $group/deeper
runtime update --memory 67108864 --pids-limit 30 box
expect updated "$(shown MemoryMax) $(shown TasksMax)" "67108864 30"
expect updated "$(cat $group/memory.max) $(cat $group/pids.max)" "67108864 30"
runtime pause box
expect paused "$(cat $group/cgroup.freeze)" 1
runtime resume box
runtime kill box KILL
ended
runtime delete box
is_gone

# What is not delegated is an error, and leaves nothing.
configured 's|"cpu":{|"cpu":{"cpus":"0",|'
has cpuset "$(runtime create --bundle /home/somebody/bundle box 2>&1 </dev/null || true)" "cpuset"
is_gone
configured 's|"sleep"|"nosuch"|'
has nosuch "$(runtime create --bundle /home/somebody/bundle box 2>&1 </dev/null || true)" "executable file not found"
is_gone

# Without a path it is runc-ID in user.slice, and a slice is the user's own.
unit=runc-box.scope
configured 's|"cgroupsPath":"[^"]*",||'
create
expect default "$(shown ControlGroup)" "${user#/sys/fs/cgroup}/user.slice/$unit"
runtime delete --force box
is_gone
unit=gantry-box.scope
configured 's|":gantry:box"|"test-deep.slice:gantry:box"|'
create
expect sliced "$(shown ControlGroup)" "${user#/sys/fs/cgroup}/test.slice/test-deep.slice/$unit"
runtime delete --force box
is_gone

# Root inside is one of the subordinate ids, not the user; it can make groups below its own.
configured 's|"containerID":0,"hostID":1000,"size":1|"containerID":0,"hostID":100000,"size":65536|g'
create
expect owner "$(awk '/^Uid/ { print $2 }' /proc/$(cat $group/cgroup.procs)/status)" 100000
runtime start box
expect inside "$(runtime exec box cat /proc/self/cgroup)" 0::/
runtime delete --force box
is_gone

# As podman calls it: root of a user namespace. The bus is by its address, or not there at all.
configured 's|"hostID":1000|"hostID":0|g'
inside() { setpriv --reuid $id --regid $id --clear-groups unshare --user --map-root-user --mount "$@"; }
for way in DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/$id/bus XDG_RUNTIME_DIR=/run/user/$id; do
    root=/home/somebody/state
    inside env "$way" gantry-runtime --root $root --systemd-cgroup create --bundle /home/somebody/bundle box \
        </dev/null >/tmp/out 2>&1 || { cat /tmp/out; exit 1; }
    expect nested "$(shown ControlGroup) $(shown TasksMax)" "${group#/sys/fs/cgroup} 20"
    inside env "$way" gantry-runtime --root $root --systemd-cgroup delete --force box
    is_gone
done
configured ''
mv /run/user/$id/bus /run/user/$id/away
create
mv /run/user/$id/away /run/user/$id/bus
expect private "$(shown ControlGroup)" "${group#/sys/fs/cgroup}"
runtime delete --force box
is_gone
has nowhere "$(as_user env -u XDG_RUNTIME_DIR gantry-runtime --root /home/somebody/state --systemd-cgroup create \
    --bundle /home/somebody/bundle box 2>&1 </dev/null || true)" "neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set"
echo "to the end"
"#;

#[test]
fn a_container_lives_in_a_scope_of_its_users_systemd() {
    let folder = tempfile::tempdir().expect("temporary folder");
    bundle::write(folder.path(), ":gantry:box");
    bundle::make_rootless(folder.path());
    let machine = Machine::systemd().with("bundle", folder.path()).with_programs();
    let printed = machine.run(USER);
    assert!(printed.ends_with("to the end\n"), "{printed}");
}
