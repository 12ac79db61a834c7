//! The leak check: a census of everything a daemon can leave behind.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a census looks at.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The daemon's data root.
    pub data_root: PathBuf,
    /// The daemon's exec root.
    pub exec_root: PathBuf,
    /// Daemon and supervisor, whose descriptors are counted.
    pub programs: Vec<u32>,
}

/// The host's own network namespace, made with the first container that joins it, and kept.
const HOSTS_NAMESPACE: &str = "netns/default";

/// How many there are of each thing; a thing is `kind: name`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census(BTreeMap<String, usize>);

impl Census {
    /// Counts mounts, network namespaces, links, nftables elements, cgroups, processes,
    /// descriptors and files.
    #[must_use]
    pub fn take(scope: &Scope) -> Self {
        let mut census = Self::default();
        census.mounts(scope);
        census.namespaces();
        census.links();
        census.nftables();
        census.cgroups();
        census.processes(scope);
        census.descriptors(scope);
        census.files(scope);
        census
    }

    /// What is here and was not in `baseline`, or is here more often; a line each.
    #[must_use]
    pub fn beyond(&self, baseline: &Self) -> Vec<String> {
        self.0
            .iter()
            .filter_map(|(thing, &count)| {
                let before = baseline.0.get(thing).copied().unwrap_or(0);
                // Connections are pooled: a few more than at the start are none that were lost.
                let slack = if thing.starts_with("descriptor") { 3 } else { 0 };
                (count > before + slack).then(|| format!("{thing} ({before} -> {count})"))
            })
            .collect()
    }

    /// Every line of the census.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.beyond(&Self::default())
    }

    fn add(&mut self, kind: &str, name: &str) {
        *self.0.entry(format!("{kind}: {name}")).or_default() += 1;
    }

    fn mounts(&mut self, scope: &Scope) {
        let roots = [&scope.data_root, &scope.exec_root].map(|root| root.display().to_string());
        for line in read("/proc/self/mountinfo").lines() {
            let Some(target) = line.split(' ').nth(4) else { continue };
            if target.ends_with(HOSTS_NAMESPACE) {
                continue;
            }
            if roots.iter().any(|root| target.starts_with(root.as_str())) {
                self.add("mount", &anonymous(target));
            }
        }
    }

    /// Network namespaces that any process is in.
    fn namespaces(&mut self) {
        let mut seen = Vec::new();
        for pid in process_ids() {
            if let Ok(namespace) = fs::read_link(format!("/proc/{pid}/ns/net"))
                && !seen.contains(&namespace)
            {
                seen.push(namespace);
                self.add("network namespace", "in use by a process");
            }
        }
    }

    /// Virtual Ethernet links, and links of any kind that are ours by name.
    fn links(&mut self) {
        for link in json(Command::new("ip").args(["-j", "-d", "link", "show"])) {
            let name = link["ifname"].as_str().unwrap_or_default();
            let kind = link["linkinfo"]["info_kind"].as_str().unwrap_or_default();
            if kind == "veth" {
                self.add("link", "veth");
            } else if name.starts_with("gantry") {
                self.add("link", name);
            }
        }
    }

    /// Elements of sets and maps, and rules, in tables that are ours by name.
    fn nftables(&mut self) {
        let Ok(output) = Command::new("nft").args(["-j", "list", "ruleset"]).output() else {
            return;
        };
        let ruleset: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        for object in ruleset["nftables"].as_array().into_iter().flatten() {
            for kind in ["set", "map", "rule", "chain"] {
                let object = &object[kind];
                let table = object["table"].as_str().unwrap_or_default();
                if !table.starts_with("gantry") {
                    continue;
                }
                let name = object["name"].as_str().or(object["chain"].as_str()).unwrap_or_default();
                let elements = object["elem"].as_array().map_or(0, Vec::len);
                for _ in 0..elements {
                    self.add("nft element", &format!("{table} {name}"));
                }
                if elements == 0 {
                    self.add(&format!("nft {kind}"), &format!("{table} {name}"));
                }
            }
        }
    }

    /// Cgroups of containers, by the 64 digits of their names, in every hierarchy.
    fn cgroups(&mut self) {
        for hierarchy in directories(Path::new("/sys/fs/cgroup")) {
            self.cgroups_below(&hierarchy, 0);
        }
    }

    fn cgroups_below(&mut self, directory: &Path, depth: usize) {
        if depth > 4 {
            return;
        }
        for child in directories(directory) {
            let name = child.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name == "process_api" {
                continue;
            }
            if is_id(&name) {
                self.add("cgroup", &anonymous(&child.display().to_string()));
            }
            self.cgroups_below(&child, depth + 1);
        }
    }

    /// Processes that name one of the roots on their command line, and zombies among the
    /// programs' children.
    fn processes(&mut self, scope: &Scope) {
        let roots = [&scope.data_root, &scope.exec_root].map(|root| root.display().to_string());
        for pid in process_ids() {
            let command_line = read(&format!("/proc/{pid}/cmdline")).replace('\0', " ");
            if roots.iter().any(|root| command_line.contains(root.as_str())) {
                let program = command_line.split([' ']).next().unwrap_or_default();
                self.add("process", program.rsplit('/').next().unwrap_or_default());
            }
            let stat = read(&format!("/proc/{pid}/stat"));
            let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
            let (state, parent) = (fields.next(), fields.next().and_then(|p| p.parse().ok()));
            if state == Some("Z") && parent.is_some_and(|parent| scope.programs.contains(&parent)) {
                self.add("process", "zombie");
            }
        }
    }

    fn descriptors(&mut self, scope: &Scope) {
        for (index, pid) in scope.programs.iter().enumerate() {
            for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
                let target = fs::read_link(entry.path()).unwrap_or_default();
                let target = target.to_string_lossy();
                let sort = target.split([':', '[']).next().unwrap_or_default();
                self.add(&format!("descriptor of program {index}"), &anonymous(sort));
            }
        }
    }

    /// Files under both roots; content and snapshots only by their directories.
    fn files(&mut self, scope: &Scope) {
        for root in [&scope.data_root, &scope.exec_root] {
            self.files_below(root, root, 0);
        }
    }

    fn files_below(&mut self, root: &Path, directory: &Path, depth: usize) {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            if relative.starts_with("content/blobs") {
                continue;
            }
            // The folders of a containerd namespace are made with its first container and stay.
            let parent = relative.rsplit_once('/').map_or("", |(parent, _)| parent);
            let of_namespace = relative == "supervisor/runtime"
                || matches!(parent, "supervisor/runtime" | "supervisor/tasks");
            if !of_namespace && relative != HOSTS_NAMESPACE {
                self.add("file", &anonymous(&relative));
            }
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let opaque = relative.starts_with("snapshots/") || relative.ends_with("/rootfs");
            if is_directory && depth < 6 && !opaque {
                self.files_below(root, &path, depth + 1);
            }
        }
    }
}

