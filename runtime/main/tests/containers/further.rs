//! Further processes, and what callers outside get to hold: pidfds, listeners.

use crate::bundle::Bundle;
use serde_json::{Value, json};
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;

/// The text and the descriptor that somebody sends to a socket.
fn receive(listener: &UnixListener) -> (String, OwnedFd) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut buffer = [0; 16384];
    let (length, descriptors) = kernel_sys::message::receive(&stream, &mut buffer).unwrap();
    let mut text = String::from_utf8(buffer[..length].to_vec()).unwrap();
    stream.read_to_string(&mut text).unwrap();
    (text, descriptors.into_iter().next().unwrap())
}

fn state(bundle: &Bundle) -> Value {
    serde_json::from_str(&bundle.succeed(&["state", "ID"])).unwrap()
}

/// The process behind a pidfd.
fn pid_of(pidfd: &OwnedFd) -> i64 {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).unwrap();
    let line = info.lines().find_map(|line| line.strip_prefix("Pid:")).unwrap();
    line.trim().parse().unwrap()
}

#[test]
fn processes_go_to_the_pidfd_socket() {
    let bundle = Bundle::program(&["sleep", "1000"]);
    let path = bundle.path().join("pidfd.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let socket = path.to_str().unwrap();
    bundle.succeed(&["run", "--detach", "--pidfd-socket", socket, "ID"]);
    let (text, pidfd) = receive(&listener);
    assert_eq!(
        (text.as_str(), pid_of(&pidfd)),
        ("standard", state(&bundle)["pid"].as_i64().unwrap())
    );
    bundle.succeed(&["delete", "--force", "ID"]);
    bundle.succeed(&["create", "--pidfd-socket", socket, "ID"]);
    let (text, pidfd) = receive(&listener);
    let pid = state(&bundle)["pid"].as_i64().unwrap();
    assert_eq!((text.as_str(), pid_of(&pidfd)), ("standard", pid));
    bundle.succeed(&["start", "ID"]);
    let pid_file = bundle.path().join("pid");
    let file = pid_file.to_str().unwrap();
    bundle.succeed(&[
        "exec",
        "--detach",
        "--pidfd-socket",
        socket,
        "--pid-file",
        file,
        "ID",
        "sleep",
        "1000",
    ]);
    let (text, pidfd) = receive(&listener);
    let pid: i64 = std::fs::read_to_string(&pid_file).unwrap().parse().unwrap();
    assert_eq!((text.as_str(), pid_of(&pidfd)), ("setns", pid));
    // Nobody listens there.
    let refused = bundle.runtime(&["exec", "--pidfd-socket", "/nowhere", "ID", "true"]);
    assert!(refused.err.contains("send the process to /nowhere"), "{refused:?}");
}

/// A profile in which a listener decides about `mkdir`.
fn notifying(path: &Path) -> Value {
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": path,
        "listenerMetadata": "for the listener",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}],
    })
}

