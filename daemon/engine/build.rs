//! Compiles the program of the built-in `hello-world` image, for this machine.

use std::error::Error;
use std::path::Path;
use std::process::Command;

const SOURCE: &str = "hello/hello.rs";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={SOURCE}");
    let program = Path::new(&std::env::var("OUT_DIR")?).join("hello");
    let status = Command::new(std::env::var("RUSTC")?)
        .args(["--crate-name", "hello", "--crate-type", "bin", "--edition", "2024"])
        .args(["-C", "opt-level=s", "-C", "panic=abort", "-C", "strip=symbols"])
        .args(["-C", "relocation-model=static"])
        .args(["-C", "link-arg=-nostartfiles", "-C", "link-arg=-nostdlib"])
        .args(["-C", "link-arg=-static", "-C", "link-arg=-no-pie"])
        .args(["-C", "link-arg=-Wl,--build-id=none,-z,noseparate-code"])
        .args(["--target", &std::env::var("TARGET")?])
        .arg("-o")
        .arg(&program)
        .arg(SOURCE)
        .status()?;
    if !status.success() {
        return Err(format!("{SOURCE} does not compile: {status}").into());
    }
    println!("cargo::rustc-env=GANTRY_HELLO={}", program.display());
    Ok(())
}
