//! The `filters` query parameter.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A longer parameter is refused.
const LONGEST: usize = 64 * 1024;

/// Filter names with the values that each may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<String, BTreeSet<String>>);

/// Filters that cannot be accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFilter {
    /// The parameter is not JSON of either shape.
    #[error("invalid filter")]
    Malformed,
    /// No such filter at this endpoint.
    #[error("invalid filter '{0}'")]
    Unknown(String),
    /// The filter exists, this value for it does not.
    #[error("invalid filter '{name}={value}'{}{why}", if why.is_empty() { "" } else { ": " })]
    Value {
        /// The filter.
        name: String,
        /// What was asked for.
        value: String,
        /// What would have been right; may be empty.
        why: String,
    },
}

impl Filters {
    /// Reads `{"name": {"value": true}}` and the older `{"name": ["value"]}`; empty is no filter.
    ///
    /// # Errors
    /// The text has neither shape.
    pub fn from_json(text: &str) -> Result<Self, InvalidFilter> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        if text.len() > LONGEST {
            return Err(InvalidFilter::Malformed);
        }
        let value: Value = serde_json::from_str(text).map_err(|_| InvalidFilter::Malformed)?;
        let Value::Object(names) = value else {
            return if value.is_null() {
                Ok(Self::default())
            } else {
                Err(InvalidFilter::Malformed)
            };
        };
        let mut filters = Self::default();
        for (name, values) in names {
            let set = filters.0.entry(name).or_default();
            match values {
                Value::Object(values) => set.extend(values.into_iter().map(|(value, _)| value)),
                Value::Array(values) => {
                    for value in values {
                        let Value::String(value) = value else {
                            return Err(InvalidFilter::Malformed);
                        };
                        set.insert(value);
                    }
                }
                Value::Null => {}
                _ => return Err(InvalidFilter::Malformed),
            }
        }
        Ok(filters)
    }

    /// The parameter's text for daemons of API 1.22 and later; empty when there is no filter.
    #[must_use]
    pub fn to_json(&self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let names: BTreeMap<_, BTreeMap<_, bool>> = self
            .0
            .iter()
            .map(|(name, values)| (name, values.iter().map(|value| (value, true)).collect()))
            .collect();
        serde_json::to_string(&names).expect("maps of strings are always JSON")
    }

    /// Adds a value.
    pub fn add(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.entry(name.into()).or_default().insert(value.into());
    }

    /// Takes a filter out, with its values.
    pub fn remove(&mut self, name: &str) -> BTreeSet<String> {
        self.0.remove(name).unwrap_or_default()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a filter is given, even without a value.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A filter's values.
    pub fn get(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.get(name).into_iter().flatten().map(String::as_str)
    }

    /// Every filter with its values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &BTreeSet<String>)> {
        self.0.iter().map(|(name, values)| (name.as_str(), values))
    }

    /// Refuses filters that an endpoint does not know.
    ///
    /// # Errors
    /// The first unknown one.
    pub fn accept_only(&self, known: &[&str]) -> Result<(), InvalidFilter> {
        match self.0.keys().find(|name| !known.contains(&name.as_str())) {
            Some(unknown) => Err(InvalidFilter::Unknown(unknown.clone())),
            None => Ok(()),
        }
    }

    /// Whether a value is among a filter's, or the filter is absent.
    #[must_use]
    pub fn matches(&self, name: &str, value: &str) -> bool {
        self.0.get(name).is_none_or(|values| values.is_empty() || values.contains(value))
    }

    /// Whether a map (labels, annotations) satisfies every `key` and `key=value` of a filter.
    #[must_use]
    pub fn matches_pairs(&self, name: &str, pairs: Option<&BTreeMap<String, String>>) -> bool {
        self.get(name).all(|wanted| {
            let (key, value) =
                wanted.split_once('=').map_or((wanted, None), |(key, value)| (key, Some(value)));
            let has = pairs.and_then(|pairs| pairs.get(key));
            has.is_some_and(|has| value.is_none_or(|value| has == value))
        })
    }

    /// A yes-or-no filter (`dangling`): `None` when absent.
    ///
    /// # Errors
    /// A value that is neither, or both at once.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, InvalidFilter> {
        let mut answer = None;
        for value in self.get(name) {
            let read = match value.to_ascii_lowercase().as_str() {
                "1" | "true" | "t" => true,
                "0" | "false" | "f" => false,
                _ => return Err(Self::refusal(name, value)),
            };
            if answer.is_some_and(|before| before != read) {
                return Err(Self::refusal(name, value));
            }
            answer = Some(read);
        }
        Ok(answer)
    }

    fn refusal(name: &str, value: &str) -> InvalidFilter {
        let (name, value, why) = (name.to_owned(), value.to_owned(), String::new());
        InvalidFilter::Value { name, value, why }
    }
}

impl base_errors::Classify for InvalidFilter {
    fn kind(&self) -> base_errors::Kind {
        base_errors::Kind::InvalidArgument
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_say_the_same() {
        let new = Filters::from_json(r#"{"status":{"running":true,"paused":true}}"#).unwrap();
        let old = Filters::from_json(r#"{"status":["running","paused"]}"#).unwrap();
        assert_eq!(new, old);
        assert_eq!(new.to_json(), r#"{"status":{"paused":true,"running":true}}"#);
    }

    #[test]
    fn refusals_have_dockers_words() {
        assert_eq!(Filters::from_json("x").unwrap_err().to_string(), "invalid filter");
        let filters = Filters::from_json(r#"{"x":["1"]}"#).unwrap();
        assert_eq!(filters.accept_only(&["id"]).unwrap_err().to_string(), "invalid filter 'x'");
        let filters = Filters::from_json(r#"{"dangling":["maybe"]}"#).unwrap();
        let error = filters.flag("dangling").unwrap_err();
        assert_eq!(error.to_string(), "invalid filter 'dangling=maybe'");
    }

    #[test]
    fn labels_match_by_key_or_by_key_and_value() {
        let filters = Filters::from_json(r#"{"label":["a","b=2"]}"#).unwrap();
        let labels = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        assert!(filters.matches_pairs("label", Some(&labels(&[("a", ""), ("b", "2")]))));
        assert!(!filters.matches_pairs("label", Some(&labels(&[("a", ""), ("b", "3")]))));
        assert!(!filters.matches_pairs("label", None));
    }

    proptest::proptest! {
        #[test]
        fn filters_survive_their_json(pairs: Vec<(String, String)>) {
            let mut filters = Filters::default();
            for (name, value) in pairs {
                filters.add(name, value);
            }
            proptest::prop_assert_eq!(Filters::from_json(&filters.to_json()).unwrap(), filters);
        }
    }
}
