//! Which of an index's images is for this machine: the one place where that is decided.

use base_oci::image::{Descriptor, Platform};

/// Marks an index's entry that is about another one, not an image (BuildKit's attestations).
const ATTESTATION: &str = "vnd.docker.reference.type";

/// The platform of this machine.
#[must_use]
pub fn host() -> Platform {
    let (architecture, variant) = normalise(std::env::consts::ARCH, "");
    Platform { os: "linux".to_owned(), architecture, variant, ..Platform::default() }
}

/// The platform that a client asked for, in normal form; what it left out is this machine's.
#[must_use]
pub fn wanted(os: &str, architecture: &str, variant: &str) -> Platform {
    let host = host();
    if architecture.is_empty() {
        return Platform {
            os: if os.is_empty() { host.os.clone() } else { os.to_owned() },
            ..host
        };
    }
    let (architecture, variant) = normalise(architecture, variant);
    let os = if os.is_empty() { host.os } else { os.to_ascii_lowercase() };
    Platform { os, architecture, variant, ..Platform::default() }
}

/// The entry of an index for `wanted`, the first of the best; none if there is none.
#[must_use]
pub fn select<'a>(manifests: &'a [Descriptor], wanted: &Platform) -> Option<&'a Descriptor> {
    let mut best: Option<(u32, &Descriptor)> = None;
    for manifest in manifests {
        if manifest.annotations.contains_key(ATTESTATION) {
            continue;
        }
        let Some(rank) = manifest.platform.as_ref().and_then(|offered| fit(offered, wanted)) else {
            continue;
        };
        if best.is_none_or(|(best, _)| rank < best) {
            best = Some((rank, manifest));
        }
    }
    best.map(|(_, manifest)| manifest)
}

/// How well an offer fits: 0 exactly, more for lesser variants that still run; `None` not at all.
#[must_use]
pub fn fit(offered: &Platform, wanted: &Platform) -> Option<u32> {
    let (architecture, variant) = normalise(&offered.architecture, &offered.variant);
    if offered.os != wanted.os {
        return None;
    }
    let (offer, want) = (version(&variant), version(&wanted.variant));
    if architecture == wanted.architecture {
        return match (offer, want) {
            (offer, want) if offer == want => Some(0),
            (Some(offer), Some(want)) if offer < want => Some(want - offer),
            _ => None,
        };
    }
    // A 64-bit ARM machine runs 32-bit programs.
    match (wanted.architecture.as_str(), architecture.as_str()) {
        ("arm64", "arm") => Some(10 + 8_u32.saturating_sub(offer.unwrap_or(7))),
        _ => None,
    }
}

/// containerd's normal form: Go's names, and a variant only where it says something.
fn normalise(architecture: &str, variant: &str) -> (String, String) {
    let variant = variant.to_ascii_lowercase();
    let (architecture, variant) = match architecture.to_ascii_lowercase().as_str() {
        "x86_64" | "x86-64" | "amd64" => ("amd64", if variant == "v1" { "" } else { &variant }),
        "i386" | "i686" | "x86" | "386" => ("386", ""),
        "aarch64" | "arm64" => {
            ("arm64", if matches!(variant.as_str(), "8" | "v8") { "" } else { &variant })
        }
        "armhf" => ("arm", "v7"),
        "armel" => ("arm", "v6"),
        "arm" => (
            "arm",
            match variant.as_str() {
                "" | "7" => "v7",
                "5" => "v5",
                "6" => "v6",
                "8" => "v8",
                other => other,
            },
        ),
        other => return (other.to_owned(), variant),
    };
    (architecture.to_owned(), variant.to_owned())
}

/// `v3` is 3. No variant is the lowest.
fn version(variant: &str) -> Option<u32> {
    if variant.is_empty() { Some(0) } else { variant.strip_prefix('v')?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(os: &str, architecture: &str, variant: &str) -> Descriptor {
        let platform = Platform {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.to_owned(),
            ..Platform::default()
        };
        Descriptor { platform: Some(platform), ..Descriptor::default() }
    }

    fn chosen(offers: &[Descriptor], wanted: &Platform) -> Option<usize> {
        let best = select(offers, wanted)?;
        offers.iter().position(|offer| std::ptr::eq(offer, best))
    }

    #[test]
    fn the_best_variant_that_runs_is_chosen() {
        let arm = [
            offer("linux", "arm", "v5"),
            offer("linux", "arm", "v7"),
            offer("linux", "arm64", "v8"),
            offer("linux", "amd64", ""),
        ];
        assert_eq!(chosen(&arm, &wanted("linux", "amd64", "")), Some(3));
        assert_eq!(chosen(&arm, &wanted("linux", "aarch64", "")), Some(2));
        assert_eq!(chosen(&arm, &wanted("linux", "arm", "v6")), Some(0));
        assert_eq!(chosen(&arm[..2], &wanted("linux", "arm64", "")), Some(1));
        assert_eq!(chosen(&arm, &wanted("linux", "s390x", "")), None);
        assert_eq!(chosen(&arm, &wanted("windows", "amd64", "")), None);
    }

    #[test]
    fn a_variant_that_this_machine_may_lack_is_not_chosen() {
        let offers = [offer("linux", "amd64", "v3"), offer("linux", "amd64", "v1")];
        assert_eq!(chosen(&offers, &wanted("linux", "amd64", "")), Some(1));
        assert_eq!(chosen(&offers, &wanted("linux", "amd64", "v3")), Some(0));
    }

    #[test]
    fn attestations_are_never_chosen() {
        let mut attestation = offer("linux", "amd64", "");
        attestation.annotations.insert(ATTESTATION.to_owned(), "attestation-manifest".to_owned());
        let offers = [attestation, offer("unknown", "unknown", ""), offer("linux", "amd64", "")];
        assert_eq!(chosen(&offers, &wanted("linux", "amd64", "")), Some(2));
    }
}
