//! A serde deserializer over a parsed value, with Go's rules.

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde_json::Value;
use std::fmt;

/// A value where Go would decode into a typed place.
#[derive(Clone, Copy)]
pub(super) struct Node<'v>(pub(super) &'v Value);

/// A value of the wrong type, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    found: String,
    wanted: String,
    structure: Option<&'static str>,
    path: Vec<String>,
}

impl Mismatch {
    fn new(found: &Value, wanted: &str) -> Self {
        let found = match found {
            Value::Null => "null".to_owned(),
            Value::Bool(_) => "bool".to_owned(),
            Value::Number(number) => match wanted {
                "string" | "bool" => "number".to_owned(),
                _ if wanted.starts_with('[') || wanted.contains('.') => "number".to_owned(),
                _ => format!("number {number}"),
            },
            Value::String(_) => "string".to_owned(),
            Value::Array(_) => "array".to_owned(),
            Value::Object(_) => "object".to_owned(),
        };
        Self { found, wanted: wanted.to_owned(), structure: None, path: Vec::new() }
    }

    /// The same mismatch, seen from the structure around it: Go names the innermost structure
    /// and the whole path.
    pub(super) fn inside(mut self, structure: &'static str, field: Option<&str>) -> Self {
        if let Some(field) = field {
            self.path.insert(0, field.to_owned());
            if let Some(embedded) = crate::container::embedding(structure, field) {
                self.path.insert(0, embedded.to_owned());
            }
        }
        self.structure.get_or_insert(structure);
        self
    }
}

impl Mismatch {
    /// The same mismatch, seen from the structure that embeds the one it was found in.
    pub(super) fn embedded(mut self, structure: &'static str, embedded: &str) -> Self {
        if self.path.len() <= 1 {
            self.structure = Some(structure);
        }
        if self.path.is_empty() {
            self.wanted = format!("container.{structure}");
        } else {
            self.path.insert(0, embedded.to_owned());
        }
        self
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.found.is_empty() {
            return f.write_str(&self.wanted);
        }
        write!(f, "json: cannot unmarshal {} into Go ", self.found)?;
        match self.structure {
            Some(structure) if !self.path.is_empty() => {
                write!(f, "struct field {structure}.{}", self.path.join("."))?;
            }
            _ => f.write_str("value")?,
        }
        write!(f, " of type {}", self.wanted)
    }
}

impl std::error::Error for Mismatch {}

impl Error for Mismatch {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self {
            found: String::new(),
            wanted: message.to_string(),
            structure: None,
            path: Vec::new(),
        }
    }
}

/// Reads an integer type; Go takes no fraction, no text, and only what fits.
macro_rules! integer {
    ($method:ident, $visit:ident, $rust:ty, $go:literal) => {
        fn $method<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Mismatch> {
            let wrong = || Mismatch::new(self.0, $go);
            match self.0 {
                Value::Null => visitor.$visit(0),
                Value::Number(number) => {
                    let wide = number
                        .as_i64()
                        .map(i128::from)
                        .or_else(|| number.as_u64().map(i128::from))
                        .ok_or_else(wrong)?;
                    visitor.$visit(<$rust>::try_from(wide).map_err(|_| wrong())?)
                }
                _ => Err(wrong()),
            }
        }
    };
}

