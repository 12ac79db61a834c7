//! Runtimes alone, each on the same bundles, and the floor.

use crate::bundle::Bundles;
use crate::contender::{Contender, Place, run_to_success, take_turns, take_turns_of};
use crate::options::Options;
use crate::report::{Report, Row};
use crate::samples::Samples;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests_harness::{newest, program};

/// Containers in one row of lives, and at once.
const LIVES: usize = 100;
/// How often those are made at once.
const CROWDS: usize = 3;

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
        Contender {
            name: self.name,
            job: Box::new(move |run| job(self, run)),
            place: Place { network: None, without_unified: true },
        }
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
    let contenders = contenders(runtimes, |runtime, run| {
        let id = format!("bench-{run}");
        run_to_success(&mut runtime.command(&["run", "--bundle", bundle, &id]))
    });
    let samples = take_turns(&contenders, options.runs, options.fast_runs)?;
    let mut rows = rows(runtimes, samples);
    rows.push(Row { name: "floor", samples: floor(options.runs * options.fast_runs)? });
    report.times("`run` of a bundle, runtime alone", "crun", rows);
    Ok(())
}

/// `create`, `start`, `delete`, one container after the other.
fn lives(bundles: &Bundles, runtimes: &[Runtime], report: &mut Report) -> Result<()> {
    let bundle = bundles.of("life", &["/bin/true"])?;
    let contenders =
        contenders(runtimes, |runtime, run| runtime.live(&bundle, &format!("bench-{run}")));
    let samples = take_turns_of(&contenders, LIVES / 10, &vec![10; runtimes.len()])?;
    let title = "`create`, `start`, `delete`, 100 in sequence, each";
    report.times(title, "crun", rows(runtimes, samples));
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
    report.times(title, "crun", rows(runtimes, samples));
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
    report.times("`exec` in a running container", "crun", rows(runtimes, samples?));
    Ok(())
}

fn contenders<'a>(
    runtimes: &'a [Runtime],
    job: impl Fn(&Runtime, usize) -> Result<()> + Sync + Copy + 'a,
) -> Vec<Contender<'a>> {
    runtimes.iter().map(|runtime| runtime.contender(job)).collect()
}

fn rows(runtimes: &[Runtime], samples: Vec<Samples>) -> Vec<Row> {
    runtimes.iter().zip(samples).map(|(r, samples)| Row { name: r.name, samples }).collect()
}

/// What the kernel alone takes, with a network namespace but nothing in it, as in the bundle.
fn floor(runs: usize) -> Result<Samples> {
    let program = std::env::current_exe()?.with_file_name("bench-floor");
    let mut command = Command::new(&program);
    let output = command
        .args(["--json", "--runs", &runs.to_string()])
        .output()
        .with_context(|| format!("start {} (cargo build -p bench-floor)", program.display()))?;
    if !output.status.success() {
        bail!("bench-floor: {}", String::from_utf8_lossy(&output.stderr));
    }
    let steps: Value = serde_json::from_slice(&output.stdout)?;
    let times = |name: &str| -> Result<Vec<f64>> {
        let list = steps[name].as_array().with_context(|| format!("no step {name:?}"))?;
        Ok(list.iter().filter_map(Value::as_f64).collect())
    };
    let (total, namespace) = (times("total, network ready")?, times("new network namespace")?);
    Ok(Samples::from_milliseconds(total.iter().zip(&namespace).map(|(a, b)| a + b)))
}
