//! A bridge, and a container's network on it.

use anyhow::{Context, Result};
use kernel_netlink::route::{Changes, LinkChange, RouteSocket, Veth};
use kernel_sys::{NamespaceFlags, setns, unshare};
use std::cell::RefCell;
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;

const OWN: &str = "/proc/self/ns/net";
const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 17, 0, 1);

pub(crate) struct Bridge {
    index: u32,
    host: File,
    routes: RefCell<RouteSocket>,
}

impl Bridge {
    pub(crate) fn create() -> Result<Self> {
        let mut routes = RouteSocket::open()?;
        let mut changes = Changes::new();
        changes.add_bridge("floor0", [2, 0, 0, 0, 0, 1], 1500);
        routes.apply(&changes)?;
        let index = routes.link("floor0")?.context("find the bridge")?.index;
        let mut changes = Changes::new();
        changes.add_address(index, GATEWAY, 16);
        routes.apply(&changes)?;
        Ok(Self { index, host: File::open(OWN)?, routes: RefCell::new(routes) })
    }

    /// A new network namespace.
    pub(crate) fn new_namespace(&self) -> Result<File> {
        unshare(NamespaceFlags::NETWORK)?;
        let namespace = File::open(OWN)?;
        setns(self.host.as_fd(), NamespaceFlags::NETWORK)?;
        Ok(namespace)
    }

    /// A veth pair into it, with address and default route.
    pub(crate) fn connect(&self, namespace: &File, run: usize) -> Result<()> {
        let host_part = 2 + u32::try_from(run % 65_000)?;
        let name = format!("veth{run}");
        let mut changes = Changes::new();
        changes.add_veth(&Veth {
            name: &name,
            bridge: self.index,
            mtu: 1500,
            peer_netns: namespace.as_fd(),
            peer_name: "eth0",
            peer_mac: [2, 0, 0, 1, 0, 1],
        });
        self.routes.borrow_mut().apply(&changes)?;
        setns(namespace.as_fd(), NamespaceFlags::NETWORK)?;
        let mut inside = RouteSocket::open()?;
        let link = inside.link("eth0")?.context("find eth0")?.index;
        let mut changes = Changes::new();
        for index in [1, link] {
            changes.set_link(index, &LinkChange { up: true, ..LinkChange::default() });
        }
        let network = GATEWAY.to_bits() & 0xffff_0000;
        changes.add_address(link, Ipv4Addr::from_bits(network + host_part), 16);
        changes.add_default_route(link, GATEWAY);
        inside.apply(&changes)?;
        setns(self.host.as_fd(), NamespaceFlags::NETWORK)?;
        Ok(())
    }
}
