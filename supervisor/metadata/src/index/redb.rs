//! The index in a redb file.

use super::{Change, Index, IndexError};
use redb::{Database, Durability, ReadableDatabase, TableDefinition};
use std::path::Path;

const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");
const FORMAT: u64 = 1;
/// redb's own default is 1 GiB; all records of a busy machine fit into a few of these.
const CACHE: usize = 1 << 20;

/// A redb database.
#[derive(Debug)]
pub struct RedbIndex(Database);

impl RedbIndex {
    /// Opens or creates the file.
    ///
    /// # Errors
    /// It is in use by another process, damaged, or of a later format.
    pub fn open(path: &Path) -> Result<Self, IndexError> {
        let failed = |source| IndexError::Open { path: path.to_owned(), source: Box::new(source) };
        let database = Database::builder()
            .set_cache_size(CACHE)
            .create(path)
            .map_err(|error| failed(error.into()))?;
        let found = prepare(&database).map_err(failed)?;
        if found != FORMAT {
            return Err(IndexError::Format { path: path.to_owned(), found, known: FORMAT });
        }
        Ok(Self(database))
    }
}

/// Makes the tables of a new file; tells the format of any.
fn prepare(database: &Database) -> Result<u64, redb::Error> {
    let reading = database.begin_read()?;
    if let Ok(about) = reading.open_table(ABOUT)
        && let Some(format) = about.get("format")?
    {
        return Ok(format.value());
    }
    drop(reading);
    let writing = database.begin_write()?;
    writing.open_table(RECORDS)?;
    writing.open_table(ABOUT)?.insert("format", FORMAT)?;
    writing.commit()?;
    Ok(FORMAT)
}

impl Index for RedbIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        let read = || -> Result<_, redb::Error> {
            let table = self.0.begin_read()?.open_table(RECORDS)?;
            Ok(table.get(key)?.map(|value| value.value().to_vec()))
        };
        read().map_err(|error| IndexError::Read(Box::new(error)))
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), IndexError> {
        let mut read = || -> Result<_, redb::Error> {
            let table = self.0.begin_read()?.open_table(RECORDS)?;
            for entry in table.range(prefix..)? {
                let (key, value) = entry?;
                if !key.value().starts_with(prefix) {
                    break;
                }
                visit(key.value(), value.value());
            }
            Ok(())
        };
        read().map_err(|error| IndexError::Read(Box::new(error)))
    }

    fn apply(&self, changes: &[Change]) -> Result<(), IndexError> {
        let write = || -> Result<_, redb::Error> {
            let mut writing = self.0.begin_write()?;
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
        write().map_err(|error| IndexError::Write(Box::new(error)))
    }
}
