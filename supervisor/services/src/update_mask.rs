//! Which fields an update changes.

use prost_types::FieldMask;
use std::collections::HashMap;
use std::hash::BuildHasher;
use tonic::Status;

/// The paths of a mask; `None` where there is none, which means all that can change.
pub(crate) fn paths(mask: Option<&FieldMask>) -> Option<&[String]> {
    mask.map(|mask| mask.paths.as_slice()).filter(|paths| !paths.is_empty())
}

/// Takes one entry of a map, or its absence, from an update: path `labels.KEY`.
pub(crate) fn take_entry<V, S: BuildHasher>(
    into: &mut HashMap<String, V, S>,
    from: &mut HashMap<String, V, S>,
    key: &str,
) {
    match from.remove(key) {
        Some(value) => into.insert(key.to_owned(), value),
        None => into.remove(key),
    };
}

/// Drops labels without a value: that is how clients remove one with a whole map.
pub(crate) fn drop_empty<S: BuildHasher>(labels: &mut HashMap<String, String, S>) {
    labels.retain(|_, value| !value.is_empty());
}

/// The answer to a path that cannot be changed.
pub(crate) fn refuse(path: &str, noun: &str, name: &str) -> Status {
    Status::invalid_argument(format!("cannot update {path:?} of {noun} {name:?}"))
}
