//! When garbage is collected, and who deletes it.

use std::sync::Arc;
use std::time::Duration;
use supervisor_metadata::gc::{self, Sweep};
use supervisor_metadata::{Error, Store};
use tokio::sync::{Mutex, Notify};

/// How long deletions gather before they are followed up.
const DEBOUNCE: Duration = Duration::from_secs(1);

/// Collects garbage, one collection at a time. Cheap to clone.
#[derive(Clone)]
pub struct Collector {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    sweepers: Vec<Arc<dyn Sweep>>,
    wanted: Notify,
    running: Mutex<()>,
}

impl Collector {
    /// A collector whose garbage these delete; must be called inside a runtime.
    #[must_use]
    pub fn start(store: Store, sweepers: Vec<Arc<dyn Sweep>>) -> Self {
        let shared = Shared { store, sweepers, wanted: Notify::new(), running: Mutex::new(()) };
        let collector = Self { shared: Arc::new(shared) };
        tokio::spawn({
            let collector = collector.clone();
            async move {
                loop {
                    collector.shared.wanted.notified().await;
                    tokio::time::sleep(DEBOUNCE).await;
                    if let Err(error) = collector.collect().await {
                        let error = base_errors::Chain(&error);
                        tracing::error!(%error, "garbage not collected");
                    }
                }
            }
        });
        collector
    }

    /// Has garbage collected soon.
    pub fn schedule(&self) {
        self.shared.wanted.notify_one();
    }

    /// Collects garbage now; answers when it is gone from disk.
    ///
    /// # Errors
    /// The records cannot be read or changed.
    pub async fn collect(&self) -> Result<(), Error> {
        let _alone = self.shared.running.lock().await;
        let garbage = gc::collect(&self.shared.store).await?;
        if garbage.blobs.is_empty() && garbage.snapshots.is_empty() {
            return Ok(());
        }
        tracing::info!(
            blobs = garbage.blobs.len(),
            snapshots = garbage.snapshots.len(),
            "garbage collected"
        );
        for sweeper in &self.shared.sweepers {
            sweeper.sweep(&garbage).await;
        }
        Ok(())
    }
}
