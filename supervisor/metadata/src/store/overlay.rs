//! Changes that lie above the index: for good (ephemeral), until the next commit (lazy), or while
//! that commit is under way (durable).
//!
//! The index remembers below which number the journal's lazy entries are settled, in the same
//! commit that settles them. So a kill between a commit and the removal of those entries, or a
//! removal that fails, never brings an older record back.

use super::Error;
use crate::index::{Change, Index};
use crate::journal::{Entry, Journal};
use crate::record::Class;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::oneshot;

/// A staged change: key, new value or removal, class.
pub(super) type Staged = BTreeMap<Vec<u8>, (Option<Vec<u8>>, Class)>;

/// Where the index keeps the number below which lazy journal entries are settled. No table has
/// this first byte.
const SETTLED: &[u8] = b"\0journal";

/// One key's change.
struct Held {
    value: Option<Arc<[u8]>>,
    class: Class,
    /// The journal's entry of it; durable changes have none.
    entry: Option<u64>,
    /// Grows with every change, so that a commit knows whether it wrote the newest.
    generation: u64,
    /// What comes back if the commit of this durable change fails.
    covered: Option<Box<Covered>>,
}

/// An acknowledged change under a durable one that is not acknowledged yet.
struct Covered {
    held: Held,
    /// The generation of the first durable change above it.
    since: u64,
}

/// All changes above the index, and who waits for their commit.
pub(super) struct Overlay {
    held: BTreeMap<Vec<u8>, Held>,
    journal: Journal,
    generation: u64,
    lazy: usize,
    waiting: Vec<oneshot::Sender<Result<(), Error>>>,
    pub(super) closing: bool,
}

/// What one commit writes, and whom it answers.
pub(super) struct Commit {
    pub(super) changes: Vec<Change>,
    pub(super) generation: u64,
    pub(super) waiting: Vec<oneshot::Sender<Result<(), Error>>>,
}

impl Overlay {
    /// An overlay that holds what a killed supervisor left in the journal in `state`.
    pub(super) fn open(index: &dyn Index, state: &Path) -> Result<Self, Error> {
        let settled = index.get(SETTLED)?.and_then(|bytes| bytes.try_into().ok());
        let settled = settled.map_or(0, u64::from_le_bytes);
        let (journal, entries) = Journal::open(state, settled)
            .map_err(|source| Error::Journal { path: state.to_owned(), source })?;
        let mut overlay = Self {
            held: BTreeMap::new(),
            journal,
            generation: 0,
            lazy: 0,
            waiting: Vec::new(),
            closing: false,
        };
        for Entry { number, class, key, value } in entries {
            let entry = Some(number);
            let value = value.map(Into::into);
            let held = Held { value, class, entry, generation: 0, covered: None };
            if let Some(older) = overlay.held.insert(key, held) {
                older.forget(&overlay.journal);
            }
        }
        let mut stale = Vec::new();
        for (key, held) in &overlay.held {
            let is_stale = match held.class {
                Class::Lazy | Class::Durable => held.entry.is_some_and(|number| number < settled),
                // What is ephemeral is not in the index: a durable change has replaced it.
                Class::Ephemeral => index.get(key)?.is_some(),
            };
            if is_stale {
                stale.push(key.clone());
            }
        }
        for key in stale {
            if let Some(held) = overlay.held.remove(&key) {
                held.forget(&overlay.journal);
            }
        }
        overlay.lazy = overlay.held.values().filter(|held| held.class == Class::Lazy).count();
        Ok(overlay)
    }

