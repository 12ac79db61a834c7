//! The `WWW-Authenticate` header (RFC 9110, section 11.6.1).

use std::collections::HashMap;

/// The longest header looked at.
const MAX_HEADER: usize = 8192;

/// One way to prove who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    /// In lower case.
    pub(super) scheme: String,
    pub(super) parameters: HashMap<String, String>,
}

/// Splits a header into challenges; what cannot be understood ends the list.
pub(super) fn parse(header: &str) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = Vec::new();
    let mut rest = &header[..header.floor_char_boundary(header.len().min(MAX_HEADER))];
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (token, after) = split_token(rest);
        if token.is_empty() {
            return challenges;
        }
        if let Some(value) = after.strip_prefix('=') {
            let Some((value, after)) = split_value(value) else { return challenges };
            if let Some(challenge) = challenges.last_mut() {
                challenge.parameters.insert(token.to_ascii_lowercase(), value);
            }
            rest = after;
        } else {
            let scheme = token.to_ascii_lowercase();
            challenges.push(Challenge { scheme, parameters: HashMap::new() });
            rest = after;
        }
    }
}

fn split_token(text: &str) -> (&str, &str) {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    text.split_at(text.find(|c| !is_token(c)).unwrap_or(text.len()))
}

fn split_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (token, after) = split_token(text);
        return Some((token.to_owned(), after));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            _ => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(scheme: &str, parameters: &[(&str, &str)]) -> Challenge {
        Challenge {
            scheme: scheme.to_owned(),
            parameters: parameters
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn several_challenges_in_one_header_come_apart() {
        let header = r#"Basic realm="a, \"b\"", Bearer realm="https://x/token",service=s,scope="repository:a/b:pull,push""#;
        assert_eq!(
            parse(header),
            [
                challenge("basic", &[("realm", "a, \"b\"")]),
                challenge(
                    "bearer",
                    &[
                        ("realm", "https://x/token"),
                        ("service", "s"),
                        ("scope", "repository:a/b:pull,push")
                    ]
                ),
            ]
        );
    }

    #[test]
    fn damaged_headers_give_what_was_readable() {
        assert_eq!(parse(""), []);
        assert_eq!(parse("Bearer"), [challenge("bearer", &[])]);
        assert_eq!(parse("Bearer realm=\"x"), [challenge("bearer", &[])]);
        assert_eq!(parse("=x"), []);
        assert_eq!(parse(&"é".repeat(9000)), []);
    }
}
