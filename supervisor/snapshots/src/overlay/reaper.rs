//! Deletes the directories of removed snapshots, one after the other, off everybody's path.

use crate::extract::remove_all;
use rustix::fs::{CWD, Mode, OFlags};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

const REMOVED: &str = "removed-";

/// The thread that deletes.
pub(super) struct Reaper {
    root: OwnedFd,
    /// As long as there are removed snapshots on disk, at most: who removes one does not wait.
    orders: Mutex<Option<Sender<Order>>>,
    thread: Option<JoinHandle<()>>,
}

enum Order {
    Delete(u64),
    /// Tells when everything ordered before is done, and the last failure since the last asking.
    Tell(Sender<io::Result<()>>),
}

impl Reaper {
    pub(super) fn start(root: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, root, flags, Mode::empty())?;
        let (orders, receiver) = channel();
        let thread_root = root.try_clone()?;
        let thread = std::thread::Builder::new()
            .name("snapshot-reaper".to_owned())
            .spawn(move || run(&thread_root, &receiver))?;
        Ok(Self { root, orders: Mutex::new(Some(orders)), thread: Some(thread) })
    }

    /// Takes a snapshot's directory away at once, and deletes it later.
    pub(super) fn remove(&self, number: u64) {
        let (from, to) = (number.to_string(), format!("{REMOVED}{number}"));
        // Fails where it was taken away before; the deletion is repeated then.
        let _ = rustix::fs::renameat(&self.root, &from, &self.root, &to);
        self.send(Order::Delete(number));
    }

    /// Waits for all deletions ordered so far.
    pub(super) fn wait(&self) -> io::Result<()> {
        let (sender, receiver) = channel();
        self.send(Order::Tell(sender));
        receiver.recv().unwrap_or(Ok(()))
    }

    fn send(&self, order: Order) {
        if let Some(orders) = &*self.orders.lock().unwrap_or_else(PoisonError::into_inner) {
            // The thread ends only after this sender.
            let _ = orders.send(order);
        }
    }
}

impl Drop for Reaper {
    /// Finishes what was ordered.
    fn drop(&mut self) {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(root: &OwnedFd, orders: &Receiver<Order>) {
    let mut failure = Ok(());
    for order in orders {
        match order {
            Order::Delete(number) => {
                let name = format!("{REMOVED}{number}");
                if let Err(error) = remove_all(root, name.as_bytes()) {
                    tracing::warn!(number, %error, "a removed snapshot's files stay for now");
                    failure = Err(error.into());
                }
            }
            Order::Tell(sender) => {
                let _ = sender.send(std::mem::replace(&mut failure, Ok(())));
            }
        }
    }
}

/// The snapshot's number, if this is the name of one that was taken away.
pub(super) fn removed_number(name: &str) -> Option<u64> {
    name.strip_prefix(REMOVED)?.parse().ok()
}
