//! How every document type here is written: optional fields absent when empty, lenient when read.

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

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

/// A document, by what serde derives for its fields.
pub(crate) trait Fields<'de>: Sized {
    fn read<A: MapAccess<'de>>(map: A) -> Result<Self, A::Error>;
}

/// Reads a document from an object only: what serde derives also takes an array, for the fields'
/// values in their order.
pub(crate) fn object<'de, T: Fields<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    struct Object<T>(PhantomData<T>);

    impl<'de, T: Fields<'de>> Visitor<'de> for Object<T> {
        type Value = T;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::read(map)
        }
    }

    deserializer.deserialize_map(Object(PhantomData))
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
        #[serde(default, rename_all = "camelCase", remote = "Self")]
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

        // With `remote` what is derived are functions of the type's own, which these call.
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $name::serialize(self, serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Self, D::Error> {
                crate::document::object(deserializer)
            }
        }

        impl<'de> crate::document::Fields<'de> for $name {
            fn read<A: serde::de::MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
                $name::deserialize(serde::de::value::MapAccessDeserializer::new(map))
            }
        }
    };
}
