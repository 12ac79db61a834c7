//! Measures Gantry against Debian's docker.io, podman, runc and crun, against the newest dockerd and
//! runc where that is asked for, and against the floor.
//!
//! All contenders take turns, in ever new order, so that whatever else the machine does meets
//! each of them alike; there is one image for all. `cargo xtask bench --help` lists the options.

#![forbid(unsafe_code)]

mod bundle;
mod contender;
mod limits;
mod memory;
mod options;
mod peers;
mod report;
mod runtimes;
mod samples;
mod teardown;
mod whole;

use anyhow::Result;
use options::{Options, Section};
use report::Report;

fn main() -> Result<()> {
    let Some(options) = Options::parse(std::env::args().skip(1))? else {
        print!("{}", options::HELP);
        return Ok(());
    };
    if options.config.is_none() {
        peers::install()?;
    }
    for section in &options.sections {
        let mut report = Report::default();
        match section {
            Section::Whole => whole::measure(&options, &mut report)?,
            Section::Runtimes => runtimes::measure(&options, &mut report)?,
            Section::Limits => limits::measure(&options, &mut report)?,
            Section::LimitsV2 => limits::measure_on_v2(&options, &mut report)?,
            Section::Sequence => teardown::measure(&options, &mut report)?,
            Section::Memory => memory::measure(&mut report)?,
        }
        print!("{}", report.to_markdown());
        if options.write {
            report.write(section.name())?;
        }
    }
    Ok(())
}
