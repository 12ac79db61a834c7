//! Records that survive the death of the supervisor without touching a disk: one small file each
//! in the state directory (a tmpfs).
//!
//! A file is replaced whole by renaming, so a kill leaves the old entry or the new. The directory
//! carries the boot id: on a state directory that is no tmpfs, files from before a reboot may be
//! torn, and are discarded unread.

use crate::record::Class;
use base_files::Durability;
use std::io;
use std::path::{Path, PathBuf};

/// Largest entry that is read back; gRPC's message limit bounds what is written.
const MAX_ENTRY: u64 = 20 << 20;
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
    pub(crate) file: u64,
    pub(crate) class: Class,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Option<Vec<u8>>,
}

impl Journal {
    /// Opens the journal in `state` and reads what a killed supervisor left.
    pub(crate) fn open(state: &Path) -> io::Result<(Self, Vec<Entry>)> {
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
        let mut journal = Self { directory, next: 0 };
        let mut entries = Vec::new();
        for found in std::fs::read_dir(&journal.directory)? {
            let found = found?;
            let number = found.file_name().to_str().and_then(|name| name.parse::<u64>().ok());
            let entry = match number {
                Some(number) if found.metadata()?.len() <= MAX_ENTRY => {
                    decode(number, &std::fs::read(found.path())?)
                }
                _ => None,
            };
            match entry {
                Some(entry) => {
                    journal.next = journal.next.max(entry.file + 1);
                    entries.push(entry);
                }
                // Half a replacement: the change was never acknowledged.
                None => std::fs::remove_file(found.path())?,
            }
        }
        Ok((journal, entries))
    }

    /// Writes an entry, into the file of its predecessor if it has one.
    pub(crate) fn write(
        &mut self,
        file: Option<u64>,
        class: Class,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> io::Result<u64> {
        let file = file.unwrap_or(self.next);
        let content = encode(class, key, value);
        base_files::replace(&self.path(file), &content, 0o600, Durability::Processes)?;
        self.next = self.next.max(file + 1);
        Ok(file)
    }

    /// Forgets an entry. A file that stays is a record that comes back after a kill, so the
    /// caller must know.
    pub(crate) fn remove(&self, file: u64) -> io::Result<()> {
        match std::fs::remove_file(self.path(file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn path(&self, file: u64) -> PathBuf {
        self.directory.join(file.to_string())
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

fn decode(file: u64, bytes: &[u8]) -> Option<Entry> {
    let (&[class, present], rest) = bytes.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (key, value) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let class = match class {
        EPHEMERAL => Class::Ephemeral,
        LAZY => Class::Lazy,
        _ => return None,
    };
    let value = (present == PRESENT).then(|| value.to_vec());
    Some(Entry { file, class, key: key.to_vec(), value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_and_half_written_ones_do_not() {
        let state = tempfile::tempdir().unwrap();
        let (mut journal, found) = Journal::open(state.path()).unwrap();
        assert!(found.is_empty());
        let a = journal.write(None, Class::Ephemeral, b"a", Some(b"1")).unwrap();
        let b = journal.write(None, Class::Lazy, b"b", None).unwrap();
        let c = journal.write(None, Class::Lazy, b"c", Some(b"")).unwrap();
        journal.write(Some(a), Class::Ephemeral, b"a", Some(b"2")).unwrap();
        journal.remove(c).unwrap();
        std::fs::write(journal.path(99), [EPHEMERAL]).unwrap();
        std::fs::write(journal.directory.join(".5.1.new"), b"x").unwrap();

        let (reopened, mut found) = Journal::open(state.path()).unwrap();
        found.sort_by_key(|entry| entry.file);
        let entry = |file, class, key: &[u8], value: Option<&[u8]>| Entry {
            file,
            class,
            key: key.to_vec(),
            value: value.map(<[u8]>::to_vec),
        };
        assert_eq!(
            found,
            [entry(a, Class::Ephemeral, b"a", Some(b"2")), entry(b, Class::Lazy, b"b", None),]
        );
        assert_eq!(std::fs::read_dir(&reopened.directory).unwrap().count(), 2);
    }

    #[test]
    fn entries_of_another_boot_are_discarded() {
        let state = tempfile::tempdir().unwrap();
        let old = state.path().join("journal/0000");
        std::fs::create_dir_all(&old).unwrap();
        std::fs::write(old.join("1"), encode(Class::Lazy, b"k", Some(b"v"))).unwrap();
        assert!(Journal::open(state.path()).unwrap().1.is_empty());
        assert!(!old.exists());
    }
}
