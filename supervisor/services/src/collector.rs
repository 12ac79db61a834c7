//! When garbage is collected, and who deletes it.

use contracts_supervisor_api::services::images::ImageDelete;
use contracts_supervisor_api::topics;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use supervisor_events::Exchange;
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
    events: Exchange,
    sweepers: Vec<Arc<dyn Sweep>>,
    wanted: Notify,
    running: Mutex<()>,
    /// Whether the last collection left what is garbage once a container's snapshot is removed.
    awaits_snapshot: AtomicBool,
}

impl Collector {
    /// A collector whose garbage these delete, and which publishes what clients should know of
    /// it; must be called inside a runtime.
    #[must_use]
    pub fn start(store: Store, events: Exchange, sweepers: Vec<Arc<dyn Sweep>>) -> Self {
        let shared = Shared {
            store,
            events,
            sweepers,
            wanted: Notify::new(),
            running: Mutex::new(()),
            awaits_snapshot: AtomicBool::new(false),
        };
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

    /// Says that a client removed a snapshot. Looking through all records after every `run --rm`
    /// would cost more than it finds, so that is done only where an image went before its container.
    pub fn snapshot_removed(&self) {
        if self.shared.awaits_snapshot.load(Ordering::Relaxed) {
            self.schedule();
        }
    }

    /// Collects garbage now; answers when it is gone from disk.
    ///
    /// # Errors
    /// The records cannot be read or changed.
    pub async fn collect(&self) -> Result<(), Error> {
        let _alone = self.shared.running.lock().await;
        // A snapshot that is removed from here on may be one that this collection still sees.
        self.shared.awaits_snapshot.store(true, Ordering::Relaxed);
        let garbage = gc::collect(&self.shared.store).await?;
        self.shared.awaits_snapshot.store(garbage.awaits_snapshot, Ordering::Relaxed);
        if !garbage.is_empty() {
            tracing::info!(
                blobs = garbage.blobs.len(),
                snapshots = garbage.snapshots.len(),
                images = garbage.images.len(),
                "garbage collected"
            );
        }
        for (namespace, name) in &garbage.images {
            let event = ImageDelete { name: name.clone() };
            self.shared.events.publish(namespace, topics::IMAGE_DELETE, &event);
        }
        for sweeper in &self.shared.sweepers {
            sweeper.sweep(&garbage).await;
        }
        Ok(())
    }
}
