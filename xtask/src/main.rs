//! Everything a developer repeats: `cargo xtask COMMAND`.

#![forbid(unsafe_code)]

mod bench;
mod binaries;
mod ci;
mod foreign;
mod layers;
mod suite;
mod syscalls;
mod tidy;
mod workspace;

use anyhow::{Result, bail};
use std::process::ExitCode;

const HELP: &str = "\
Usage: cargo xtask COMMAND

Commands:
  build       Build the five programs into target/gantry/ (runtime and shim static)
  ci          All checks and tests, as CI runs them
  layers      Check who may depend on whom, and the dependency bans of deny.toml
  syscalls    Make the seccomp compiler's table from the kernel's headers; --check compares
  tidy        Check the house rules that no compiler knows
  leakcheck   Look for what a daemon left behind: cargo xtask leakcheck [--data-root DIR] [--exec-root DIR]
  record      Record the reference daemons' answers for tests/api: cargo xtask record --help
  vm          Run the tests of the virtual machines (cgroup v2, systemd, AppArmor, SELinux); --machine aarch64 or
              riscv64: those of runtime and shim on that machine's kernel
  validate    Run OCI's validation programs on runc, crun and our runtime (builds them from their Go module)
  newest      Try the newest dockerd and containerd on our shim and runtime (builds them from their Go modules)
  bench       Measure against docker.io, podman, runc and crun: cargo xtask bench --help
";

fn main() -> ExitCode {
    match dispatch() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!(
                "xtask: {}",
                error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")
            );
            ExitCode::FAILURE
        }
    }
}

fn dispatch() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    match command.as_str() {
        "build" => binaries::build(),
        "ci" => ci::check_everything(),
        "layers" => layers::check(),
        "syscalls" => syscalls::run(&rest),
        "tidy" => tidy::check(),
        "leakcheck" => workspace::run_program("tests-harness", "leakcheck", &rest),
        "record" => workspace::run_program("tests-api", "record", &rest),
        "vm" => foreign::run_machines(&rest),
        "validate" => workspace::run_program("tests-oci", "validate", &rest),
        "newest" => workspace::run_program("tests-oci", "newest", &rest),
        "bench" => bench::measure(&rest),
        "" | "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        other => bail!("no command {other:?}; `cargo xtask help` lists them"),
    }
}
