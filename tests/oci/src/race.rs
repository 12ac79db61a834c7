//! A second container that shares a folder and works against the first one's start.

use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Exchanges two names in one step, again and again, while `work` runs; afterwards each is what it
/// was.
///
/// # Panics
/// The names cannot be exchanged.
pub fn exchanging<T>(first: &Path, second: &Path, work: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    let exchange = || {
        renameat_with(CWD, first, CWD, second, RenameFlags::EXCHANGE).expect("exchange names");
    };
    std::thread::scope(|scope| {
        let exchanger = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                exchange();
                exchange();
            }
        });
        // Also when `work` panics: the scope waits for the exchanger.
        let stopping = Stopping(&stop);
        let result = work();
        drop(stopping);
        exchanger.join().expect("the exchanger does not fail");
        result
    })
}

/// Sets its flag when it goes.
struct Stopping<'a>(&'a AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