/// A path with its ids and numbers replaced, so that two censuses can be compared.
fn anonymous(path: &str) -> String {
    let mut out = String::new();
    for (index, part) in path.split('/').enumerate() {
        if index > 0 {
            out.push('/');
        }
        let mut rest = part;
        while !rest.is_empty() {
            let hex = rest.bytes().take_while(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')).count();
            if hex >= 12 {
                out.push_str("ID");
                rest = &rest[hex..];
            } else if hex > 0 && hex == rest.len() && rest.bytes().all(|b| b.is_ascii_digit()) {
                out.push('N');
                rest = "";
            } else {
                let skip = rest.chars().next().map_or(0, char::len_utf8).max(hex);
                let _ = write!(out, "{}", &rest[..skip]);
                rest = &rest[skip..];
            }
        }
    }
    out
}

fn is_id(name: &str) -> bool {
    name.len() >= 64 && name.bytes().rev().take(64).all(|b| b.is_ascii_hexdigit())
}

fn read(path: &str) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn directories(parent: &Path) -> Vec<PathBuf> {
    fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn process_ids() -> Vec<u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

fn json(command: &mut Command) -> Vec<serde_json::Value> {
    let output = command.stderr(Stdio::null()).output();
    output
        .ok()
        .and_then(|output| serde_json::from_slice::<Vec<serde_json::Value>>(&output.stdout).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_numbers_become_placeholders() {
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(anonymous(&format!("/run/x/{id}/{id}-json.log")), "/run/x/ID/ID-json.log");
        assert_eq!(anonymous("snapshots/17/fs"), "snapshots/N/fs");
        assert_eq!(anonymous("daemon.sock"), "daemon.sock");
    }

    #[test]
    fn many_more_descriptors_are_a_leak_and_a_few_are_not() {
        let (mut few, mut many) = (Census::default(), Census::default());
        (0..3).for_each(|_| few.add("descriptor of program 0", "socket"));
        (0..4).for_each(|_| many.add("descriptor of program 0", "socket"));
        assert!(few.beyond(&Census::default()).is_empty());
        assert_eq!(many.beyond(&Census::default()).len(), 1);
    }

    #[test]
    fn only_what_is_new_is_beyond_a_baseline() {
        let mut before = Census::default();
        before.add("mount", "a");
        let mut after = before.clone();
        after.add("mount", "a");
        after.add("link", "veth");
        assert_eq!(after.beyond(&before), ["link: veth (0 -> 1)", "mount: a (1 -> 2)"]);
        assert!(before.beyond(&after).is_empty());
    }
}
