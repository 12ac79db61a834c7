//! One action on several things: each is tried, its name is printed when it worked, and what did
//! not work is told at the end.

use crate::failure::{Failure, told};
use crate::output;
use client_http::Error;

/// Acts on one after the other.
///
/// # Errors
///
/// When any did not work, with all their words.
pub(crate) fn each(
    names: &[String],
    mut act: impl FnMut(&str) -> Result<(), Error>,
) -> Result<(), Failure> {
    let mut failures = Vec::new();
    for name in names {
        match act(name) {
            Ok(()) => output::line(name)?,
            Err(error) => failures.push(error),
        }
    }
    outcome(failures)
}

/// Acts on all at once: for what takes long. Names are printed in the order given.
///
/// # Errors
///
/// As [`each`].
pub(crate) fn all_at_once(
    names: &[String],
    act: impl Fn(&str) -> Result<(), Error> + Sync,
) -> Result<(), Failure> {
    all_at_once_but(names, |name| act(name).map(|()| true))
}

/// As [`all_at_once`]; the action says whether the name is to be printed.
///
/// # Errors
///
/// As [`each`].
pub(crate) fn all_at_once_but(
    names: &[String],
    act: impl Fn(&str) -> Result<bool, Error> + Sync,
) -> Result<(), Failure> {
    /// Docker's own bound.
    const AT_ONCE: usize = 50;
    let mut failures = Vec::new();
    let mut told = |name: &str, outcome: Result<bool, Error>| match outcome {
        Ok(true) => output::line(name),
        Ok(false) => Ok(()),
        Err(error) => {
            failures.push(error);
            Ok(())
        }
    };
    for names in names.chunks(AT_ONCE) {
        if let [name] = names {
            told(name, act(name))?;
            continue;
        }
        std::thread::scope(|scope| {
            let act = &act;
            let running: Vec<_> =
                names.iter().map(|name| (name, scope.spawn(move || act(name)))).collect();
            for (name, thread) in running {
                told(name, thread.join().expect("actions do not panic"))?;
            }
            Ok::<(), Failure>(())
        })?;
    }
    outcome(failures)
}

fn outcome(mut failures: Vec<Error>) -> Result<(), Failure> {
    match failures.len() {
        0 => Ok(()),
        1 => Err(failures.remove(0).into()),
        _ => Err(Failure::text(failures.iter().map(told).collect::<Vec<_>>().join("\n"))),
    }
}
