//! podman of an ordinary user with `--runtime`.

use crate::IMAGE;
use std::process::Command;
use tests_harness::reference::archive;
use tests_harness::{images, output_of};
use tests_oci::bundle::runtime;

/// What root does before podman runs as somebody else: in a mount namespace of its own that user is
/// known, with a range of subordinate ids.
const BECOME: &str = r#"set -e; cd $0
echo somebody:200000:65536 >ids
(cat /etc/passwd; echo "somebody:x:4242:4242::$0:/bin/sh") >passwd
(cat /etc/group; echo somebody:x:4242:) >group
for file in passwd group; do mount --bind $file /etc/$file; done
for file in subuid subgid; do mount --bind ids /etc/$file; done
exec setpriv --reuid 4242 --regid 4242 --clear-groups env HOME=$0 TMPDIR=$0 XDG_RUNTIME_DIR=$0/run \
    USER=somebody "$@""#;

#[test]
fn podman_of_an_ordinary_user_runs_and_executes_with_our_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let scratch = folder.path();
    // Where it was built that user may not go.
    let program = scratch.join("gantry-runtime");
    std::fs::copy(runtime(), &program).unwrap();
    std::fs::create_dir(scratch.join("run")).unwrap();
    let tar = archive(&images::busybox(), IMAGE, scratch);
    let _ = output_of(Command::new("chown").args(["-R", "4242:4242"]).arg(scratch));
    let podman = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", BECOME]).arg(scratch).args([
            "podman",
            "--storage-driver",
            "vfs",
            "--cgroup-manager",
            "cgroupfs",
            "--events-backend",
            "file",
            "--runtime",
        ]);
        command.arg(&program).args(arguments);
        command
    };
    let ok = |arguments: &[&str]| output_of(&mut podman(arguments)).trim_end().to_owned();
    let _ = ok(&["load", "-q", "-i", &tar.display().to_string()]);
    let limits =
        ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--network", "none"];
    let run = |arguments: &[&str]| ok(&[&["run"], limits.as_slice(), arguments].concat());
    let map = run(&["--rm", IMAGE, "cat", "/proc/self/uid_map"]);
    let map: Vec<&str> = map.split_whitespace().collect();
    assert_eq!(map, ["0", "4242", "1", "1", "200000", "65536"]);
    assert_eq!(run(&["--rm", "--read-only", IMAGE, "sh", "-c", "touch /x || touch /run/x"]), "");
    assert_eq!(run(&["--rm", "--userns=keep-id", IMAGE, "id", "-u"]), "4242");
    let _ = run(&["-d", "--name", "long", IMAGE, "sleep", "1000"]);
    assert_eq!(ok(&["exec", "long", "echo", "inside"]), "inside");
    assert_eq!(ok(&["exec", "-u", "5", "long", "id", "-u"]), "5");
    assert!(run(&["--rm", "--pid", "container:long", IMAGE, "ps"]).contains("sleep 1000"));
    let _ = ok(&["stop", "-t", "0", "long"]);
    let _ = ok(&["rm", "long"]);
    // podman keeps a process for its user namespace.
    let keeper = std::fs::read_to_string(scratch.join("run/libpod/tmp/pause.pid")).unwrap();
    let _ = output_of(Command::new("kill").arg(keeper.trim()));
}
