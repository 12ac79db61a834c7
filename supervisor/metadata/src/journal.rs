//! Records that survive the death of the supervisor without touching a disk: one small file each
//! in the state directory (a tmpfs).
//!
//! Files are numbered in the order of the changes that they tell, and a file never changes: a kill
//! between two changes of a key leaves both, and the newer one counts. The directory carries the
//! boot id: on a state directory that is no tmpfs, files from before a reboot may be torn, and are
//! discarded unread.

use crate::record::Class;
use base_files::Durability;
use std::io;
use std::path::{Path, PathBuf};

const REMOVED: u8 = 0;
const PRESENT: u8 = 1;
const EPHEMERAL: u8 = b'e';
const LAZY: u8 = b'l';

/// The directory of entries.
#[derive(Debug)]
pub(crate) struct Journal {
    directory: PathBuf,
    next: u64,
}

/// One entry as found on opening.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) number: u64,
    pub(crate) class: Class,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Option<Vec<u8>>,
}

impl Journal {
    /// Opens the journal in `state` and reads what a killed supervisor left, in the order of its
    /// changes. Numbers below `settled` are not used again.
    pub(crate) fn open(state: &Path, settled: u64) -> io::Result<(Self, Vec<Entry>)> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let above = state.join("journal");
        let directory = above.join(boot.trim());
        std::fs::create_dir_all(&directory)?;
        for other in std::fs::read_dir(&above)? {
            let other = other?.path();
            if other != directory {
                std::fs::remove_dir_all(other)?;
            }
        }
        let mut journal = Self { directory, next: settled };
        let mut entries = Vec::new();
        for found in std::fs::read_dir(&journal.directory)? {
            let found = found?;
            let number = found.file_name().to_str().and_then(|name| name.parse::<u64>().ok());
            let entry = match number {
                Some(number) => decode(number, &std::fs::read(found.path())?),
                None => None,
            };
            match entry {
                Some(entry) => {
                    journal.next = journal.next.max(entry.number + 1);
                    entries.push(entry);
                }
                // Half an entry: the change was never acknowledged.
                None => std::fs::remove_file(found.path())?,
            }
        }
        entries.sort_unstable_by_key(|entry| entry.number);
        Ok((journal, entries))
    }

    /// The number that no entry has yet, nor any after it.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Writes an entry and tells its number.
    pub(crate) fn write(
        &mut self,
        class: Class,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> io::Result<u64> {
        let number = self.next;
        let content = encode(class, key, value);
        base_files::replace(&self.path(number), &content, 0o600, Durability::Processes)?;
        self.next += 1;
        Ok(number)
    }

    /// Forgets an entry. One that stays after all does no harm as long as a newer one of its key
    /// or the index contradicts it.
    pub(crate) fn remove(&self, number: u64) {
        match std::fs::remove_file(self.path(number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, number, "an entry of the metadata journal stays");
            }
            _ => {}
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.directory.join(number.to_string())
    }
}

/// `class, present, key length (u32), key, value`.
fn encode(class: Class, key: &[u8], value: Option<&[u8]>) -> Vec<u8> {
    let length = u32::try_from(key.len()).expect("keys are shorter than a gRPC message");
    let mut out = Vec::with_capacity(6 + key.len() + value.map_or(0, <[u8]>::len));
    out.push(if class == Class::Ephemeral { EPHEMERAL } else { LAZY });
    out.push(if value.is_some() { PRESENT } else { REMOVED });
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(value.unwrap_or_default());
    out
}

fn decode(number: u64, bytes: &[u8]) -> Option<Entry> {
    let (&[class, present], rest) = bytes.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (key, value) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let class = match class {
        EPHEMERAL => Class::Ephemeral,
        LAZY => Class::Lazy,
        _ => return None,
    };
    let value = (present == PRESENT).then(|| value.to_vec());
    Some(Entry { number, class, key: key.to_vec(), value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_in_their_order_and_half_written_ones_do_not() {
        let state = tempfile::tempdir().unwrap();
        let (mut journal, found) = Journal::open(state.path(), 8).unwrap();
        assert!(found.is_empty());
        let a = journal.write(Class::Ephemeral, b"a", Some(b"1")).unwrap();
        let b = journal.write(Class::Lazy, b"b", None).unwrap();
        let c = journal.write(Class::Lazy, b"c", Some(b"")).unwrap();
        let newer = journal.write(Class::Ephemeral, b"a", Some(b"2")).unwrap();
        journal.remove(c);
        std::fs::write(journal.path(99), [EPHEMERAL]).unwrap();
        std::fs::write(journal.directory.join(".5.1.new"), b"x").unwrap();

        let (reopened, found) = Journal::open(state.path(), 0).unwrap();
        let entry = |number, class, key: &[u8], value: Option<&[u8]>| Entry {
            number,
            class,
            key: key.to_vec(),
            value: value.map(<[u8]>::to_vec),
        };
        assert_eq!(
            found,
            [
                entry(a, Class::Ephemeral, b"a", Some(b"1")),
                entry(b, Class::Lazy, b"b", None),
                entry(newer, Class::Ephemeral, b"a", Some(b"2")),
            ]
        );
        assert_eq!((a, reopened.next()), (8, newer + 1));
        assert_eq!(std::fs::read_dir(&reopened.directory).unwrap().count(), 3);
    }

    #[test]
    fn entries_of_another_boot_are_discarded() {
        let state = tempfile::tempdir().unwrap();
        let old = state.path().join("journal/0000");
        std::fs::create_dir_all(&old).unwrap();
        std::fs::write(old.join("1"), encode(Class::Lazy, b"k", Some(b"v"))).unwrap();
        assert!(Journal::open(state.path(), 0).unwrap().1.is_empty());
        assert!(!old.exists());
    }
}
