//! When garbage is collected, and who deletes it.

use contracts_supervisor_api::services::images::ImageDelete;
use contracts_supervisor_api::topics;
use std::sync::Arc;
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
}

impl Collector {
    /// A collector whose garbage these delete, and which publishes what clients should know of
    /// it; must be called inside a runtime.
    #[must_use]
    pub fn start(store: Store, events: Exchange, sweepers: Vec<Arc<dyn Sweep>>) -> Self {
        let (wanted, running) = (Notify::new(), Mutex::new(()));
        let shared = Shared { store, events, sweepers, wanted, running };
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
