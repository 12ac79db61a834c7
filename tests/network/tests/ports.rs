//! Published ports: who has them, who reaches them, and when they are free again.

#![forbid(unsafe_code)]

use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::time::Duration;
use tests_engine::Stage;
use tests_harness::wait;
use tests_network::{address, gateway, page, page_soon};

#[test]
fn a_port_that_is_taken_fails_the_start_in_dockers_words_and_works_once_it_is_free() {
    let stage = Stage::with(&["web"]);
    for client in stage.clients() {
        let _ = client.ok(&["run", "-d", "--name", "first", "-p", "8091:80", "web"]);
        let second = ["run", "-d", "--name", "second", "-p", "8091:80", "web"];
        let (status, error) = client.fails(&second);
        assert_eq!(status, 125, "{error}");
        for part in [
            "driver failed programming external connectivity on endpoint second (",
            "Bind for 0.0.0.0:8091 failed: port is already allocated",
        ] {
            assert!(error.contains(part), "{error}");
        }
        let state =
            client.ok(&["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "second"]);
        assert_eq!(state, "created 128");
        let _ = client.ok(&["rm", "-f", "first"]);
        let _ = client.ok(&["start", "second"]);
        assert_eq!(page_soon(8091), address(&client, "second"));
        let _ = client.ok(&["rm", "-f", "second"]);
    }
}

#[test]
fn a_port_of_another_program_is_refused_and_ours_are_refused_to_others() {
    let stage = Stage::with(&["web"]);
    let client = &stage.clients()[0];
    let other = TcpListener::bind("0.0.0.0:8092").unwrap();
    let (status, error) = client.fails(&["run", "-d", "--name", "web", "-p", "8092:80", "web"]);
    assert_eq!(status, 125, "{error}");
    assert!(error.contains("address already in use"), "{error}");
    drop(other);
    let _ = client.ok(&["start", "web"]);
    let _ = page_soon(8092);
    assert!(TcpListener::bind("0.0.0.0:8092").is_err());
    let _ = client.ok(&["stop", "-t", "0", "web"]);
    let _ = TcpListener::bind("0.0.0.0:8092").unwrap();
}

#[test]
fn a_port_published_on_loopback_is_only_there() {
    let stage = Stage::with(&["web"]);
    let client = &stage.clients()[0];
    let _ = client.ok(&["run", "-d", "--name", "web", "-p", "127.0.0.1:8093:80", "web"]);
    assert_eq!(client.ok(&["port", "web"]), "80/tcp -> 127.0.0.1:8093");
    assert_eq!(page_soon(8093), address(client, "web"));
    assert!(page(gateway(client), 8093).is_err());
    assert!(page(Ipv4Addr::new(127, 0, 0, 2), 8093).is_err());
}

#[test]
fn a_container_reaches_published_ports_on_the_gateway_its_own_included() {
    let stage = Stage::with(&["web"]);
    let client = &stage.clients()[0];
    let _ = client.ok(&["run", "-d", "--name", "web", "-p", "8094:80", "web"]);
    let _ = page_soon(8094);
    let url = format!("http://{}:8094/cgi-bin/address", gateway(client));
    let own = client.ok(&["exec", "web", "wget", "-q", "-O", "-", &url]);
    let wget = ["run", "--rm", "--entrypoint", "wget", "web", "-q", "-O", "-", &url];
    let others = client.ok(&wget);
    let expected = address(client, "web");
    assert_eq!((own.trim(), others.trim()), (expected.as_str(), expected.as_str()));
}

#[test]
fn twenty_servers_started_together_answer_on_twenty_ports() {
    let stage = Stage::with(&["web"]);
    let client = &stage.clients()[0];
    std::thread::scope(|scope| {
        for port in 8100..8120_u16 {
            scope.spawn(move || {
                let _ = client.ok(&["run", "-d", "-p", &format!("{port}:80"), "web"]);
            });
        }
    });
    let mut addresses: Vec<String> = (8100..8120).map(page_soon).collect();
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), 20);
}

#[test]
fn a_port_is_published_on_ipv6_too_and_goes_on_without_the_daemon() {
    let mut stage = Stage::with(&["web"]);
    for client in stage.clients() {
        let _ = client.ok(&["run", "-d", "--name", "web", "-p", "8095:80", "web"]);
        // The older client writes IPv6 addresses without brackets.
        let plain = |text: &str| text.replace(":::", "[::]:");
        let listed = client.ok(&["ps", "--format", "{{.Ports}}"]);
        assert_eq!(plain(&listed), "0.0.0.0:8095->80/tcp, [::]:8095->80/tcp");
        let ports = client.ok(&["port", "web", "80"]);
        assert_eq!(plain(&ports), "0.0.0.0:8095\n[::]:8095");
        let format = "{{json (index .NetworkSettings.Ports \"80/tcp\")}}";
        assert_eq!(
            client.ok(&["inspect", "-f", format, "web"]),
            r#"[{"HostIp":"0.0.0.0","HostPort":"8095"},{"HostIp":"::","HostPort":"8095"}]"#
        );
        let inside = address(&client, "web");
        assert_eq!(page_soon(8095), inside);
        assert_eq!(page(Ipv6Addr::LOCALHOST, 8095).unwrap(), inside);
        let _ = client.ok(&["rm", "-f", "web"]);
        let _ = TcpListener::bind("[::]:8095").expect("free again");
    }
    let _ = stage.clients()[0].ok(&["run", "-d", "--name", "web", "-p", "8095:80", "web"]);
    let inside = address(&stage.clients()[0], "web");
    assert_eq!(page_soon(8095), inside);
    if std::env::var_os("TEST_GANTRYD").is_some() {
        return; // An original's proxies end with it.
    }
    stage.daemon.kill();
    assert_eq!(page(Ipv6Addr::LOCALHOST, 8095).unwrap(), inside, "no daemon");
    stage.daemon.launch();
    assert_eq!(page(Ipv6Addr::LOCALHOST, 8095).unwrap(), inside, "the next daemon");
    let client = &stage.clients()[0];
    let _ = client.ok(&["rm", "-f", "web"]);
    let _ = TcpListener::bind("[::]:8095").expect("free again");
}

#[test]
fn a_port_of_one_address_is_only_there_in_both_families() {
    let stage = Stage::with(&["web"]);
    let client = &stage.clients()[0];
    let _ = client.ok(&["run", "-d", "--name", "web", "-p", "[::1]:8096:80", "web"]);
    assert_eq!(client.ok(&["port", "web"]), "80/tcp -> [::1]:8096");
    let soon = wait::until("the server to answer", Duration::from_secs(60), || {
        page(Ipv6Addr::LOCALHOST, 8096)
    });
    assert_eq!(soon, address(client, "web"));
    assert!(page(Ipv4Addr::LOCALHOST, 8096).is_err());
}
