//! An index that forgets, for tests.

use super::{Change, Index, IndexError};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// A map in memory.
#[derive(Debug, Default)]
pub struct MemoryIndex(Mutex<BTreeMap<Vec<u8>, Vec<u8>>>);

impl Index for MemoryIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), IndexError> {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in map.range(prefix.to_vec()..) {
            if !key.starts_with(prefix) {
                break;
            }
            visit(key, value);
        }
        Ok(())
    }

    fn apply(&self, changes: &[Change]) -> Result<(), IndexError> {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in changes {
            match value {
                Some(value) => map.insert(key.clone(), value.clone()),
                None => map.remove(key),
            };
        }
        Ok(())
    }
}