impl<'v> Deserializer<'v> for Node<'v> {
    type Error = Mismatch;

    fn deserialize_any<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => {
                if let Some(value) = number.as_u64() {
                    visitor.visit_u64(value)
                } else if let Some(value) = number.as_i64() {
                    visitor.visit_i64(value)
                } else {
                    visitor.visit_f64(number.as_f64().unwrap_or_default())
                }
            }
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(values) => visitor.visit_seq(Elements::new(values, 0)),
            Value::Object(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.0 {
            Value::Null => visitor.visit_bool(false),
            Value::Bool(value) => visitor.visit_bool(*value),
            other => Err(Mismatch::new(other, "bool")),
        }
    }

    integer!(deserialize_i8, visit_i8, i8, "int8");
    integer!(deserialize_i16, visit_i16, i16, "int16");
    integer!(deserialize_i32, visit_i32, i32, "int32");
    integer!(deserialize_i64, visit_i64, i64, "int64");
    integer!(deserialize_u8, visit_u8, u8, "uint8");
    integer!(deserialize_u16, visit_u16, u16, "uint16");
    integer!(deserialize_u32, visit_u32, u32, "uint32");
    integer!(deserialize_u64, visit_u64, u64, "uint64");

    fn deserialize_f32<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.0 {
            Value::Null => visitor.visit_f64(0.0),
            Value::Number(number) => visitor.visit_f64(number.as_f64().unwrap_or_default()),
            other => Err(Mismatch::new(other, "float64")),
        }
    }

    fn deserialize_char<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.0 {
            Value::Null => visitor.visit_borrowed_str(""),
            Value::String(text) => visitor.visit_borrowed_str(text),
            other => Err(Mismatch::new(other, "string")),
        }
    }

    fn deserialize_string<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'v>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'v>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.0 {
            Value::Null => visitor.visit_seq(Elements::new(&[], 0)),
            Value::Array(values) => visitor.visit_seq(Elements::new(values, 0)),
            // Nearly every list of the API holds strings.
            other => Err(Mismatch::new(other, "[]string")),
        }
    }

    fn deserialize_tuple<V: Visitor<'v>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        match self.0 {
            Value::Null => visitor.visit_seq(Elements::new(&[], length)),
            Value::Array(values) => {
                // Go fills a fixed array from the front and drops what is too much.
                let values = &values[..values.len().min(length)];
                visitor.visit_seq(Elements::new(values, length - values.len()))
            }
            other => Err(Mismatch::new(other, &format!("[{length}]uint"))),
        }
    }

    fn deserialize_tuple_struct<V: Visitor<'v>>(
        self,
        _name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_map<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.0 {
            Value::Null => visitor.visit_map(Members::new(Vec::new(), None)),
            Value::Object(members) => {
                let members = members.iter().map(|(key, value)| (key.as_str(), value)).collect();
                visitor.visit_map(Members::new(members, None))
            }
            other => Err(Mismatch::new(other, "map[string]string")),
        }
    }

    fn deserialize_struct<V: Visitor<'v>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        match self.0 {
            Value::Null => visitor.visit_map(Members::new(Vec::new(), None)),
            Value::Object(members) => {
                let mut known: Vec<(&str, &Value)> = Vec::with_capacity(members.len());
                for (key, value) in members {
                    let exact = fields.iter().find(|field| *field == key);
                    let like = || fields.iter().find(|field| field.eq_ignore_ascii_case(key));
                    let Some(field) = exact.or_else(like) else { continue };
                    // The last of several wins, as in Go; serde would call it a duplicate.
                    match known.iter_mut().find(|(name, _)| name == field) {
                        Some(earlier) => earlier.1 = value,
                        None => known.push((field, value)),
                    }
                }
                visitor.visit_map(Members::new(known, Some(name)))
            }
            other => Err(Mismatch::new(other, &format!("container.{name}"))),
        }
    }

    fn deserialize_enum<V: Visitor<'v>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        match self.0 {
            Value::Null => visitor.visit_enum(Name("")),
            Value::String(text) => visitor.visit_enum(Name(text)),
            other => Err(Mismatch::new(other, "string")),
        }
    }

    fn deserialize_identifier<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_unit()
    }
}

/// The elements of a list, then as many nulls as a fixed array still needs.
struct Elements<'v> {
    values: std::slice::Iter<'v, Value>,
    padding: usize,
}

impl<'v> Elements<'v> {
    fn new(values: &'v [Value], padding: usize) -> Self {
        Self { values: values.iter(), padding }
    }
}

impl<'v> SeqAccess<'v> for Elements<'v> {
    type Error = Mismatch;

    fn next_element_seed<T: DeserializeSeed<'v>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Mismatch> {
        const PADDING: &Value = &Value::Null;
        let value = match self.values.next() {
            Some(value) => value,
            None if self.padding > 0 => {
                self.padding -= 1;
                PADDING
            }
            None => return Ok(None),
        };
        seed.deserialize(Node(value)).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.values.len() + self.padding)
    }
}

/// The members of an object; of a structure when it has a name.
struct Members<'v> {
    members: std::vec::IntoIter<(&'v str, &'v Value)>,
    structure: Option<&'static str>,
    current: Option<(&'v str, &'v Value)>,
}

impl<'v> Members<'v> {
    fn new(members: Vec<(&'v str, &'v Value)>, structure: Option<&'static str>) -> Self {
        Self { members: members.into_iter(), structure, current: None }
    }
}

impl<'v> MapAccess<'v> for Members<'v> {
    type Error = Mismatch;

    fn next_key_seed<K: DeserializeSeed<'v>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Mismatch> {
        self.current = self.members.next();
        match self.current {
            Some((key, _)) => {
                let key: StrDeserializer<'_, Mismatch> = key.into_deserializer();
                seed.deserialize(key).map(Some)
            }
            None => Ok(None),
        }
    }

    fn next_value_seed<T: DeserializeSeed<'v>>(&mut self, seed: T) -> Result<T::Value, Mismatch> {
        let (key, value) = self.current.expect("serde asks for a value after its key");
        seed.deserialize(Node(value)).map_err(|error| match self.structure {
            Some(structure) => error.inside(structure, Some(key)),
            None => error,
        })
    }
}

/// A unit variant by its name.
struct Name<'v>(&'v str);

impl<'v> EnumAccess<'v> for Name<'v> {
    type Error = Mismatch;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'v>>(self, seed: T) -> Result<(T::Value, Self), Mismatch> {
        let name: StrDeserializer<'_, Mismatch> = self.0.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'v> VariantAccess<'v> for Name<'v> {
    type Error = Mismatch;

    fn unit_variant(self) -> Result<(), Mismatch> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'v>>(self, _: T) -> Result<T::Value, Mismatch> {
        Err(Mismatch::new(&Value::String(self.0.to_owned()), "object"))
    }

    fn tuple_variant<V: Visitor<'v>>(self, _: usize, _: V) -> Result<V::Value, Mismatch> {
        Err(Mismatch::new(&Value::String(self.0.to_owned()), "object"))
    }

    fn struct_variant<V: Visitor<'v>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Mismatch> {
        Err(Mismatch::new(&Value::String(self.0.to_owned()), "object"))
    }
}
