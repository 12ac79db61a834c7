use super::*;
use clap::{CommandFactory, FromArgMatches};
use std::net::Ipv4Addr;

/// A configuration file, which stays while this lives.
struct Written {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn write(json: &str) -> Written {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("daemon.json");
    std::fs::write(&path, json).unwrap();
    Written { _folder: folder, path }
}

fn settle(flags: &[&str], file: &Written) -> anyhow::Result<Settings> {
    let path = file.path.display().to_string();
    let words = ["gantryd", "--config-file", &path].into_iter().chain(flags.iter().copied());
    let matches = Arguments::command().get_matches_from(words);
    Settings::settle(Arguments::from_arg_matches(&matches).unwrap(), matches)
}

fn settled(flags: &[&str], json: &str) -> anyhow::Result<Settings> {
    settle(flags, &write(json))
}

#[test]
fn the_file_sets_what_flags_leave_open() {
    let json = r#"{"hosts":["unix:///x"],"log-opts":{"max-size":"1m"},"bip":"10.9.0.1/24",
        "default-ulimits":{"nofile":{"Name":"nofile","Hard":20,"Soft":10}},
        "runtimes":{"runc2":{"path":"/usr/bin/runc"}},"log-level":"warn"}"#;
    let settings = settled(&["--mtu", "1400"], json).unwrap();
    assert_eq!(settings.arguments.hosts(), ["unix:///x"]);
    let config = settings.engine("/s".into()).unwrap();
    assert_eq!(config.log.config.unwrap()["max-size"], "1m");
    assert_eq!(config.networks.bip, Some((Ipv4Addr::new(10, 9, 0, 1), 24)));
    assert_eq!(config.default_ulimits[0].hard, 20);
    assert_eq!(config.reloadable.runtimes["runc2"], "/usr/bin/runc");
}

#[test]
fn settings_in_both_places_are_named_with_both_values() {
    for (flags, json, told) in [
        (["--mtu", "1400"], r#"{"mtu":1300}"#, "mtu: (from flag: 1400, from file: 1300)"),
        (
            ["--log-level", "info"],
            r#"{"log-level":"warn"}"#,
            "log-level: (from flag: info, from file: warn)",
        ),
        (
            ["--log-opt", "max-size=1m"],
            r#"{"log-opts":{"max-file":"2"}}"#,
            "log-opts: (from flag: max-size=1m, from file: {\"max-file\":\"2\"})",
        ),
        (["-H", "unix:///a"], r#"{"hosts":["unix:///b"]}"#, "hosts: (from flag: unix:///a"),
    ] {
        let error = settled(&flags, json).unwrap_err().to_string();
        assert!(error.contains("both as a flag and in the configuration file: "), "{error}");
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn unknown_settings_and_wrong_values_are_refused() {
    for json in [
        r#"{"colour":"red"}"#,
        r#"{"default-runtime":"nosuch"}"#,
        r#"{"registry-mirrors":["ftp://x"]}"#,
        r#"{"labels":["novalue"]}"#,
        "{",
    ] {
        let error = format!("{:#}", settled(&[], json).unwrap_err());
        assert!(!error.is_empty() && settled(&[], json).is_err(), "{json}");
    }
    assert!(settled(&["--bip", "10.0.0.1"], "").is_err());
}

#[test]
fn roots_are_absolute() {
    let settings = settled(&["--data-root", "d"], r#"{"exec-root":"e/../f"}"#).unwrap();
    let here = std::env::current_dir().unwrap();
    assert_eq!(settings.arguments.data_root, here.join("d"));
    assert!(settings.arguments.exec_root.is_absolute());
}

#[test]
fn a_changed_file_changes_what_it_names_and_nothing_else() {
    let file = write(r#"{"labels":["a=1"],"mtu":1300}"#);
    let mut settings = settle(&[], &file).unwrap();
    let json = r#"{"debug":true,"insecure-registries":["here:5000"],"mtu":1200}"#;
    std::fs::write(&file.path, json).unwrap();
    let changes = settings.changes().unwrap();
    assert!(changes.reloadable.debug);
    assert_eq!(changes.reloadable.labels, ["a=1"]);
    assert_eq!(changes.reloadable.insecure_registries, ["here:5000"]);
    let now: Vec<&str> = changes.now.iter().map(|(key, ..)| key.as_str()).collect();
    assert_eq!(now, ["debug", "insecure-registries"]);
    assert_eq!(changes.later, ["labels", "mtu"]);
    settings.take(changes);
    assert!(settings.changes().unwrap().now.is_empty());
    assert!(settings.changes().unwrap().reloadable.debug);
}

#[test]
fn a_bad_file_changes_nothing() {
    let file = write(r#"{"debug":true}"#);
    let settings = settle(&[], &file).unwrap();
    for json in ["{", r#"{"debug":1}"#, r#"{"debug":false,"default-runtime":"nosuch"}"#] {
        std::fs::write(&file.path, json).unwrap();
        assert!(settings.changes().is_err(), "{json}");
    }
    std::fs::remove_file(&file.path).unwrap();
    assert!(settings.changes().is_err(), "a file that was named has to be there");
}
