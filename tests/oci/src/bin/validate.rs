//! `cargo xtask validate`: OCI's validation programs on several runtimes, side by side.
//!
//! Prints the tables of `docs/compat/oci-runtime.md`. Without arguments the runtimes are Debian's runc
//! and crun and ours. Fails when the last one does not pass what one of the others passes; [`RACES`] it may
//! try again.

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use tests_oci::bundle::runtime;
use tests_oci::runtime_tools::{Outcome, Set};

/// Programs whose result is not the runtime's alone: `killsig` signals a shell that may not have set its
/// trap yet, `pidfile` a `true` that may have ended.
const RACES: [&str; 2] = ["killsig", "pidfile"];
/// How often a race is run again before it counts as lost.
const TRIES: usize = 10;

fn main() -> ExitCode {
    let mut runtimes: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if runtimes.is_empty() {
        runtimes = vec!["/usr/sbin/runc".into(), "/usr/bin/crun".into(), runtime()];
    }
    let mut missed = Vec::new();
    for set in Set::ALL {
        let runs: Vec<_> = runtimes.iter().map(|runtime| set.run(runtime)).collect();
        println!("\n### {}\n\n| program | {} |", set.version(), names(&runtimes).join(" | "));
        println!("|---|{}", "---|".repeat(runtimes.len()));
        let programs: BTreeSet<&String> = runs.iter().flat_map(|run| run.keys()).collect();
        for program in &programs {
            let cells: Vec<String> = runs.iter().map(|run| cell(run.get(*program))).collect();
            println!("| {program} | {} |", cells.join(" | "));
        }
        let totals: Vec<String> = runs.iter().map(|run| total(run.values())).collect();
        println!("| **{} programs** | {} |", programs.len(), totals.join(" | "));
        let passes = |run: &BTreeMap<String, Outcome>, program: &str| {
            run.get(program).is_some_and(|outcome| outcome.passed())
        };
        let Some((last, others)) = runs.split_last() else { continue };
        let missing = programs.iter().filter(|program| {
            !passes(last, program) && others.iter().any(|run| passes(run, program))
        });
        let wins = |program: &str| {
            RACES.contains(&program)
                && runtimes.last().is_some_and(|runtime| {
                    (0..TRIES).any(|_| passes(&set.run_one(runtime, program), program))
                })
        };
        let missing = missing.filter(|program| !wins(program));
        missed.extend(missing.map(|program| format!("{program} ({})", set.version())));
    }
    if missed.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("validate: others pass, the last does not: {}", missed.join(", "));
    ExitCode::FAILURE
}

fn names(runtimes: &[PathBuf]) -> Vec<String> {
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    runtimes.iter().map(name).collect()
}

fn cell(outcome: Option<&Outcome>) -> String {
    match outcome {
        Some(outcome) if outcome.passed() => format!("{}", outcome.ok),
        Some(Outcome { ok: 0, not_ok: 0, .. }) => "**no check**".to_owned(),
        Some(outcome) if outcome.ended => {
            format!("**{} of {}**", outcome.not_ok, outcome.ok + outcome.not_ok)
        }
        Some(outcome) => {
            format!("**ended early** ({} of {})", outcome.not_ok, outcome.ok + outcome.not_ok)
        }
        None => "not run".to_owned(),
    }
}

fn total<'a>(outcomes: impl Iterator<Item = &'a Outcome> + Clone) -> String {
    let (ok, not_ok) = outcomes
        .clone()
        .fold((0, 0), |(ok, not_ok), outcome| (ok + outcome.ok, not_ok + outcome.not_ok));
    format!("{} pass; {ok} ok, {not_ok} not", outcomes.filter(|outcome| outcome.passed()).count())
}
