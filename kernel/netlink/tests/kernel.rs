//! Against the running kernel, in network namespaces of our own; `nft` and `ip` are the oracles.
//! Needs root.

#![expect(clippy::unwrap_used, reason = "tests")]

use kernel_netlink::nftables::{
    Batch, Chain, ChainHook, ChainKind, Expression, Field, Map, NftablesSocket, Rule,
};
use kernel_netlink::route::{Changes, LinkChange, RouteSocket, Veth};
use kernel_sys::{NamespaceFlags, unshare};
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::process::Command;

/// Runs `test` on a thread of its own, in a new network namespace.
fn in_new_namespace<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(NamespaceFlags::NETWORK).unwrap();
            test()
        });
        thread.join().unwrap()
    })
}

fn output_of(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

const TABLE: &str = "gantry-test";
const KEY: [Field; 3] = [Field::Protocol, Field::Ipv4Address, Field::Port];
const VALUE: [Field; 2] = [Field::Ipv4Address, Field::Port];

fn table_with_map() -> Batch {
    let mut batch = Batch::new();
    batch.add_table(TABLE);
    batch.add_map(TABLE, &Map { name: "ports", key: &KEY, value: &VALUE });
    batch
}

#[test]
fn nft_lists_rules_as_they_were_meant() {
    let rules: Vec<(Vec<Expression>, &str)> = vec![
        (
            vec![
                Expression::InputInterfaceNot("lo".to_owned()),
                Expression::Destination(Ipv4Addr::new(127, 0, 0, 0), 8),
                Expression::Drop,
            ],
            r#"iifname != "lo" ip daddr 127.0.0.0/8 drop"#,
        ),
        (
            vec![
                Expression::Source(Ipv4Addr::new(172, 20, 0, 0), 14),
                Expression::DestinationNot(Ipv4Addr::new(172, 17, 0, 1)),
                Expression::Accept,
            ],
            "ip saddr 172.20.0.0/14 ip daddr != 172.17.0.1 accept",
        ),
        (
            vec![
                Expression::InputInterface("gantry0".to_owned()),
                Expression::Following,
                Expression::Count,
                Expression::Accept,
            ],
            r#"iifname "gantry0" ct state established,related counter packets 0 bytes 0 accept"#,
        ),
        (vec![Expression::DestinationTranslated, Expression::Accept], "ct status dnat accept"),
    ];
    in_new_namespace(|| {
        let mut batch = table_with_map();
        let chain = Chain {
            name: "prerouting",
            kind: ChainKind::Filter,
            hook: ChainHook::Prerouting,
            priority: -300,
        };
        batch.add_chain(TABLE, &chain);
        for (expressions, _) in &rules {
            batch.append_rule(TABLE, chain.name, &Rule(expressions.clone()));
        }
        NftablesSocket::open().unwrap().apply(&batch).unwrap();
        let listed = output_of("nft", &["list", "chain", "ip", TABLE, "prerouting"]);
        assert!(listed.contains("type filter hook prerouting priority raw; policy accept;"));
        for (_, text) in &rules {
            assert!(listed.contains(text), "{text}\nis not in\n{listed}");
        }
    });
}

#[test]
fn nft_lists_translation_through_a_map_and_its_elements() {
    in_new_namespace(|| {
        let mut batch = table_with_map();
        let chain = Chain {
            name: "prerouting",
            kind: ChainKind::Nat,
            hook: ChainHook::Prerouting,
            priority: -100,
        };
        batch.add_chain(TABLE, &chain);
        let translate = Expression::TranslateByAddressAndPort("ports".to_owned());
        batch.append_rule(
            TABLE,
            chain.name,
            &Rule(vec![Expression::DestinationIsLocal, translate]),
        );
        let key = [6, 0, 0, 0, 192, 0, 2, 2, 0x1f, 0x91, 0, 0];
        batch.add_element(TABLE, "ports", &key, &[172, 17, 0, 2, 0, 80, 0, 0]);
        let mut socket = NftablesSocket::open().unwrap();
        socket.apply(&batch).unwrap();
        let listed = output_of("nft", &["list", "table", "ip", TABLE]);
        let rule = "fib daddr type local dnat ip to meta l4proto . ip daddr . th dport map @ports";
        assert!(listed.contains(rule), "{listed}");
        assert!(listed.contains("tcp . 192.0.2.2 . 8081 : 172.17.0.2 . 80"), "{listed}");

        let mut removal = Batch::new();
        removal.delete_element(TABLE, "ports", &key);
        socket.apply(&removal).unwrap();
        assert!(!output_of("nft", &["list", "table", "ip", TABLE]).contains("8081"));
        let error = socket.apply(&removal).unwrap_err();
        assert_eq!(error.io_kind(), std::io::ErrorKind::NotFound);
        assert!(error.to_string().starts_with("delete element gantry-test ports: "), "{error}");
    });
}

#[test]
fn a_batch_with_one_bad_message_changes_nothing_and_names_it() {
    in_new_namespace(|| {
        let mut batch = table_with_map();
        batch.append_rule(TABLE, "missing", &Rule(vec![Expression::Accept]));
        batch.add_table("after");
        let error = NftablesSocket::open().unwrap().apply(&batch).unwrap_err();
        assert!(error.to_string().starts_with("add rule gantry-test missing: "), "{error}");
        assert_eq!(output_of("nft", &["list", "ruleset"]), "");
    });
}

#[test]
fn rules_in_the_chains_of_iptables_are_understood_by_it_and_found_again() {
    in_new_namespace(|| {
        output_of("iptables", &["-N", "DOCKER-USER"]);
        let mut socket = NftablesSocket::open().unwrap();
        assert!(socket.has_chain("filter", "DOCKER-USER").unwrap());
        assert!(!socket.has_chain("filter", "OTHER").unwrap());
        let mut batch = Batch::new();
        let input = Expression::InputInterface("gantry0".to_owned());
        let rule = Rule(vec![input, Expression::Count, Expression::Accept]);
        batch.insert_rule("filter", "DOCKER-USER", &rule);
        socket.apply(&batch).unwrap();
        let listed = output_of("iptables", &["-S", "DOCKER-USER"]);
        assert!(listed.contains("-A DOCKER-USER -i gantry0 -j ACCEPT"), "{listed}");
        let handles = socket.rules_mentioning("filter", "DOCKER-USER", "gantry0").unwrap();
        assert_eq!(handles.len(), 1);
        assert!(socket.rules_mentioning("filter", "DOCKER-USER", "gantry").unwrap().is_empty());
        let mut removal = Batch::new();
        removal.delete_rule("filter", "DOCKER-USER", handles[0]);
        socket.apply(&removal).unwrap();
        assert!(!output_of("iptables", &["-S", "DOCKER-USER"]).contains("gantry0"));
    });
}

#[test]
fn a_bridge_with_a_veth_into_another_namespace_is_seen_by_ip() {
    in_new_namespace(|| {
        let mut routes = RouteSocket::open().unwrap();
        let mut changes = Changes::new();
        changes.add_bridge("gantry9", [2, 0, 0, 0, 0, 9], 1400);
        routes.apply(&changes).unwrap();
        let bridge = routes.link("gantry9").unwrap().unwrap();
        assert_eq!(
            (bridge.kind.as_deref(), bridge.mac),
            (Some("bridge"), Some([2, 0, 0, 0, 0, 9]))
        );
        assert_eq!(routes.link("nothing").unwrap(), None);

        let inside = in_new_namespace(|| File::open("/proc/thread-self/ns/net").unwrap());
        let mut changes = Changes::new();
        changes.add_veth(&Veth {
            name: "gvtest",
            bridge: bridge.index,
            mtu: 1400,
            peer_netns: inside.as_fd(),
            peer_name: "eth0",
            peer_mac: [2, 0, 0, 0, 0, 1],
        });
        changes.set_hairpin("gvtest");
        changes.set_no_automatic_ipv6("gvtest");
        changes.add_address(bridge.index, Ipv4Addr::new(172, 17, 0, 1), 16);
        let alias = LinkChange { alias: Some("gantry:/var/lib/gantry"), ..LinkChange::default() };
        changes.set_link(bridge.index, &alias);
        routes.apply(&changes).unwrap();

        let shown = output_of("ip", &["-d", "link", "show", "gvtest"]);
        for part in ["mtu 1400", "master gantry9", "hairpin on", "addrgenmode none"] {
            assert!(shown.contains(part), "{part} is not in {shown}");
        }
        let addresses = routes.addresses().unwrap();
        assert!(addresses.iter().any(|a| a.address == Ipv4Addr::new(172, 17, 0, 1)));
        let shown = output_of("ip", &["address", "show", "gantry9"]);
        assert!(shown.contains("inet 172.17.0.1/16 brd 172.17.255.255 scope global"), "{shown}");
        assert!(routes.routes().unwrap().iter().any(|route| route.prefix_length == 16));
        let alias = routes.link("gantry9").unwrap().unwrap().alias;
        assert_eq!(alias.as_deref(), Some("gantry:/var/lib/gantry"));

        let mut changes = Changes::new();
        changes.delete_link(bridge.index);
        routes.apply(&changes).unwrap();
        assert!(routes.links().unwrap().iter().all(|link| link.name != "gantry9"));
    });
}

#[test]
fn a_link_that_may_not_move_stays_on() {
    in_new_namespace(|| {
        output_of("ip", &["link", "set", "lo", "up"]);
        let mut routes = RouteSocket::open().unwrap();
        in_new_namespace(|| {
            let inside = File::open("/proc/thread-self/ns/net").unwrap();
            let mut changes = Changes::new();
            changes.move_link(1, inside.as_fd(), "moved");
            assert!(routes.apply(&changes).is_err());
        });
        assert!(output_of("ip", &["link", "show", "lo"]).contains("LOOPBACK,UP"));
    });
}

#[test]
fn a_link_moves_under_another_name_with_the_addresses_of_both_families() {
    in_new_namespace(|| {
        output_of("ip", &["link", "add", "away", "type", "veth", "peer", "name", "other"]);
        output_of("ip", &["address", "add", "192.0.2.7/24", "brd", "+", "dev", "away"]);
        output_of("ip", &["address", "add", "2001:db8::7/64", "nodad", "dev", "away"]);
        output_of("ip", &["link", "set", "away", "up"]);
        let mut routes = RouteSocket::open().unwrap();
        let link = routes.link("away").unwrap().unwrap();
        let addresses = routes.interface_addresses(link.index).unwrap();
        let global = addresses.iter().filter(|address| address.is_global && address.is_permanent);
        assert_eq!(global.count(), 2, "{addresses:?}");
        in_new_namespace(|| {
            let inside = File::open("/proc/thread-self/ns/net").unwrap();
            let mut changes = Changes::new();
            changes.move_link(link.index, inside.as_fd(), "here");
            routes.apply(&changes).unwrap();
            let mut own = RouteSocket::open().unwrap();
            let index = own.link("here").unwrap().unwrap().index;
            let mut changes = Changes::new();
            for address in addresses.iter().filter(|address| address.is_global) {
                changes.add_interface_address(index, address);
            }
            changes.set_link_up(index);
            own.apply(&changes).unwrap();
            let shown = output_of("ip", &["address", "show", "here"]);
            for part in ["inet 192.0.2.7/24 brd 192.0.2.255", "inet6 2001:db8::7/64", "UP"] {
                assert!(shown.contains(part), "{part} is not in {shown}");
            }
        });
        assert!(routes.link("away").unwrap().is_none());
    });
}

#[test]
fn a_refused_change_is_named() {
    in_new_namespace(|| {
        let mut changes = Changes::new();
        changes.add_default_route(1, Ipv4Addr::new(10, 0, 0, 1));
        let error = RouteSocket::open().unwrap().apply(&changes).unwrap_err();
        assert!(error.to_string().starts_with("add default route by 10.0.0.1: "), "{error}");
    });
}
