//! `cargo xtask leakcheck`: what a daemon without containers has left behind.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use tests_harness::leaks::{Census, Scope};

fn main() -> ExitCode {
    let mut scope = Scope {
        data_root: PathBuf::from("/var/lib/gantry"),
        exec_root: PathBuf::from("/run/gantry"),
        programs: Vec::new(),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), arguments.next()) {
            ("--data-root", Some(path)) => scope.data_root = path.into(),
            ("--exec-root", Some(path)) => scope.exec_root = path.into(),
            _ => {
                eprintln!("Usage: leakcheck [--data-root DIR] [--exec-root DIR]");
                return ExitCode::from(2);
            }
        }
    }
    let lines = Census::take(&scope).lines();
    // What belongs to a container, whichever; without containers there is none of it.
    let leftovers: Vec<&String> = lines
        .iter()
        .filter(|line| {
            line.starts_with("cgroup:")
                || line.starts_with("process: containerd-shim")
                || line.starts_with("process: zombie")
                || line.starts_with("nft element:")
                || line.contains("supervisor/tasks/")
                || line.contains("sandboxes/ID")
                || line.contains("containers/ID")
        })
        .collect();
    for line in &leftovers {
        println!("{line}");
    }
    println!("leakcheck: {} left over, {} things seen", leftovers.len(), lines.len());
    if leftovers.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
