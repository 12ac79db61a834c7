//! Waiting for a condition instead of sleeping.

use std::time::{Duration, Instant};

/// Tries `condition` until it gives a value.
///
/// # Panics
/// After `limit`, with what was waited for and the last status line.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Result<T, String>,
) -> T {
    let start = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        match condition() {
            Ok(value) => return value,
            Err(status) if start.elapsed() > limit => {
                panic!("waited {limit:?} for {what}; last status: {status}")
            }
            Err(_) => std::thread::sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}
