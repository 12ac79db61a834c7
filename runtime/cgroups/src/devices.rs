//! Device rules: which devices a cgroup's processes may use.

use base_oci::runtime::{DeviceKind, DeviceRule};

/// One rule with everything in place; `None` is any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) allow: bool,
    pub(crate) kind: Kind,
    pub(crate) major: Option<u32>,
    pub(crate) minor: Option<u32>,
    pub(crate) access: Access,
}

/// What kind of device a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    All,
    Block,
    Character,
}

/// What may be done with a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) mknod: bool,
}

impl Access {
    const ALL: Self = Self { read: true, write: true, mknod: true };

    fn parse(text: &str) -> Self {
        if text.is_empty() {
            return Self::ALL;
        }
        Self { read: text.contains('r'), write: text.contains('w'), mknod: text.contains('m') }
    }
}

const fn character(major: u32, minor: Option<u32>) -> Rule {
    Rule { allow: true, kind: Kind::Character, major: Some(major), minor, access: Access::ALL }
}

const fn mknod_only(kind: Kind) -> Rule {
    let access = Access { read: false, write: false, mknod: true };
    Rule { allow: true, kind, major: None, minor: None, access }
}

/// What every container may use, whatever its configuration says: the default devices, terminals,
/// tun, and making (not opening) any device file. runc's list.
const ALWAYS: [Rule; 12] = [
    mknod_only(Kind::Character),
    mknod_only(Kind::Block),
    character(1, Some(3)),
    character(1, Some(8)),
    character(1, Some(7)),
    character(5, Some(0)),
    character(1, Some(5)),
    character(1, Some(9)),
    character(136, None),
    character(5, Some(2)),
    character(5, Some(1)),
    character(10, Some(200)),
];

/// The rules that count, in order: whether everything is allowed to begin with, and the rest.
/// A rule for all devices makes those before it meaningless; without one, nothing is allowed.
pub(crate) fn effective(rules: &[DeviceRule]) -> (bool, Vec<Rule>) {
    let (mut everything, mut list) = (false, Vec::with_capacity(rules.len() + ALWAYS.len()));
    for rule in rules.iter().map(parse).chain(ALWAYS) {
        let is_total = rule.kind == Kind::All
            && rule.access == Access::ALL
            && (rule.major, rule.minor) == (None, None);
        if is_total {
            everything = rule.allow;
            list.clear();
            continue;
        }
        let is_allowed_anyway =
            everything && rule.allow && list.iter().all(|earlier: &Rule| earlier.allow);
        if !is_allowed_anyway && !list.contains(&rule) {
            list.push(rule);
        }
    }
    (everything, list)
}

fn parse(rule: &DeviceRule) -> Rule {
    let number = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok());
    Rule {
        allow: rule.allow,
        kind: match rule.kind {
            None | Some(DeviceKind::All | DeviceKind::Fifo) => Kind::All,
            Some(DeviceKind::Block) => Kind::Block,
            Some(DeviceKind::Character | DeviceKind::Unbuffered) => Kind::Character,
        },
        major: number(rule.major),
        minor: number(rule.minor),
        access: Access::parse(&rule.access),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(allow: bool, kind: Option<DeviceKind>, access: &str) -> DeviceRule {
        DeviceRule { allow, kind, access: access.to_owned(), ..DeviceRule::default() }
    }

    #[test]
    fn nothing_is_allowed_but_the_default_devices_when_no_rule_is_given() {
        let (everything, rules) = effective(&[]);
        assert!(!everything);
        assert_eq!(rules, ALWAYS);
    }

    #[test]
    fn a_rule_for_everything_swallows_what_came_before_and_allows_after() {
        let (everything, rules) = effective(&[
            rule(false, None, "rwm"),
            rule(true, Some(DeviceKind::Block), "r"),
            rule(true, Some(DeviceKind::All), "rwm"),
        ]);
        assert!(everything && rules.is_empty());
    }

    #[test]
    fn a_partial_rule_for_all_kinds_is_kept() {
        let (everything, rules) = effective(&[rule(false, None, ""), rule(true, None, "m")]);
        assert!(!everything);
        assert_eq!(rules[0].kind, Kind::All);
    }
}
