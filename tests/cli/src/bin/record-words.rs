//! Records what Docker's client says: `cargo run -p tests-cli --bin record-words`.

#![forbid(unsafe_code)]

use std::path::Path;
use tests_cli::{call, docker, words};

fn main() -> std::io::Result<()> {
    let docker = docker();
    let mut out = String::new();
    for line in words::CALLS.lines() {
        let outcome = call(&docker, words::NOWHERE, &words::split(line));
        out.push_str(&words::render(line, &words::without_help(&outcome)));
        out.push('\n');
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("recorded/words.txt");
    std::fs::write(&path, out)?;
    println!("{} recorded from {}", path.display(), docker.display());
    Ok(())
}
