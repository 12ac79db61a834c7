//! The index in a redb file.

use super::{Change, Index, IndexError};
use redb::{Database, Durability, ReadableDatabase, TableDefinition};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");
const FORMAT: u64 = 1;
/// redb's own default is 1 GiB; all records of a busy machine fit into a few of these.
const CACHE: usize = 1 << 20;

/// A redb database.
#[derive(Debug)]
pub struct RedbIndex {
    path: PathBuf,
    /// After an error of the disk, a full one included, redb refuses everything until the file is
    /// opened anew. `None` while that fails.
    database: RwLock<Option<Database>>,
}

impl RedbIndex {
    /// Opens the file, whose every page is verified. A new one is made where there is none and
    /// none of the directories `described` by it holds anything.
    ///
    /// # Errors
    /// It is in use by another process, damaged, lost, or of a later format; nothing was changed.
    pub fn open(path: &Path, described: &[PathBuf]) -> Result<Self, IndexError> {
        let failed = |source| IndexError::open(path, source);
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.len() > 0 => {}
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error.into())),
            _ => {
                if let Some(beside) = described.iter().find(|directory| holds_anything(directory)) {
                    let (path, beside) = (path.to_owned(), beside.clone());
                    return Err(IndexError::Lost { path, beside });
                }
                create(path).map_err(failed)?;
            }
        }
        let database = open(path).map_err(failed)?;
        let found = format_of(&database).map_err(failed)?;
        if found != FORMAT {
            return Err(IndexError::Format { path: path.to_owned(), found, known: FORMAT });
        }
        Ok(Self { path: path.to_owned(), database: RwLock::new(Some(database)) })
    }

    /// Does `work` with the database, opened anew if an earlier error closed it.
    fn with<T>(
        &self,
        mut work: impl FnMut(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, redb::Error> {
        let mut attempt = |database: &Option<Database>| match database.as_ref().map(&mut work) {
            None | Some(Err(redb::Error::PreviousIo)) => None,
            Some(result) => Some(result),
        };
        let open_one = self.database.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(result) = attempt(&open_one) {
            return result;
        }
        drop(open_one);
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have opened it meanwhile.
        if let Some(result) = attempt(&database) {
            return result;
        }
        // Closed first: it holds the file's lock.
        *database = None;
        *database = Some(open(&self.path)?);
        attempt(&database).unwrap_or(Err(redb::Error::PreviousIo))
    }
}

fn open(path: &Path) -> Result<Database, redb::Error> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
    Ok(builder.open(path)?)
}

/// Makes a new file with its tables. It gets its name once it is whole.
fn create(path: &Path) -> Result<(), redb::Error> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = Path::new(&temporary);
    match std::fs::remove_file(temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let database = Database::create(temporary)?;
    let writing = database.begin_write()?;
    writing.open_table(RECORDS)?;
    writing.open_table(ABOUT)?.insert("format", FORMAT)?;
    writing.commit()?;
    drop(database);
    std::fs::rename(temporary, path)?;
    Ok(base_files::sync_parent(path)?)
}

fn format_of(database: &Database) -> Result<u64, redb::Error> {
    let table = database.begin_read()?.open_table(ABOUT)?;
    let format = table.get("format")?;
    format
        .map(|format| format.value())
        .ok_or_else(|| redb::Error::Corrupted("no format".to_owned()))
}

/// A directory that cannot be read counts as full: what is in it is not to be risked.
fn holds_anything(directory: &Path) -> bool {
    match std::fs::read_dir(directory) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) => error.kind() != ErrorKind::NotFound,
    }
}

impl Index for RedbIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        let read = |database: &Database| {
            let table = database.begin_read()?.open_table(RECORDS)?;
            Ok(table.get(key)?.map(|value| value.value().to_vec()))
        };
        self.with(read).map_err(|error| IndexError::Read(Box::new(error)))
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), IndexError> {
        let read = |database: &Database| {
            let table = database.begin_read()?.open_table(RECORDS)?;
            for entry in table.range(prefix..)? {
                let (key, value) = entry?;
                if !key.value().starts_with(prefix) {
                    break;
                }
                visit(key.value(), value.value());
            }
            Ok(())
        };
        self.with(read).map_err(|error| IndexError::Read(Box::new(error)))
    }

    fn apply(&self, changes: &[Change]) -> Result<(), IndexError> {
        let write = |database: &Database| {
            let mut writing = database.begin_write()?;
            writing.set_durability(Durability::Immediate)?;
            let mut table = writing.open_table(RECORDS)?;
            for (key, value) in changes {
                match value {
                    Some(value) => table.insert(key.as_slice(), value.as_slice())?,
                    None => table.remove(key.as_slice())?,
                };
            }
            drop(table);
            writing.commit()?;
            Ok(())
        };
        self.with(write).map_err(|error| IndexError::Write(Box::new(error)))
    }
}
