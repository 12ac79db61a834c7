//! Names for containers that were given none: an adjective and a person of science.

use base_ids::ContainerId;

const ADJECTIVES: [&str; 64] = [
    "able", "agile", "airy", "alert", "amber", "apt", "autumn", "avid", "bold", "brave", "breezy",
    "bright", "brisk", "calm", "careful", "cheery", "clever", "cosy", "crisp", "curious", "daring",
    "deft", "eager", "earnest", "fair", "fleet", "fond", "frank", "gentle", "glad", "golden",
    "hardy", "honest", "humble", "jolly", "keen", "kind", "lively", "loyal", "lucid", "mellow",
    "merry", "mild", "neat", "nimble", "patient", "placid", "plucky", "polite", "quick", "quiet",
    "ready", "serene", "sharp", "silver", "smart", "steady", "sunny", "swift", "tidy", "vivid",
    "warm", "wise", "witty",
];
const SURNAMES: [&str; 64] = [
    "abel",
    "agnesi",
    "ampere",
    "avogadro",
    "banach",
    "barton",
    "bernoulli",
    "boole",
    "borlaug",
    "brahe",
    "burnell",
    "cantor",
    "carnot",
    "cauchy",
    "chandra",
    "clarke",
    "copernicus",
    "coulomb",
    "crick",
    "dalton",
    "darwin",
    "descartes",
    "dirac",
    "erdos",
    "euler",
    "faraday",
    "fermat",
    "fourier",
    "franklin",
    "galois",
    "gauss",
    "germain",
    "godel",
    "halley",
    "hamilton",
    "hertz",
    "hilbert",
    "hypatia",
    "joule",
    "kepler",
    "lagrange",
    "laplace",
    "leibniz",
    "linnaeus",
    "mach",
    "maxwell",
    "mendel",
    "newton",
    "noether",
    "ohm",
    "pascal",
    "planck",
    "poisson",
    "ramanujan",
    "riemann",
    "rutherford",
    "schwarz",
    "somerville",
    "tycho",
    "vesalius",
    "volta",
    "weyl",
    "wilkins",
    "yukawa",
];

/// Draws names, a different one at each attempt.
pub(crate) struct NameSource(ContainerId);

impl NameSource {
    /// A new source.
    pub(crate) fn new() -> Self {
        Self(ContainerId::random())
    }

    /// The name of the `attempt`-th try; later ones carry a digit, so that the source never ends.
    pub(crate) fn name(&self, attempt: usize) -> String {
        let digits = self.0.as_str().as_bytes();
        let number = |at: usize| {
            let pair = [digits[at % 60], digits[at % 60 + 1]];
            let text = std::str::from_utf8(&pair).unwrap_or("0");
            usize::from_str_radix(text, 16).unwrap_or_default()
        };
        let adjective = ADJECTIVES[number(attempt * 4) % ADJECTIVES.len()];
        let surname = SURNAMES[number(attempt * 4 + 2) % SURNAMES.len()];
        if attempt < 6 {
            format!("{adjective}_{surname}")
        } else {
            format!("{adjective}_{surname}{attempt}")
        }
    }
}

/// Whether a user's name is allowed: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
pub(super) fn valid(name: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric();
    name.len() >= 2
        && name.bytes().next().is_some_and(word)
        && name.bytes().all(|b| word(b) || b"_.-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_names_are_allowed_and_later_ones_never_repeat() {
        let source = NameSource::new();
        for attempt in 0..20 {
            assert!(valid(&source.name(attempt)));
        }
        assert_ne!(source.name(7), source.name(8));
    }

    #[test]
    fn short_and_odd_names_are_not_allowed() {
        for bad in ["", "a", "-ab", "a b", "a/b", ".ab"] {
            assert!(!valid(bad), "{bad}");
        }
        assert!(valid("a_b.C-1"));
    }
}
