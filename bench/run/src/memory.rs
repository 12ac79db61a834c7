//! Memory with ten idle containers.

use crate::peers;
use crate::report::Report;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::time::Duration;
use tests_harness::wait;

const CONTAINERS: usize = 10;
const SHIM: &str = "containerd-shim-gantry-v2";

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let (daemon, image) = peers::gantryd(&[]);
    for _ in 0..CONTAINERS {
        let _ = daemon.gantry_ok(&["run", "-d", "--stop-signal", "KILL", &image, "sleep", "1000"]);
    }
    let exec_root = daemon.exec_root();
    let mut shims = shims_below(&exec_root);
    if shims.is_empty() {
        bail!("no {SHIM} runs below {}", exec_root.display());
    }
    let mut private = Vec::new();
    wait::until("the shims to be idle", Duration::from_secs(10), || {
        shims = shims_below(&exec_root);
        let now = shims.iter().map(|pid| private_dirty(*pid)).collect::<Result<Vec<_>>>();
        let now = now.map_err(|error| error.to_string())?;
        let same = now == private;
        private = now;
        if same { Ok(()) } else { Err("still changing".to_owned()) }
    });
    private.sort_unstable();
    let median = private[private.len() / 2];
    let largest = private.last().copied().unwrap_or_default();
    report.fact(
        &format!("private dirty memory of an idle shim, {} running", shims.len()),
        &format!("{median} KiB (largest {largest} KiB)"),
    );
    let supervisor = daemon.supervisor_pid().context("the supervisor has no pid file")?;
    let (daemon_memory, supervisor_memory) = (resident(daemon.pid())?, resident(supervisor)?);
    report.fact(
        &format!("daemon + supervisor, resident, {CONTAINERS} containers"),
        &format!(
            "{:.1} MiB ({:.1} + {:.1})",
            mebibytes(daemon_memory + supervisor_memory),
            mebibytes(daemon_memory),
            mebibytes(supervisor_memory)
        ),
    );
    let ids = daemon.gantry_ok(&["ps", "-aq"]);
    let ids: Vec<&str> = ids.split_whitespace().collect();
    let _ = daemon.gantry_ok(&[&["rm", "-f"], ids.as_slice()].concat());
    Ok(())
}

fn mebibytes(kibibytes: u64) -> f64 {
    // Far below 2^52.
    kibibytes as f64 / 1024.0
}

/// Shims whose command line, environment or working directory is below the exec root.
fn shims_below(exec_root: &Path) -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|pid| {
        let file = |name: &str| format!("/proc/{pid}/{name}");
        // By its name for itself: it runs from a mount without a path.
        let command_line = fs::read(file("cmdline")).unwrap_or_default();
        let program = command_line.split(|byte| *byte == 0).next().unwrap_or_default();
        let is_shim = String::from_utf8_lossy(program).ends_with(SHIM);
        let root = exec_root.display().to_string();
        let ours = fs::read_link(file("cwd")).is_ok_and(|cwd| cwd.starts_with(exec_root))
            || ["cmdline", "environ"].iter().any(|name| {
                let bytes = fs::read(file(name)).unwrap_or_default();
                String::from_utf8_lossy(&bytes).contains(&root)
            });
        is_shim && ours
    })
    .collect()
}

/// KiB of pages that only this process has, and has written.
fn private_dirty(pid: u32) -> Result<u64> {
    kibibytes(&format!("/proc/{pid}/smaps_rollup"), "Private_Dirty:")
}

fn resident(pid: u32) -> Result<u64> {
    kibibytes(&format!("/proc/{pid}/status"), "VmRSS:")
}

fn kibibytes(path: &str, field: &str) -> Result<u64> {
    let text = fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).with_context(|| format!("no {field} in {path}"))
}
