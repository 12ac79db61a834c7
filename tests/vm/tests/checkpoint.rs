//! Checkpoint and restore, by real CRIU on a kernel that it knows.

#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;
use tests_vm::{Machine, bundle};

/// A bundle that counts, for as long as it is let, and then ends with 7.
fn counting(folder: &Path, has_terminal: bool) {
    bundle::write(folder, "/gantry/CONTAINER");
    let path = folder.join("config.json");
    let text = fs::read_to_string(&path).expect("read config");
    let mut config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let script = "i=0; while ! test -e /data/end; do i=$((i+1)); echo line $i; echo $i > /data/n; \
                  sleep 1; done; exit 7";
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
    counting(&plain, false);
    counting(&terminal, true);
    let machine = Machine::bare().with_programs().with_criu();
    let printed = machine.with("plain", &plain).with("terminal", &terminal).run(SCRIPT);
    assert!(printed.contains("whole\n"), "{printed}");
    assert!(printed.contains("criu, which is not installed"), "{printed}");
}
