//! Locks by name: two pulls that need the same blob or layer do its work once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// How many names are remembered before unused ones are looked for.
const SWEEP: usize = 256;

/// Locks that exist while somebody holds or wants them.
#[derive(Default)]
pub(crate) struct Locks {
    held: Mutex<HashMap<String, Weak<AsyncMutex<()>>>>,
}

impl Locks {
    /// Waits for the lock of this name.
    pub(crate) async fn lock(&self, name: String) -> OwnedMutexGuard<()> {
        let lock = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            if held.len() >= SWEEP {
                held.retain(|_, lock| lock.strong_count() > 0);
            }
            match held.get(&name).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    let lock = Arc::new(AsyncMutex::new(()));
                    held.insert(name, Arc::downgrade(&lock));
                    lock
                }
            }
        };
        lock.lock_owned().await
    }
}
