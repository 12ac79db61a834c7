//! `--filter` to the API's parameter.

use crate::arguments::Arguments;
use contracts_engine_api::Filters;

/// The filters that were given, as a parameter; `None` when there are none.
#[must_use]
pub(crate) fn parameter(arguments: &Arguments) -> Option<String> {
    let filters = read(arguments);
    (!filters.is_empty()).then(|| filters.to_json())
}

/// The filters that were given.
#[must_use]
pub(crate) fn read(arguments: &Arguments) -> Filters {
    let mut filters = Filters::default();
    for text in arguments.list("filter") {
        if let Some((name, value)) = text.split_once('=') {
            filters.add(name.trim().to_lowercase(), value.trim());
        }
    }
    filters
}
