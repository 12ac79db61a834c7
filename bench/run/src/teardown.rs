//! Many runs one after the other without a pool, and how long the rest of their tear-down takes.

use crate::options::Options;
use crate::peers;
use crate::report::{Report, Row};
use crate::samples::Samples;
use anyhow::{Result, bail};
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tests_harness::Daemon;

const PATIENCE: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(1);

pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let (daemon, image) = peers::gantryd(&["--sandbox-pool", "0"]);
    let before = remains(&daemon);
    let mut samples = Samples::default();
    for _ in 0..options.sequence {
        let mut command = daemon.gantry_command(&["run", "--rm", &image, "true"]);
        let start = Instant::now();
        let status = command.stdout(Stdio::null()).status()?;
        samples.add(start.elapsed());
        if !status.success() {
            bail!("gantry run: {status}");
        }
    }
    let drained = drain(&daemon, before)?;
    report.times(
        "`run --rm IMAGE true` in sequence, pool empty",
        "gantry",
        vec![Row { name: "gantry", samples }],
    );
    report.fact(
        &format!("deferred tear-down after {} runs, until nothing is left", options.sequence),
        &format!("{:.0} ms", drained.as_secs_f64() * 1e3),
    );
    Ok(())
}

/// Waits until no more is left than before the runs.
fn drain(daemon: &Daemon, before: usize) -> Result<Duration> {
    let start = Instant::now();
    while remains(daemon) > before {
        if start.elapsed() > PATIENCE {
            bail!("{} things are left after {PATIENCE:?}", remains(daemon) - before);
        }
        std::thread::sleep(GLANCE);
    }
    Ok(start.elapsed())
}

/// Counts what runs leave for later: mounts, links, cgroups, bundles, snapshots.
fn remains(daemon: &Daemon) -> usize {
    let exec = daemon.exec_root().display().to_string();
    let data = daemon.data_root();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mounts = mounts.lines().filter(|line| line.contains(&exec)).count();
    // Not /sys/class/net, which shows the links of whoever mounted it.
    let links = fs::read_to_string("/proc/self/net/dev").unwrap_or_default().lines().count();
    let tasks = entries(&daemon.exec_root().join("supervisor/tasks/moby"));
    let namespaces = entries(&daemon.exec_root().join("netns"));
    let cgroups: usize = fs::read_dir("/sys/fs/cgroup")
        .into_iter()
        .flatten()
        .flatten()
        .flat_map(|hierarchy| ["docker", "moby", "gantry"].map(|name| hierarchy.path().join(name)))
        .map(|parent| entries(&parent))
        .sum();
    mounts + links + tasks + namespaces + cgroups + entries(&data.join("snapshots"))
}

fn entries(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}
