//! Tells a client how far a transfer has come, at a bearable pace.
//!
//! Events are `resolving`, and for each layer `waiting`, `downloading`, `downloaded`,
//! `extracting`, `complete`, or `exists`. Every change of event is told; of the byte counts
//! between them only the newest, ten times a second.

use crate::streams::Stream;
use base_oci::image::Descriptor;
use contracts_supervisor_api::any::pack;
use contracts_supervisor_api::types;
use contracts_supervisor_api::types::transfer::Progress as Message;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// The time between two messages about the same thing.
const PACE: Duration = Duration::from_millis(100);

/// Tells one client.
#[derive(Clone)]
pub(crate) struct Progress {
    shared: Option<Arc<Shared>>,
}

struct Shared {
    pending: Mutex<Vec<Message>>,
    wake: mpsc::Sender<oneshot::Sender<()>>,
}

impl Progress {
    /// Tells nobody.
    pub(crate) fn silent() -> Self {
        Self { shared: None }
    }

    /// Tells the client at the other end of `stream`.
    pub(crate) fn on(stream: Stream) -> Self {
        let (wake, orders) = mpsc::channel(1);
        let shared = Arc::new(Shared { pending: Mutex::default(), wake });
        tokio::spawn(run(Arc::downgrade(&shared), stream, orders));
        Self { shared: Some(shared) }
    }

    /// Something has come to another event.
    pub(crate) fn event(&self, event: &str, name: &str) {
        self.push(Message { event: event.to_owned(), name: name.to_owned(), ..Message::default() });
    }

    /// A layer has come to another event, or further in the same.
    pub(crate) fn layer(&self, event: &str, layer: &Descriptor, done: u64) {
        self.push(Message {
            event: event.to_owned(),
            name: layer.digest.clone(),
            parents: Vec::new(),
            progress: done.cast_signed(),
            total: layer.size,
            desc: Some(types::Descriptor {
                media_type: layer.media_type.clone(),
                digest: layer.digest.clone(),
                size: layer.size,
                ..types::Descriptor::default()
            }),
        });
    }

    fn push(&self, message: Message) {
        let Some(shared) = &self.shared else { return };
        let mut pending = shared.pending();
        let newer = |old: &&mut Message| old.name == message.name;
        match pending.iter_mut().rev().find(newer) {
            Some(old) if old.event == message.event => *old = message,
            _ => pending.push(message),
        }
    }

    /// Sends what has not been sent yet.
    pub(crate) async fn flush(&self) {
        let Some(shared) = &self.shared else { return };
        let (done, is_done) = oneshot::channel();
        if shared.wake.send(done).await.is_ok() {
            let _ = is_done.await;
        }
    }
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, Vec<Message>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends at each tick and at each order, until nobody is left to tell or to be told.
async fn run(
    shared: std::sync::Weak<Shared>,
    stream: Stream,
    mut orders: mpsc::Receiver<oneshot::Sender<()>>,
) {
    let mut ticks = tokio::time::interval(PACE);
    loop {
        let done = tokio::select! {
            // Both are cancel-safe: an order not taken stays in the channel.
            _ = ticks.tick() => None,
            order = orders.recv() => match order {
                Some(done) => Some(done),
                None => return,
            },
        };
        let messages = match shared.upgrade() {
            Some(shared) => std::mem::take(&mut *shared.pending()),
            None => return,
        };
        for message in &messages {
            if !stream.send(pack(message)).await {
                return;
            }
        }
        if let Some(done) = done {
            let _ = done.send(());
        }
    }
}
