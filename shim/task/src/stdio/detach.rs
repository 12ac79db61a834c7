//! Finds the detach keys in what a client types.

/// A sequence of bytes, looked for across reads.
#[derive(Debug, Default)]
pub(crate) struct DetachKeys {
    keys: Vec<u8>,
    /// How many of them the last bytes were; those bytes are held back.
    matched: usize,
}

impl DetachKeys {
    /// Looks for `keys`; for nothing when empty.
    pub(crate) fn new(keys: Vec<u8>) -> Self {
        Self { keys, matched: 0 }
    }

    /// Appends to `through` what is input; true when the keys came, which ends the input.
    pub(crate) fn filter(&mut self, bytes: &[u8], through: &mut Vec<u8>) -> bool {
        if self.keys.is_empty() {
            through.extend_from_slice(bytes);
            return false;
        }
        for byte in bytes {
            if *byte != self.keys[self.matched] && self.matched > 0 {
                through.extend_from_slice(&self.keys[..self.matched]);
                self.matched = 0;
            }
            if *byte == self.keys[self.matched] {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    return true;
                }
            } else {
                through.push(*byte);
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_across_reads_and_held_back_meanwhile() {
        let mut keys = DetachKeys::new(vec![16, 17]);
        let mut through = Vec::new();
        assert!(!keys.filter(b"a\x10", &mut through));
        assert_eq!(through, b"a");
        assert!(!keys.filter(b"b", &mut through));
        assert_eq!(through, b"a\x10b");
        assert!(!keys.filter(b"\x10\x10", &mut through));
        assert!(keys.filter(b"\x11ignored", &mut through));
        assert_eq!(through, b"a\x10b\x10");
    }

    #[test]
    fn without_keys_everything_is_input() {
        let mut through = Vec::new();
        assert!(!DetachKeys::default().filter(b"\x10\x11", &mut through));
        assert_eq!(through, b"\x10\x11");
    }
}
