//! Making and removing sandboxes, step by step, with every step undone when a later one fails.

use crate::background::Ready;
use crate::bridge::{Bridge, LINK_DIGITS, host_name_prefix};
use crate::error::PortError;
use crate::namespace::{self, Interface};
use crate::ports::Taken;
use crate::proxies::{Starting, needs_proxy, proxy_name};
use crate::sandbox::{random_mac, random_sandbox_id};
use crate::state::{Slot, State, forwardings_of};
use crate::store::VERSION;
use crate::{
    Endpoint, EndpointRequest, Error, MacAddress, NetworkRecord, Networks, Protocol, PublishedPort,
    Sandbox, SandboxRequest, predefined,
};
use base_errors::Chain;
use base_ids::{ContainerId, EndpointId};
use kernel_netlink::conntrack::forget_connections_to;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::PoisonError;

/// Docker's name for the daemon's own namespace.
const HOST_NETNS: &str = "default";

/// What a new sandbox is made of, once all that it needs has been taken.
struct Plan {
    sandbox: Sandbox,
    /// Sockets of its ports, for its proxy.
    listeners: Vec<(PublishedPort, OwnedFd)>,
    /// Interfaces still to be made.
    missing: Vec<Interface>,
    /// Whether the namespace is still to be made.
    make: bool,
}

impl Networks {
    /// Makes a sandbox: namespace, interfaces, addresses, routes and published ports.
    ///
    /// # Errors
    /// What was asked for cannot be had; nothing is left behind then.
    pub fn create_sandbox(&self, request: &SandboxRequest) -> Result<Sandbox, Error> {
        let networks = self.networks_of(request)?;
        if networks.iter().any(|network| network.name == predefined::BRIDGE) {
            self.shared.keep_bridge()?;
        }
        let plan = self.plan(request, &networks)?;
        let result = self.carry_out(&plan, &request.name);
        let mut state = self.shared.state();
        match result {
            Ok(()) => {
                let slot = Slot::Live(Box::new(plan.sandbox.clone()));
                state.sandboxes.insert(request.id.clone(), slot);
                state.pool_broken = false;
                self.shared.changed.notify_all();
                Ok(plan.sandbox)
            }
            Err(error) => {
                state.sandboxes.remove(&request.id);
                state.release(&plan.sandbox);
                self.doom(&mut state, &plan.sandbox);
                Err(error)
            }
        }
    }

    /// Frees a sandbox's ports and addresses; the kernel's part follows in the background. No
    /// sandbox of that owner is no error; one that is being made is waited for.
    ///
    /// # Errors
    /// The forwarding or the record cannot be removed.
    pub fn remove_sandbox(&self, id: &ContainerId) -> Result<(), Error> {
        let Some(sandbox) = self.occupy(id) else { return Ok(()) };
        let result = self.withdraw(&sandbox).and_then(|()| self.shared.store.remove_sandbox(id));
        let mut state = self.shared.state();
        if let Err(error) = result {
            state.sandboxes.insert(id.clone(), Slot::Live(sandbox));
            self.shared.changed.notify_all();
            return Err(error);
        }
        state.sandboxes.remove(id);
        state.release(&sandbox);
        self.doom(&mut state, &sandbox);
        Ok(())
    }