#[test]
fn a_listener_decides_about_calls_of_the_first_and_of_further_processes() {
    for no_new_privileges in [false, true] {
        let mut bundle = Bundle::script("mkdir /tmp/x; echo $?; sleep 1000");
        let path = bundle.path().join("listener.sock");
        let socket = UnixListener::bind(&path).unwrap();
        bundle.config["process"]["noNewPrivileges"] = json!(no_new_privileges);
        bundle.config["linux"]["seccomp"] = notifying(&path);
        bundle.config["annotations"] = json!({"a": "b"});
        let out = bundle.path().join("said");
        let said = std::fs::File::create(&out).unwrap();
        let id = bundle.id.clone();
        let mut run = bundle.command(&["run", "--detach", &id]);
        let run = std::thread::spawn(move || run.stdout(said).status().unwrap());
        let (text, listener) = receive(&socket);
        assert!(run.join().unwrap().success());
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["ociVersion"], "1.3.0");
        assert_eq!(document["fds"], json!(["seccompFd"]));
        assert_eq!(document["metadata"], "for the listener");
        assert_eq!(document["pid"], state(&bundle)["pid"]);
        assert_eq!(document["state"]["id"], json!(id));
        assert_eq!(document["state"]["annotations"], json!({"a": "b"}));
        wait_for_call(&listener);
        // Without a listener the calls it would decide about are not there.
        drop(listener);
        crate::wait_for("the container's word", || {
            (std::fs::read_to_string(&out).unwrap() == "1\n").then_some(())
        });

        let mut exec = bundle.command(&["exec", &id, "mkdir", "/tmp/y"]);
        let exec = std::thread::spawn(move || exec.output().unwrap());
        let (text, listener) = receive(&socket);
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_ne!(document["pid"], document["state"]["pid"]);
        assert_eq!(document["state"]["status"], "running");
        wait_for_call(&listener);
        drop(listener);
        let ended = exec.join().unwrap();
        assert!(
            String::from_utf8_lossy(&ended.stderr).contains("Function not implemented"),
            "{ended:?}"
        );
    }
}

/// A notification can be read from the descriptor: it is the filter's.
fn wait_for_call(listener: &OwnedFd) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let limit = Timespec { tv_sec: 60, tv_nsec: 0 };
    assert_eq!(poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&limit)), Ok(1));
}

#[test]
fn a_filter_whose_listener_cannot_be_reached_starts_nothing() {
    let mut bundle = Bundle::script("true");
    bundle.config["linux"]["seccomp"] = notifying(&bundle.path().join("nobody.sock"));
    let ended = bundle.runtime(&["run", "ID"]);
    assert!(ended.code != 0 && ended.err.contains("seccomp listener's descriptor"), "{ended:?}");
    bundle.assert_nothing_is_left();
}

#[test]
fn a_filter_need_allow_nothing_for_the_runtimes_sake() {
    let mut bundle = Bundle::program(&["true"]);
    bundle.config["process"]["noNewPrivileges"] = json!(true);
    bundle.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["rt_sigaction", "rt_sigprocmask"], "action": "SCMP_ACT_KILL_PROCESS"}],
    });
    bundle.config["process"]["args"] = json!(["/bin/true"]);
    assert_eq!(bundle.runtime(&["run", "ID"]).code, 0);
}

#[test]
fn a_further_process_has_the_containers_adjustments() {
    let mut bundle = Bundle::program(&["sleep", "1000"]);
    bundle.config["process"]["oomScoreAdj"] = json!(77);
    bundle.config["linux"]["personality"] = json!({"domain": "LINUX32"});
    bundle.succeed(&["run", "--detach", "ID"]);
    let script = "cat /proc/self/oom_score_adj /proc/self/personality; echo $HOME";
    let process = json!({"cwd": "/", "user": {"uid": 0, "gid": 0}, "env": ["PATH=/bin"],
        "args": ["sh", "-c", script]});
    let file = bundle.path().join("process.json");
    std::fs::write(&file, process.to_string()).unwrap();
    let out = bundle.succeed(&["exec", "--process", file.to_str().unwrap(), "ID"]);
    assert_eq!(out, "77\n00000008\n/root\n");
}

#[test]
fn a_further_process_has_the_cpus_that_are_asked_for_and_none_of_the_callers() {
    let mut bundle = Bundle::program(&["sleep", "1000"]);
    bundle.succeed(&["run", "--detach", "ID"]);
    let cpus = |args: &[&str], affinity: Value| -> String {
        let process = json!({"cwd": "/", "user": {"uid": 0, "gid": 0}, "env": ["PATH=/bin"],
            "args": ["grep", "Cpus_allowed_list", "/proc/self/status"],
            "execCPUAffinity": affinity});
        let file = bundle.path().join("process.json");
        std::fs::write(&file, process.to_string()).unwrap();
        let runtime = bundle.command(&["exec", "--process", file.to_str().unwrap(), &bundle.id]);
        let mut command = std::process::Command::new(args[0]);
        command.args(&args[1..]).arg(runtime.get_program()).args(runtime.get_args());
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split_whitespace().last().unwrap_or_default().to_owned()
    };
    let all = cpus(&["env"], json!({}));
    assert_eq!(cpus(&["env"], json!({"initial": "0"})), "0");
    assert_eq!(cpus(&["env"], json!({"initial": "0", "final": "1"})), "1");
    assert_eq!(cpus(&["taskset", "-c", "0"], json!({})), all);
    bundle.config["process"]["execCPUAffinity"] = json!({"final": "x"});
    let refused = bundle.runtime(&["exec", "ID", "true"]);
    assert!(
        refused.err.replace('\\', "").contains("CPU affinity \"x\" is not valid"),
        "{refused:?}"
    );
}

