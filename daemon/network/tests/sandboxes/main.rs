//! Sandboxes on the running kernel, each test in network and mount namespaces of its own. Needs
//! root; `nft` is the oracle of what is left behind.

#![expect(clippy::unwrap_used, reason = "tests")]

mod world;

use base_ids::ContainerId;
use daemon_network::{Error, MacAddress, Networks, NetworksConfig, Protocol, SandboxRequest};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;
use world::{World, output_of};

fn v4(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn v6(text: &str) -> IpAddr {
    IpAddr::V6(text.parse().unwrap())
}

#[test]
fn the_predefined_networks_keep_their_ids() {
    World::run(|world| {
        let first = Networks::open(world.config(0)).unwrap();
        let list = first.list();
        let names: Vec<_> = list.iter().map(|n| (n.name.as_str(), n.driver.as_str())).collect();
        assert_eq!(names, [("bridge", "bridge"), ("host", "host"), ("none", "null")]);
        let bridge = &list[0];
        assert_eq!(bridge.ipam.config[0].subnet.to_string(), "172.17.0.0/16");
        assert_eq!(bridge.ipam.config[0].gateway, v4("172.17.0.1"));
        assert_eq!(bridge.options["com.docker.network.bridge.name"], "gantry0");
        assert_eq!(first.find("bridge").unwrap(), *bridge);
        assert_eq!(first.find(&bridge.id.as_str()[..12]).unwrap(), *bridge);
        let error = first.find("nothing").unwrap_err();
        assert_eq!(error.to_string(), "network nothing not found");
        assert!(first.find("").is_err());
        drop(first);
        let second = Networks::open(world.config(0)).unwrap();
        assert_eq!(second.list(), list);
        second.shutdown();
        world.assert_nothing_left();
    });
}

#[test]
fn a_sandbox_has_an_interface_an_address_and_a_route_from_the_pool_and_without() {
    for pool in [0, 2] {
        World::run(|world| {
            let networks = Networks::open(world.config(pool)).unwrap();
            networks.drain();
            let sandbox = networks.create_sandbox(&world.request(&networks, &[])).unwrap();
            let endpoint = &sandbox.endpoints[0];
            assert_eq!(endpoint.ipv4, Some(v4("172.17.0.2")));
            assert_eq!(endpoint.gateway, Some(v4("172.17.0.1")));
            assert_eq!(networks.sandbox(&sandbox.id), Some(sandbox.clone()));
            assert_eq!(networks.attachments(&endpoint.network_id).len(), 1);
            let inside = world.inside(&sandbox.netns, || {
                output_of("ip", &["address"]) + &output_of("ip", &["route"])
            });
            for part in [
                "inet 127.0.0.1/8",
                "inet 172.17.0.2/16 brd 172.17.255.255 scope global eth0",
                "default via 172.17.0.1 dev eth0",
                &format!("link/ether {}", endpoint.mac.unwrap()),
            ] {
                assert!(inside.contains(part), "{part} is not in {inside}");
            }
            assert!(!inside.contains("inet6 fe80"), "{inside}");
            networks.remove_sandbox(&sandbox.id).unwrap();
            assert_eq!(networks.sandbox(&sandbox.id), None);
            networks.remove_sandbox(&sandbox.id).unwrap();
            networks.shutdown();
            world.assert_nothing_left();
        });
    }
}

#[test]
fn fixed_addresses_are_given_or_refused() {
    World::run(|world| {
        let networks = Networks::open(world.config(2)).unwrap();
        let mut request = world.request(&networks, &[]);
        let mac: MacAddress = "02:42:ac:11:00:63".parse().unwrap();
        request.endpoints[0].ipv4 = Some(v4("172.17.0.99"));
        request.endpoints[0].mac = Some(mac);
        let sandbox = networks.create_sandbox(&request).unwrap();
        assert_eq!(sandbox.endpoints[0].ipv4, Some(v4("172.17.0.99")));
        assert_eq!(sandbox.endpoints[0].mac, Some(mac));
        assert!(matches!(networks.create_sandbox(&request), Err(Error::SandboxExists(_))));
        request.id = ContainerId::random();
        let error = networks.create_sandbox(&request).unwrap_err();
        assert_eq!(error.to_string(), "Address already in use");
        request.endpoints[0].ipv4 = Some(v4("10.0.0.1"));
        let error = networks.create_sandbox(&request).unwrap_err();
        assert!(matches!(error, Error::AddressOutsideSubnet(_)));
        networks.remove_sandbox(&sandbox.id).unwrap();
        networks.shutdown();
        world.assert_nothing_left();
    });
}

#[test]
fn host_and_none_give_the_daemons_namespace_and_an_empty_one() {
    World::run(|world| {
        let networks = Networks::open(world.config(0)).unwrap();
        let host = networks.create_sandbox(&world.request_in(&networks, "host")).unwrap();
        assert!(host.host);
        let again = networks.create_sandbox(&world.request_in(&networks, "host")).unwrap();
        assert_eq!(again.netns, host.netns);
        let links = world.inside(&host.netns, || output_of("ip", &["link"]));
        assert!(links.contains("gantry0"), "{links}");
        let none = networks.create_sandbox(&world.request_in(&networks, "none")).unwrap();
        let links = world.inside(&none.netns, || output_of("ip", &["link"]));
        assert!(links.contains("lo: <LOOPBACK,UP") && !links.contains("eth0"), "{links}");
        for sandbox in [host, again, none] {
            networks.remove_sandbox(&sandbox.id).unwrap();
        }
        networks.shutdown();
        world.assert_nothing_left();
    });
}

#[test]
fn published_ports_answer_from_everywhere_they_should() {
    World::run(|world| {
        let networks = Networks::open(world.config(0)).unwrap();
        let outside = world.outside();
        let anywhere = world.port(Some(8081), None);
        let local = world.port(Some(8082), Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        let server =
            networks.create_sandbox(&world.request(&networks, &[anywhere, local])).unwrap();
        let other = networks.create_sandbox(&world.request(&networks, &[])).unwrap();
        let serving = world.serve(&server.netns, 80, "hello");
        let address = server.endpoints[0].ipv4.unwrap();

        // The host itself, by every address that it has.
        for target in ["127.0.0.1", "127.8.8.8", "192.0.2.1", "172.17.0.1"] {
            assert_eq!(world.fetch(None, v4(target), 8081).unwrap().0, "hello", "{target}");
        }
        assert_eq!(world.fetch(None, Ipv4Addr::LOCALHOST, 8082).unwrap().0, "hello");
        assert!(world.fetch(None, v4("192.0.2.1"), 8082).is_err());
        // The container directly, from the host and from its neighbour.
        assert_eq!(world.fetch(None, address, 80).unwrap().0, "hello");
        assert_eq!(world.fetch(Some(&other.netns), address, 80).unwrap().0, "hello");
        // Containers that call a published port: a neighbour, and the server itself.
        for caller in [&other.netns, &server.netns] {
            let (body, seen) = world.fetch(Some(caller), v4("192.0.2.1"), 8081).unwrap();
            assert_eq!((body.as_str(), seen), ("hello", v4("172.17.0.1")));
        }
        // Another machine: the published port, seen with its own address, and nothing else.
        let (body, seen) = world.fetch(Some(&outside), v4("192.0.2.1"), 8081).unwrap();
        assert_eq!((body.as_str(), seen), ("hello", v4("192.0.2.7")));
        assert!(world.fetch(Some(&outside), v4("192.0.2.1"), 8082).is_err());
        assert!(world.fetch(Some(&outside), address, 80).is_err(), "straight to the container");
        assert!(world.fetch(Some(&outside), Ipv4Addr::LOCALHOST, 8082).is_err());

        networks.remove_sandbox(&server.id).unwrap();
        networks.remove_sandbox(&other.id).unwrap();
        drop(serving);
        networks.shutdown();
        world.assert_nothing_left();
    });
}

#[test]
fn a_container_reaches_the_world_with_the_hosts_address_but_not_the_hosts_loopback() {
    World::run(|world| {
        let networks = Networks::open(world.config(1)).unwrap();
        let outside = world.outside();
        let sandbox = networks.create_sandbox(&world.request(&networks, &[])).unwrap();
        let far = world.serve(&outside, 7000, "far");
        let (body, seen) = world.fetch(Some(&sandbox.netns), v4("192.0.2.7"), 7000).unwrap();
        assert_eq!((body.as_str(), seen), ("far", v4("192.0.2.1")));

        let private = world.serve_on_host(Ipv4Addr::LOCALHOST, 7001, "private");
        assert_eq!(world.fetch(None, Ipv4Addr::LOCALHOST, 7001).unwrap().0, "private");
        world.inside(&sandbox.netns, || {
            // As somebody hostile with NET_ADMIN would: loopback addresses by way of the gateway.
            output_of("ip", &["address", "del", "127.0.0.1/8", "dev", "lo"]);
            output_of("ip", &["route", "add", "127.0.0.0/8", "via", "172.17.0.1"]);
            std::fs::write("/proc/sys/net/ipv4/conf/eth0/route_localnet", "1").unwrap();
        });
        assert!(world.fetch(Some(&sandbox.netns), Ipv4Addr::LOCALHOST, 7001).is_err());
        let counters = networks.counters(&sandbox.id).unwrap();
        assert_eq!(counters[0].interface, "eth0");
        assert!(counters[0].rx_bytes > 100 && counters[0].tx_packets > 4, "{counters:?}");
        networks.remove_sandbox(&sandbox.id).unwrap();
        drop(far);
        drop(private);
        networks.shutdown();
        world.assert_nothing_left();
    });
}

#[test]
fn a_container_cannot_send_with_a_loopback_source() {
    World::run(|world| {
        let networks = Networks::open(world.config(0)).unwrap();
        let sandbox = networks.create_sandbox(&world.request(&networks, &[])).unwrap();
        let host = UdpSocket::bind("172.17.0.1:7002").unwrap();
        host.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        world.inside(&sandbox.netns, || {
            std::fs::write("/proc/sys/net/ipv4/conf/eth0/route_localnet", "1").unwrap();
            for (source, text) in [("127.0.0.1:0", "forged"), ("0.0.0.0:0", "honest")] {
                let socket = UdpSocket::bind(source).unwrap();
                socket.send_to(text.as_bytes(), "172.17.0.1:7002").unwrap();
            }
        });
        let mut buffer = [0; 16];
        let (length, from) = host.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"honest", "from {from}");
        networks.remove_sandbox(&sandbox.id).unwrap();
        networks.shutdown();
        world.assert_nothing_left();
    });
}

#[test]
fn a_taken_port_is_refused_in_dockers_words_and_nothing_is_left() {
    World::run(|world| {
        let networks = Networks::open(world.config(0)).unwrap();
        let request = world.request(&networks, &[world.port(Some(8081), None)]);
        let first = networks.create_sandbox(&request).unwrap();
        let other = world.request(&networks, &[world.port(Some(8081), None)]);
        let error = networks.create_sandbox(&other).unwrap_err().to_string();
        let start =
            format!("driver failed programming external connectivity on endpoint {} (", other.name);
        assert!(error.starts_with(&start), "{error}");
        let end = "): Bind for 0.0.0.0:8081 failed: port is already allocated";
        assert!(error.ends_with(end), "{error}");
        assert_eq!(networks.sandbox(&other.id), None);
        networks.remove_sandbox(&first.id).unwrap();
        // Free at once, for the same container too.
        let again = networks.create_sandbox(&other).unwrap();
        assert_eq!(again.ports[0].host_port, 8081);
        networks.remove_sandbox(&again.id).unwrap();
        let chosen =
            networks.create_sandbox(&world.request(&networks, &[world.port(None, None)])).unwrap();
        assert!((32768..=60999).contains(&chosen.ports[0].host_port));
        networks.remove_sandbox(&chosen.id).unwrap();
        networks.shutdown();
        world.assert_nothing_left();
    });
}

/// Receives one datagram and answers it.
fn answer_one(socket: &UdpSocket, text: &str) -> String {
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut buffer = [0; 16];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    socket.send_to(text.as_bytes(), from).unwrap();
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

#[test]
fn a_udp_caller_that_never_pauses_finds_the_next_container_on_the_port() {
    World::run(|world| {
        let networks = Networks::open(world.config(0)).unwrap();
        let caller = UdpSocket::bind("0.0.0.0:0").unwrap();
        caller.connect("127.0.0.1:5353").unwrap();
        caller.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        for name in ["one", "two"] {
            let mut port = world.port(Some(5353), None);
            port.protocol = Protocol::Udp;
            let sandbox = networks.create_sandbox(&world.request(&networks, &[port])).unwrap();
            let socket = world.inside(&sandbox.netns, || UdpSocket::bind("0.0.0.0:80").unwrap());
            caller.send(b"ping").unwrap();
            assert_eq!(answer_one(&socket, name), "ping");
            let mut buffer = [0; 16];
            let length = caller.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], name.as_bytes());
            drop(socket);
            networks.remove_sandbox(&sandbox.id).unwrap();
        }
        networks.shutdown();
        world.assert_nothing_left();
    });
}

