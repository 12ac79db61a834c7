//! Finding programs of ours.

use std::path::{Path, PathBuf};

/// A program by its path, or by its name: beside this one, then in `PATH`.
pub(crate) fn find(name: &Path) -> Option<PathBuf> {
    if name.is_absolute() {
        return Some(name.to_owned());
    }
    let own = std::env::current_exe().ok()?;
    // A program that was replaced while it runs is shown with this suffix by the kernel.
    let own = own.to_string_lossy().trim_end_matches(" (deleted)").to_owned();
    let beside = Path::new(&own).with_file_name(name);
    if beside.is_file() {
        return Some(beside);
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}
