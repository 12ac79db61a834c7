//! End-to-end tests: our supervisor, shim and runtime under the originals' clients and engines, the
//! runtime under OCI's validation programs ([`runtime_tools`]), and replays of what was wrong with
//! other runtimes ([`bundle`], [`race`]).

#![forbid(unsafe_code)]

pub mod bundle;
pub mod race;
pub mod runtime_tools;

use std::path::Path;
use tests_harness::reference::{archive, ctr};
use tests_harness::terminal::Terminal;
use tests_harness::{images, output_of};

/// Imports busybox into a containerd, original or ours.
pub fn import_busybox(socket: &Path, scratch: &Path) {
    let tar = archive(&images::busybox(), BUSYBOX, scratch);
    let _ = output_of(&mut ctr(socket, &["image", "import", &tar.display().to_string()]));
}

/// Our shim, as containerd names it.
pub const OURS: &str = "io.containerd.gantry.v2";

/// The name under which busybox is imported.
pub const BUSYBOX: &str = "docker.io/library/busybox:latest";

/// `ctr` runs, executes in, pauses, kills and deletes a container with this runtime.
///
/// # Panics
/// When one of them does not.
pub fn ctr_tells_a_containers_life(socket: &Path, runtime: &str) {
    let ok = |arguments: &[&str]| output_of(&mut ctr(socket, arguments)).trim_end().to_owned();
    assert_eq!(
        ok(&["run", "--rm", "--runtime", runtime, BUSYBOX, "once", "echo", "hello"]),
        "hello"
    );

    let _ = ok(&["run", "-d", "--runtime", runtime, BUSYBOX, "long", "sleep", "1000"]);
    let tasks = ok(&["task", "ls"]);
    assert!(
        tasks.lines().any(|line| line.starts_with("long") && line.contains("RUNNING")),
        "{tasks}"
    );
    assert_eq!(ok(&["task", "exec", "--exec-id", "one", "long", "echo", "inside"]), "inside");
    let failed =
        ctr(socket, &["task", "exec", "--exec-id", "two", "long", "sh", "-c", "exit 3"]).output();
    assert_eq!(failed.expect("start ctr").status.code(), Some(3));
    let _ = ok(&["task", "pause", "long"]);
    assert!(ok(&["task", "ls"]).contains("PAUSED"));
    let _ = ok(&["task", "resume", "long"]);
    // The stock shim has none where a v2 hierarchy stands beside v1.
    if runtime == OURS {
        assert!(ok(&["task", "metrics", "long"]).contains("memory."));
    }
    let ps = ok(&["task", "ps", "long"]);
    assert_eq!(ps.lines().count(), 2, "{ps}");
    let _ = ok(&["task", "kill", "-s", "SIGKILL", "long"]);
    tests_harness::wait::until("the task to stop", std::time::Duration::from_secs(10), || {
        let tasks = ok(&["task", "ls"]);
        if tasks.contains("STOPPED") { Ok(()) } else { Err(tasks) }
    });
    let _ = ok(&["task", "rm", "long"]);
    let _ = ok(&["container", "rm", "long"]);
    assert_eq!(ok(&["container", "ls", "-q"]), "");

    let line = format!(
        "ctr -a {} -n test run --rm -t --runtime {runtime} {BUSYBOX} tty sh; echo status $?; sleep 100",
        socket.display()
    );
    let terminal = Terminal::start(&line, 77, 22);
    terminal.expect("#");
    terminal.line("stty size; exit 4");
    terminal.expect("22 77");
    terminal.expect("status 4");
}
