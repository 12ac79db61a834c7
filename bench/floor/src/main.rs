//! The floor: only the kernel's work for one container, step by step, as the limit of what any
//! engine can reach on this machine.
//!
//! Namespaces, overlay, some thirty mounts, cgroup v1 attachment, veth, exec of a static `true`,
//! wait; no configuration, no protocol, no record, no security profile. The program is
//! single-threaded, and works in network and mount namespaces of its own.
//!
//! `bench-floor [--runs N] [--json] [--on-request] [--lower DIRECTORY] [--scratch DIRECTORY]`
//!
//! With `--on-request` it does one run for each line of its input, and prints that run's steps as a
//! line of JSON: who asks can let others run in between.

#![forbid(unsafe_code)]

mod cgroups;
mod container;
mod network;
mod steps;

use anyhow::{Context, Result, bail};
use container::Container;
use kernel_sys::{NamespaceFlags, unshare};
use network::Bridge;
use rustix::mount::{MountPropagationFlags, mount_change};
use std::path::{Path, PathBuf};
use std::time::Duration;
use steps::Steps;

/// Before each run: what the last one left is torn down behind its back.
const REST: Duration = Duration::from_millis(50);

struct Options {
    runs: usize,
    /// A table otherwise.
    json: bool,
    on_request: bool,
    lower: Option<PathBuf>,
    scratch: PathBuf,
}

fn main() -> Result<()> {
    let options = parse(std::env::args().skip(1))?;
    unshare(NamespaceFlags::NETWORK | NamespaceFlags::MOUNT).context("unshare (needs root)")?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let scratch = options.scratch.join(format!("gantry-floor-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    let result = measure(&options, &scratch);
    let _ = cgroups::remove_parent();
    std::fs::remove_dir_all(&scratch).with_context(|| format!("remove {}", scratch.display()))?;
    result
}

fn measure(options: &Options, scratch: &Path) -> Result<()> {
    let lower = match &options.lower {
        Some(lower) => lower.clone(),
        None => busybox_root(&scratch.join("lower"))?,
    };
    let bridge = Bridge::create()?;
    cgroups::create_parent()?;
    let container = |run| Container { lower: &lower, scratch, run, bridge: &bridge };
    if options.on_request {
        for (run, line) in std::io::stdin().lines().enumerate() {
            line?;
            let mut steps = Steps::default();
            container(run).run(&mut steps)?;
            println!("{}", steps.to_json());
        }
        return Ok(());
    }
    let mut steps = Steps::default();
    for run in 0..options.runs {
        std::thread::sleep(REST);
        container(run).run(&mut steps)?;
    }
    if options.json {
        println!("{}", steps.to_json());
    } else {
        print!("{}", steps.to_table());
    }
    Ok(())
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options> {
    let scratch = PathBuf::from("/var/tmp");
    let mut options = Options { runs: 50, json: false, on_request: false, lower: None, scratch };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} wants a value"));
        match argument.as_str() {
            "--runs" => options.runs = value()?.parse().context("--runs wants a number")?,
            "--json" => options.json = true,
            "--on-request" => options.on_request = true,
            "--lower" => options.lower = Some(value()?.into()),
            "--scratch" => options.scratch = value()?.into(),
            _ => bail!(
                "usage: bench-floor [--runs N] [--json] [--on-request] [--lower DIRECTORY] \
                 [--scratch DIRECTORY]"
            ),
        }
    }
    Ok(options)
}

/// A root with a static `true` and the folders that are mounted on.
fn busybox_root(root: &Path) -> Result<PathBuf> {
    for folder in ["bin", "etc", "proc", "sys", "dev"] {
        std::fs::create_dir_all(root.join(folder))?;
    }
    for file in ["hosts", "hostname", "resolv.conf"] {
        std::fs::write(root.join("etc").join(file), "")?;
    }
    std::fs::copy("/bin/busybox", root.join("bin/true"))
        .context("apt-get install busybox-static")?;
    Ok(root.to_owned())
}
