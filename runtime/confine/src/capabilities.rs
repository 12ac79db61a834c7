//! Capability sets.

use crate::{Error, refused};
use base_oci::capabilities::NAMES;
use base_oci::runtime;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities,
};

/// The five sets as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sets {
    bounding: u64,
    effective: u64,
    inheritable: u64,
    permitted: u64,
    ambient: u64,
}

impl Sets {
    /// Reads the configuration's names. Unknown ones are left out: a newer engine may know more than
    /// this program ([`ungranted`] tells of them).
    #[must_use]
    pub fn parse(sets: &runtime::Capabilities) -> Self {
        Self {
            bounding: bits(&sets.bounding),
            effective: bits(&sets.effective),
            inheritable: bits(&sets.inheritable),
            permitted: bits(&sets.permitted),
            ambient: bits(&sets.ambient),
        }
    }

    /// Lowers the bounding set; needs `CAP_SETPCAP`, so it comes before the others. Capabilities
    /// of a kernel newer than this program go too: exec as root gives all that is left in it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn apply_bounding(&self) -> Result<(), Error> {
        for number in dropped(self.bounding) {
            let bit = CapabilitySet::from_bits_retain(1 << number);
            match remove_capability_from_bounding_set(bit) {
                Ok(()) => {}
                // The kernel knows no higher ones.
                Err(rustix::io::Errno::INVAL) => return Ok(()),
                Err(errno) => return Err(refused(format!("drop capability {number}"))(errno)),
            }
        }
        Ok(())
    }

    /// Puts only the final effective set in force and keeps what is permitted, so that paths are
    /// looked up with the program's rights while the way back is open.
    ///
    /// # Errors
    /// The kernel's.
    pub fn apply_effective_only(&self) -> Result<(), Error> {
        let now = current()?;
        let effective = self.effective & now.permitted.bits();
        set(CapabilitySets { effective: CapabilitySet::from_bits_retain(effective), ..now })
    }

    /// Puts everything permitted in force again.
    ///
    /// # Errors
    /// The kernel's.
    pub fn raise_all() -> Result<(), Error> {
        let now = current()?;
        set(CapabilitySets { effective: now.permitted, ..now })
    }

    /// Sets effective, permitted, inheritable and ambient. What the runtime itself does not have
    /// cannot be given and is left out, as the specification wants.
    ///
    /// # Errors
    /// The kernel's.
    pub fn apply(&self) -> Result<(), Error> {
        let own = current()?.permitted.bits();
        let permitted = self.permitted & own;
        let inheritable = self.inheritable & own;
        set(CapabilitySets {
            effective: CapabilitySet::from_bits_retain(self.effective & permitted),
            permitted: CapabilitySet::from_bits_retain(permitted),
            inheritable: CapabilitySet::from_bits_retain(inheritable),
        })?;
        let _ = clear_ambient_capability_set();
        let ambient = self.ambient & permitted & inheritable;
        for (number, name) in NAMES.iter().enumerate() {
            let bit = 1_u64 << number;
            if ambient & bit != 0 {
                configure_capability_in_ambient_set(CapabilitySet::from_bits_retain(bit), true)
                    .map_err(refused(format!("raise ambient {name}")))?;
            }
        }
        Ok(())
    }
}

fn current() -> Result<CapabilitySets, Error> {
    capabilities(None).map_err(refused("read capabilities"))
}

fn set(sets: CapabilitySets) -> Result<(), Error> {
    set_capabilities(None, sets).map_err(refused("set capabilities"))
}

/// The numbers that a bounding set leaves out, as far as the kernel's type of sets goes.
fn dropped(bounding: u64) -> impl Iterator<Item = u32> {
    (0..u64::BITS).filter(move |number| bounding & 1 << number == 0)
}

/// The names that are asked for in vain, sorted: nobody knows them, or this process does not have them
/// to give. In a user namespace of its own a container has all of them.
///
/// # Errors
/// The kernel's.
pub fn ungranted(
    sets: &runtime::Capabilities,
    has_user_namespace: bool,
) -> Result<Vec<&str>, Error> {
    let own = if has_user_namespace { u64::MAX } else { current()?.permitted.bits() };
    Ok(outside(sets, own))
}

/// The names that are not among these bits, or that the kernel takes only with others.
fn outside<'a>(sets: &'a runtime::Capabilities, own: u64) -> Vec<&'a str> {
    let lists =
        [&sets.bounding, &sets.effective, &sets.permitted, &sets.inheritable, &sets.ambient];
    let is_outside =
        |name: &&String| number(name.as_str()).is_none_or(|number| own & 1 << number == 0);
    let mut names = Vec::new();
    for (index, list) in lists.iter().enumerate() {
        // Most configurations have one list several times.
        if !lists[..index].contains(list) {
            names.extend(list.iter().filter(is_outside).map(String::as_str));
        }
    }
    // The kernel has nothing in force that is not permitted, and nothing ambient that is not also
    // inheritable.
    let mut add = |list: &'a [String], possible: u64| {
        let in_vain =
            |name: &&String| number(name.as_str()).is_some_and(|n| possible & 1 << n == 0);
        names.extend(list.iter().filter(in_vain).map(String::as_str));
    };
    if sets.effective != sets.permitted {
        add(&sets.effective, bits(&sets.permitted));
    }
    if !sets.ambient.is_empty() {
        add(&sets.ambient, bits(&sets.permitted) & bits(&sets.inheritable));
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// The bits of these names.
fn bits(names: &[String]) -> u64 {
    let numbers = names.iter().filter_map(|name| number(name));
    numbers.fold(0, |bits, number| bits | 1 << number)
}

fn number(name: &str) -> Option<usize> {
    NAMES.iter().position(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_bits_and_unknown_names_are_left_out() {
        let names = ["CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_UNHEARD_OF"].map(str::to_owned).to_vec();
        let sets = Sets::parse(&runtime::Capabilities {
            bounding: names.clone(),
            permitted: names,
            ..runtime::Capabilities::default()
        });
        assert_eq!(sets.bounding, 1 | 1 << 21);
        assert_eq!(sets.effective, 0);
    }

    #[test]
    fn names_that_are_asked_for_in_vain_are_told_once() {
        let lists = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let sets = runtime::Capabilities {
            bounding: lists(&["CAP_KILL", "CAP_UNHEARD_OF", "cap_chown"]),
            permitted: lists(&["CAP_KILL", "CAP_UNHEARD_OF", "cap_chown"]),
            ambient: lists(&["CAP_KILL", "CAP_SYS_ADMIN"]),
            ..runtime::Capabilities::default()
        };
        // Ambient ones are not inheritable here.
        let expected = ["CAP_KILL", "CAP_SYS_ADMIN", "CAP_UNHEARD_OF"];
        assert_eq!(outside(&sets, 1 | 1 << 5), expected);
        assert_eq!(ungranted(&sets, true).unwrap(), expected);
        let more = runtime::Capabilities {
            effective: lists(&["CAP_KILL", "CAP_CHOWN"]),
            permitted: lists(&["CAP_KILL"]),
            ..runtime::Capabilities::default()
        };
        assert_eq!(ungranted(&more, true).unwrap(), ["CAP_CHOWN"]);
    }

    #[test]
    fn capabilities_without_a_name_yet_are_dropped_too() {
        let all_named = (1_u64 << NAMES.len()) - 1;
        assert_eq!(dropped(all_named).collect::<Vec<_>>(), (41..64).collect::<Vec<_>>());
        assert_eq!(dropped(all_named & !(1 << 21)).next(), Some(21));
    }
}
