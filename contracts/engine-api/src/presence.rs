//! When a field is left out, as Go's `omitempty` does it.

use serde::{Deserialize, Serialize, Serializer};

/// Whether a value is the one that `omitempty` leaves out.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// `omitempty` on a list or map that is `null` or empty.
pub(crate) fn is_empty<T: Empty>(value: &Option<T>) -> bool {
    value.as_ref().is_none_or(Empty::is_empty)
}

/// A list that Docker never sends as `[]`.
pub(crate) fn null_when_empty<S: Serializer>(
    list: &[String],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    if list.is_empty() { serializer.serialize_none() } else { list.serialize(serializer) }
}

/// What can be empty.
pub(crate) trait Empty {
    /// Whether nothing is in it.
    fn is_empty(&self) -> bool;
}

impl<T> Empty for Vec<T> {
    fn is_empty(&self) -> bool {
        Self::is_empty(self)
    }
}

impl<K, V> Empty for std::collections::BTreeMap<K, V> {
    fn is_empty(&self) -> bool {
        Self::is_empty(self)
    }
}

/// The `{}` that stands as value in Docker's sets (`ExposedPorts`, `Volumes`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {}
