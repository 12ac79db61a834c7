//! Labels: their bounds, and how an update's field mask changes them (containerd's `labels` and
//! `metadata/boltutil`).

use base_errors::{Classify, Kind};
use contracts_supervisor_api::FieldMask;
use std::collections::HashMap;

/// Labels, as all records carry them.
pub type Labels = HashMap<String, String>;

/// Key and value together may be this long.
const MAX_LABEL: usize = 4096;

/// A change of labels that is not allowed.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// One is too long.
    #[error("label key and value length ({0} bytes) greater than maximum size ({MAX_LABEL} bytes)")]
    TooLong(usize),
    /// The mask names something other than labels.
    #[error("cannot update {0:?} field: invalid argument")]
    Field(String),
}

impl Classify for LabelError {
    fn kind(&self) -> Kind {
        Kind::InvalidArgument
    }
}

/// Refuses labels that are too long.
///
/// # Errors
/// One is.
pub fn check(labels: &Labels) -> Result<(), LabelError> {
    match labels.iter().map(|(key, value)| key.len() + value.len()).find(|len| *len > MAX_LABEL) {
        Some(length) => Err(LabelError::TooLong(length)),
        None => Ok(()),
    }
}

/// Changes `labels` as an update request says: without a mask or with `labels` all are replaced,
/// with `labels.KEY` that one is; an empty value takes a label away.
///
/// # Errors
/// A label is too long, or the mask names another field.
pub fn update(
    labels: &mut Labels,
    requested: &Labels,
    mask: Option<&FieldMask>,
) -> Result<(), LabelError> {
    check(requested)?;
    let paths = mask.map_or(&[][..], |mask| &mask.paths);
    if paths.is_empty() {
        labels.clone_from(requested);
    }
    for path in paths {
        if path == "labels" {
            labels.clone_from(requested);
        } else if let Some(key) = path.strip_prefix("labels.") {
            labels.insert(key.to_owned(), requested.get(key).cloned().unwrap_or_default());
        } else {
            return Err(LabelError::Field(path.clone()));
        }
    }
    labels.retain(|_, value| !value.is_empty());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_mask_changes_only_what_it_names() {
        let mut labels = of(&[("a", "1"), ("b", "2")]);
        let mask = FieldMask { paths: vec!["labels.a".into(), "labels.c.d".into()] };
        update(&mut labels, &of(&[("c.d", "3"), ("b", "9")]), Some(&mask)).unwrap();
        assert_eq!(labels, of(&[("b", "2"), ("c.d", "3")]));
        update(&mut labels, &of(&[("z", "1")]), None).unwrap();
        assert_eq!(labels, of(&[("z", "1")]));
        let mask = FieldMask { paths: vec!["size".into()] };
        assert!(update(&mut labels, &Labels::new(), Some(&mask)).is_err());
        assert!(update(&mut labels, &of(&[("k", &"v".repeat(4096))]), None).is_err());
    }
}
