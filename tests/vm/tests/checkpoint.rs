//! Checkpoint and restore, by real CRIU on a kernel that it knows.

#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;
use std::process::Command;
use tests_harness::output_of;
use tests_vm::{Machine, bundle};

/// Counts for as long as it is let, and then ends with 7.
const COUNTING: &str = "i=0; while ! test -e /data/end; do i=$((i+1)); echo $i > /data/new; busybox mv /data/new /data/n; echo line $i; sleep 1; done; exit 7";

/// A bundle with a script that tells in `data/n` how far it is.
fn counting(folder: &Path, has_terminal: bool, script: &str) {
    bundle::write(folder, "/gantry/CONTAINER");
    let path = folder.join("config.json");
    let text = fs::read_to_string(&path).expect("read config");
    let mut config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    config["process"]["args"] = serde_json::json!(["sh", "-c", script]);
    config["process"]["terminal"] = has_terminal.into();
    config["mounts"].as_array_mut().expect("mounts").extend([
        serde_json::json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]}),
        serde_json::json!({"destination": "/data", "type": "bind", "source": "data", "options": ["rbind"]}),
    ]);
    let hook = |word: &str| {
        let script = format!("echo {word} >> /tmp/hooks");
        serde_json::json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}])
    };
    config["hooks"] =
        serde_json::json!({"createRuntime": hook("created"), "poststop": hook("stopped")});
    fs::write(&path, config.to_string()).expect("write config");
    fs::create_dir(folder.join("data")).expect("create folder");
}

const SCRIPT: &str = r#"
runtime() { gantry-runtime --root /tmp/state "$@"; }
status() { runtime state $1 | sed -n 's/.*"status": "\(.*\)".*/\1/p'; }
# Waits until the bundle has counted further than $2.
counts() { until [ "$(cat /tmp/$1/data/n 2>/dev/null || echo 0)" -gt $2 ]; do sleep 0.1; done; }
bundle() { cp -a /payload/$1 /tmp/$2; sed -i "s/CONTAINER/$2/" /tmp/$2/config.json; }
fail() { echo "FAILED: $*"; cat /tmp/image*/*.log | grep Error; exit 1; }

bundle plain a; cd /tmp/a
runtime create a < /dev/null > /dev/null 2>&1 || fail create
runtime checkpoint --image-path /tmp/image0 a && fail "a created container was written down"
runtime start a; counts a 1
runtime checkpoint --leave-running --image-path /tmp/image1 --work-path /tmp/image1-work a || fail leave
[ $(status a) = running ] || fail "it does not run on"
test -e /tmp/image1-work/dump.log || fail "no log in the work folder"
runtime checkpoint --pre-dump --image-path /tmp/image2 a || fail pre-dump
runtime pause a
runtime checkpoint --parent-path ../image2 --image-path /tmp/image3 a || fail dump
runtime state a && fail "it is still there"
test -e /sys/fs/cgroup/gantry/a && fail "its cgroup is still there"

before=$(cat data/n)
runtime restore -d --image-path /tmp/image3 --pid-file /tmp/pid a < /dev/null > /dev/null 2>&1 || fail restore
[ $(status a) = running ] || fail "restored, but $(status a)"
counts a $before
grep -q ::/gantry/a /proc/$(cat /tmp/pid)/cgroup || fail "another cgroup"
[ $(cat /sys/fs/cgroup/gantry/a/pids.max) = 20 ] || fail "without its limits"
[ "$(runtime exec a echo inside)" = inside ] || fail exec
[ $(grep -c /tmp/ /proc/self/mountinfo) = 0 ] || fail "a mount is left on the host"
runtime kill a KILL; until [ $(status a) = stopped ]; do sleep 0.1; done
runtime delete a || fail delete

# Under another name, in another bundle and cgroup.
bundle plain b; cd /tmp/b
runtime restore -d --image-path /tmp/image3 b < /dev/null > /dev/null 2>&1 || fail "restore b"
counts b $before
test -e /sys/fs/cgroup/gantry/a && fail "the old cgroup came back"
runtime delete --force b || fail "delete b"
runtime restore -d --image-path /tmp/image0 b > /dev/null && fail "restored of nothing"
runtime state b && fail "left of a failed restore"

# In the foreground: a pipe, then a terminal, go on under the new runtime; so does the exit code.
for kind in plain terminal; do
    rm -f /tmp/hooks; bundle $kind c$kind; cd /tmp/c$kind
    runtime run c$kind < /dev/null 2>&1 | cat > /tmp/out & counts c$kind 2
    runtime checkpoint --image-path /tmp/image-$kind c$kind || fail "dump $kind"
    wait
    before=$(cat data/n)
    { runtime restore --image-path /tmp/image-$kind c$kind < /dev/null 2>&1; echo "code $?"; } | cat > /tmp/out2 &
    counts c$kind $before; touch data/end; wait
    grep -q "line $((before+1))" /tmp/out2 || fail "$kind: $(cat /tmp/out2)"
    grep -q "code 7" /tmp/out2 || fail "$kind: $(cat /tmp/out2)"
    [ $(grep -c created /tmp/hooks) = 2 ] || fail "hooks: $(cat /tmp/hooks)"
done
[ -z "$(ls /tmp/state)" ] || fail "state is left"
[ -z "$(ls -d /sys/fs/cgroup/gantry/*/ 2>/dev/null)" ] || fail "a cgroup is left"
rm /payload/criu/bin/criu
bundle plain d; cd /tmp/d; runtime run -d d < /dev/null > /dev/null 2>&1
runtime checkpoint --image-path /tmp/image4 d && fail "without criu"
runtime delete --force d
echo whole
"#;

