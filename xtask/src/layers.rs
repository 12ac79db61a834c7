//! Who may depend on whom: the architecture as a check on `cargo metadata`.

use crate::workspace::{metadata, root};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const PROGRAMS: [&str; 5] = ["client", "daemon", "supervisor", "shim", "runtime"];

/// Everything that the runtime and the shim may link, by crate name.
const SMALL_PROGRAMS_MAY_LINK: &[&str] =
    &["rustix", "libc", "serde", "serde_json", "prost", "prost-types", "thiserror"];

/// Checks the rules of ARCHITECTURE.md; all breaches are listed at once.
pub(crate) fn check() -> Result<()> {
    let metadata = metadata()?;
    let packages = packages(&metadata);
    let mut breaches = Vec::new();
    for (name, dependencies) in &packages.ours {
        for dependency in dependencies {
            breaches.extend(breach(name, dependency));
        }
    }
    breaches.extend(linked_too_much(&metadata, &packages, &bans(&read_deny()?)?));
    breaches.extend(misnamed(&metadata));
    if breaches.is_empty() {
        println!("layers: {} crates keep the rules", packages.ours.len());
        return Ok(());
    }
    bail!("layers broken:\n  {}", breaches.join("\n  "));
}

/// The text of `deny.toml`.
fn read_deny() -> Result<String> {
    let path = root().join("deny.toml");
    std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
}

/// Crates that nothing which ships may link, with the reason.
fn bans(deny: &str) -> Result<Vec<(String, String)>> {
    let deny: toml::Table = deny.parse().context("deny.toml")?;
    let list = deny.get("bans").and_then(|bans| bans.get("deny")).and_then(toml::Value::as_array);
    let text = |ban: &toml::Value, field: &str| {
        let text = ban.get(field).and_then(toml::Value::as_str);
        text.map(str::to_owned).with_context(|| format!("a ban without {field} in deny.toml"))
    };
    let bans = list.context("no bans.deny in deny.toml")?.iter();
    bans.map(|ban| Ok((text(ban, "crate")?, text(ban, "reason")?))).collect()
}

struct Packages {
    /// Workspace crates and what they depend on: build and normal dependencies, and for tests,
    /// which are nothing else, those of their tests too.
    ours: BTreeMap<String, BTreeSet<String>>,
}

