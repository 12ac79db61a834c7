//! How every document type here is written: optional fields absent when empty, lenient when read.

use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// A value that Go's `omitempty` would leave out.
pub(crate) trait Absent {
    fn absent(&self) -> bool;
}

impl<T> Absent for Option<T> {
    fn absent(&self) -> bool {
        self.is_none()
    }
}

impl<T> Absent for Vec<T> {
    fn absent(&self) -> bool {
        self.is_empty()
    }
}

impl<K, V> Absent for BTreeMap<K, V> {
    fn absent(&self) -> bool {
        self.is_empty()
    }
}

impl Absent for String {
    fn absent(&self) -> bool {
        self.is_empty()
    }
}

impl Absent for bool {
    fn absent(&self) -> bool {
        !self
    }
}

/// Reads `null` as the default, as Go does.
pub(crate) fn lenient<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Declares a document type. A field in `@required` is always written; every other is left out
/// when empty. All may be missing when read.
macro_rules! document {
    (
        $(#[$meta:meta])*
        $name:ident {
            $(@required { $( $(#[$always_meta:meta])* $always:ident: $always_type:ty, )* })?
            $( $(#[$field_meta:meta])* $field:ident: $field_type:ty, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        pub struct $name {
            $($(
                $(#[$always_meta])*
                #[serde(deserialize_with = "crate::document::lenient")]
                pub $always: $always_type,
            )*)?
            $(
                $(#[$field_meta])*
                #[serde(
                    skip_serializing_if = "crate::document::Absent::absent",
                    deserialize_with = "crate::document::lenient"
                )]
                pub $field: $field_type,
            )*
        }
    };
}
