//! The command line.

use anyhow::{Context, Result, bail};
use std::path::PathBuf;

pub(crate) const HELP: &str = "\
Usage: cargo xtask bench [OPTIONS]

Options:
  --runs N          Turns, in each of which every contender runs (default 30)
  --fast-runs N     Runs in each turn of contenders that take less than 100 ms, or than a fifth of the
                    slowest one's time (default 10): their p99 is of many runs for little time
  --newest          Also the newest dockerd and runc, built from their Go modules where they are
                    not in ~/.cache/gantry-peers/bin
  --sequence N      Runs one after the other with an empty pool (default 100)
  --only SECTIONS   Of whole,runtimes,limits,limits-v2,sequence,memory, the ones to measure
  --runtimes NAMES  Of runc,crun,gantry-runtime, those that take part where runtimes alone are measured
  --config FILE     The containers' configuration; without it Debian's dockerd is asked for one, and
                    what is missing of the originals is installed
  --write           Put the results into LIMITS.md, each section in its own place
  --help            This text
";

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    /// `run --rm IMAGE true`, the whole command.
    Whole,
    /// `run` of a bundle by a runtime alone.
    Runtimes,
    /// The smallest memory limit that a container starts under.
    Limits,
    /// The same on cgroup v2, in a virtual machine.
    LimitsV2,
    /// Many runs with an empty pool, and what is torn down after them.
    Sequence,
    /// Memory with ten containers.
    Memory,
}

const SECTIONS: [(&str, Section); 6] = [
    ("whole", Section::Whole),
    ("runtimes", Section::Runtimes),
    ("limits", Section::Limits),
    ("limits-v2", Section::LimitsV2),
    ("sequence", Section::Sequence),
    ("memory", Section::Memory),
];

/// Those that are measured, but the newest ones.
const RUNTIMES: [&str; 3] = ["runc", "crun", "gantry-runtime"];

impl Section {
    /// Its name, on the command line and in LIMITS.md.
    pub(crate) fn name(self) -> &'static str {
        let found = SECTIONS.iter().find(|(_, section)| *section == self);
        found.map(|(name, _)| *name).expect("every section has a name")
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) runs: usize,
    pub(crate) fast_runs: usize,
    pub(crate) newest: bool,
    pub(crate) sequence: usize,
    pub(crate) sections: Vec<Section>,
    pub(crate) runtimes: Vec<String>,
    pub(crate) config: Option<PathBuf>,
    pub(crate) write: bool,
}

impl Options {
    /// `None` asks for the help text.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>> {
        let mut options = Self {
            runs: 30,
            fast_runs: 10,
            newest: false,
            sequence: 100,
            sections: SECTIONS.iter().map(|(_, section)| *section).collect(),
            runtimes: RUNTIMES.map(str::to_owned).to_vec(),
            config: None,
            write: false,
        };
        while let Some(argument) = arguments.next() {
            let mut value =
                || arguments.next().with_context(|| format!("{argument} wants a value"));
            match argument.as_str() {
                "--runs" => options.runs = number(&value()?)?,
                "--fast-runs" => options.fast_runs = number(&value()?)?,
                "--newest" => options.newest = true,
                "--sequence" => options.sequence = number(&value()?)?,
                "--only" => options.sections = sections(&value()?)?,
                "--runtimes" => options.runtimes = names(&value()?)?,
                "--config" => options.config = Some(value()?.into()),
                "--write" => options.write = true,
                "--help" | "-h" => return Ok(None),
                other => bail!("no option {other:?}; --help lists them"),
            }
        }
        Ok(Some(options))
    }
}

fn number(text: &str) -> Result<usize> {
    let number = text.parse().with_context(|| format!("{text:?} is no number"))?;
    if number == 0 {
        bail!("nothing can be measured in no run");
    }
    Ok(number)
}

fn names(text: &str) -> Result<Vec<String>> {
    let known = |name: &str| match RUNTIMES.contains(&name) {
        true => Ok(name.to_owned()),
        false => bail!("no runtime {name:?}"),
    };
    text.split(',').map(known).collect()
}

fn sections(text: &str) -> Result<Vec<Section>> {
    let find = |name: &str| {
        let found = SECTIONS.iter().find(|(known, _)| *known == name);
        found.map(|(_, section)| *section).with_context(|| format!("no section {name:?}"))
    };
    text.split(',').map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<Options>> {
        Options::parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn sections_can_be_chosen_and_wrong_words_are_refused() {
        let options = parse("--runs 5 --newest --only memory,whole").unwrap().unwrap();
        assert_eq!(options.sections, [Section::Memory, Section::Whole]);
        assert_eq!((options.runs, options.fast_runs, options.newest), (5, 10, true));
        assert!(parse("--help").unwrap().is_none());
        let options = parse("--runtimes crun --config /x").unwrap().unwrap();
        assert_eq!((options.runtimes, options.config), (vec!["crun".into()], Some("/x".into())));
        for wrong in ["--runs", "--runs 0", "--only speed", "--fast", "--runtimes kata"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
