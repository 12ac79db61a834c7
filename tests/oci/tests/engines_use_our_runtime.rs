//! Debian's dockerd and podman run containers with our runtime in runc's place.

#![forbid(unsafe_code)]

use std::process::Command;
use tests_harness::reference::archive;
use tests_harness::terminal::Terminal;
use tests_harness::{Reference, images, output_of, programs};

#[test]
fn dockerd_runs_executes_pauses_and_stops_with_our_runtime() {
    let runtime = programs().join("gantry-runtime");
    let dockerd = Reference::dockerd(&["--add-runtime", &format!("gantry={}", runtime.display())]);
    let tar = archive(&images::busybox(), "busybox:latest", dockerd.scratch());
    let ok = |arguments: &[&str]| output_of(&mut dockerd.docker(arguments)).trim_end().to_owned();
    let _ = ok(&["load", "-i", &tar.display().to_string()]);
    assert_eq!(ok(&["run", "--rm", "--runtime", "gantry", "busybox", "echo", "hello"]), "hello");
    let _ = ok(&[
        "run",
        "-d",
        "--name",
        "long",
        "--runtime",
        "gantry",
        "-m",
        "64m",
        "busybox",
        "sleep",
        "1000",
    ]);
    assert_eq!(ok(&["exec", "long", "echo", "inside"]), "inside");
    let _ = ok(&["pause", "long"]);
    let _ = ok(&["unpause", "long"]);
    let _ = ok(&["update", "--memory", "128m", "--memory-swap", "256m", "long"]);
    assert_eq!(
        ok(&["exec", "long", "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]),
        "134217728"
    );
    assert!(ok(&["top", "long"]).contains("sleep 1000"));
    let _ = ok(&["stop", "-t", "0", "long"]);
    assert_eq!(ok(&["inspect", "-f", "{{.State.ExitCode}}", "long"]), "137");
    let _ = ok(&["rm", "long"]);
    let failed = dockerd
        .docker(&["run", "--rm", "--runtime", "gantry", "busybox", "nosuch"])
        .output()
        .unwrap();
    assert_eq!(failed.status.code(), Some(127), "{}", tests_harness::describe(&failed));

    let line = format!(
        "docker -H {} run --rm -it --runtime gantry busybox sh; echo status $?; sleep 100",
        dockerd.docker_host()
    );
    let terminal = Terminal::start(&line, 75, 21);
    terminal.expect("#");
    terminal.line("stty size; exit 4");
    terminal.expect("21 75");
    terminal.expect("status 4");
}

#[test]
fn podman_runs_executes_and_stops_with_our_runtime() {
    let scratch = tempfile_folder();
    let runtime = programs().join("gantry-runtime");
    let podman = |arguments: &[&str]| {
        let mut command = Command::new("podman");
        command
            .arg("--root")
            .arg(scratch.join("data"))
            .arg("--runroot")
            .arg(scratch.join("run"))
            .args([
                "--storage-driver",
                "overlay",
                "--cgroup-manager",
                "cgroupfs",
                "--events-backend",
                "file",
            ])
            .arg("--runtime")
            .arg(&runtime)
            .args(arguments);
        command
    };
    let ok = |arguments: &[&str]| output_of(&mut podman(arguments)).trim_end().to_owned();
    let tar = archive(&images::busybox(), "localhost/busybox:latest", &scratch);
    let _ = ok(&["load", "-q", "-i", &tar.display().to_string()]);
    let image = "localhost/busybox:latest";
    let limits =
        ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--network", "none"];
    let run = |arguments: &[&str]| ok(&[&["run"], limits.as_slice(), arguments].concat());
    assert_eq!(run(&["--rm", image, "echo", "hello"]), "hello");
    let _ = run(&["-d", "--name", "long", image, "sleep", "1000"]);
    assert_eq!(ok(&["exec", "long", "echo", "inside"]), "inside");
    let _ = ok(&["pause", "long"]);
    let _ = ok(&["unpause", "long"]);
    let _ = ok(&["stop", "-t", "0", "long"]);
    let _ = ok(&["rm", "long"]);
    let _ = ok(&["system", "reset", "-f"]);
    std::fs::remove_dir_all(&scratch).unwrap();
}

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
    let runtime = scratch.join("gantry-runtime");
    std::fs::copy(programs().join("gantry-runtime"), &runtime).unwrap();
    std::fs::create_dir(scratch.join("run")).unwrap();
    let tar = archive(&images::busybox(), "localhost/busybox:latest", scratch);
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
        command.arg(&runtime).args(arguments);
        command
    };
    let ok = |arguments: &[&str]| output_of(&mut podman(arguments)).trim_end().to_owned();
    let _ = ok(&["load", "-q", "-i", &tar.display().to_string()]);
    let image = "localhost/busybox:latest";
    let limits =
        ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--network", "none"];
    let run = |arguments: &[&str]| ok(&[&["run"], limits.as_slice(), arguments].concat());
    let map = run(&["--rm", image, "cat", "/proc/self/uid_map"]);
    let map: Vec<&str> = map.split_whitespace().collect();
    assert_eq!(map, ["0", "4242", "1", "1", "200000", "65536"]);
    assert_eq!(run(&["--rm", "--read-only", image, "sh", "-c", "touch /x || touch /run/x"]), "");
    assert_eq!(run(&["--rm", "--userns=keep-id", image, "id", "-u"]), "4242");
    let _ = run(&["-d", "--name", "long", image, "sleep", "1000"]);
    assert_eq!(ok(&["exec", "long", "echo", "inside"]), "inside");
    assert_eq!(ok(&["exec", "-u", "5", "long", "id", "-u"]), "5");
    assert!(run(&["--rm", "--pid", "container:long", image, "ps"]).contains("sleep 1000"));
    let _ = ok(&["stop", "-t", "0", "long"]);
    let _ = ok(&["rm", "long"]);
    // podman keeps a process for its user namespace.
    let keeper = std::fs::read_to_string(scratch.join("run/libpod/tmp/pause.pid")).unwrap();
    let _ = output_of(Command::new("kill").arg(keeper.trim()));
}

fn tempfile_folder() -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("gantry-podman-{}", std::process::id()));
    std::fs::create_dir_all(&folder)
        .unwrap_or_else(|error| panic!("create {}: {error}", folder.display()));
    folder
}