#[test]
fn a_container_goes_on_where_it_was() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let place = |name: &str| {
        let path = folder.path().join(name);
        fs::create_dir(&path).expect("create folder");
        path
    };
    let (plain, terminal) = (place("plain"), place("terminal"));
    counting(&plain, false, COUNTING);
    counting(&terminal, true, COUNTING);
    let machine = Machine::bare().with_programs().with_criu();
    let printed = machine.with("plain", &plain).with("terminal", &terminal).run(SCRIPT);
    assert!(printed.contains("whole\n"), "{printed}");
    assert!(printed.contains("criu, which is not installed"), "{printed}");
}

/// To an echo of its own through a TCP connection, and back.
const TCP: &str = "busybox nc -l -p 5000 -e cat & sleep 1; i=0; \
    while :; do echo word; sleep 0.3; done | busybox nc 127.0.0.1 5000 | \
    while read word; do i=$((i+1)); echo $i > /data/n; done";
/// With a lock in its hand.
const LOCKED: &str = "/usr/bin/flock /data/lock sh -c 'i=0; while :; do i=$((i+1)); echo $i > /data/n; sleep 0.3; done'";
/// Writing to a file whose first name is gone and whose second is not.
const LINKED: &str = "exec 3> /data/first; busybox ln /data/first /data/second; busybox rm /data/first; \
    i=0; while :; do i=$((i+1)); echo $i > /data/n; echo $i >&3; sleep 0.3; done";
/// Connected to the machine's log.
const LOGGING: &str = "busybox crond -f -c /tmp & i=0; \
    while :; do i=$((i+1)); echo $i > /data/n; sleep 0.3; done";

const FLAGS: &str = r#"
runtime() { gantry-runtime --root /tmp/state "$@"; }
status() { runtime state $1 | sed -n 's/.*"status": "\(.*\)".*/\1/p'; }
fail() { echo "FAILED: $*"; cat /tmp/image*/*.log /tmp/work*/*.log 2>/dev/null | grep Error; exit 1; }
count() { cat /tmp/$1/data/n 2>/dev/null || echo 0; }
counts() { for i in $(seq 300); do [ "$(count $1)" -gt $2 ] && return; sleep 0.1; done; fail "$1 does not go on"; }
# begin BUNDLE ID: a container that counts.
begin() {
    cp -a /payload/$1 /tmp/$2; sed -i "s/CONTAINER/$2/" /tmp/$2/config.json; cd /tmp/$2
    runtime run -d $2 < /dev/null > /dev/null 2>&1 || fail "run $2"
    counts $2 1
}
# back ID FLAGS…: restores it, sees it go on and removes it.
back() {
    id=$1 at=$(count $1); shift
    runtime restore -d --image-path /tmp/image-$id "$@" $id < /dev/null > /tmp/out 2>&1 || fail "restore $id $*: $(cat /tmp/out)"
    [ $(status $id) = running ] || fail "restored, but $(status $id)"
    counts $id $at
}
end() { runtime delete --force $1 || fail "delete $1"; }
# needs FLAG BUNDLE [FLAG]: there is no checkpoint without the flag; the last is that of the way back.
needs() {
    begin $2 $2
    runtime checkpoint --image-path /tmp/without-$2 $2 > /dev/null 2>&1 && fail "$2 without $1"
    counts $2 $(count $2)
    runtime checkpoint $1 --image-path /tmp/image-$2 $2 || fail "checkpoint $1"
    back $2 $3
}

needs --tcp-established tcp --tcp-established; end tcp
needs --file-locks locked --file-locks
flock -n /tmp/locked/data/lock true && fail "the lock is gone"
end locked

needs --link-remap linked
[ $(tail -n 1 data/second) -gt $(head -n 1 data/second) ] || fail "the file is another"
[ "$(ls data)" = "$(printf 'n\nsecond')" ] || fail "left of link-remap: $(ls data)"
end linked

