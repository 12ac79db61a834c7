//! `key=value` words of flags as a map.

use std::collections::BTreeMap;

/// The pairs; a word without a value has an empty one, and a later word wins.
#[must_use]
pub(crate) fn of<'w>(words: impl IntoIterator<Item = &'w str>) -> BTreeMap<String, String> {
    let split = |text: &'w str| {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        (key.to_owned(), value.to_owned())
    };
    words.into_iter().map(split).collect()
}