#[test]
fn an_address_that_comes_again_is_reached_at_its_new_owner_at_once() {
    World::run(|world| {
        let config = NetworksConfig { bip: Some((v4("10.7.0.1"), 29)), ..world.config(0) };
        let networks = Networks::open(config).unwrap();
        let caller = networks.create_sandbox(&world.request(&networks, &[])).unwrap();
        let mut last = networks.create_sandbox(&world.request(&networks, &[])).unwrap();
        let address = last.endpoints[0].ipv4.unwrap();
        for name in ["first", "second"] {
            let serving = world.serve(&last.netns, 80, name);
            let answers = [Some(&*caller.netns), None].map(|from| world.fetch(from, address, 80));
            assert!(answers.iter().all(|a| a.as_ref().is_ok_and(|a| a.0 == name)), "{answers:?}");
            drop(serving);
            // Until the five addresses have gone round.
            loop {
                networks.remove_sandbox(&last.id).unwrap();
                last = networks.create_sandbox(&world.request(&networks, &[])).unwrap();
                if last.endpoints[0].ipv4 == Some(address) {
                    break;
                }
            }
        }
        networks.remove_sandbox(&caller.id).unwrap();
        networks.remove_sandbox(&last.id).unwrap();
        networks.shutdown();
        world.assert_nothing_left();
    });
}

