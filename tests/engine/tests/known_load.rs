//! `stats` shows a load that is known (a quarter of a processor, forty mebibytes, a counted
//! transfer, a counted write), and shows it as Debian's dockerd does.

#![forbid(unsafe_code)]

use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tests_engine::Stage;
use tests_harness::reference::archive;
use tests_harness::{Reference, describe, images, output_of, wait};

/// What the load is, in the same units as [`Figures`].
const LOAD: Figures = Figures {
    processor: 25.0,
    memory: 40.0 * 1024.0 * 1024.0,
    // And what TCP, IP and Ethernet add to them.
    sent: 5.0e6,
    written: 20.0 * 1024.0 * 1024.0,
};

/// What `docker stats` shows.
#[derive(Debug)]
struct Figures {
    /// Percent of one processor.
    processor: f64,
    /// Bytes.
    memory: f64,
    /// Bytes, by the network interface.
    sent: f64,
    /// Bytes, to block devices.
    written: f64,
}

impl Figures {
    fn are_near(&self, expected: &Self) -> Result<(), String> {
        let near = |found: f64, expected: f64| (found - expected).abs() <= 0.1 * expected;
        let all = near(self.processor, expected.processor)
            && near(self.memory, expected.memory)
            && near(self.sent, expected.sent)
            && near(self.written, expected.written);
        if all { Ok(()) } else { Err(format!("{self:?} instead of {expected:?}")) }
    }
}

/// A client on an engine: makes a command of arguments.
type Docker<'a> = &'a dyn Fn(&[&str]) -> Command;

fn ok(docker: Docker<'_>, arguments: &[&str]) -> String {
    output_of(&mut docker(arguments)).trim_end().to_owned()
}

/// The disk below the temporary folders. The kernel counts a cgroup's use of a disk on v1 only
/// where a limit is set for that disk (block/blk-throttle.c): the load has one that it never meets.
fn disk() -> String {
    let mut stat = Command::new("stat");
    let number = output_of(stat.args(["-c", "%Hd:%Ld"]).arg(std::env::temp_dir()));
    let folder = std::fs::canonicalize(format!("/sys/dev/block/{}", number.trim()))
        .expect("a temporary folder on a disk");
    let whole = if folder.join("partition").exists() { folder.parent() } else { Some(&*folder) };
    let name = whole.and_then(Path::file_name).expect("a disk has a name");
    format!("/dev/{}", name.display())
}

/// Starts the load, in two containers, and returns when all that is counted has been done.
fn start(docker: Docker<'_>) {
    let limit = format!("{}:1gb", disk());
    let script = "dd if=/dev/zero of=/dev/shm/load bs=1M count=40 2>/dev/null
        dd if=/dev/zero of=/written bs=1048576 count=20 oflag=direct 2>/dev/null
        touch /ready; while :; do :; done";
    let options = ["--name", "load", "--cpus", "0.25", "--device-write-bps", &limit];
    let _ = ok(docker, &[&["run", "-d"], &options[..], &["busybox", "sh", "-c", script]].concat());
    let serve =
        "dd if=/dev/zero of=/tmp/file bs=1000 count=5000 2>/dev/null; httpd -f -p 80 -h /tmp";
    let _ = ok(docker, &["run", "-d", "--name", "server", "busybox", "sh", "-c", serve]);
    let address = "{{.NetworkSettings.Networks.bridge.IPAddress}}";
    let address = ok(docker, &["inspect", "-f", address, "server"]);
    let fetch = format!("wget -qO /dev/null http://{address}/file");
    for arguments in
        [&["run", "--rm", "busybox", "sh", "-c", &fetch][..], &["exec", "load", "ls", "/ready"]]
    {
        wait::until("what is counted to be done", Duration::from_secs(60), || {
            let output = docker(arguments).output().map_err(|error| error.to_string())?;
            if output.status.success() { Ok(()) } else { Err(describe(&output)) }
        });
    }
}

/// Two samples apart, as `--no-stream` takes them.
fn figures(docker: Docker<'_>) -> Figures {
    let sample = |name: &str| -> serde_json::Value {
        let line = ok(docker, &["stats", "--no-stream", "--format", "{{json .}}", name]);
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
    };
    let (load, server) = (sample("load"), sample("server"));
    let part = |value: &serde_json::Value, at: usize| {
        value.as_str().and_then(|both| both.split('/').nth(at)).map_or(0.0, bytes)
    };
    let processor = load["CPUPerc"].as_str().unwrap_or_default().trim_end_matches('%');
    Figures {
        processor: processor.parse().unwrap_or_else(|error| panic!("{load}: {error}")),
        memory: part(&load["MemUsage"], 0),
        sent: part(&server["NetIO"], 1),
        written: part(&load["BlockIO"], 1),
    }
}

/// A size as docker prints it (`40.5MiB`, `1.2kB`), in bytes.
fn bytes(text: &str) -> f64 {
    let digits = text.trim().find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.trim().split_at(digits);
    let factor = match unit {
        "B" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        other => panic!("unit {other:?} in {text:?}"),
    };
    number.parse::<f64>().unwrap_or_else(|error| panic!("{text}: {error}")) * factor
}

#[test]
fn a_known_load_is_shown_within_a_tenth_and_as_debians_dockerd_shows_it() {
    let stage = Stage::with(&["busybox"]);
    let dockerd = Reference::dockerd(&[]);
    let original = |arguments: &[&str]| dockerd.docker(arguments);
    let tar = archive(&images::busybox(), "busybox:latest", dockerd.scratch());
    let _ = ok(&original, &["load", "-i", &tar.display().to_string()]);
    start(&original);
    for client in stage.clients() {
        let ours = |arguments: &[&str]| client.command(arguments);
        start(&ours);
        // The machine may take the processor away for a moment: a later sample counts as well.
        wait::until("the load within a tenth", Duration::from_secs(180), || {
            let (shown, reference) = (figures(&ours), figures(&original));
            shown.are_near(&LOAD)?;
            shown.are_near(&reference)
        });
        let _ = ok(&ours, &["rm", "-f", "load", "server"]);
    }
    let _ = ok(&original, &["rm", "-f", "load", "server"]);
}