    /// Takes a sandbox out of its slot, once nobody else works on it; the slot is busy then.
    fn occupy(&self, id: &ContainerId) -> Option<Box<Sandbox>> {
        let mut state = self.shared.state();
        loop {
            let slot = state.sandboxes.get_mut(id)?;
            match std::mem::replace(slot, Slot::Busy) {
                Slot::Live(sandbox) => return Some(sandbox),
                Slot::Busy => {
                    let changed = self.shared.changed.wait(state);
                    state = changed.unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    fn networks_of(&self, request: &SandboxRequest) -> Result<Vec<&NetworkRecord>, Error> {
        let find = |endpoint: &EndpointRequest| {
            let found = self.networks.iter().find(|network| network.id == endpoint.network);
            found.ok_or_else(|| Error::NetworkNotFound(endpoint.network.to_string()))
        };
        let networks = request.endpoints.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        let named = |name: &str| networks.iter().any(|network| network.name == name);
        if networks.len() > 1 && named(predefined::HOST) {
            return Err(Error::HostNotAlone);
        }
        if !request.ports.is_empty() && !named(predefined::BRIDGE) {
            return Err(Error::PortsWithoutAddress);
        }
        Ok(networks)
    }

    /// Takes addresses, ports and, where it fits, a ready namespace.
    fn plan(&self, request: &SandboxRequest, networks: &[&NetworkRecord]) -> Result<Plan, Error> {
        let mut state = self.shared.state();
        if state.sandboxes.contains_key(&request.id) {
            return Err(Error::SandboxExists(request.id.clone()));
        }
        let mut plan = self.plan_namespace(&mut state, request, networks)?;
        let result = state.ports.take_all(&request.ports, self.config.host_binding_ipv4);
        match result {
            Ok(Taken { ports, listeners }) => {
                (plan.sandbox.ports, plan.listeners) = (ports, listeners);
            }
            Err(source) => {
                state.release(&plan.sandbox);
                self.doom(&mut state, &plan.sandbox);
                return Err(publish_error(&plan.sandbox, &request.name, source));
            }
        }
        state.sandboxes.insert(request.id.clone(), Slot::Busy);
        Ok(plan)
    }

    fn plan_namespace(
        &self,
        state: &mut State,
        request: &SandboxRequest,
        networks: &[&NetworkRecord],
    ) -> Result<Plan, Error> {
        let ready = match (&request.endpoints[..], networks, &self.shared.bridge) {
            ([endpoint], [network], Some(bridge))
                if network.name == predefined::BRIDGE
                    && endpoint.ipv4.is_none()
                    && endpoint.mac.is_none() =>
            {
                state.take_ready(bridge.index())
            }
            _ => None,
        };
        if let Some(ready) = ready {
            state.recently_taken = true;
            return Ok(from_pool(request, networks[0], ready));
        }
        let sandbox_id = random_sandbox_id();
        let host = networks.iter().any(|network| network.name == predefined::HOST);
        let name = if host { HOST_NETNS } else { &sandbox_id[..12] };
        let mut sandbox = Sandbox {
            version: VERSION,
            id: request.id.clone(),
            netns: self.shared.store.netns(name),
            sandbox_id,
            host,
            endpoints: Vec::new(),
            ports: Vec::new(),
        };
        let mut missing = Vec::new();
        for (endpoint, network) in request.endpoints.iter().zip(networks) {
            let bridge = self.shared.bridge.as_ref().filter(|_| network.name == predefined::BRIDGE);
            let Some(bridge) = bridge else {
                sandbox.endpoints.push(without_interface(network));
                continue;
            };
            let result = take_address(state, network, endpoint.ipv4);
            let address = match result {
                Ok(address) => address,
                Err(error) => {
                    state.release(&sandbox);
                    return Err(error);
                }
            };
            let mac = endpoint.mac.unwrap_or_else(random_mac);
            let interface = bridge.interface(&sandbox.sandbox_id, missing.len(), address, mac);
            sandbox.endpoints.push(with_interface(network, &interface, bridge.gateway));
            missing.push(interface);
        }
        Ok(Plan { sandbox, listeners: Vec::new(), missing, make: true })
    }

    /// The kernel's part, then the record: once that is written, the sandbox exists.
    fn carry_out(&self, plan: &Plan, name: &str) -> Result<(), Error> {
        let sandbox = &plan.sandbox;
        if plan.make && !(sandbox.host && namespace::is_mounted(&sandbox.netns)) {
            if sandbox.host {
                // A file without a mount is what a restart of the machine leaves.
                let _ = std::fs::remove_file(&sandbox.netns);
                namespace::mount(&sandbox.netns)?;
            } else {
                namespace::create(&sandbox.netns, &plan.missing)?;
            }
        }
        self.publish(sandbox, name)?;
        self.settle(plan).inspect_err(|_| {
            let undone = self.withdraw(sandbox);
            if let Err(error) = undone.and_then(|()| self.shared.store.remove_sandbox(&sandbox.id))
            {
                tracing::warn!(error = %Chain(&error), "failed sandbox not taken back");
            }
        })
    }

    /// The proxy, which begins while the record is written.
    fn settle(&self, plan: &Plan) -> Result<(), Error> {
        let starting = self.shared.proxies.start(&plan.sandbox, &plan.listeners)?;
        self.shared.store.write_sandbox(&plan.sandbox)?;
        starting.map_or(Ok(()), Starting::ready)
    }

    fn publish(&self, sandbox: &Sandbox, name: &str) -> Result<(), Error> {
        let Some(firewall) = self.shared.firewall.as_ref().filter(|_| !sandbox.ports.is_empty())
        else {
            return Ok(());
        };
        let mut firewall = firewall.lock().unwrap_or_else(PoisonError::into_inner);
        firewall
            .publish(&forwardings_of(sandbox))
            .map_err(|error| publish_error(sandbox, name, PortError::Forward(error.into())))
    }

    fn withdraw(&self, sandbox: &Sandbox) -> Result<(), Error> {
        if sandbox.ports.iter().any(needs_proxy) {
            self.shared.proxies.stop(proxy_name(&sandbox.sandbox_id));
        }
        let Some(firewall) = self.shared.firewall.as_ref().filter(|_| !sandbox.ports.is_empty())
        else {
            return Ok(());
        };
        let mut firewall = firewall.lock().unwrap_or_else(PoisonError::into_inner);
        firewall
            .withdraw(&sandbox.ports)
            .map_err(|error| Error::kernel("take published ports back", error))?;
        drop(firewall);
        forget_callers(sandbox);
        Ok(())
    }

    /// Leaves a namespace to the worker. That of the host stays mounted for the next.
    fn doom(&self, state: &mut State, sandbox: &Sandbox) {
        if !sandbox.host {
            state.doomed.push_back(sandbox.netns.clone());
        }
        self.shared.changed.notify_all();
    }
}

impl Bridge {
    /// An interface of a sandbox on this bridge; the first has the default route.
    pub(crate) fn interface(
        &self,
        sandbox_id: &str,
        index: usize,
        ipv4: Ipv4Addr,
        mac: MacAddress,
    ) -> Interface {
        Interface {
            name: format!("eth{index}"),
            host_name: format!("{}{index}", host_name_prefix(&sandbox_id[..LINK_DIGITS])),
            bridge: self.index(),
            mtu: self.mtu,
            mac: mac.0,
            ipv4,
            prefix_length: self.subnet.prefix_length(),
            gateway: (index == 0).then_some(self.gateway),
        }
    }
}

fn from_pool(request: &SandboxRequest, network: &NetworkRecord, ready: Ready) -> Plan {
    let gateway = ready.interface.gateway.unwrap_or(Ipv4Addr::UNSPECIFIED);
    let endpoints = vec![with_interface(network, &ready.interface, gateway)];
    let Ready { sandbox_id, netns, .. } = ready;
    let sandbox = Sandbox {
        version: VERSION,
        id: request.id.clone(),
        sandbox_id,
        netns,
        host: false,
        endpoints,
        ports: Vec::new(),
    };
    Plan { sandbox, listeners: Vec::new(), missing: Vec::new(), make: false }
}

fn take_address(
    state: &mut State,
    network: &NetworkRecord,
    wanted: Option<Ipv4Addr>,
) -> Result<Ipv4Addr, Error> {
    let none_left =
        || Error::NoAddressLeft { network: network.name.clone(), id: network.id.to_string() };
    let addresses = state.addresses.as_mut().ok_or_else(none_left)?;
    let Some(wanted) = wanted else {
        return addresses.take_next().ok_or_else(none_left);
    };
    if !addresses.contains(wanted) {
        return Err(Error::AddressOutsideSubnet(wanted));
    }
    if addresses.take(wanted) { Ok(wanted) } else { Err(Error::AddressInUse(wanted)) }
}

fn with_interface(network: &NetworkRecord, interface: &Interface, gateway: Ipv4Addr) -> Endpoint {
    Endpoint {
        interface: Some(interface.name.clone()),
        host_interface: Some(interface.host_name.clone()),
        ipv4: Some(interface.ipv4),
        prefix_length: interface.prefix_length,
        gateway: Some(gateway),
        mac: Some(MacAddress(interface.mac)),
        ..without_interface(network)
    }
}

fn without_interface(network: &NetworkRecord) -> Endpoint {
    Endpoint {
        endpoint_id: EndpointId::random(),
        network_id: network.id.clone(),
        network_name: network.name.clone(),
        interface: None,
        host_interface: None,
        ipv4: None,
        prefix_length: 0,
        gateway: None,
        mac: None,
    }
}

/// A caller that goes on sending datagrams shall find whoever publishes the port next.
fn forget_callers(sandbox: &Sandbox) {
    if sandbox.ports.iter().all(|port| port.protocol == Protocol::Tcp) {
        return;
    }
    for address in sandbox.endpoints.iter().filter_map(|endpoint| endpoint.ipv4) {
        if let Err(error) = forget_connections_to(address) {
            tracing::warn!(%address, error = %Chain(&error), "connections not forgotten");
        }
    }
}

fn publish_error(sandbox: &Sandbox, name: &str, source: PortError) -> Error {
    let endpoint = sandbox.endpoints.iter().find(|endpoint| endpoint.ipv4.is_some());
    Error::Publish {
        name: name.to_owned(),
        endpoint: endpoint.map_or_else(String::new, |endpoint| endpoint.endpoint_id.to_string()),
        source,
    }
}
