//! The networks that always exist, and who is in them.

#![forbid(unsafe_code)]

use serde_json::Value;
use tests_engine::Stage;
use tests_network::address;

#[test]
fn the_three_networks_are_listed_and_found_by_name_id_and_prefix() {
    let stage = Stage::with(&[]);
    for client in stage.clients() {
        let format = "{{.Name}} {{.Driver}} {{.Scope}}";
        let listed = client.ok(&["network", "ls", "--format", format]);
        let mut lines: Vec<&str> = listed.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["bridge bridge local", "host host local", "none null local"]);
        let id = client.ok(&["network", "inspect", "-f", "{{.Id}}", "bridge"]);
        for name in [&id[..], &id[..12], &id[..6]] {
            assert_eq!(client.ok(&["network", "inspect", "-f", "{{.Name}}", name]), "bridge");
        }
        let (_, error) = client.fails(&["network", "inspect", "missing"]);
        // The older client puts it in words of its own.
        let texts = ["network missing not found", "No such network: missing"];
        assert!(texts.iter().any(|text| error.contains(text)), "{error}");
    }
}

#[test]
fn the_default_network_shows_who_is_in_it() {
    let stage = Stage::with(&["web"]);
    let client = &stage.clients()[0];
    let id = client.ok(&["run", "-d", "--name", "web", "web"]);
    let containers = || -> Value {
        let text = client.ok(&["network", "inspect", "-f", "{{json .Containers}}", "bridge"]);
        serde_json::from_str(&text).unwrap()
    };
    let inside = &containers()[&id];
    assert_eq!(inside["Name"], "web");
    assert_eq!(inside["IPv4Address"], format!("{}/16", address(client, "web")));
    let _ = client.ok(&["rm", "-f", "web"]);
    assert_eq!(containers(), serde_json::json!({}));
}

#[test]
fn without_a_network_there_is_only_loopback() {
    let stage = Stage::with(&["busybox"]);
    let client = &stage.clients()[0];
    let links = client.ok(&["run", "--rm", "--network", "none", "busybox", "ls", "/sys/class/net"]);
    assert!(links.split_whitespace().all(|link| link != "eth0"), "{links}");
    let address = client.ok(&["run", "--rm", "--network", "none", "busybox", "ip", "addr"]);
    assert!(address.contains("inet 127.0.0.1/8"), "{address}");
    let (_, error) = client.fails(&["run", "--rm", "--network", "missing", "busybox", "true"]);
    assert!(error.contains("network missing not found"), "{error}");
}

#[test]
fn a_container_can_be_in_anothers_network() {
    let stage = Stage::with(&["web"]);
    let client = &stage.clients()[0];
    let _ = client.ok(&["run", "-d", "--name", "web", "web"]);
    let namespace = ["readlink", "/proc/self/ns/net"];
    let theirs = client.ok(&[&["exec", "web"], &namespace[..]].concat());
    let join = ["run", "--rm", "--network", "container:web", "--entrypoint", "readlink", "web"];
    let ours = client.ok(&[&join[..], &namespace[1..]].concat());
    assert_eq!(ours, theirs);
}

#[test]
fn an_address_rests_before_it_is_given_again() {
    let stage = Stage::with(&["busybox"]);
    let client = &stage.clients()[0];
    let ask = || client.ok(&["run", "--rm", "busybox", "hostname", "-i"]);
    let (first, second) = (ask(), ask());
    assert!(!first.is_empty());
    if std::env::var_os("TEST_GANTRYD").is_none() {
        assert_ne!(first, second, "Docker's lowest address comes again at once, ours does not");
    }
}
