//! Waiting for a condition instead of sleeping.

use std::time::{Duration, Instant};

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// Nothing is given up before it was tried as often: a machine that stood still has not tried.
const FEWEST_TRIES: u32 = 10;

/// Tries `condition` until it holds. Whether it did within `limit`.
pub fn whether(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    tries(limit, || if condition() { Ok(()) } else { Err(()) }).is_ok()
}

/// Tries `condition` until it gives a value.
///
/// # Panics
/// After `limit`, with what was waited for and the last status line.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Result<T, String>,
) -> T {
    tries(limit, &mut condition)
        .unwrap_or_else(|status| panic!("waited {limit:?} for {what}; last status: {status}"))
}

fn tries<T, E>(limit: Duration, mut condition: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(2);
    let mut count = 0;
    loop {
        let is_late = start.elapsed() > limit;
        count += 1;
        match condition() {
            Err(status) if is_late && count >= FEWEST_TRIES => return Err(status),
            Err(_) => std::thread::sleep(pause),
            done => return done,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
