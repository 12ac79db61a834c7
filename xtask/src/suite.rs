//! Tests as CI runs them: what fails is run once more, and named whatever comes of it.
//!
//! A test with five programs, a kernel and other people's clients in it can fail once in a thousand
//! runs. One such failure should not hold up everybody's work, and must not be lost either: it is a
//! defect of the product or of the test. So a few failures are tried again, each alone, and those
//! that pass then are listed at the end of the run as unstable.

use crate::workspace::cargo;
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

/// More failures than this are no accident: nothing is tried again.
const MOST_TRIED_AGAIN: usize = 3;

/// What a run of `cargo test` said of its tests.
#[derive(Debug, Default, PartialEq, Eq)]
struct Verdict {
    /// What selects each failed program: `-p tests-engine --test terminal`.
    targets: Vec<String>,
    /// The failed tests' names.
    failed: Vec<String>,
    passed: usize,
}

/// Runs `cargo test` with these arguments and `words` for the test programs; returns the tests that
/// passed only when they were run again.
pub(crate) fn run(arguments: &[&str], words: &[&str]) -> Result<Vec<String>> {
    let (succeeded, verdict) = watch(arguments, words)?;
    if succeeded {
        return Ok(Vec::new());
    }
    let failed = &verdict.failed;
    if failed.is_empty() {
        bail!("cargo test: no test failed, but something did not compile, or ended early");
    }
    if failed.len() > MOST_TRIED_AGAIN {
        bail!("cargo test: {} tests failed", failed.len());
    }
    println!("=== once more: {}", failed.join(", "));
    let names: Vec<&str> = failed.iter().map(String::as_str).collect();
    let mut passed = 0;
    for target in &verdict.targets {
        // The package stays one of many: alone it might have other features, and be compiled anew.
        let kind = target.split(' ').skip_while(|word| !word.starts_with("--"));
        let again: Vec<&str> = arguments.iter().copied().chain(kind).collect();
        let words = [words, &["--exact"], &names].concat();
        let (succeeded, verdict) = watch(&again, &words)?;
        // A program that ran none of them did not fail by one of them.
        if !succeeded || verdict.passed == 0 {
            bail!("cargo test {target}: failed again");
        }
        passed += verdict.passed;
    }
    if passed < names.len() {
        bail!("cargo test: {} of {} failed tests were found again", passed, names.len());
    }
    Ok(verdict.failed)
}

/// Runs `cargo test`, shows what it prints, and reads it.
fn watch(arguments: &[&str], words: &[&str]) -> Result<(bool, Verdict)> {
    let mut command = cargo(arguments);
    command.arg("--").args(words).env("CARGO_TERM_COLOR", "never");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("start {command:?}"))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (said, complained) = std::thread::scope(|scope| {
        let complained = scope.spawn(|| pass_on(stderr, std::io::stderr()));
        let said = pass_on(stdout, std::io::stdout());
        (said, complained.join().expect("a copy does not panic"))
    });
    let succeeded = child.wait()?.success();
    Ok((succeeded, verdict(&said?, &complained?)))
}

/// Copies what comes to `to`, a line at a time, and keeps it.
fn pass_on(from: Option<impl Read>, mut to: impl Write) -> Result<String> {
    let mut from = BufReader::new(from.context("the stream is a pipe")?);
    let mut all = String::new();
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        to.flush()?;
        all.push_str(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok(all)
}

/// Reads the output of libtest and the messages of cargo.
fn verdict(stdout: &str, stderr: &str) -> Verdict {
    let mut verdict = Verdict::default();
    for line in stderr.lines() {
        let target = line.strip_prefix("error: test failed, to rerun pass `");
        verdict.targets.extend(target.and_then(|rest| rest.strip_suffix('`')).map(str::to_owned));
    }
    let mut listed = false;
    for line in stdout.lines() {
        if let Some(name) = line.strip_prefix("    ").filter(|_| listed) {
            verdict.failed.push(name.to_owned());
        } else if let Some(result) = line.strip_prefix("test result: ") {
            let count = result.split(". ").nth(1).and_then(|counts| counts.split(' ').next());
            verdict.passed += count.and_then(|count| count.parse().ok()).unwrap_or(0);
        }
        // libtest says `failures:` before their output, too: an empty line follows there.
        listed = line == "failures:" || (listed && line.starts_with("    "));
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_read_from_what_cargo_prints() {
        let stdout = "\nrunning 3 tests\ntest a ... FAILED\ntest b ... ok\ntest m::c ... FAILED\n\n\
            failures:\n\n---- a stdout ----\n    not a name\n\nfailures:\n    a\n    m::c\n\n\
            test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s\n\n\
            running 2 tests\n..\ntest result: ok. 2 passed; 0 failed; 0 ignored\n";
        let stderr = "     Running unittests src/lib.rs (target/debug/deps/ft-af41)\n\
            error: test failed, to rerun pass `-p x --lib`\n   Doc-tests ft\nerror: 1 target failed:\n    `-p x --lib`\n";
        let expected = Verdict {
            targets: vec!["-p x --lib".to_owned()],
            failed: vec!["a".to_owned(), "m::c".to_owned()],
            passed: 3,
        };
        assert_eq!(verdict(stdout, stderr), expected);
    }
}
