//! The runtime's and the shim's programs and tests for another machine, built where they can be tried in
//! an emulation of it (`tests/vm/tests/foreign.rs`).
//!
//! Compiler and library are Debian's newest: rustup has no part in it, and Debian has both for all its
//! architectures. They are unpacked below `target/`, nothing is installed.

use crate::binaries::static_flags;
use crate::workspace::{cargo, root, run};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes the compiler.
const MAKE_COMPILER: &str = "xtask/make-compiler";
/// Whose tests are run on the other machine: what is next to its kernel.
const TESTED: [&str; 11] = [
    "base-files",
    "kernel-paths",
    "kernel-sys",
    "runtime-cgroups",
    "runtime-confine",
    "runtime-container",
    "runtime-init",
    "runtime-main",
    "runtime-rootfs",
    "shim-main",
    "shim-task",
];

/// A machine's names.
struct Machine {
    /// On the command line, and of the tests.
    name: &'static str,
    /// Rust's.
    target: &'static str,
    /// Debian's.
    debian: &'static str,
    /// The linker.
    linker: &'static str,
    /// The release of Debian that has it, where this system's has not.
    release: Option<&'static str>,
}

const MACHINES: [Machine; 2] = [
    Machine {
        name: "aarch64",
        target: "aarch64-unknown-linux-gnu",
        debian: "arm64",
        linker: "aarch64-linux-gnu-gcc",
        release: None,
    },
    Machine {
        name: "riscv64",
        target: "riscv64gc-unknown-linux-gnu",
        debian: "riscv64",
        linker: "riscv64-linux-gnu-gcc",
        release: Some("trixie"),
    },
];

/// `cargo xtask vm`: all tests of the virtual machines of this machine's kind, or with `--machine NAME`
/// those of another one.
pub(crate) fn run_machines(arguments: &[String]) -> Result<()> {
    let (name, rest) = match arguments {
        [] => {
            run(cargo(&["test", "-p", "tests-vm"]))?;
            // Too long for every change.
            return run(cargo(&[
                "test",
                "-p",
                "tests-vm",
                "--test",
                "checkpoint",
                "--",
                "--ignored",
            ]));
        }
        [option, name, rest @ ..] if option == "--machine" => (name, rest),
        _ => bail!("usage: cargo xtask vm [--machine NAME [TEST]]"),
    };
    let machine = MACHINES.iter().find(|machine| machine.name == name).with_context(|| {
        format!(
            "no machine {name:?}; there are {}",
            MACHINES.map(|machine| machine.name).join(", ")
        )
    })?;
    machine.build()?;
    let selected = match rest {
        [] => format!("{name}::"),
        [test] => format!("{name}::{test}"),
        _ => bail!("one test at most"),
    };
    let test =
        ["test", "-p", "tests-vm", "--test", "foreign", "--", "--ignored", "--test-threads", "1"];
    let mut test = cargo(&test);
    test.arg(selected);
    run(test)
}

impl Machine {
    /// Leaves the programs in `target/foreign/NAME/gantry`, and in `…/tests` the tests, with a file
    /// `programs` that says where they look for which program.
    fn build(&self) -> Result<()> {
        let compiler = self.compiler()?;
        let place = target().join(self.name);
        let packages: Vec<&str> = TESTED.iter().flat_map(|package| ["-p", package]).collect();
        let mut programs = self.cargo(&compiler, &["build", "--profile", "small"]);
        programs.args(["-p", "shim-main", "-p", "runtime-main", "-p", "runtime-init"]);
        programs.env("RUSTFLAGS", static_flags(self.target)?);
        run(programs)?;
        let mut tests = self.cargo(&compiler, &["test", "--no-run", "--message-format=json"]);
        tests.args(packages).env("RUSTFLAGS", "-Ctarget-feature=+crt-static");
        let output = tests.stderr(std::process::Stdio::inherit()).output()?;
        if !output.status.success() {
            bail!("{tests:?}: {}", output.status);
        }

        let built = place.join(self.target).join("small");
        fill(&place.join("gantry"), |folder| {
            for program in ["containerd-shim-gantry-v2", "gantry-runtime", "gantry-init"] {
                fs::hard_link(built.join(program), folder.join(program))?;
            }
            Ok(())
        })?;
        fill(&place.join("tests"), |folder| keep_tests(&String::from_utf8(output.stdout)?, folder))
    }

    fn cargo(&self, compiler: &Path, arguments: &[&str]) -> Command {
        let mut command = cargo(arguments);
        let linker = self.target.to_uppercase().replace('-', "_");
        command
            .args(["--locked", "--target", self.target, "--target-dir"])
            .arg(target().join(self.name))
            .env(format!("CARGO_TARGET_{linker}_LINKER"), self.linker)
            .env("RUSTC", compiler.join("bin/rustc"))
            .env("LD_LIBRARY_PATH", compiler.join("lib/x86_64-linux-gnu"));
        command
    }

    /// The folder of the compiler that has this machine's library.
    fn compiler(&self) -> Result<PathBuf> {
        let place = target().join(format!("compiler-{}", self.name));
        if !place.exists() {
            let folder = target().join(format!("compiler-{}.new", self.name));
            fill(&folder, |folder| {
                let mut make = Command::new("sh");
                make.current_dir(folder).arg(root().join(MAKE_COMPILER)).arg(root());
                make.args([self.debian, self.target]).args(self.release);
                run(make)
            })?;
            fs::rename(folder.join("kept"), &place).context("keep the compiler")?;
            fs::remove_dir_all(&folder).context("remove what is left of making the compiler")?;
        }
        Ok(place.join("usr"))
    }
}

/// Where everything of other machines is.
fn target() -> PathBuf {
    root().join("target/foreign")
}

/// Makes a folder anew.
fn fill(folder: &Path, how: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("empty {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    how(folder).with_context(|| format!("fill {}", folder.display()))
}

/// From cargo's messages: the tests as `PACKAGE-TARGET`, and what they call the programs.
fn keep_tests(messages: &str, folder: &Path) -> Result<()> {
    let mut programs = String::new();
    for message in messages.lines() {
        let message: serde_json::Value = serde_json::from_str(message)?;
        let Some(path) = message["executable"].as_str() else { continue };
        let target = message["target"]["name"].as_str().context("a target has a name")?;
        if message["profile"]["test"] == true {
            let manifest = Path::new(message["manifest_path"].as_str().context("a manifest")?);
            let package = manifest.strip_prefix(root())?.parent().context("a package's folder")?;
            let package = package.display().to_string().replace('/', "-");
            fs::hard_link(path, folder.join(format!("{package}-{target}")))?;
        } else {
            programs.push_str(&format!("{path} {target}\n"));
        }
    }
    fs::write(folder.join("programs"), programs).context("write what the tests call the programs")
}