#[test]
fn a_namespace_that_a_connection_keeps_alive_loses_its_link_all_the_same() {
    World::run(|world| {
        let networks = Networks::open(world.config(0)).unwrap();
        let sandbox = networks.create_sandbox(&world.request(&networks, &[])).unwrap();
        let _holding = world.inside(&sandbox.netns, || UdpSocket::bind("0.0.0.0:80").unwrap());
        networks.remove_sandbox(&sandbox.id).unwrap();
        let link = sandbox.endpoints[0].host_interface.clone().unwrap();
        world.wait_until_no_link(&link);
        networks.shutdown();
        world.assert_nothing_left();
    });
}

#[test]
fn fifty_sandboxes_at_once_have_fifty_addresses_and_ports() {
    World::run(|world| {
        let networks = Networks::open(world.config(4)).unwrap();
        let requests: Vec<SandboxRequest> =
            (0..50).map(|_| world.request(&networks, &[world.port(None, None)])).collect();
        let sandboxes: Vec<_> = std::thread::scope(|scope| {
            let networks = &networks;
            let make = |request| scope.spawn(move || networks.create_sandbox(request).unwrap());
            let threads: Vec<_> = requests.iter().map(make).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut addresses: Vec<_> = sandboxes.iter().map(|s| s.endpoints[0].ipv4).collect();
        let mut ports: Vec<_> = sandboxes.iter().map(|s| s.ports[0].host_port).collect();
        for list in [addresses.len(), ports.len()] {
            assert_eq!(list, 50);
        }
        addresses.sort_unstable();
        addresses.dedup();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!((addresses.len(), ports.len()), (50, 50));
        std::thread::scope(|scope| {
            for sandbox in &sandboxes {
                scope.spawn(|| networks.remove_sandbox(&sandbox.id).unwrap());
            }
        });
        networks.shutdown();
        world.assert_nothing_left();
    });
}

#[test]
fn flushed_rules_come_back_with_the_next_published_port() {
    World::run(|world| {
        let networks = Networks::open(world.config(0)).unwrap();
        let first = networks
            .create_sandbox(&world.request(&networks, &[world.port(Some(8081), None)]))
            .unwrap();
        let serving = world.serve(&first.netns, 80, "first");
        output_of("nft", &["flush", "ruleset"]);
        let second = networks
            .create_sandbox(&world.request(&networks, &[world.port(Some(8082), None)]))
            .unwrap();
        assert_eq!(world.fetch(None, Ipv4Addr::LOCALHOST, 8081).unwrap().0, "first");
        output_of("nft", &["flush", "ruleset"]);
        networks.remove_sandbox(&second.id).unwrap();
        assert_eq!(world.fetch(None, Ipv4Addr::LOCALHOST, 8081).unwrap().0, "first");
        networks.remove_sandbox(&first.id).unwrap();
        drop(serving);
        networks.shutdown();
        world.assert_nothing_left();
    });
}

#[test]
fn a_dockerd_that_drops_what_is_forwarded_is_answered_in_its_users_chain() {
    World::run(|world| {
        let outside = world.outside();
        for arguments in [&["-N", "DOCKER-USER"][..], &["-A", "FORWARD", "-j", "DOCKER-USER"]] {
            output_of("iptables", arguments);
        }
        output_of("iptables", &["-P", "FORWARD", "DROP"]);
        let networks = Networks::open(world.config(0)).unwrap();
        let sandbox = networks.create_sandbox(&world.request(&networks, &[])).unwrap();
        let far = world.serve(&outside, 7000, "far");
        assert_eq!(world.fetch(Some(&sandbox.netns), v4("192.0.2.7"), 7000).unwrap().0, "far");
        networks.remove_sandbox(&sandbox.id).unwrap();
        drop(far);
        networks.shutdown();
        assert!(!output_of("iptables", &["-S"]).contains("gantry0"));
    });
}

#[test]
fn two_daemons_have_a_bridge_and_a_subnet_each() {
    World::run(|world| {
        let first = Networks::open(world.config(1)).unwrap();
        let mut config = world.config(1);
        config.data_root = world.path("data-2");
        config.exec_root = world.path("exec-2");
        let second = Networks::open(config).unwrap();
        let bridge = second.find("bridge").unwrap();
        assert_eq!(bridge.options["com.docker.network.bridge.name"], "gantry1");
        assert_eq!(bridge.ipam.config[0].subnet.to_string(), "172.18.0.0/16");
        let sandbox = second.create_sandbox(&world.request(&second, &[])).unwrap();
        let serving = world.serve(&sandbox.netns, 80, "second");
        let caller = first.create_sandbox(&world.request(&first, &[])).unwrap();
        let target = sandbox.endpoints[0].ipv4.unwrap();
        assert!(world.fetch(Some(&caller.netns), target, 80).is_err(), "isolated");
        first.remove_sandbox(&caller.id).unwrap();
        second.remove_sandbox(&sandbox.id).unwrap();
        drop(serving);
        first.shutdown();
        second.shutdown();
        world.assert_nothing_left();
    });
}

#[test]
fn what_was_made_ahead_is_handed_out_once() {
    World::run(|world| {
        let networks = Networks::open(world.config(4)).unwrap();
        networks.drain();
        let mut ready = world.namespaces();
        assert_eq!(ready.len(), 4);
        for _ in 0..4 {
            let sandbox = networks.create_sandbox(&world.request(&networks, &[])).unwrap();
            let place = ready.iter().position(|path| *path == sandbox.netns);
            ready.remove(place.expect("it was ready, and nobody has had it"));
            networks.remove_sandbox(&sandbox.id).unwrap();
        }
        networks.shutdown();
        world.assert_nothing_left();
    });
}

#[test]
fn a_bridge_that_somebody_has_deleted_is_made_again_with_everybody_on_it() {
    World::run(|world| {
        let networks = Networks::open(world.config(2)).unwrap();
        networks.drain();
        let port = world.port(Some(8081), None);
        let first = networks.create_sandbox(&world.request(&networks, &[port])).unwrap();
        let serving = world.serve(&first.netns, 80, "first");
        let gateway = || world.inside(&first.netns, || output_of("ip", &["neigh"]));
        assert_eq!(world.fetch(None, Ipv4Addr::LOCALHOST, 8081).unwrap().0, "first");
        let before = gateway();
        output_of("ip", &["link", "delete", "gantry0"]);
        let second = networks.create_sandbox(&world.request(&networks, &[])).unwrap();
        let address = first.endpoints[0].ipv4.unwrap();
        for from in [None, Some(&*second.netns)] {
            assert_eq!(world.fetch(from, address, 80).unwrap().0, "first", "{from:?}");
        }
        assert_eq!(world.fetch(None, Ipv4Addr::LOCALHOST, 8081).unwrap().0, "first");
        let hardware = |text: &str| -> String {
            let line = text.lines().find(|line| line.starts_with("172.17.0.1 ")).unwrap();
            line.split_whitespace().nth(4).unwrap().to_owned()
        };
        assert_eq!(hardware(&before), hardware(&gateway()), "containers remember it");
        networks.remove_sandbox(&first.id).unwrap();
        networks.remove_sandbox(&second.id).unwrap();
        drop(serving);
        // What is deleted already is no failure at the end.
        output_of("ip", &["link", "delete", "gantry0"]);
        networks.shutdown();
        world.assert_nothing_left();
    });
}

#[test]
fn another_address_of_the_bridge_takes_the_place_of_the_old_one() {
    World::run(|world| {
        for address in ["10.7.0.1", "10.8.0.1"] {
            let config = NetworksConfig { bip: Some((v4(address), 24)), ..world.config(0) };
            let networks = Networks::open(config).unwrap();
            let shown = output_of("ip", &["-4", "-brief", "address", "show", "gantry0"]);
            assert!(shown.trim_end().ends_with(&format!("{address}/24")), "{shown}");
            assert_eq!(shown.matches('/').count(), 1, "{shown}");
            drop(networks);
        }
        Networks::open(world.config(0)).unwrap().shutdown();
        world.assert_nothing_left();
    });
}

#[test]
fn a_port_is_published_on_ipv6_too_until_its_sandbox_goes() {
    World::run(|world| {
        let networks = Networks::open(world.config(0)).unwrap();
        let request = world.request(&networks, &[world.port(Some(8081), None)]);
        let sandbox = networks.create_sandbox(&request).unwrap();
        let hosts: Vec<String> = sandbox.ports.iter().map(|p| p.host_ip.to_string()).collect();
        assert_eq!(hosts, ["0.0.0.0", "::"]);
        let serving = world.serve(&sandbox.netns, 80, "hello");
        let (body, seen) = world.fetch(None, Ipv6Addr::LOCALHOST, 8081).unwrap();
        assert_eq!((body.as_str(), seen), ("hello", v4("172.17.0.1")));
        assert!(std::net::TcpListener::bind("[::]:8081").is_err());
        let other = world.request(&networks, &[world.port(Some(8081), Some(v6("::1")))]);
        let error = networks.create_sandbox(&other).unwrap_err().to_string();
        assert!(
            error.ends_with("Bind for [::1]:8081 failed: port is already allocated"),
            "{error}"
        );
        networks.remove_sandbox(&sandbox.id).unwrap();
        let only = networks.create_sandbox(&other).unwrap();
        assert!(world.fetch(None, v4("127.0.0.1"), 8081).is_err());
        let serving_only = world.serve(&only.netns, 80, "only");
        assert_eq!(world.fetch(None, Ipv6Addr::LOCALHOST, 8081).unwrap().0, "only");
        networks.remove_sandbox(&only.id).unwrap();
        drop(std::net::TcpListener::bind("[::]:8081").unwrap());
        drop((serving, serving_only));
        networks.shutdown();
        world.assert_nothing_left();
    });
}

#[test]
fn after_a_kill_the_living_are_adopted_and_the_dead_are_gone() {
    World::run(|world| {
        let mut child = world.spawn_daemon();
        let (live, dead) = child.two_sandboxes();
        child.kill();
        let serving = world.serve(&live.netns, 80, "alive");
        assert_eq!(world.fetch(None, Ipv4Addr::LOCALHOST, 8081).unwrap().0, "alive", "no daemon");
        assert_eq!(world.fetch(None, Ipv6Addr::LOCALHOST, 8081).unwrap().0, "alive", "no daemon");

        let networks = Networks::open(world.config(2)).unwrap();
        assert_eq!(world.fetch(None, Ipv4Addr::LOCALHOST, 8081).unwrap().0, "alive", "reopened");
        networks.adopt(std::slice::from_ref(&live.id)).unwrap();
        assert_eq!(networks.sandbox(&live.id), Some(live.clone()));
        assert_eq!(networks.sandbox(&dead.id), None);
        assert_eq!(world.fetch(None, Ipv4Addr::LOCALHOST, 8081).unwrap().0, "alive", "adopted");
        assert!(std::net::TcpListener::bind("0.0.0.0:8081").is_err(), "held again");
        assert_eq!(world.fetch(None, Ipv6Addr::LOCALHOST, 8081).unwrap().0, "alive", "adopted");
        drop(std::net::TcpListener::bind("[::]:8082").expect("the dead one's proxy is gone"));
        let taken = world.request(&networks, &[world.port(Some(8081), None)]);
        assert!(networks.create_sandbox(&taken).is_err());
        let free = world.request(&networks, &[world.port(Some(8082), None)]);
        let free = networks.create_sandbox(&free).unwrap();
        assert_ne!(free.endpoints[0].ipv4, live.endpoints[0].ipv4);
        networks.remove_sandbox(&live.id).unwrap();
        networks.remove_sandbox(&free.id).unwrap();
        drop(serving);
        networks.shutdown();
        world.assert_nothing_left();
    });
}

#[test]
fn a_proxy_that_has_died_is_started_by_the_next_daemon() {
    World::run(|world| {
        let networks = Networks::open(world.config(0)).unwrap();
        let request = world.request(&networks, &[world.port(Some(8081), None)]);
        let sandbox = networks.create_sandbox(&request).unwrap();
        let serving = world.serve(&sandbox.netns, 80, "hello");
        assert_eq!(world.fetch(None, Ipv6Addr::LOCALHOST, 8081).unwrap().0, "hello");
        world.kill_proxies();
        drop(networks);
        let networks = Networks::open(world.config(0)).unwrap();
        assert_eq!(world.fetch(None, Ipv6Addr::LOCALHOST, 8081).unwrap().0, "hello");
        networks.remove_sandbox(&sandbox.id).unwrap();
        drop(serving);
        networks.shutdown();
        world.assert_nothing_left();
    });
}

/// Not a test: the daemon that is killed in the one above, which runs this program again.
#[test]
#[ignore = "run by another test"]
fn daemon_that_gets_killed() {
    world::be_the_daemon();
}

/// Not a test either: the proxy of those above.
#[test]
#[ignore = "run by another test"]
fn proxy_of_the_tests() {
    let _ = daemon_proxy::run();
}