/// The ids of the workspace's packages.
fn members(metadata: &Value) -> BTreeSet<&str> {
    metadata["workspace_members"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn packages(metadata: &Value) -> Packages {
    let members = members(metadata);
    let mut ours = BTreeMap::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        if !members.contains(package["id"].as_str().unwrap_or_default()) {
            continue;
        }
        let name = package["name"].as_str().unwrap_or_default();
        let dependencies = package["dependencies"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|d| d["kind"].as_str() != Some("dev") || folder(name) == "tests")
            .filter_map(|d| d["name"].as_str().map(str::to_owned))
            .collect();
        ours.insert(name.to_owned(), dependencies);
    }
    Packages { ours }
}

/// The folder that a workspace crate lives in: the first part of its name.
fn folder(name: &str) -> &str {
    name.split_once('-').map_or(name, |(folder, _)| folder)
}

fn breach(name: &str, dependency: &str) -> Option<String> {
    let (from, to) = (folder(name), folder(dependency));
    let ours = PROGRAMS.contains(&to) || ["kernel", "base", "contracts", "tests"].contains(&to);
    if !ours || from == "xtask" {
        return None;
    }
    let wrong = |why: &str| Some(format!("{name} -> {dependency}: {why}"));
    if dependency.ends_with("-main") {
        return wrong("nothing depends on a main");
    }
    if PROGRAMS.contains(&from) && PROGRAMS.contains(&to) && from != to {
        let allowed = from == "shim" && dependency == "runtime-container";
        return if allowed { None } else { wrong("programs meet only in contracts/") };
    }
    if from == "base" && to != "base" {
        return wrong("base depends on base only");
    }
    if from == "contracts" && !["base", "contracts"].contains(&to) {
        return wrong("contracts hold messages, no logic");
    }
    if from == "kernel" && PROGRAMS.contains(&to) {
        return wrong("kernel serves the programs");
    }
    let no_kernel = from == "client" || name == "daemon-http" || name == "daemon-engine";
    if no_kernel && to == "kernel" {
        return wrong("the kernel is not this crate's business");
    }
    if name == "daemon-engine" && dependency == "daemon-http" {
        return wrong("the engine knows no HTTP");
    }
    if from == "tests" && PROGRAMS.contains(&to) {
        return wrong("end-to-end tests see contracts and sockets only");
    }
    None
}

/// Names the crates that a program links and must not: bans for all, an allow-list for the small.
fn linked_too_much(
    metadata: &Value,
    packages: &Packages,
    bans: &[(String, String)],
) -> Vec<String> {
    let names: BTreeMap<&str, &str> = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|p| Some((p["id"].as_str()?, p["name"].as_str()?)))
        .collect();
    let mut edges: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for node in metadata["resolve"]["nodes"].as_array().into_iter().flatten() {
        let Some(id) = node["id"].as_str() else { continue };
        let normal = |dependency: &&Value| {
            dependency["dep_kinds"]
                .as_array()
                .is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()))
        };
        let targets = node["deps"].as_array().into_iter().flatten().filter(normal);
        edges.insert(id, targets.filter_map(|d| d["pkg"].as_str()).collect());
    }
    let mut wrong = Vec::new();
    for program in PROGRAMS {
        let main = format!("{program}-main");
        let Some((&start, _)) = names.iter().find(|(_, name)| **name == main) else { continue };
        let small = program == "shim" || program == "runtime";
        let mut seen = BTreeSet::from([start]);
        let mut queue = vec![start];
        while let Some(id) = queue.pop() {
            let name = names.get(id).copied().unwrap_or_default();
            if let Some((_, why)) = bans.iter().find(|(banned, _)| banned == name) {
                wrong.push(format!("{main} links {name}: {why}"));
            }
            let ours = packages.ours.contains_key(name);
            for next in edges.get(id).into_iter().flatten() {
                let next_name = names.get(next).copied().unwrap_or_default();
                let next_ours = packages.ours.contains_key(next_name);
                if small && ours && !next_ours && !SMALL_PROGRAMS_MAY_LINK.contains(&next_name) {
                    wrong.push(format!("{name} -> {next_name}: not on the small programs' list"));
                }
                if seen.insert(next) {
                    queue.push(next);
                }
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    wrong
}

/// A crate's name is its path.
fn misnamed(metadata: &Value) -> Vec<String> {
    let root = root();
    let members = members(metadata);
    metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|package| members.contains(package["id"].as_str().unwrap_or_default()))
        .filter_map(|package| {
            let name = package["name"].as_str()?;
            let manifest = std::path::Path::new(package["manifest_path"].as_str()?);
            let path = manifest.parent()?.strip_prefix(&root).ok()?.to_str()?;
            (path.replace('/', "-") != name).then(|| format!("{name} lives in {path}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_meet_only_in_contracts() {
        assert!(breach("client-commands", "daemon-engine").is_some());
        assert!(breach("shim-task", "runtime-container").is_none());
        assert!(breach("shim-task", "runtime-cgroups").is_some());
        assert!(breach("daemon-http", "contracts-engine-api").is_none());
    }

    #[test]
    fn the_bans_are_those_of_deny_toml() {
        let bans = bans(&read_deny().unwrap()).unwrap();
        assert!(bans.iter().any(|(name, why)| name == "openssl" && why.contains("rustls")));
        assert!(super::bans("[bans]\ndeny = [{ crate = \"x\" }]").is_err(), "without a reason");
    }

    #[test]
    fn the_engine_knows_neither_http_nor_kernel() {
        assert!(breach("daemon-engine", "daemon-http").is_some());
        assert!(breach("daemon-engine", "kernel-sys").is_some());
        assert!(breach("daemon-network", "kernel-netlink").is_none());
    }
}
