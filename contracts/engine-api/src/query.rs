//! Values of query parameters, read as dockerd reads them.

/// A switch: empty, `0`, `no`, `false` and `none` are off, everything else is on.
#[must_use]
pub fn switch(text: &str) -> bool {
    let text = text.trim().to_ascii_lowercase();
    !matches!(text.as_str(), "" | "0" | "no" | "false" | "none")
}

/// A number that Go's `strconv.Atoi` would read; absent and empty are `None`.
///
/// # Errors
/// Go's text, which is what the client sees.
pub fn number(text: &str) -> Result<Option<i64>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse() {
        Ok(number) => Ok(Some(number)),
        Err(error) => {
            use std::num::IntErrorKind::{NegOverflow, PosOverflow};
            let why = match error.kind() {
                PosOverflow | NegOverflow => "value out of range",
                _ => "invalid syntax",
            };
            Err(format!("strconv.Atoi: parsing {text:?}: {why}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_on_unless_it_says_no() {
        for off in ["", "0", "no", "NO", "False", "none", " 0 "] {
            assert!(!switch(off), "{off:?}");
        }
        for on in ["1", "true", "yes", "2", "x"] {
            assert!(switch(on), "{on:?}");
        }
    }

    #[test]
    fn numbers_fail_in_gos_words() {
        assert_eq!(number("12"), Ok(Some(12)));
        assert_eq!(number(""), Ok(None));
        assert_eq!(number("x").unwrap_err(), r#"strconv.Atoi: parsing "x": invalid syntax"#);
    }
}
