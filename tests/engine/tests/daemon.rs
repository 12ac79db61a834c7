//! What the daemon does for its administrator: settings while it runs, signals; and `--init`.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tests_engine::Stage;
use tests_harness::daemon::signal;
use tests_harness::{Daemon, describe, output_of, program, wait};

const LIMIT: Duration = Duration::from_secs(60);

fn until_logged(daemon: &Daemon, wanted: &str) {
    wait::until(wanted, LIMIT, || {
        if daemon.log().contains(wanted) { Ok(()) } else { Err(daemon.log()) }
    });
}

#[test]
fn settings_are_reloaded_and_a_bad_file_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("daemon.json");
    std::fs::write(&file, r#"{"labels":["a=1"]}"#).unwrap();
    let path = file.display().to_string();
    let daemon = Daemon::start(&["--config-file", &path]);
    let labels = || daemon.docker_ok(&["info", "-f", "{{json .Labels}}"]).trim().to_owned();
    assert_eq!(labels(), r#"["a=1"]"#);
    std::fs::write(&file, r#"{"labels":["b=2"],"insecure-registries":["here:5000"]}"#).unwrap();
    signal(daemon.pid(), "HUP");
    wait::until("the new label", LIMIT, || {
        let found = labels();
        if found == r#"["b=2"]"# { Ok(()) } else { Err(found) }
    });
    let registry = daemon.exec_root().join("registries/here:5000/hosts.toml");
    assert!(registry.exists());
    std::fs::write(&file, r#"{"labels":["c=3"],"#).unwrap();
    signal(daemon.pid(), "HUP");
    until_logged(&daemon, "configuration not reloaded");
    assert_eq!(labels(), r#"["b=2"]"#);
    assert!(registry.exists());
    // A key that is left out keeps its value, as in dockerd; an empty list does not.
    std::fs::write(&file, r#"{"insecure-registries":[]}"#).unwrap();
    signal(daemon.pid(), "HUP");
    wait::until("what is no longer set to go", LIMIT, || {
        if registry.exists() { Err(labels()) } else { Ok(()) }
    });
}

/// A cgroup in which the processes may use half a processor together.
struct HalfAProcessor(PathBuf);

impl HalfAProcessor {
    fn for_process(pid: u32) -> Self {
        let v1 = Path::new("/sys/fs/cgroup/cpu");
        let (parent, limits) = if v1.exists() {
            (v1, &[("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "50000")][..])
        } else {
            std::fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+cpu").expect("pass cpu on");
            (Path::new("/sys/fs/cgroup"), &[("cpu.max", "50000 100000")][..])
        };
        let folder = Self(parent.join(format!("gantry-test-half-{pid}")));
        std::fs::create_dir(&folder.0).expect("make cgroup");
        for (file, value) in limits {
            std::fs::write(folder.0.join(file), value).expect("set limit");
        }
        std::fs::write(folder.0.join("cgroup.procs"), pid.to_string()).expect("move process");
        folder
    }
}

impl Drop for HalfAProcessor {
    fn drop(&mut self) {
        let processes = std::fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
        for process in processes.lines() {
            let _ = std::fs::write(self.0.with_file_name("cgroup.procs"), process);
        }
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn a_daemon_of_half_a_processor_gives_containers_all_of_them() {
    let stage = Stage::with(&["busybox"]);
    let client = &stage.real_client();
    let _half = HalfAProcessor::for_process(stage.daemon.pid());
    let all = output_of(&mut Command::new("nproc"));
    let all = all.trim();
    assert_eq!(client.ok(&["info", "-f", "{{.NCPU}}"]).trim(), all);
    let _ = client.ok(&["run", "--rm", "--cpus", all, "busybox", "true"]);
    let (code, text) = client.fails(&["run", "--rm", "--cpus", "5000", "busybox", "true"]);
    assert_eq!(code, 125);
    assert!(text.contains(&format!("as there are only {all} CPUs available")), "{text}");
}

#[test]
fn a_signal_asks_for_a_report_and_ends_nothing() {
    let daemon = Daemon::start(&[]);
    signal(daemon.pid(), "USR1");
    until_logged(&daemon, "msg=\"report\"");
    let _ = daemon.docker_ok(&["version"]);
}

#[test]
fn an_init_reaps_passes_signals_on_and_cannot_be_written() {
    let stage = Stage::with(&["busybox"]);
    let client = &stage.real_client();
    let script = "trap 'exit 9' TERM; (sh -c 'sleep 0.1 & exec true' &); touch /ready; \
                  while :; do sleep 0.1; done";
    let run = ["run", "-d", "--init", "--name", "small", "busybox", "sh", "-c", script];
    let _ = client.ok(&run);
    let first = client.ok(&["exec", "small", "cat", "/proc/1/comm"]);
    assert_eq!(first, "docker-init");
    let (_, error) = client.fails(&["exec", "small", "sh", "-c", ": > /sbin/docker-init"]);
    assert!(error.contains("Read-only file system") || error.contains("Text file busy"), "{error}");
    wait::until("no zombie", LIMIT, || {
        // Whichever `sleep` ends while it is looked at has no status any more.
        let look = "ls /ready; grep -hs State /proc/[0-9]*/status; true";
        let states = client.ok(&["exec", "small", "sh", "-c", look]);
        let is_ready = states.starts_with("/ready");
        if states.contains("zombie") || !is_ready { Err(states) } else { Ok(()) }
    });
    let _ = client.ok(&["stop", "small"]);
    assert_eq!(client.ok(&["wait", "small"]), "9");
    let _ = client.ok(&["rm", "small"]);
}

#[test]
fn a_supervisor_that_cannot_start_is_not_waited_for() {
    let roots = tempfile::tempdir().unwrap();
    let path = |name: &str| roots.path().join(name);
    std::fs::create_dir(path("data")).unwrap();
    std::fs::write(path("data/metadata.redb"), "no index".repeat(1000)).unwrap();
    let output = Command::new(program("gantryd"))
        .arg("--data-root")
        .arg(path("data"))
        .arg("--exec-root")
        .arg(path("exec"))
        .arg("--pidfile")
        .arg(path("pid"))
        .arg(format!("--host=unix://{}", path("docker.sock").display()))
        .output()
        .expect("start gantryd");
    let log = path("exec/supervisor/supervisor.log");
    let logged = std::fs::read_to_string(&log).unwrap_or_default();
    // Its tmpfs stays for the next daemon.
    let _ = output_of(Command::new("umount").arg(path("exec")));
    assert!(!output.status.success());
    let told = format!("the supervisor ended (exit status: 1); its log is {}", log.display());
    assert!(String::from_utf8_lossy(&output.stderr).contains(&told), "{}", describe(&output));
    assert!(logged.contains("metadata.redb is damaged"), "{logged}");
}
