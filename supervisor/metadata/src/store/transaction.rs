//! One atomic change.

use super::overlay::{Overlay, Staged};
use super::{Error, decode, decode_at, full_key, merge, not_found, readable};
use crate::index::Index;
use crate::record::{Class, LeaseResource, Record};
use contracts_supervisor_api::services::leases::Lease;
use contracts_supervisor_api::services::namespaces::Namespace;

/// Reads the newest state and stages changes to it.
pub struct Transaction<'a> {
    index: &'a dyn Index,
    overlay: &'a Overlay,
    staged: Staged,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(index: &'a dyn Index, overlay: &'a Overlay) -> Self {
        Self { index, overlay, staged: Staged::new() }
    }

    pub(super) fn into_staged(self) -> Staged {
        self.staged
    }

    /// The record of this key.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn get<R: Record>(&self, namespace: &str, key: &str) -> Result<R, Error> {
        self.find(namespace, key)?.ok_or_else(|| not_found::<R>(key))
    }

    /// The record of this key, if there is one.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn find<R: Record>(&self, namespace: &str, key: &str) -> Result<Option<R>, Error> {
        let bytes = self.bytes(&full_key::<R>(namespace, key))?;
        bytes.map(|bytes| decode::<R>(key, &bytes)).transpose()
    }

    /// All records of a namespace, by key.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn list<R: Record>(&self, namespace: &str) -> Result<Vec<R>, Error> {
        self.list_below(namespace, "")
    }

    /// The records of a namespace whose keys start with `prefix`.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn list_below<R: Record>(&self, namespace: &str, prefix: &str) -> Result<Vec<R>, Error> {
        Ok(self.scan(&full_key::<R>(namespace, prefix))?.into_iter().map(|(_, r)| r).collect())
    }

    /// All records of all namespaces, each with its namespace.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn list_everywhere<R: Record>(&self) -> Result<Vec<(String, R)>, Error> {
        self.scan(&[R::TABLE])
    }

    /// Adds a record, and the namespace that it is in.
    ///
    /// # Errors
    /// There is one of this key, or it cannot be read.
    pub fn insert<R: Record>(&mut self, namespace: &str, record: &R) -> Result<(), Error> {
        let key = record.key();
        if key.is_empty() || namespace.contains('\0') {
            return Err(Error::Name { noun: R::NOUN, name: readable(&key) });
        }
        if self.bytes(&full_key::<R>(namespace, &key))?.is_some() {
            return Err(Error::AlreadyExists { noun: R::NOUN, name: readable(&key) });
        }
        if !namespace.is_empty() && self.find::<Namespace>("", namespace)?.is_none() {
            let implied = Namespace { name: namespace.to_owned(), ..Namespace::default() };
            self.put("", &implied)?;
        }
        self.put(namespace, record)
    }

    /// Adds a record or replaces the one of its key.
    ///
    /// # Errors
    /// The replaced one cannot be read.
    pub fn put<R: Record>(&mut self, namespace: &str, record: &R) -> Result<(), Error> {
        let key = full_key::<R>(namespace, &record.key());
        let mut class = record.class();
        // What the index may have stays its business, whatever the labels say now.
        if class == Class::Ephemeral && self.bytes(&key)?.is_some() && !self.is_ephemeral(&key) {
            class = Class::Lazy;
        }
        self.staged.insert(key, (Some(record.encode_to_vec()), class));
        Ok(())
    }

    /// Removes a record and answers it.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn remove<R: Record>(&mut self, namespace: &str, key: &str) -> Result<R, Error> {
        let record = self.get::<R>(namespace, key)?;
        let key = full_key::<R>(namespace, key);
        let class = if self.is_ephemeral(&key) { Class::Ephemeral } else { R::REMOVAL };
        self.staged.insert(key, (None, class));
        Ok(record)
    }

    /// Has a lease keep a resource; one that it keeps already is fine.
    ///
    /// # Errors
    /// There is no such lease, or it cannot be read.
    pub fn add_to_lease(
        &mut self,
        namespace: &str,
        lease: &str,
        r#type: &str,
        id: &str,
    ) -> Result<(), Error> {
        let ephemeral = self.get::<Lease>(namespace, lease)?.class() == Class::Ephemeral;
        let resource = LeaseResource {
            lease: lease.to_owned(),
            r#type: r#type.to_owned(),
            id: id.to_owned(),
            ephemeral,
        };
        self.put(namespace, &resource)
    }

    fn is_ephemeral(&self, key: &[u8]) -> bool {
        match self.staged.get(key) {
            Some((_, class)) => *class == Class::Ephemeral,
            None => self.overlay.is_ephemeral(key),
        }
    }

    fn bytes(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        if let Some((value, _)) = self.staged.get(key) {
            return Ok(value.clone());
        }
        match self.overlay.get(key) {
            Some(value) => Ok(value.map(<[u8]>::to_vec)),
            None => Ok(self.index.get(key)?),
        }
    }

    fn scan<R: Record>(&self, prefix: &[u8]) -> Result<Vec<(String, R)>, Error> {
        let mut above = self.overlay.below(prefix);
        let staged = self.staged.range(prefix.to_vec()..);
        above.extend(
            staged
                .take_while(|(key, _)| key.starts_with(prefix))
                .map(|(key, (value, _))| (key.clone(), value.clone())),
        );
        let merged = merge(self.index, prefix, above)?;
        merged.into_iter().map(|(key, value)| decode_at::<R>(&key, &value)).collect()
    }
}
