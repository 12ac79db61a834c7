//! End-to-end tests: our supervisor, shim and runtime under the originals' clients and engines, the
//! runtime under OCI's validation programs ([`runtime_tools`]), and replays of what was wrong with
//! other runtimes ([`bundle`], [`race`]).

#![forbid(unsafe_code)]

pub mod bundle;
pub mod race;
pub mod runtime_tools;

use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tests_harness::reference::{archive, ctr};
use tests_harness::terminal::Terminal;
use tests_harness::{images, output_of, wait};

/// Imports busybox into a containerd, original or ours.
pub fn import_busybox(socket: &Path, scratch: &Path) {
    let tar = archive(&images::busybox(), BUSYBOX, scratch);
    let _ = output_of(&mut ctr(socket, &["image", "import", &tar.display().to_string()]));
}

/// Our shim, as containerd names it.
pub const OURS: &str = "io.containerd.gantry.v2";

/// containerd's own shim, as it names it.
pub const STOCK: &str = "io.containerd.runc.v2";

/// The name under which busybox is imported.
pub const BUSYBOX: &str = "docker.io/library/busybox:latest";

/// `ctr` runs, executes in, pauses, measures, kills and deletes a container with this runtime, which
/// is told as options of `ctr run`.
///
/// # Panics
/// When one of them does not.
pub fn ctr_tells_a_containers_life(socket: &Path, runtime: &[&str]) {
    let ok = |arguments: &[&str]| output_of(&mut ctr(socket, arguments)).trim_end().to_owned();
    // runc's folder and the cgroups are the machine's, not a containerd's.
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let names =
        ["once", "long", "tty"].map(|name| format!("{name}-{}-{number}", std::process::id()));
    let [once, long, tty] = names.each_ref().map(String::as_str);
    assert_eq!(ok(&run(runtime, &["--rm"], &[once, "echo", "hello"])), "hello");

    let _ = ok(&run(runtime, &["-d", "--memory-limit", "67108864"], &[long, "sleep", "1000"]));
    let tasks = ok(&["task", "ls"]);
    assert!(
        tasks.lines().any(|line| line.starts_with(long) && line.contains("RUNNING")),
        "{tasks}"
    );
    let tries = Cell::new(0);
    let exec = |line: &str| {
        let id = format!("echo-{}", tries.replace(tries.get() + 1));
        let said = ok(&["task", "exec", "--exec-id", &id, long, "sh", "-c", line]);
        if said == "inside" { Ok(()) } else { Err(format!("{said:?}")) }
    };
    if runtime.contains(&STOCK) {
        // The stock shim's output has been seen to get lost on a busy machine; ours must not.
        wait::until("an exec's output", Duration::from_secs(60), || exec("echo inside"));
    } else {
        // What has ended before ctr has opened its side of the fifos is lost to ctr.
        assert_eq!(exec("sleep 0.3; echo inside"), Ok(()));
    }
    let failed =
        ctr(socket, &["task", "exec", "--exec-id", "two", long, "sh", "-c", "exit 3"]).output();
    assert_eq!(failed.expect("start ctr").status.code(), Some(3));
    let _ = ok(&["task", "pause", long]);
    assert!(ok(&["task", "ls"]).contains("PAUSED"));
    let _ = ok(&["task", "resume", long]);
    let metrics = ok(&["task", "metrics", long]);
    assert!(metrics.contains("memory.") && metrics.contains("67108864"), "{metrics}");
    let ps = ok(&["task", "ps", long]);
    assert_eq!(ps.lines().count(), 2, "{ps}");
    let _ = ok(&["task", "kill", "-s", "SIGKILL", long]);
    wait::until("the task to stop", Duration::from_secs(60), || {
        let tasks = ok(&["task", "ls"]);
        if tasks.contains("STOPPED") { Ok(()) } else { Err(tasks) }
    });
    let _ = ok(&["task", "rm", long]);
    let _ = ok(&["container", "rm", long]);
    assert_eq!(ok(&["container", "ls", "-q"]), "");

    let terminal =
        Terminal::run(&ctr(socket, &run(runtime, &["--rm", "-t"], &[tty, "sh"])), 77, 22);
    terminal.expect("#");
    // ctr tells the size once the program runs.
    terminal.line("until [ \"$(stty size)\" = '22 77' ]; do sleep 0.1; done; echo si''zed");
    terminal.expect("sized");
    let exec = ["task", "exec", "-t", "--exec-id", "three", tty, "sh"];
    let inner = Terminal::run(&ctr(socket, &exec), 66, 19);
    inner.expect("#");
    inner.line("until [ \"$(stty size)\" = '19 66' ]; do sleep 0.1; done; exit 6");
    inner.expect("status 6");
    terminal.resize(80, 24);
    terminal.line("until [ \"$(stty size)\" = '24 80' ]; do :; done; exit 4");
    terminal.expect("status 4");
}

/// The words of a `ctr run`.
fn run<'a>(runtime: &[&'a str], options: &[&'a str], command: &[&'a str]) -> Vec<&'a str> {
    [&["run"], options, runtime, &[BUSYBOX], command].concat()
}
