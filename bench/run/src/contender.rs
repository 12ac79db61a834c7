//! Something that is timed, in turn with others.

use crate::samples::Samples;
use anyhow::{Context, Result, bail};
use kernel_sys::{NamespaceFlags, setns, unshare};
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs of each contender that are not counted.
const WARM_UP: usize = 3;
/// Before each run, so that nobody pays for what another left to be torn down; what we leave is
/// measured on its own.
const REST: Duration = Duration::from_millis(100);

/// A command that is run again and again.
pub(crate) struct Contender<'a> {
    pub(crate) name: &'static str,
    /// The command of a run; runs have numbers, for names that must differ.
    pub(crate) command: Box<dyn Fn(usize) -> Command + Sync + 'a>,
    /// What the thread that starts it enters first: a child is born where its parent is.
    pub(crate) place: Place,
}

impl Contender<'_> {
    /// One run, from before the start of the process until it has been waited for.
    fn time(&self, run: usize) -> Result<Duration> {
        let mut command = (self.command)(run);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let start = Instant::now();
        let output = command.output().with_context(|| format!("start {}", self.name))?;
        let time = start.elapsed();
        if !output.status.success() {
            bail!("{}: {}: {}", self.name, output.status, String::from_utf8_lossy(&output.stderr));
        }
        Ok(time)
    }

    /// As [`Self::time`], in the contender's place.
    fn time_in_place(&self, run: usize) -> Result<Duration> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.place.enter()?;
                self.time(run)
            });
            thread.join().expect("a timed run does not panic")
        })
    }
}

/// Namespaces that a contender is run in.
#[derive(Debug, Default)]
pub(crate) struct Place {
    /// A network namespace, if not ours.
    pub(crate) network: Option<File>,
    /// Without the cgroup v2 hierarchy beside those of v1, which crun does not stand.
    pub(crate) without_unified: bool,
}

const UNIFIED: &str = "/sys/fs/cgroup/unified";

impl Place {
    fn enter(&self) -> Result<()> {
        if let Some(network) = &self.network {
            setns(network.as_fd(), NamespaceFlags::NETWORK)?;
        }
        if self.without_unified {
            unshare(NamespaceFlags::MOUNT)?;
            mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
            if Path::new(UNIFIED).exists() {
                unmount(UNIFIED, UnmountFlags::DETACH).context("unmount cgroup v2")?;
            }
        }
        Ok(())
    }
}

/// Times all contenders in turn, each turn in another order, so that nobody always comes after the
/// same one.
pub(crate) fn take_turns(contenders: &[Contender<'_>], runs: usize) -> Result<Vec<Samples>> {
    let mut samples = vec![Samples::default(); contenders.len()];
    for run in 0..WARM_UP + runs {
        for index in order(contenders.len(), run) {
            std::thread::sleep(REST);
            let time = contenders[index].time_in_place(run)?;
            if run >= WARM_UP {
                samples[index].add(time);
            }
        }
    }
    Ok(samples)
}

/// The order of a turn: the turn's number, read as the number of a permutation.
fn order(count: usize, mut turn: usize) -> Vec<usize> {
    let mut left: Vec<usize> = (0..count).collect();
    let mut order = Vec::with_capacity(count);
    while !left.is_empty() {
        order.push(left.remove(turn % left.len()));
        turn /= left.len() + 1;
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_order_has_its_turn() {
        let orders: HashSet<Vec<usize>> = (0..24).map(|turn| order(4, turn)).collect();
        assert_eq!(orders.len(), 24);
        assert!(orders.iter().all(|order| (0..4).all(|index| order.contains(&index))));
    }
}
