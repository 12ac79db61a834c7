//! Device rules: which devices a cgroup's processes may use.

use crate::Error;
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

    const NONE: Self = Self { read: false, write: false, mknod: false };

    fn and(self, other: Self) -> Self {
        Self {
            read: self.read && other.read,
            write: self.write && other.write,
            mknod: self.mknod && other.mknod,
        }
    }

    fn without(self, other: Self) -> Self {
        Self {
            read: self.read && !other.read,
            write: self.write && !other.write,
            mknod: self.mknod && !other.mknod,
        }
    }
}

impl Rule {
    /// Whether it is for all that the other is for.
    fn covers(&self, other: &Self) -> bool {
        let covers = |own: Option<u32>, other: Option<u32>| own.is_none() || own == other;
        self.kind == other.kind
            && covers(self.major, other.major)
            && covers(self.minor, other.minor)
    }

    /// Whether some device is meant by both, for some use.
    fn meets(&self, other: &Self) -> bool {
        let meets = |own: Option<u32>, other: Option<u32>| {
            own.zip(other).is_none_or(|(own, other)| own == other)
        };
        self.kind == other.kind
            && meets(self.major, other.major)
            && meets(self.minor, other.minor)
            && self.access.and(other.access) != Access::NONE
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
const ALWAYS: [Rule; 11] = [
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
    character(10, Some(200)),
];

/// The rules that count, in order: whether everything is allowed to begin with, and the rest.
/// A rule for all devices makes those before it meaningless; without one, nothing is allowed.
///
/// # Errors
/// A rule is for what is no device.
pub(crate) fn effective(rules: &[DeviceRule]) -> Result<(bool, Vec<Rule>), Error> {
    let (mut everything, mut list) = (false, Vec::with_capacity(rules.len() + ALWAYS.len()));
    for rule in rules.iter().map(parse).chain(ALWAYS.map(Ok)) {
        let rule = rule?;
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
    Ok((everything, list))
}

/// The same for cgroup v1, which has a list of exceptions from what is allowed or denied to begin
/// with, and takes back an exception only as it was made: what the exceptions are in the end.
///
/// # Errors
/// Likewise; or a rule is to take back a part of an exception for several devices.
pub(crate) fn exceptions(rules: &[DeviceRule]) -> Result<(bool, Vec<Rule>), Error> {
    let (everything, rules) = effective(rules)?;
    let mut list: Vec<Rule> = Vec::with_capacity(rules.len());
    for rule in rules.into_iter().flat_map(of_each_kind) {
        if rule.allow != everything {
            list.push(rule);
            continue;
        }
        for exception in list.iter_mut().filter(|exception| exception.meets(&rule)) {
            if rule.covers(exception) {
                exception.access = exception.access.without(rule.access);
            } else if !ALWAYS.contains(&rule) {
                return Err(Error::DeviceHole(crate::v1::line(&rule)));
            }
        }
        list.retain(|exception| exception.access != Access::NONE);
    }
    Ok((everything, list))
}

/// cgroup v1 takes a rule for all kinds for one for everything, whatever else is said in it.
fn of_each_kind(rule: Rule) -> impl Iterator<Item = Rule> {
    let kinds: &[Kind] = match rule.kind {
        Kind::All => &[Kind::Block, Kind::Character],
        Kind::Block => &[Kind::Block],
        Kind::Character => &[Kind::Character],
    };
    kinds.iter().map(move |&kind| Rule { kind, ..rule })
}

fn parse(rule: &DeviceRule) -> Result<Rule, Error> {
    let number = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok());
    let none = |kind: &str| Error::Invalid { what: "cgroup device type", value: kind.to_owned() };
    Ok(Rule {
        allow: rule.allow,
        kind: match rule.kind {
            None | Some(DeviceKind::All) => Kind::All,
            Some(DeviceKind::Block) => Kind::Block,
            Some(DeviceKind::Character) => Kind::Character,
            Some(DeviceKind::Fifo) => return Err(none("p")),
            Some(DeviceKind::Unbuffered) => return Err(none("u")),
        },
        major: number(rule.major),
        minor: number(rule.minor),
        access: Access::parse(&rule.access),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(allow: bool, kind: Option<DeviceKind>, access: &str) -> DeviceRule {
        DeviceRule { allow, kind, access: access.to_owned(), ..DeviceRule::default() }
    }

    #[test]
    fn nothing_is_allowed_but_the_default_devices_when_no_rule_is_given() {
        let (everything, rules) = effective(&[]).unwrap();
        assert!(!everything);
        assert_eq!(rules, ALWAYS);
    }

    #[test]
    fn a_rule_for_everything_swallows_what_came_before_and_allows_after() {
        let (everything, rules) = effective(&[
            rule(false, None, "rwm"),
            rule(true, Some(DeviceKind::Block), "r"),
            rule(true, Some(DeviceKind::All), "rwm"),
        ])
        .unwrap();
        assert!(everything && rules.is_empty());
    }

    fn numbered(allow: bool, major: i64, minor: Option<i64>, access: &str) -> DeviceRule {
        DeviceRule { major: Some(major), minor, ..rule(allow, Some(DeviceKind::Character), access) }
    }

    #[test]
    fn exceptions_are_taken_back_or_refused_and_never_stay() {
        let in_the_end = |rules: &[DeviceRule]| {
            let list = exceptions(rules).unwrap().1;
            let own = list.into_iter().filter(|rule| !ALWAYS.contains(rule));
            own.map(|rule| crate::v1::line(&rule)).collect::<Vec<_>>()
        };
        let one = numbered(true, 10, Some(237), "rwm");
        assert_eq!(
            in_the_end(&[one.clone(), numbered(false, 10, Some(237), "w")]),
            ["c 10:237 rm"]
        );
        assert!(in_the_end(&[one.clone(), numbered(false, 10, None, "rwm")]).is_empty());
        let hole = [numbered(true, 10, None, "rwm"), numbered(false, 10, Some(237), "rwm")];
        assert!(exceptions(&hole).unwrap_err().to_string().contains("cannot punch hole"));
        // The default devices are no reason to refuse a rule that takes them.
        let all = rule(true, None, "rwm");
        assert_eq!(in_the_end(&[all, numbered(false, 1, None, "rwm")]), ["c 1:* rw"]);
        let mknod = rule(true, Some(DeviceKind::All), "m");
        assert_eq!(exceptions(&[mknod]).unwrap().1[0].kind, Kind::Block);
    }

    #[test]
    fn a_rule_for_a_pipe_is_refused() {
        let error = effective(&[rule(true, Some(DeviceKind::Fifo), "m")]).unwrap_err();
        assert_eq!(error.to_string(), "cgroup device type p is not valid");
    }

    #[test]
    fn a_partial_rule_for_all_kinds_is_kept() {
        let (everything, rules) =
            effective(&[rule(false, None, ""), rule(true, None, "m")]).unwrap();
        assert!(!everything);
        assert_eq!(rules[0].kind, Kind::All);
    }
}
