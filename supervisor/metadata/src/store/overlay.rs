//! Changes that lie above the index: for good (ephemeral), until the next commit (lazy), or while
//! that commit is under way (durable).

use super::Error;
use crate::journal::{Entry, Journal};
use crate::record::Class;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use tokio::sync::oneshot;

/// A staged change: key, new value or removal, class.
pub(super) type Staged = BTreeMap<Vec<u8>, (Option<Vec<u8>>, Class)>;

/// One key's change.
struct Held {
    value: Option<Arc<[u8]>>,
    class: Class,
    /// The journal's file with this or an earlier state of the key.
    file: Option<u64>,
    /// Grows with every change, so that a commit knows whether it wrote the newest.
    generation: u64,
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
    pub(super) changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    pub(super) generation: u64,
    pub(super) waiting: Vec<oneshot::Sender<Result<(), Error>>>,
}

impl Overlay {
    /// An overlay that holds what the journal had.
    pub(super) fn new(journal: Journal, entries: Vec<Entry>) -> Self {
        let mut overlay = Self {
            held: BTreeMap::new(),
            journal,
            generation: 0,
            lazy: 0,
            waiting: Vec::new(),
            closing: false,
        };
        for Entry { file, class, key, value } in entries {
            overlay.lazy += usize::from(class == Class::Lazy);
            let held =
                Held { value: value.map(Into::into), class, file: Some(file), generation: 0 };
            overlay.held.insert(key, held);
        }
        overlay
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

    /// Takes over a transaction's changes. The receiver is there when one of them is durable.
    pub(super) fn stage(
        &mut self,
        staged: Staged,
    ) -> io::Result<Option<oneshot::Receiver<Result<(), Error>>>> {
        let durable = staged.values().any(|(_, class)| *class == Class::Durable);
        for (key, (value, class)) in staged {
            self.hold(key, value, class)?;
        }
        Ok(durable.then(|| self.wait_for_commit()))
    }

    /// Asks for a commit of everything that is not ephemeral.
    pub(super) fn wait_for_commit(&mut self) -> oneshot::Receiver<Result<(), Error>> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.push(sender);
        receiver
    }

    fn hold(&mut self, key: Vec<u8>, value: Option<Vec<u8>>, class: Class) -> io::Result<()> {
        self.generation += 1;
        let before = self.held.get(&key);
        let file = before.and_then(|held| held.file);
        if class == Class::Ephemeral && value.is_none() {
            // The index never had it.
            if let Some(file) = file {
                self.journal.remove(file)?;
            }
            self.held.remove(&key);
            return Ok(());
        }
        let file = match class {
            // Until it is committed, a kill brings the old state back, as it must.
            Class::Durable => file,
            Class::Lazy | Class::Ephemeral => {
                Some(self.journal.write(file, class, &key, value.as_deref())?)
            }
        };
        self.lazy -= usize::from(before.is_some_and(|held| held.class == Class::Lazy));
        self.lazy += usize::from(class == Class::Lazy);
        let generation = self.generation;
        self.held.insert(key, Held { value: value.map(Into::into), class, file, generation });
        Ok(())
    }

    /// Everything that the index does not have yet.
    pub(super) fn begin_commit(&mut self) -> Commit {
        let changes = self
            .held
            .iter()
            .filter(|(_, held)| held.class != Class::Ephemeral)
            .map(|(key, held)| (key.clone(), held.value.as_ref().map(|value| value.to_vec())))
            .collect();
        let waiting = std::mem::take(&mut self.waiting);
        Commit { changes, generation: self.generation, waiting }
    }

    /// Drops what the index has now; the journal's files with it.
    pub(super) fn end_commit(&mut self, generation: u64) -> io::Result<()> {
        let mut result = Ok(());
        let journal = &self.journal;
        let lazy = &mut self.lazy;
        self.held.retain(|_, held| {
            if held.class == Class::Ephemeral || held.generation > generation {
                return true;
            }
            if let Some(file) = held.file
                && let Err(error) = journal.remove(file)
            {
                // Kept above the index, where its file makes it come back: the same value.
                result = Err(error);
                return true;
            }
            *lazy -= usize::from(held.class == Class::Lazy);
            false
        });
        result
    }

    /// Undoes the durable changes of a commit that failed; lazy ones wait for the next.
    pub(super) fn fail_commit(&mut self, generation: u64) {
        self.held.retain(|_, held| held.class != Class::Durable || held.generation > generation);
    }
}
