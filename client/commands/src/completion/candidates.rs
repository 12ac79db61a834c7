//! What a word on the command line may be: names of commands, flags, and things of the daemon's.

use crate::command::{Command, Group, Names, Operands};
use crate::flag::{Flag, Kind};
use crate::session::Session;
use contracts_engine_api::{container, image, network, volume};

/// What the shell may add to the candidates (cobra `ShellCompDirective`).
const FILES: u32 = 0;
const NO_FILES: u32 = 4;

/// Candidates with what they mean, and what the shell is to do beside them.
pub(super) struct Candidates {
    pub(super) found: Vec<(String, String)>,
    pub(super) directive: u32,
}

/// What the values of some flags are; those of the others are free text.
const VALUES: [(&str, Names); 19] = [
    ("cidfile", Names::Files),
    ("config", Names::Files),
    ("context", Names::Contexts),
    ("device", Names::Files),
    ("env", Names::Variables),
    ("env-file", Names::Files),
    ("label-file", Names::Files),
    ("link", Names::Containers),
    ("log-driver", Names::Words(&["json-file", "local", "none", "syslog", "journald", "fluentd"])),
    ("log-level", Names::Words(&["debug", "info", "warn", "error", "fatal"])),
    ("network", Names::Networks),
    ("pull", Names::Words(&["always", "missing", "never"])),
    ("restart", Names::Words(&["no", "always", "on-failure", "unless-stopped"])),
    ("tlscacert", Names::Files),
    ("tlscert", Names::Files),
    ("tlskey", Names::Files),
    ("type", Names::Words(&["container", "image", "network", "volume"])),
    ("volume", Names::Files),
    ("volumes-from", Names::Containers),
];

/// Finds the candidates for the last of these words.
pub(super) fn find(session: &Session, words: &[String]) -> Candidates {
    let (unfinished, before) = match words.split_last() {
        Some((last, before)) => (last.as_str(), before),
        None => ("", words),
    };
    let place = place(session.root, before);
    let (mut found, directive, unfinished) = match (&place.wanted, unfinished.split_once('=')) {
        (Wanted::Value(flag), _) => with_start(session, values_of(flag), unfinished, &[]),
        (Wanted::Word, Some((name, value))) if name.starts_with("--") => {
            let flag = place.flags().find(|flag| flag.long == &name[2..]);
            let names = flag.map_or(Names::Nothing, values_of);
            with_start(session, names, value, &[])
        }
        (Wanted::Word, _) if unfinished.starts_with('-') => {
            let flags = place.flags().filter(|flag| !flag.hidden);
            let found = flags.map(|flag| (format!("--{}", flag.long), flag.help.to_owned()));
            (found.collect(), NO_FILES, unfinished)
        }
        _ if !place.command.children.is_empty() => {
            let listed = place.command.children.iter().filter(|child| child.group != Group::Hidden);
            let found = listed.map(|child| (child.name.to_owned(), child.about.to_owned()));
            (found.collect(), NO_FILES, unfinished)
        }
        _ => {
            let names = if place.takes_more() { place.command.names } else { Names::Nothing };
            with_start(session, names, unfinished, &place.operands)
        }
    };
    found.retain(|(value, _)| value.starts_with(unfinished));
    found.sort();
    found.dedup();
    Candidates { found, directive }
}

type Found<'w> = (Vec<(String, String)>, u32, &'w str);

fn with_start<'w>(session: &Session, names: Names, start: &'w str, given: &[&str]) -> Found<'w> {
    let mut found = list(session, names);
    found.retain(|name| !given.contains(&name.as_str()));
    let directive = if names == Names::Files { FILES } else { NO_FILES };
    (found.into_iter().map(|name| (name, String::new())).collect(), directive, start)
}

fn values_of(flag: &Flag) -> Names {
    let known = VALUES.iter().find(|(name, _)| *name == flag.long);
    known.map_or(Names::Nothing, |(_, names)| *names)
}

/// What the unfinished word is.
enum Wanted {
    /// A flag's value.
    Value(&'static Flag),
    /// Anything else.
    Word,
}

/// Where in a command line the unfinished word is.
struct Place<'w> {
    command: &'static Command,
    operands: Vec<&'w str>,
    wanted: Wanted,
}

impl Place<'_> {
    fn flags(&self) -> impl Iterator<Item = &'static Flag> {
        let passed_on = !self.command.interspersed && !self.operands.is_empty();
        let lists = if passed_on { &[] } else { self.command.flags };
        lists.iter().copied().flatten()
    }

    /// Whether another operand can be a name; operands of a program are nobody's names.
    fn takes_more(&self) -> bool {
        let most = match self.command.operands {
            _ if !self.command.interspersed => 1,
            Operands::None => 0,
            Operands::Exactly(n) | Operands::AtMost(n) | Operands::Between(_, n) => n,
            Operands::AtLeast(_) | Operands::Any => usize::MAX,
        };
        self.operands.len() < most
    }
}

