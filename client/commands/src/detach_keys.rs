//! The keys that end an attachment without ending the container.

/// Docker's own: Ctrl-P, Ctrl-Q.
const DEFAULT: [u8; 2] = [16, 17];

/// Reads a key sequence such as `ctrl-p,ctrl-q` or `a,ctrl-\`; empty is Docker's own.
///
/// # Errors
///
/// When a key is unknown.
pub(crate) fn parse(text: &str) -> Result<Vec<u8>, String> {
    if text.is_empty() {
        return Ok(DEFAULT.to_vec());
    }
    text.split(',').map(|key| parse_key(key).ok_or_else(|| unknown(key))).collect()
}

fn unknown(key: &str) -> String {
    format!("Unknown character: '{key}'")
}

fn parse_key(key: &str) -> Option<u8> {
    if let [byte] = key.as_bytes() {
        return Some(*byte);
    }
    match key.strip_prefix("ctrl-")?.as_bytes() {
        [letter @ b'a'..=b'z'] => Some(letter - b'a' + 1),
        [b'@'] => Some(0),
        [b'['] => Some(27),
        [b'\\'] => Some(28),
        [b']'] => Some(29),
        [b'^'] => Some(30),
        [b'_'] => Some(31),
        _ => None,
    }
}

/// Looks for the keys in what is typed. A beginning of the sequence is held back until it is
/// clear that it is not the sequence.
#[derive(Clone, Debug)]
pub(crate) struct Detector {
    keys: Vec<u8>,
    matched: usize,
}

impl Detector {
    /// A detector of `keys`.
    #[must_use]
    pub(crate) fn new(keys: Vec<u8>) -> Self {
        Self { keys, matched: 0 }
    }

    /// Takes what was typed; gives what to pass on, and whether the keys were complete.
    pub(crate) fn feed(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut pass = Vec::with_capacity(typed.len());
        for &byte in typed {
            if byte != self.keys[self.matched] && self.matched > 0 {
                pass.extend_from_slice(&self.keys[..self.matched]);
                self.matched = 0;
            }
            if byte != self.keys[self.matched] {
                pass.push(byte);
                continue;
            }
            self.matched += 1;
            if self.matched == self.keys.len() {
                self.matched = 0;
                return (pass, true);
            }
        }
        (pass, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_read() {
        assert_eq!(parse(""), Ok(vec![16, 17]));
        assert_eq!(parse("ctrl-a,b,ctrl-\\,ctrl-@"), Ok(vec![1, b'b', 28, 0]));
        assert_eq!(parse("ctrl-1"), Err("Unknown character: 'ctrl-1'".into()));
        assert!(parse("shift-x").is_err() && parse("a,").is_err());
    }

    #[test]
    fn keys_are_found_across_reads_and_false_starts_are_passed_on() {
        let mut detector = Detector::new(vec![16, 17]);
        assert_eq!(detector.feed(b"ab\x10"), (b"ab".to_vec(), false));
        assert_eq!(detector.feed(b"c\x10\x10"), (b"\x10c\x10".to_vec(), false));
        assert_eq!(detector.feed(b"\x11rest"), (vec![], true));
    }
}
