//! Asking before something is removed.

use crate::failure::Failure;
use crate::output;
use std::io::{BufRead, Read};

/// Asks on standard output; only `y` and `yes` are yes.
///
/// # Errors
///
/// When the question cannot be asked or the answer not be read.
pub(crate) fn ask(warning: &str) -> Result<bool, Failure> {
    /// Longer answers are not answers.
    const MAX: u64 = 1024;
    output::print(&format!("{warning}\nAre you sure you want to continue? [y/N] "))?;
    let mut answer = String::new();
    std::io::stdin().lock().take(MAX).read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
