//! Small pieces of what lists show.

/// Help for `--format` of a list.
pub(crate) const LIST_FORMAT_HELP: &str = "Format output using a custom template:\n'table':            Table with column headers (default)\n'table TEMPLATE':   Table of the template's columns\n'json':             One JSON object a line\n'TEMPLATE':         One line for each, by the Go template";

/// Help for `--format` of one thing.
pub(crate) const FORMAT_HELP: &str = "Format output using a custom template:\n'json':             JSON\n'TEMPLATE':         By the Go template";

/// An id without `sha256:`, cut to twelve digits unless `whole`.
#[must_use]
pub(crate) fn id(id: &str, whole: bool) -> &str {
    if whole {
        return id;
    }
    let bare = id.split_once(':').map_or(id, |(_, bare)| bare);
    bare.get(..12).unwrap_or(bare)
}

/// Cuts to `width` characters, the last of them an ellipsis.
#[must_use]
pub(crate) fn ellipsis(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    kept + "…"
}

/// The format: the flag's, else the configuration's unless only ids are wanted.
#[must_use]
pub(crate) fn format_text<'a>(flag: &'a str, configured: &'a str, quiet: bool) -> &'a str {
    if flag.is_empty() && !quiet { configured } else { flag }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_long_texts_are_cut() {
        assert_eq!(id("sha256:0123456789abcdef", false), "0123456789ab");
        assert_eq!(id("sha256:0123", true), "sha256:0123");
        assert_eq!(ellipsis("abcdef", 4), "abc…");
        assert_eq!(ellipsis("abcd", 4), "abcd");
    }
}
