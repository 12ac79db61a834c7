//! Keeps what a transfer has stored from collection until an image refers to it.

use crate::image_store::ImageStore;
use contracts_supervisor_api::Timestamp;
use contracts_supervisor_api::services::leases::Lease;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use supervisor_metadata::gc::EXPIRE;
use supervisor_metadata::{LeaseResource, Record, Store};

/// Seconds after which a lease that a crash left no longer counts.
const LIFETIME: i64 = 24 * 3600;

/// Seconds for which the next try finds what one that failed had stored.
const LEFTOVERS: i64 = 3600;

/// A lease that ends with its transfer, or an hour after one that broke off.
pub(crate) struct TransferLease {
    records: Store,
    namespace: String,
    id: String,
    ended: Arc<dyn Fn() + Send + Sync>,
    released: AtomicBool,
}

impl TransferLease {
    pub(crate) async fn begin(
        store: &ImageStore,
        namespace: &str,
    ) -> Result<Self, supervisor_metadata::Error> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let now = supervisor_metadata::now();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = format!("transfer-{}-{}-{number}", now.seconds, now.nanos);
        let lease = Lease {
            id: id.clone(),
            created_at: Some(now),
            labels: [(EXPIRE.to_owned(), expiry(LIFETIME))].into(),
        };
        store.records.update(|records| records.insert(namespace, &lease)).await?;
        let (records, ended) = (store.records.clone(), Arc::clone(&store.ended));
        let released = AtomicBool::new(false);
        Ok(Self { records, namespace: namespace.to_owned(), id, ended, released })
    }

    /// Has nothing kept beyond the transfer.
    pub(crate) fn release(&self) {
        self.released.store(true, Ordering::Relaxed);
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

/// The time that is so many seconds from now.
fn expiry(seconds: i64) -> String {
    Timestamp { seconds: supervisor_metadata::now().seconds + seconds, nanos: 0 }.to_string()
}

impl Drop for TransferLease {
    fn drop(&mut self) {
        let (records, namespace) = (self.records.clone(), std::mem::take(&mut self.namespace));
        let (id, ended) = (std::mem::take(&mut self.id), Arc::clone(&self.ended));
        // The removal waits for no disk, but blocks on the store's lock.
        let released = *self.released.get_mut();
        let end = move || {
            let removed = records.update_blocking(|records| {
                if !released {
                    let mut lease = records.get::<Lease>(&namespace, &id)?;
                    lease.labels.insert(EXPIRE.to_owned(), expiry(LEFTOVERS));
                    return records.put(&namespace, &lease);
                }
                let prefix = LeaseResource::prefix(&id);
                for resource in records.list_below::<LeaseResource>(&namespace, &prefix)? {
                    records.remove::<LeaseResource>(&namespace, &resource.key())?;
                }
                records.remove::<Lease>(&namespace, &id).map(drop)
            });
            match removed {
                Ok(()) => ended(),
                Err(error) => {
                    let error = base_errors::Chain(&error);
                    tracing::warn!(%error, "a transfer's lease stays until it expires");
                }
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(end)),
            Err(_) => end(),
        }
    }
}
