//! All containers, found by id, name or the beginning of an id.

use super::Container;
use crate::error::{Error, Result};
use base_ids::ContainerId;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// The table; a name is reserved before its container is there.
#[derive(Default)]
pub(crate) struct Containers(RwLock<Table>);

#[derive(Default)]
struct Table {
    by_id: HashMap<ContainerId, Arc<Container>>,
    names: HashMap<String, ContainerId>,
}

impl Containers {
    /// Reserves a name for an id.
    pub(crate) fn reserve(&self, name: &str, id: &ContainerId) -> Result<()> {
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = table.names.get(name) {
            return Err(Error::NameTaken { name: name.to_owned(), id: other.to_string() });
        }
        table.names.insert(name.to_owned(), id.clone());
        Ok(())
    }

    /// Gives a reserved name back.
    pub(crate) fn release(&self, name: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).names.remove(name);
    }

    /// Adds a container whose name is reserved.
    pub(crate) fn insert(&self, container: Arc<Container>) {
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        table.by_id.insert(container.id().clone(), container);
    }

    /// Takes a container and its name out.
    pub(crate) fn remove(&self, container: &Container) {
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        table.by_id.remove(container.id());
        if table.names.get(&container.record.name) == Some(container.id()) {
            table.names.remove(&container.record.name);
        }
    }

    /// The container of exactly this id.
    pub(crate) fn by_id(&self, id: &ContainerId) -> Option<Arc<Container>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).by_id.get(id).cloned()
    }

    /// Finds by full id, then name (with or without its slash), then unique beginning of an id.
    pub(crate) fn find(&self, text: &str) -> Result<Arc<Container>> {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let missing = || Error::NoSuchContainer(text.to_owned());
        if let Ok(id) = text.parse::<ContainerId>()
            && let Some(container) = table.by_id.get(&id)
        {
            return Ok(container.clone());
        }
        let name = text.strip_prefix('/').unwrap_or(text);
        if let Some(container) = table.names.get(name).and_then(|id| table.by_id.get(id)) {
            return Ok(container.clone());
        }
        if text.is_empty() {
            return Err(missing());
        }
        let mut hits = table.by_id.iter().filter(|(id, _)| id.as_str().starts_with(text));
        match (hits.next(), hits.next()) {
            (Some((_, one)), None) => Ok(one.clone()),
            (Some(_), Some(_)) => Err(Error::AmbiguousPrefix(text.to_owned())),
            (None, _) => Err(missing()),
        }
    }

    /// All, newest first.
    pub(crate) fn all(&self) -> Vec<Arc<Container>> {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Arc<Container>> = table.by_id.values().cloned().collect();
        all.sort_by(|a, b| b.record.created.cmp(&a.record.created));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{StateRecord, tests::config};

    fn add(table: &Containers, name: &str) -> Arc<Container> {
        let mut record = config();
        record.name = name.to_owned();
        table.reserve(name, &record.id).unwrap();
        let state = StateRecord::created();
        let (container, _) = Container::new(record, state, "/x".into(), None);
        table.insert(container.clone());
        container
    }

    #[test]
    fn names_win_over_beginnings_of_ids() {
        let table = Containers::default();
        let first = add(&table, "web");
        let prefix = first.id().as_str()[..6].to_owned();
        assert_eq!(table.find(&prefix).unwrap().id(), first.id());
        let second = add(&table, &prefix);
        assert_eq!(table.find(&prefix).unwrap().id(), second.id());
        assert_eq!(table.find("/web").unwrap().id(), first.id());
        assert_eq!(table.find("nope").err().unwrap().to_string(), "No such container: nope");
    }

    #[test]
    fn a_taken_name_is_a_conflict_until_it_is_released() {
        let table = Containers::default();
        let first = add(&table, "web");
        let other = ContainerId::random();
        assert!(table.reserve("web", &other).is_err());
        table.remove(&first);
        table.reserve("web", &other).unwrap();
    }
}
