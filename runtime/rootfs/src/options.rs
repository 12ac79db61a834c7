//! Mount options as mount(8) and the runtime specification write them.

use crate::label::MountLabel;
use kernel_sys::mount::{Change, attribute};

/// Options of one mount, sorted by whom they concern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// A bind mount; `Some(true)` with everything below.
    pub(crate) bind: Option<bool>,
    /// What an existing mount at the place is changed to, instead of a new one.
    pub(crate) remount: bool,
    /// Attributes of this mount.
    pub(crate) change: Change,
    /// Attributes of this mount and all below it.
    pub(crate) recursive: Change,
    /// Propagation changes in order, with whether they are recursive.
    pub(crate) propagation: Vec<(u64, bool)>,
    /// For the file system: `ro`, `size=64k`, `sync`.
    pub(crate) data: Vec<String>,
    /// Fill a new tmpfs with what it hides.
    pub(crate) copy_up: bool,
    /// Map ids; `Some(true)` with everything below.
    pub(crate) idmap: Option<bool>,
    /// A new file system becomes read-only when everything is in it.
    pub(crate) readonly_in_the_end: bool,
}

const MS_UNBINDABLE: u64 = 1 << 17;
pub(crate) const MS_PRIVATE: u64 = 1 << 18;
pub(crate) const MS_SLAVE: u64 = 1 << 19;
pub(crate) const MS_SHARED: u64 = 1 << 20;

/// The kernel's value of a propagation's name, and whether it is recursive.
pub(crate) fn propagation(name: &str) -> Option<(u64, bool)> {
    Some(match name {
        "private" => (MS_PRIVATE, false),
        "rprivate" => (MS_PRIVATE, true),
        "slave" => (MS_SLAVE, false),
        "rslave" => (MS_SLAVE, true),
        "shared" => (MS_SHARED, false),
        "rshared" => (MS_SHARED, true),
        "unbindable" => (MS_UNBINDABLE, false),
        "runbindable" => (MS_UNBINDABLE, true),
        _ => return None,
    })
}

/// The attribute that an option sets or clears.
fn attribute_of(name: &str) -> Option<Change> {
    use attribute::{
        ATIME_MASK, NOATIME, NODEV, NODIRATIME, NOEXEC, NOSUID, NOSYMFOLLOW, RDONLY, RELATIME,
        STRICTATIME,
    };
    let set = |set| Change { set, ..Change::default() };
    let clear = |clear| Change { clear, ..Change::default() };
    // Access time modes are one field: setting one clears the others.
    let atime = |mode| Change { set: mode, clear: ATIME_MASK, ..Change::default() };
    Some(match name {
        "ro" => set(RDONLY),
        "rw" => clear(RDONLY),
        "nosuid" => set(NOSUID),
        "suid" => clear(NOSUID),
        "nodev" => set(NODEV),
        "dev" => clear(NODEV),
        "noexec" => set(NOEXEC),
        "exec" => clear(NOEXEC),
        "nosymfollow" => set(NOSYMFOLLOW),
        "symfollow" => clear(NOSYMFOLLOW),
        "nodiratime" => set(NODIRATIME),
        "diratime" => clear(NODIRATIME),
        "noatime" => atime(NOATIME),
        "strictatime" => atime(STRICTATIME),
        "relatime" | "atime" | "nostrictatime" | "norelatime" => atime(RELATIME),
        _ => return None,
    })
}

fn add(to: &mut Change, change: Change) {
    to.set = (to.set & !change.clear) | change.set;
    to.clear = (to.clear & !change.set) | change.clear;
}

impl Options {
    /// Sorts options. What is not known here is the file system's, as the specification says.
    pub(crate) fn parse<S: AsRef<str>>(options: &[S]) -> Self {
        let mut parsed = Self::default();
        for option in options.iter().map(AsRef::as_ref) {
            parsed.add(option);
        }
        parsed
    }

    /// Those of a read-only file system with a label.
    pub(crate) fn readonly(label: &MountLabel) -> Self {
        let mut options = Self::parse(&["ro"]);
        options.data.extend(label.option());
        options
    }

    /// Puts off being read-only: permissions, places of further mounts and devices come before.
    pub(crate) fn put_readonly_off(&mut self) {
        let readonly = attribute::RDONLY;
        self.readonly_in_the_end = (self.change.set | self.recursive.set) & readonly != 0;
        self.change.set &= !readonly;
        self.recursive.set &= !readonly;
        self.data.retain(|option| option != "ro");
    }

    fn add(&mut self, option: &str) {
        match option {
            "bind" => self.bind = Some(self.bind.unwrap_or(false)),
            "rbind" => self.bind = Some(true),
            "remount" => self.remount = true,
            "tmpcopyup" => self.copy_up = true,
            "idmap" => self.idmap = Some(false),
            "ridmap" => self.idmap = Some(true),
            // Defaults, and what mount(8) keeps to itself.
            "" | "defaults" | "loud" | "silent" => {}
            "async" => self.data.retain(|data| data != "sync"),
            "nolazytime" => self.data.retain(|data| data != "lazytime"),
            "nomand" => self.data.retain(|data| data != "mand"),
            // A flag of mount(2) that new mounts no longer know; file systems count as they do.
            "iversion" | "noiversion" => {}
            _ => {
                if let Some(change) = propagation(option) {
                    self.propagation.push(change);
                } else if let Some(change) = attribute_of(option) {
                    add(&mut self.change, change);
                    // The file system itself becomes read-only too, as with mount(2).
                    match option {
                        "ro" => self.data.push("ro".to_owned()),
                        "rw" => self.data.retain(|data| data != "ro"),
                        _ => {}
                    }
                } else if let Some(change) = option.strip_prefix('r').and_then(attribute_of) {
                    add(&mut self.recursive, change);
                } else {
                    self.data.push(option.to_owned());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_options_are_sorted_by_whom_they_concern() {
        let options = Options::parse(&["nosuid", "strictatime", "mode=755", "size=65536k"]);
        assert_eq!(options.change.set, attribute::NOSUID | attribute::STRICTATIME);
        assert_eq!(options.data, ["mode=755", "size=65536k"]);
        let options = Options::parse(&["rbind", "rprivate", "ro"]);
        assert_eq!(options.bind, Some(true));
        assert_eq!(options.propagation, [(MS_PRIVATE, true)]);
        assert_eq!(options.change.set, attribute::RDONLY);
    }

    #[test]
    fn later_options_win_and_recursive_ones_are_apart() {
        let options = Options::parse(&["ro", "rw", "noatime", "relatime", "rro", "rnosuid"]);
        assert_eq!(options.change.set & (attribute::RDONLY | attribute::NOATIME), 0);
        assert_eq!(options.change.clear & attribute::ATIME_MASK, attribute::ATIME_MASK);
        assert_eq!(options.recursive.set, attribute::RDONLY | attribute::NOSUID);
        assert!(options.data.is_empty());
        let undone = ["sync", "lazytime", "mand", "size=1", "async", "nolazytime", "nomand"];
        assert_eq!(Options::parse(&undone).data, ["size=1"]);
    }

    #[test]
    fn rbind_after_bind_stays_recursive() {
        assert_eq!(Options::parse(&["rbind", "bind"]).bind, Some(true));
        assert_eq!(Options::parse(&["relatime"]).recursive, Change::default());
    }
}
