//! Something that is timed, in turn with others.

use crate::samples::Samples;
use anyhow::{Context, Result, bail};
use kernel_sys::{NamespaceFlags, setns, unshare};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::Scope;
use std::time::{Duration, Instant};

/// Runs of each contender that are not counted.
const WARM_UP: usize = 3;
/// Before each run, so that none pays for what the last one left to be torn down; what we leave is
/// measured on its own.
const REST: Duration = Duration::from_millis(100);
/// More of it where the last one was another contender's: what the newest runc leaves takes longer.
const CHANGE: Duration = Duration::from_millis(500);

/// Something that is done again and again.
pub(crate) struct Contender<'a> {
    pub(crate) name: &'static str,
    /// One run, and how long it took; runs have numbers, for names that must differ.
    job: Box<dyn Fn(usize) -> Result<Duration> + Sync + 'a>,
    /// What the thread that does it is in: a child is born where its parent is.
    place: Place,
}

impl<'a> Contender<'a> {
    /// One whose runs are timed here.
    pub(crate) fn new(
        name: &'static str,
        place: Place,
        job: impl Fn(usize) -> Result<()> + Sync + 'a,
    ) -> Self {
        let by_the_clock = move |run| {
            let start = Instant::now();
            job(run)?;
            Ok(start.elapsed())
        };
        Self::that_tells(name, place, by_the_clock)
    }

    /// One that tells how long its runs took.
    pub(crate) fn that_tells(
        name: &'static str,
        place: Place,
        job: impl Fn(usize) -> Result<Duration> + Sync + 'a,
    ) -> Self {
        Self { name, job: Box::new(job), place }
    }
}

/// Runs a command, from before the start of the process until it has been waited for; its failure
/// is one of ours. Its errors go to a file in memory: a pipe would be held by whatever it leaves running,
/// and what a file on a disk takes to be made and removed would be added to everybody's time.
pub(crate) fn run_to_success(command: &mut Command) -> Result<()> {
    let mut errors = File::from(memfd_create("errors", MemfdFlags::CLOEXEC)?);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors.try_clone()?);
    let status = command.status().with_context(|| format!("start {command:?}"))?;
    if !status.success() {
        let mut text = String::new();
        errors.rewind()?;
        errors.read_to_string(&mut text)?;
        bail!("{command:?}: {status}: {text}");
    }
    Ok(())
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
    /// Does something there, in a thread of its own.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter()?;
                work()
            });
            thread.join().expect("a timed run does not panic")
        })
    }

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
/// same one. In a turn the fast ones run `fast_runs` times.
pub(crate) fn take_turns(
    contenders: &[Contender<'_>],
    turns: usize,
    fast_runs: usize,
) -> Result<Vec<Samples>> {
    let warm_up = take_turns_of(contenders, WARM_UP, &vec![1; contenders.len()])?;
    take_turns_of(contenders, turns, &times_in_a_turn(&warm_up, fast_runs))
}

/// The same without a warm-up; each contender runs as often in a turn as is said.
pub(crate) fn take_turns_of(
    contenders: &[Contender<'_>],
    turns: usize,
    times: &[usize],
) -> Result<Vec<Samples>> {
    std::thread::scope(|scope| {
        let workers: Vec<Worker> =
            contenders.iter().map(|contender| Worker::start(scope, contender)).collect();
        let mut samples = vec![Samples::default(); contenders.len()];
        for turn in 0..turns {
            for index in order(contenders.len(), turn) {
                std::thread::sleep(CHANGE);
                for _ in 0..times[index] {
                    std::thread::sleep(REST);
                    let time = workers[index].run().with_context(|| contenders[index].name)?;
                    samples[index].add(time);
                }
            }
        }
        Ok(samples)
    })
}

/// A contender's thread. It stays in the contender's place, so that none of its runs comes right after
/// the making of a mount namespace, which the kernel is still busy with for a while.
struct Worker {
    orders: Sender<usize>,
    times: Receiver<Result<Duration>>,
}

impl Worker {
    fn start<'scope, 'a: 'scope>(
        scope: &'scope Scope<'scope, '_>,
        contender: &'scope Contender<'a>,
    ) -> Self {
        let (orders, to_do) = mpsc::channel();
        let (done, times) = mpsc::channel();
        scope.spawn(move || {
            let mut entered = contender.place.enter();
            for number in to_do {
                let result = std::mem::replace(&mut entered, Ok(()));
                if done.send(result.and_then(|()| (contender.job)(number))).is_err() {
                    break;
                }
            }
        });
        Self { orders, times }
    }

    /// One run.
    fn run(&self) -> Result<Duration> {
        /// Of all runs of this program: no id comes twice.
        static NUMBERS: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let ended = "a timed run panicked";
        self.orders.send(number).context(ended)?;
        self.times.recv().context(ended)?
    }
}

/// How often each contender runs in a turn, by how long it took before: those are fast that take
/// less than the rest before them, or much less than the slowest.
fn times_in_a_turn(before: &[Samples], fast_runs: usize) -> Vec<usize> {
    /// So much less than the slowest.
    const FAST: u32 = 5;
    let slowest = before.iter().map(Samples::median).max().unwrap_or_default();
    let fast = |time: Duration| time < REST || time * FAST < slowest;
    before.iter().map(|samples| if fast(samples.median()) { fast_runs } else { 1 }).collect()
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
    fn fast_contenders_run_more_often() {
        let took = [900.0, 300.0, 150.0, 20.0].map(|time| Samples::from_milliseconds([time]));
        assert_eq!(times_in_a_turn(&took, 7), [1, 1, 7, 7]);
        assert_eq!(times_in_a_turn(&took[1..3], 7), [1, 1]);
    }

    #[test]
    fn every_order_has_its_turn() {
        let orders: HashSet<Vec<usize>> = (0..24).map(|turn| order(4, turn)).collect();
        assert_eq!(orders.len(), 24);
        assert!(orders.iter().all(|order| (0..4).all(|index| order.contains(&index))));
    }
}