    /// The change of this key: `None` where there is none, `Some(None)` where it is removed.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        self.held.get(key).map(|held| held.value.as_deref())
    }

    /// Whether this key exists here as ephemeral.
    pub(super) fn is_ephemeral(&self, key: &[u8]) -> bool {
        self.held.get(key).is_some_and(|held| held.class == Class::Ephemeral)
    }

    /// All changes of keys that start with `prefix`.
    pub(super) fn below(&self, prefix: &[u8]) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let range = self.held.range(prefix.to_vec()..);
        range
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, held)| (key.clone(), held.value.as_ref().map(|value| value.to_vec())))
            .collect()
    }

    /// Whether a commit is due at once, and whether one is due within the second.
    pub(super) fn due(&self) -> (bool, bool) {
        (!self.waiting.is_empty() || (self.closing && self.lazy > 0), self.lazy > 0)
    }

    /// Takes over a transaction's changes, all or none. The receiver is there when one of them is
    /// durable; the lazy ones then wait for the same commit, so that a crash separates none.
    pub(super) fn stage(
        &mut self,
        mut staged: Staged,
    ) -> io::Result<Option<oneshot::Receiver<Result<(), Error>>>> {
        let durable = staged.values().any(|(_, class)| *class == Class::Durable);
        if durable {
            for (_, class) in staged.values_mut().filter(|(_, class)| *class == Class::Lazy) {
                *class = Class::Durable;
            }
        }
        let entries = self.journal(&staged)?;
        for ((key, (value, class)), entry) in staged.into_iter().zip(entries) {
            self.hold(key, value, class, entry);
        }
        Ok(durable.then(|| self.wait_for_commit()))
    }

    /// Asks for a commit of everything that is not ephemeral.
    pub(super) fn wait_for_commit(&mut self) -> oneshot::Receiver<Result<(), Error>> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.push(sender);
        receiver
    }

    /// Writes the entries of a transaction, each change's or none, or fails without a trace.
    fn journal(&mut self, staged: &Staged) -> io::Result<Vec<Option<u64>>> {
        let mut entries = Vec::with_capacity(staged.len());
        for (key, (value, class)) in staged {
            // The index never had what is ephemeral: its entry only has to go.
            let is_removal = *class == Class::Ephemeral && value.is_none();
            if *class == Class::Durable || is_removal {
                entries.push(None);
                continue;
            }
            match self.journal.write(*class, key, value.as_deref()) {
                Ok(number) => entries.push(Some(number)),
                Err(error) => {
                    entries.into_iter().flatten().for_each(|number| self.journal.remove(number));
                    return Err(error);
                }
            }
        }
        Ok(entries)
    }

    fn hold(&mut self, key: Vec<u8>, value: Option<Vec<u8>>, class: Class, entry: Option<u64>) {
        self.generation += 1;
        let generation = self.generation;
        let before = self.held.remove(&key);
        self.lazy -= usize::from(before.as_ref().is_some_and(|held| held.class == Class::Lazy));
        let covered = match (class, before) {
            (Class::Durable, Some(Held { class: Class::Durable, covered, .. })) => covered,
            (Class::Durable, Some(held)) => Some(Box::new(Covered { held, since: generation })),
            (_, Some(held)) => {
                held.forget(&self.journal);
                None
            }
            (_, None) => None,
        };
        if class == Class::Ephemeral && value.is_none() {
            return;
        }
        self.lazy += usize::from(class == Class::Lazy);
        let value = value.map(Into::into);
        self.held.insert(key, Held { value, class, entry, generation, covered });
    }

    /// Everything that the index does not have yet.
    pub(super) fn begin_commit(&mut self) -> Commit {
        let mut changes: Vec<Change> = self
            .held
            .iter()
            .filter(|(_, held)| held.class != Class::Ephemeral)
            .map(|(key, held)| (key.clone(), held.value.as_ref().map(|value| value.to_vec())))
            .collect();
        let journalled = |held: &Held| held.class == Class::Lazy || held.covered.is_some();
        if self.held.values().any(journalled) {
            let settled = self.journal.next().to_le_bytes().to_vec();
            changes.push((SETTLED.to_vec(), Some(settled)));
        }
        let waiting = std::mem::take(&mut self.waiting);
        Commit { changes, generation: self.generation, waiting }
    }

    /// Drops what the index has now; the journal's entries with it.
    pub(super) fn end_commit(&mut self, generation: u64) {
        let journal = &self.journal;
        let lazy = &mut self.lazy;
        self.held.retain(|_, held| {
            if held.class != Class::Ephemeral && held.generation <= generation {
                *lazy -= usize::from(held.class == Class::Lazy);
                held.forget(journal);
                return false;
            }
            held.covered = held.covered.take().filter(|covered| {
                let below = &covered.held;
                let is_written = covered.since <= generation
                    || (below.class == Class::Lazy && below.generation <= generation);
                if is_written {
                    below.forget(journal);
                }
                !is_written
            });
            true
        });
    }

    /// Undoes the durable changes of a commit that failed; lazy ones wait for the next.
    pub(super) fn fail_commit(&mut self, generation: u64) {
        let lazy = &mut self.lazy;
        self.held.retain(|_, held| {
            if held.class != Class::Durable || held.generation > generation {
                return true;
            }
            let Some(covered) = held.covered.take() else { return false };
            *held = covered.held;
            *lazy += usize::from(held.class == Class::Lazy);
            true
        });
    }
}

impl Held {
    /// Removes its journal entry and that of what it covers.
    fn forget(&self, journal: &Journal) {
        if let Some(number) = self.entry {
            journal.remove(number);
        }
        if let Some(covered) = &self.covered {
            covered.held.forget(journal);
        }
    }
}
