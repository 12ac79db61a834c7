//! Who a process runs as: `--user` looked up in the image's passwd and group files.

use crate::error::{Error, Result};

/// The image's account files; hostile input, already capped in size.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accounts {
    /// `/etc/passwd`.
    pub(crate) passwd: String,
    /// `/etc/group`.
    pub(crate) group: String,
}

/// Numeric identity of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) additional_gids: Vec<u32>,
}

/// Largest id: ids are signed in Docker's lookup.
const MAX_ID: u32 = i32::MAX as u32;

impl Accounts {
    /// Resolves `user[:group]` and `--group-add`.
    pub(crate) fn identify(&self, user: &str, group_add: &[String]) -> Result<Identity> {
        let (user, group) = user.split_once(':').unwrap_or((user, ""));
        let user = if user.is_empty() { "0" } else { user };
        let number = user.parse::<u32>().ok();
        let entry = self.entries(&self.passwd).find(|fields| {
            fields.first() == Some(&user)
                || number.is_some_and(|uid| field_number(fields, 2) == Some(uid))
        });
        let (uid, mut gid) = match (&entry, number) {
            (Some(fields), _) => (
                field_number(fields, 2).unwrap_or_default(),
                field_number(fields, 3).unwrap_or_default(),
            ),
            (None, Some(uid)) if uid <= MAX_ID => (uid, 0),
            (None, Some(_)) => {
                return Err(Error::invalid("uids and gids must be in range 0-2147483647"));
            }
            (None, None) => {
                return Err(Error::internal_text(format!(
                    "unable to find user {user}: no matching entries in passwd file"
                )));
            }
        };
        let mut additional = Vec::new();
        if group.is_empty() {
            if let Some(name) = entry.as_ref().and_then(|fields| fields.first()) {
                additional = self.groups_of(name);
            }
        } else {
            gid = self.group_id(group)?;
        }
        // The primary group is a supplementary one too, so that dropping it does not help a
        // process past a file that denies that group (CVE-2022-36109).
        let mut gids = vec![gid];
        for wanted in group_add {
            additional.push(self.group_id(wanted)?);
        }
        for one in additional {
            if !gids.contains(&one) {
                gids.push(one);
            }
        }
        Ok(Identity { uid, gid, additional_gids: gids })
    }

    fn group_id(&self, group: &str) -> Result<u32> {
        let number = group.parse::<u32>().ok();
        let entry = self.entries(&self.group).find(|fields| {
            fields.first() == Some(&group)
                || number.is_some_and(|gid| field_number(fields, 2) == Some(gid))
        });
        match (entry, number) {
            (Some(fields), _) => Ok(field_number(&fields, 2).unwrap_or_default()),
            (None, Some(gid)) if gid <= MAX_ID => Ok(gid),
            (None, Some(_)) => Err(Error::invalid("uids and gids must be in range 0-2147483647")),
            (None, None) => Err(Error::internal_text(format!(
                "unable to find group {group}: no matching entries in group file"
            ))),
        }
    }

    fn groups_of(&self, user: &str) -> Vec<u32> {
        self.entries(&self.group)
            .filter(|fields| {
                fields.get(3).is_some_and(|members| members.split(',').any(|m| m.trim() == user))
            })
            .filter_map(|fields| field_number(&fields, 2))
            .collect()
    }

    fn entries<'a>(&self, file: &'a str) -> impl Iterator<Item = Vec<&'a str>> + use<'a> {
        file.lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| line.split(':').collect())
    }
}

fn field_number(fields: &[&str], index: usize) -> Option<u32> {
    fields.get(index)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        Accounts {
            passwd: "root:x:0:0:root:/root:/bin/sh\nwww:x:33:34:w:/var/www:/bin/false\n".into(),
            group: "root:x:0:\nwww:x:34:\nadm:x:4:root,www\nlogs:x:50:www\n".into(),
        }
    }

    fn gids(user: &str, add: &[&str]) -> (u32, u32, Vec<u32>) {
        let add: Vec<String> = add.iter().map(|g| (*g).to_owned()).collect();
        let who = accounts().identify(user, &add).unwrap();
        (who.uid, who.gid, who.additional_gids)
    }

    #[test]
    fn users_bring_their_groups_unless_a_group_is_named() {
        assert_eq!(gids("", &[]), (0, 0, vec![0, 4]));
        assert_eq!(gids("www", &[]), (33, 34, vec![34, 4, 50]));
        assert_eq!(gids("33", &["logs", "77"]), (33, 34, vec![34, 4, 50, 77]));
        assert_eq!(gids("www:root", &[]), (33, 0, vec![0]));
        assert_eq!(gids("1234", &[]), (1234, 0, vec![0]));
        assert_eq!(gids("1234:99", &[]), (1234, 99, vec![99]));
    }

    #[test]
    fn unknown_names_fail_in_dockers_words() {
        let fail = |user: &str| accounts().identify(user, &[]).unwrap_err().to_string();
        assert_eq!(fail("who"), "unable to find user who: no matching entries in passwd file");
        assert_eq!(fail("www:x"), "unable to find group x: no matching entries in group file");
        assert_eq!(fail("4294967295"), "uids and gids must be in range 0-2147483647");
    }
}