#[test]
fn a_further_process_goes_to_a_group_below() {
    let bundle = Bundle::program(&["sleep", "1000"]);
    bundle.succeed(&["run", "--detach", "ID"]);
    let folders = bundle.cgroups();
    for folder in &folders {
        std::fs::create_dir(folder.join("sub")).unwrap();
        // On v1, a new cpuset takes nobody before it has CPUs.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let below = folder.join("sub").join(file);
            if below.exists() {
                std::fs::write(below, std::fs::read(folder.join(file)).unwrap()).unwrap();
            }
        }
    }
    let groups = |argument: &str| {
        bundle.succeed(&["exec", "--cgroup", argument, "ID", "cat", "/proc/self/cgroup"])
    };
    let below = format!("{}/sub", bundle.id);
    assert_eq!(groups("sub").matches(&below).count(), folders.len());
    if folders.len() > 1 {
        let out = groups("pids,memory:sub");
        assert_eq!(out.matches(&below).count(), 2, "{out}");
        assert!(out.lines().any(|line| line.contains(":pids:") && line.ends_with("/sub")), "{out}");
    }
    for bad in ["../x", "nosuch:sub", "missing"] {
        assert_ne!(bundle.runtime(&["exec", "--cgroup", bad, "ID", "true"]).code, 0, "{bad}");
    }
    bundle.succeed(&["delete", "--force", "ID"]);
    bundle.assert_nothing_is_left();
}

#[test]
fn a_container_may_have_no_cgroup_at_all() {
    let bundle = Bundle::program(&["sleep", "1000"]);
    bundle.succeed(&["--cgroup-manager", "disabled", "run", "--detach", "ID"]);
    assert!(bundle.cgroups().is_empty());
    assert!(bundle.runtime(&["pause", "ID"]).err.contains("this container has no cgroup"));
    bundle.succeed(&["exec", "ID", "true"]);
    bundle.succeed(&["delete", "--force", "ID"]);
    bundle.assert_nothing_is_left();
}

#[test]
fn a_tmpfs_begins_with_what_it_hides_where_that_is_asked_for() {
    let mut bundle = Bundle::script("ls -ld /data; cat /data/deep/file; touch /data/new");
    let data = bundle.rootfs().join("data");
    std::fs::create_dir_all(data.join("deep")).unwrap();
    std::fs::write(data.join("deep/file"), "content\n").unwrap();
    std::os::unix::fs::chown(&data, Some(5), Some(6)).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(&data, mode).unwrap();
    bundle.config["mounts"].as_array_mut().unwrap().push(json!({"destination": "/data",
        "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}));
    let out = bundle.run();
    assert!(out.contains(" 5        6 ") && out.ends_with("content\n"), "{out}");
    assert!(!data.join("new").exists());
    let options = json!(["tmpcopyup", "mode=0700", "uid=7"]);
    *bundle.config["mounts"].as_array_mut().unwrap().last_mut().unwrap() = json!({
        "destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": options});
    // Root of the container is not the owner and may not look into it.
    let out = bundle.runtime(&["run", "ID"]).out;
    assert!(out.starts_with("drwx------") && out.contains(" 7        6 "), "{out}");
}
