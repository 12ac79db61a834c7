//! Runtimes alone, each on the same bundles, and the floor.

use crate::bundle::Bundles;
use crate::contender::{Contender, Place, run_to_success, take_turns, take_turns_of};
use crate::options::Options;
use crate::report::{Report, rows};
use anyhow::{Context, Result};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tests_harness::{newest, program};

/// Containers in one row of lives, and at once.
const LIVES: usize = 100;
/// How many such rows.
const ROWS: usize = 3;
/// How often those are made at once.
const CROWDS: usize = 5;

/// A runtime and where it keeps its state.
pub(crate) struct Runtime {
    pub(crate) name: &'static str,
    program: PathBuf,
    root: PathBuf,
}

impl Runtime {
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(&self.root).args(words);
        command
    }

    /// Creates, starts and deletes a container.
    fn live(&self, bundle: &Path, id: &str) -> Result<()> {
        let bundle = bundle.to_str().context("a path of UTF-8")?;
        for words in
            [&["create", "--bundle", bundle, id][..], &["start", id], &["delete", "--force", id]]
        {
            run_to_success(&mut self.command(words))?;
        }
        Ok(())
    }

    fn contender<'a>(
        &'a self,
        job: impl Fn(&Self, usize) -> Result<()> + Sync + 'a,
    ) -> Contender<'a> {
        let place = Place { network: None, without_unified: true };
        Contender::new(self.name, place, move |run| job(self, run))
    }
}

pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let bundles = Bundles::new(options)?;
    let runtimes = runtimes(options, &bundles);
    runs(options, &bundles, &runtimes, report)?;
    lives(&bundles, &runtimes, report)?;
    crowds(&bundles, &runtimes, report)?;
    execs(options, &bundles, &runtimes, report)
}

/// Those that take part, with where they keep their state.
pub(crate) fn runtimes(options: &Options, bundles: &Bundles) -> Vec<Runtime> {
    let of = |name: &'static str, program: PathBuf| Runtime {
        name,
        program,
        root: bundles.state().join(name),
    };
    let mut runtimes = vec![
        of("runc", "runc".into()),
        of("crun", "crun".into()),
        of("gantry-runtime", program("gantry-runtime")),
    ];
    runtimes.retain(|runtime| options.runtimes.iter().any(|name| name == runtime.name));
    if options.newest {
        runtimes.push(of("newest runc", newest::programs().join("runc")));
    }
    runtimes
}

/// `run` of `true`, beside the floor.
fn runs(
    options: &Options,
    bundles: &Bundles,
    runtimes: &[Runtime],
    report: &mut Report,
) -> Result<()> {
    let bundle = bundles.of("run", &["/bin/true"])?;
    let bundle = bundle.to_str().context("a path of UTF-8")?;
    let floor = Floor::start()?;
    let mut contenders = contenders(runtimes, |runtime, run| {
        let id = format!("bench-{run}");
        run_to_success(&mut runtime.command(&["run", "--bundle", bundle, &id]))
    });
    contenders.push(Contender::that_tells("floor", Place::default(), |_| floor.run()));
    let samples = take_turns(&contenders, options.runs, options.fast_runs)?;
    report.times("`run` of a bundle, runtime alone", "crun", rows(&contenders, samples));
    Ok(())
}

/// `create`, `start`, `delete`, one container after the other.
fn lives(bundles: &Bundles, runtimes: &[Runtime], report: &mut Report) -> Result<()> {
    let bundle = bundles.of("life", &["/bin/true"])?;
    let contenders =
        contenders(runtimes, |runtime, run| runtime.live(&bundle, &format!("bench-{run}")));
    let samples = take_turns_of(&contenders, ROWS, &vec![LIVES; runtimes.len()])?;
    let title = "`create`, `start`, `delete`, 100 in sequence, each";
    report.times(title, "crun", rows(&contenders, samples));
    Ok(())
}