/// Follows finished words.
fn place<'w>(root: &'static Command, words: &'w [String]) -> Place<'w> {
    let mut place = Place { command: root, operands: Vec::new(), wanted: Wanted::Word };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let flag = match word.strip_prefix("--") {
            Some(long) if !long.contains('=') => place.flags().find(|flag| flag.long == long),
            Some(_) => None,
            None if word.len() > 1 && word.starts_with('-') => last_letter(&place, &word[1..]),
            None => {
                match place.command.child(word) {
                    Some(child) => place.command = child,
                    None => place.operands.push(word),
                }
                continue;
            }
        };
        if let Some(flag) = flag.filter(|flag| flag.kind != Kind::Switch)
            && words.next().is_none()
        {
            place.wanted = Wanted::Value(flag);
        }
    }
    place
}

/// The flag of `-it` whose value comes with the next word; none where the value is there already.
fn last_letter(place: &Place<'_>, letters: &str) -> Option<&'static Flag> {
    for (at, letter) in letters.char_indices() {
        let flag = place.flags().find(|flag| flag.short == Some(letter))?;
        if flag.kind != Kind::Switch {
            return (at + letter.len_utf8() == letters.len()).then_some(flag);
        }
    }
    None
}

/// Things by name. A daemon that cannot be reached has none: completion is no place to complain.
fn list(session: &Session, names: Names) -> Vec<String> {
    match names {
        Names::Nothing | Names::Files => Vec::new(),
        Names::Words(words) => words.iter().map(|&word| word.to_owned()).collect(),
        Names::Variables => session.environment.keys().cloned().collect(),
        Names::Contexts => session.contexts().names(),
        Names::Containers => containers(session, |_| true),
        Names::Running => containers(session, |state| matches!(state, "running" | "paused")),
        Names::Paused => containers(session, |state| state == "paused"),
        Names::Stopped => containers(session, |state| matches!(state, "created" | "exited")),
        Names::Images => images(session),
        Names::Networks => networks(session),
        Names::Volumes => volumes(session),
        Names::Objects => {
            let lists = [Names::Containers, Names::Images, Names::Networks, Names::Volumes];
            lists.into_iter().flat_map(|names| list(session, names)).collect()
        }
    }
}

fn containers(session: &Session, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let request = session.client.get("/containers/json").flag("all", true);
    let found: Vec<container::Summary> = request.fetch().unwrap_or_default();
    let found = found.into_iter().filter(|container| wanted(&container.state));
    let names = found.flat_map(|container| container.names);
    let names = names.map(|name| name.trim_start_matches('/').to_owned());
    names.filter(|name| !name.contains('/')).collect()
}

fn images(session: &Session) -> Vec<String> {
    let found: Vec<image::Summary> = session.client.get("/images/json").fetch().unwrap_or_default();
    let names = found.into_iter().flat_map(|image| image.repo_tags);
    names.filter(|name| name != "<none>:<none>").collect()
}

fn networks(session: &Session) -> Vec<String> {
    let found: Vec<network::Network> = session.client.get("/networks").fetch().unwrap_or_default();
    found.into_iter().map(|network| network.name).collect()
}

fn volumes(session: &Session) -> Vec<String> {
    let found: volume::ListResponse = session.client.get("/volumes").fetch().unwrap_or_default();
    found.volumes.unwrap_or_default().into_iter().map(|volume| volume.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(words: &[&str]) -> Vec<String> {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let session = Session::of_tests(&[("HOME", "/root")]);
        find(&session, &words).found.into_iter().map(|(value, _)| value).collect()
    }

    #[test]
    fn commands_and_flags_are_offered() {
        assert_eq!(found(&["rest"]), ["restart"]);
        assert_eq!(found(&["container", "ex"]), ["exec"]);
        assert_eq!(found(&["run", "--sig"]), ["--sig-proxy"]);
        assert_eq!(found(&["--log-l"]), ["--log-level"]);
        assert!(found(&["__"]).is_empty());
    }

    #[test]
    fn values_of_flags_are_offered_where_they_stand() {
        assert_eq!(found(&["run", "--restart", "al"]), ["always"]);
        assert_eq!(found(&["run", "--restart=al"]), ["always"]);
        assert_eq!(found(&["-l", "wa"]), ["warn"]);
        assert_eq!(found(&["-l", "warn", "rest"]), ["restart"]);
        assert_eq!(found(&["run", "-it", "--pull", "n"]), ["never"]);
        assert_eq!(found(&["run", "-ite", "HO"]), ["HOME"]);
        assert!(found(&["run", "image", "--pull", "n"]).is_empty(), "the container's own");
    }
}
