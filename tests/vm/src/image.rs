//! Kernel, initramfs and disk, made once by `guest/make-machine` and kept in the tests' cache.

use crate::Processor;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests_harness::{cache, output_of};

/// Counts up when what is in them changes, so that old ones are left alone.
const VERSION: &str = "v2";
const GUEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest");

/// The folder with `vmlinuz`, `initramfs` and `root.img`.
pub(crate) fn make(processor: Processor) -> PathBuf {
    let place = match processor {
        Processor::X86_64 => cache().join(format!("machine-{VERSION}")),
        other => cache().join(format!("machine-{}-{VERSION}", other.name())),
    };
    if place.join("root.img").exists() {
        return place;
    }
    fs::create_dir_all(cache()).expect("create the cache");
    let work =
        tempfile::Builder::new().prefix("machine-").tempdir_in(cache()).expect("temporary folder");
    let mut command = Command::new("sh");
    command.current_dir(work.path()).arg(Path::new(GUEST).join("make-machine"));
    match processor.foreign() {
        None => command.arg(GUEST).arg(release()),
        Some((architecture, elsewhere)) => {
            command.arg(GUEST).arg(elsewhere.map_or_else(release, str::to_owned)).arg(architecture)
        }
    };
    let _ = output_of(&mut command);
    if let Err(error) = fs::rename(work.path().join("kept"), &place) {
        assert!(place.join("root.img").exists(), "keep {}: {error}", place.display());
    }
    place
}

/// This machine's release of Debian, so that programs built here find their C library there.
fn release() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    match (field("ID="), field("VERSION_CODENAME=")) {
        (Some(id), Some(codename)) if id == "debian" => codename,
        _ => "bookworm".to_owned(),
    }
}