/// The same, all at once.
fn crowds(bundles: &Bundles, runtimes: &[Runtime], report: &mut Report) -> Result<()> {
    let crowd: Vec<PathBuf> = (0..LIVES)
        .map(|number| bundles.of(&format!("crowd-{number}"), &["/bin/true"]))
        .collect::<Result<_>>()?;
    let contenders = contenders(runtimes, |runtime, run| {
        std::thread::scope(|scope| {
            let live = |(number, bundle): (usize, &PathBuf)| {
                let (id, bundle) = (format!("bench-{run}-{number}"), bundle.clone());
                scope.spawn(move || runtime.live(&bundle, &id))
            };
            let all: Vec<_> = crowd.iter().enumerate().map(live).collect();
            all.into_iter().try_for_each(|one| one.join().expect("a life does not panic"))
        })
    });
    let samples = take_turns_of(&contenders, CROWDS, &vec![1; runtimes.len()])?;
    let title = "`create`, `start`, `delete`, 100 in parallel, all";
    report.times(title, "crun", rows(&contenders, samples));
    Ok(())
}

/// `exec` of `true` in a container that runs.
fn execs(
    options: &Options,
    bundles: &Bundles,
    runtimes: &[Runtime],
    report: &mut Report,
) -> Result<()> {
    for runtime in runtimes {
        let bundle = bundles.of(&format!("exec-{}", runtime.name), &["/bin/sleep", "1000"])?;
        let bundle = bundle.to_str().context("a path of UTF-8")?;
        let place = Place { network: None, without_unified: true };
        place.within(|| {
            run_to_success(&mut runtime.command(&["create", "--bundle", bundle, "bench"]))?;
            run_to_success(&mut runtime.command(&["start", "bench"]))
        })?;
    }
    let contenders = contenders(runtimes, |runtime, _| {
        run_to_success(&mut runtime.command(&["exec", "bench", "/bin/true"]))
    });
    let samples = take_turns(&contenders, options.runs, options.fast_runs);
    for runtime in runtimes {
        run_to_success(&mut runtime.command(&["delete", "--force", "bench"]))?;
    }
    report.times("`exec` in a running container", "crun", rows(&contenders, samples?));
    Ok(())
}

fn contenders<'a>(
    runtimes: &'a [Runtime],
    job: impl Fn(&Runtime, usize) -> Result<()> + Sync + Copy + 'a,
) -> Vec<Contender<'a>> {
    runtimes.iter().map(|runtime| runtime.contender(job)).collect()
}

/// What the kernel alone takes, with a network namespace but nothing in it, as in the bundle:
/// `bench-floor`, which does a run for each line that it is given.
struct Floor {
    process: Child,
    /// Lines to it and from it; the first is gone once it has been told to end.
    lines: Mutex<(Option<ChildStdin>, BufReader<ChildStdout>)>,
}

impl Floor {
    fn start() -> Result<Self> {
        let program = std::env::current_exe()?.with_file_name("bench-floor");
        let mut command = Command::new(&program);
        command.arg("--on-request").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command
            .spawn()
            .with_context(|| format!("start {} (cargo build -p bench-floor)", program.display()))?;
        let (input, output) = process.stdin.take().zip(process.stdout.take()).context("pipes")?;
        Ok(Self { process, lines: Mutex::new((Some(input), BufReader::new(output))) })
    }

    /// One run, as long as it says that its steps took.
    fn run(&self) -> Result<Duration> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let (input, output) = &mut *lines;
        input.as_mut().context("bench-floor has ended")?.write_all(b"run\n")?;
        let mut line = String::new();
        output.read_line(&mut line)?;
        let steps: Value = serde_json::from_str(&line).context("bench-floor has failed")?;
        let step = |name: &str| {
            steps[name][0].as_f64().with_context(|| format!("no step {name:?} of bench-floor"))
        };
        let milliseconds = step("total, network ready")? + step("new network namespace")?;
        Ok(Duration::from_secs_f64(milliseconds / 1e3))
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.lines.get_mut().unwrap_or_else(PoisonError::into_inner).0 = None;
        let _ = self.process.wait();
    }
}