begin plain dedup
runtime checkpoint --pre-dump --image-path /tmp/image-before dedup || fail pre-dump
runtime checkpoint --auto-dedup --parent-path ../image-before --image-path /tmp/image-dedup dedup || fail dedup
back dedup --auto-dedup --no-pivot --no-subreaper; end dedup

for mode in soft full ignore; do
    begin plain $mode
    runtime checkpoint --manage-cgroups-mode $mode --image-path /tmp/image-$mode $mode || fail $mode
    back $mode --manage-cgroups-mode $mode --pid-file /tmp/pid
    grep -q ::/gantry/$mode /proc/$(cat /tmp/pid)/cgroup || fail "$mode: another cgroup"
    [ $(cat /sys/fs/cgroup/gantry/$mode/pids.max) = 20 ] || fail "$mode: without its limits"
    end $mode
done

# Its cgroup is made for it before, as by runc, so that it is never new.
begin plain strict
runtime checkpoint --manage-cgroups-mode strict --image-path /tmp/image-strict strict || fail strict
runtime restore -d --manage-cgroups-mode strict --image-path /tmp/image-strict strict < /dev/null > /tmp/out 2>&1
grep -q "existing cgroups" /tmp/out || fail "strict: $(cat /tmp/out)"
runtime state strict > /dev/null 2>&1 && fail "left of a failed restore"

begin plain empty
runtime checkpoint --empty-ns network --image-path /tmp/image-empty empty || fail empty
back empty --empty-ns network
runtime exec empty busybox ip addr show lo | grep 127.0.0.1 && fail "its network is not empty"
end empty

begin plain served
mkdir /tmp/image-served
criu page-server --images-dir /tmp/image-served --port 2700 --daemon || fail page-server
runtime checkpoint --page-server 127.0.0.1:2700 --image-path /tmp/image-served served || fail "to the page server"
back served; end served

begin plain lazy
mkfifo /tmp/ready
runtime checkpoint --lazy-pages --page-server 0.0.0.0:2701 --status-fd 3 \
    --image-path /tmp/image-lazy lazy 3> /tmp/ready < /dev/null &
[ $(head -c 1 /tmp/ready | wc -c) = 1 ] || fail "not told that pages can be had"
mkdir /tmp/work-lazy
criu lazy-pages --page-server --address 127.0.0.1 --port 2701 -D /tmp/image-lazy -W /tmp/work-lazy &
cp -a /tmp/lazy /tmp/lazier; sed -i "s/gantry.lazy/gantry\/lazier/" /tmp/lazier/config.json; cd /tmp/lazier
ln -s image-lazy /tmp/image-lazier
back lazier --lazy-pages --work-path /tmp/work-lazy
wait
runtime state lazy && fail "the one of which all pages were taken is still there"
counts lazier $(count lazier); end lazier
busybox syslogd; until [ -e /dev/log ]; do sleep 0.1; done
needs --ext-unix-sk logging --ext-unix-sk; end logging
[ -z "$(ls /tmp/state)" ] || fail "state is left"
[ -z "$(ls -d /sys/fs/cgroup/gantry/*/ 2>/dev/null)" ] || fail "a cgroup is left"
echo whole
"#;

#[test]
#[ignore = "long: cargo xtask vm runs it"]
fn each_flag_of_runcs_has_its_effect() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut machine = Machine::bare().with_programs().with_criu();
    for (name, script) in [
        ("plain", COUNTING),
        ("tcp", TCP),
        ("locked", LOCKED),
        ("linked", LINKED),
        ("logging", LOGGING),
    ] {
        let place = folder.path().join(name);
        fs::create_dir(&place).expect("create folder");
        counting(&place, false, script);
        if name == "locked" {
            // Busybox has none.
            let copy = "for file in $(which flock) $(ldd $(which flock) | grep -o '/[^ ]*'); do \
                        mkdir -p $1/$(dirname $file) && cp -L $file $1/$file; done";
            let root = place.join("rootfs");
            let _ = output_of(Command::new("sh").args(["-c", copy, "sh"]).arg(&root));
        }
        if name == "logging" {
            let path = place.join("config.json");
            let text = fs::read_to_string(&path).expect("read config");
            let mut config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            config["mounts"].as_array_mut().expect("mounts").push(serde_json::json!({
                "destination": "/dev/log", "type": "bind", "source": "/dev/log", "options": ["bind"],
            }));
            // CRIU knows the other end of a socket in its own network namespace only.
            let namespaces = config["linux"]["namespaces"].as_array_mut().expect("namespaces");
            namespaces.retain(|namespace| namespace["type"] != "network");
            fs::write(&path, config.to_string()).expect("write config");
        }
        machine = machine.with(name, &place);
    }
    let printed = machine.run(FLAGS);
    assert!(printed.ends_with("whole\n"), "{printed}");
}
