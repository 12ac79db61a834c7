//! The entry point: all networks and sandboxes of one daemon.

use crate::addresses::Addresses;
use crate::background::{Shared, stale_links};
use crate::bridge::Bridge;
use crate::firewall::{Firewall, Scope};
use crate::ports::{Ports, ephemeral_range, reserve};
use crate::predefined;
use crate::proxies::{Proxies, Starting, needs_proxy, proxy_name};
use crate::state::{Slot, State};
use crate::store::Store;
use crate::{
    AddressUse, Attachment, Error, InterfaceCounters, IpamConfig, NetworkRecord, NetworksConfig,
    PublishedPort, Sandbox, namespace,
};
use base_errors::Chain;
use base_ids::{ContainerId, NetworkId};
use kernel_netlink::route::RouteSocket;
use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

/// All networks and sandboxes of one daemon.
pub struct Networks {
    pub(crate) config: NetworksConfig,
    pub(crate) networks: Vec<NetworkRecord>,
    pub(crate) shared: Arc<Shared>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

impl Networks {
    /// Reads the records, sets the bridge and the packet filter up, and starts filling the pool.
    /// Sandboxes of an earlier process are known, and kept until [`Self::adopt`].
    ///
    /// # Errors
    /// A record cannot be read or written, no subnet is free, or the kernel refuses the bridge.
    pub fn open(config: NetworksConfig) -> Result<Self, Error> {
        let store = Store::open(&config.data_root, &config.exec_root)?;
        let earlier = store.networks()?;
        let bridge = match config.bridge.as_deref() {
            Some("none") => None,
            _ => {
                let network = earlier.iter().find(|network| network.name == predefined::BRIDGE);
                Some(Bridge::set_up(&config, network)?)
            }
        };
        let networks = predefined::networks(&config, bridge.as_ref(), &earlier);
        for network in networks.iter().filter(|network| !earlier.contains(network)) {
            store.write_network(network)?;
        }
        let addresses = bridge.as_ref().map(|b| Addresses::new(b.subnet, b.gateway));
        let proxies = Proxies::new(config.userland_proxy.clone(), store.proxies());
        let ports = Ports::new(ephemeral_range(), proxies.available());
        let mut state = State::new(addresses, ports);
        recall(&mut state, &store, bridge.as_ref())?;
        recall_proxies(&state, &proxies)?;
        let firewall = match &bridge {
            Some(bridge) => Some(Mutex::new(open_firewall(&config, bridge, &state)?)),
            None => None,
        };
        let shared = Arc::new(Shared {
            store,
            bridge,
            proxies,
            firewall,
            state: Mutex::new(state),
            changed: Condvar::new(),
            pool_size: config.sandbox_pool_size,
        });
        shared.answer_docker();
        let worker = {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name("networks".to_owned())
                .spawn(move || shared.work())
                .map_err(|error| Error::kernel("start a thread", error))?
        };
        Ok(Self { config, networks, shared, worker: Mutex::new(Some(worker)) })
    }

    /// All networks.
    #[must_use]
    pub fn list(&self) -> Vec<NetworkRecord> {
        self.networks.clone()
    }

    /// The network of this name, id, or beginning of an id.
    ///
    /// # Errors
    /// There is none, or several ids begin so.
    pub fn find(&self, name_or_id: &str) -> Result<NetworkRecord, Error> {
        let exact = |network: &&NetworkRecord| {
            network.id.as_str() == name_or_id || network.name == name_or_id
        };
        if let Some(network) = self.networks.iter().find(exact) {
            return Ok(network.clone());
        }
        let by_prefix = |network: &&NetworkRecord| network.id.as_str().starts_with(name_or_id);
        let found: Vec<_> = self.networks.iter().filter(by_prefix).collect();
        match found[..] {
            [network] if !name_or_id.is_empty() => Ok(network.clone()),
            [_, _, ..] if !name_or_id.is_empty() => {
                Err(Error::AmbiguousNetwork(name_or_id.to_owned(), found.len()))
            }
            _ => Err(Error::NetworkNotFound(name_or_id.to_owned())),
        }
    }

    /// Who is in a network.
    #[must_use]
    pub fn attachments(&self, network: &NetworkId) -> Vec<Attachment> {
        let state = self.shared.state();
        let mut all = Vec::new();
        for sandbox in state.live() {
            let here = sandbox.endpoints.iter().filter(|end| end.network_id == *network);
            all.extend(here.map(|end| Attachment {
                container: sandbox.id.clone(),
                endpoint_id: end.endpoint_id.clone(),
                mac: end.mac,
                ipv4: end.ipv4.map(|address| (address, end.prefix_length)),
            }));
        }
        all
    }

    /// How full a network's subnet is; `None` for a network without one.
    #[must_use]
    pub fn address_use(&self, network: &NetworkId) -> Option<AddressUse> {
        let network = self.networks.iter().find(|one| one.id == *network)?;
        let IpamConfig { subnet, gateway } = *network.ipam.config.first()?;
        let containers = self.attachments(&network.id);
        let containers = containers.iter().filter(|attachment| attachment.ipv4.is_some()).count();
        let reserved = HashSet::from([subnet.network(), subnet.broadcast(), gateway]).len();
        let all = 1_u64 << (32 - subnet.prefix_length());
        let in_use = u64::try_from(containers + reserved).unwrap_or(all).min(all);
        Some(AddressUse { subnet, in_use, available: all - in_use })
    }

    /// A container's sandbox.
    #[must_use]
    pub fn sandbox(&self, id: &ContainerId) -> Option<Sandbox> {
        match self.shared.state().sandboxes.get(id) {
            Some(Slot::Live(sandbox)) => Some((**sandbox).clone()),
            _ => None,
        }
    }

    /// Removes every sandbox that none of the `live` owns, and takes the others over, with their
    /// addresses and published ports. Call once, after [`Self::open`] and before the first
    /// [`Self::create_sandbox`].
    ///
    /// # Errors
    /// A sandbox cannot be removed.
    pub fn adopt(&self, live: &[ContainerId]) -> Result<(), Error> {
        let known: Vec<ContainerId> =
            self.shared.state().live().map(|sandbox| sandbox.id.clone()).collect();
        let dead = known.iter().filter(|id| !live.contains(id));
        dead.map(|id| self.remove_sandbox(id)).fold(Ok(()), Result::and)
    }

    /// The traffic of a sandbox's interfaces.
    ///
    /// # Errors
    /// There is no such sandbox, or the kernel does not tell.
    pub fn counters(&self, id: &ContainerId) -> Result<Vec<InterfaceCounters>, Error> {
        let sandbox = self.sandbox(id).ok_or_else(|| Error::SandboxNotFound(id.clone()))?;
        let failed = |error| Error::kernel("read interface counters", std::io::Error::from(error));
        let mut routes = RouteSocket::open().map_err(failed)?;
        let mut all = Vec::new();
        for endpoint in &sandbox.endpoints {
            let (Some(inside), Some(host)) = (&endpoint.interface, &endpoint.host_interface) else {
                continue;
            };
            let Some(link) = routes.link(host).map_err(failed)? else { continue };
            all.push(InterfaceCounters::from_host_side(inside, &link.counters));
        }
        Ok(all)
    }

    /// Waits until the background work (pool, teardown) is done.
    pub fn drain(&self) {
        self.shared.drain();
    }

    /// Removes the pool, and the bridge and packet filter when no sandbox is left; for an orderly
    /// end of the daemon. Sandboxes stay.
    pub fn shutdown(&self) {
        let empty = {
            let mut state = self.shared.state();
            while let Some(ready) = state.pool.pop_front() {
                state.release_address(ready.interface.ipv4);
                state.doomed.push_back(ready.netns);
            }
            state.stopping = true;
            state.sandboxes.is_empty()
        };
        self.stop_worker();
        let late = std::mem::take(&mut self.shared.state().pool);
        for ready in late {
            if let Err(error) = namespace::remove(&ready.netns) {
                tracing::warn!(error = %Chain(&error), "namespace not removed");
            }
        }
        if empty {
            self.remove_bridge();
        }
    }

    fn remove_bridge(&self) {
        if let Some(firewall) = &self.shared.firewall {
            let result = firewall.lock().unwrap_or_else(PoisonError::into_inner).remove();
            if let Err(error) = result {
                tracing::warn!(error = %Chain(&error), "packet filter not removed");
            }
        }
        // A bridge that the user named is the user's.
        if let (Some(bridge), None) = (&self.shared.bridge, &self.config.bridge)
            && let Err(error) = bridge.remove()
        {
            tracing::warn!(error = %Chain(&error), "bridge not removed");
        }
    }

    fn stop_worker(&self) {
        self.shared.state().stopping = true;
        self.shared.changed.notify_all();
        let worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(worker) = worker {
            let _ = worker.join();
        }
        self.shared.state().stopped = true;
        self.shared.changed.notify_all();
    }
}

impl Drop for Networks {
    fn drop(&mut self) {
        self.stop_worker();
    }
}

/// Takes the sandboxes on disk into the state. Namespaces that no sandbox names were made ahead,
/// or were on their way out: they are doomed.
fn recall(state: &mut State, store: &Store, bridge: Option<&Bridge>) -> Result<(), Error> {
    let mut known = Vec::new();
    for sandbox in store.sandboxes()? {
        if !namespace::is_mounted(&sandbox.netns) {
            // After the machine was restarted, where the exec root is on a disk.
            store.remove_sandbox(&sandbox.id)?;
            continue;
        }
        known.push(sandbox.netns.clone());
        for address in sandbox.endpoints.iter().filter_map(|endpoint| endpoint.ipv4) {
            if let Some(addresses) = &mut state.addresses {
                addresses.take(address);
            }
        }
        for error in state.ports.take_again(&sandbox.ports) {
            tracing::warn!(container = %sandbox.id, error = %Chain(&error), "port not held");
        }
        state.sandboxes.insert(sandbox.id.clone(), Slot::Live(Box::new(sandbox)));
    }
    let all = store.all_netns()?;
    state.doomed.extend(all.into_iter().filter(|path| !known.contains(path)));
    if let Some(bridge) = bridge {
        let ends = state.live().flat_map(|sandbox| &sandbox.endpoints);
        let live: Vec<String> = ends.filter_map(|end| end.host_interface.clone()).collect();
        let stale = stale_links(bridge, &live)?;
        state.fading.extend(stale.into_iter().map(|name| (Instant::now(), name)));
    }
    Ok(())
}

/// Ends the proxies that no sandbox has, and starts those that have died, unless their ports have
/// been taken by others meanwhile.
fn recall_proxies(state: &State, proxies: &Proxies) -> Result<(), Error> {
    let live: Vec<&Sandbox> = state.live().collect();
    proxies.stop_others(&live)?;
    for sandbox in live {
        let wanted: Vec<&PublishedPort> = sandbox.ports.iter().filter(|p| needs_proxy(p)).collect();
        if wanted.is_empty() || proxies.is_running(sandbox) {
            continue;
        }
        let mut listeners = Vec::new();
        for port in wanted {
            match reserve(port.protocol, port.host_ip, port.host_port) {
                Ok(socket) => listeners.extend(socket.map(|socket| (port.clone(), socket))),
                Err(error) => {
                    tracing::warn!(container = %sandbox.id, error = %Chain(&error), "port not held");
                }
            }
        }
        // What the dead one has left in the place of the new one's control socket.
        proxies.stop(proxy_name(&sandbox.sandbox_id));
        let started = proxies.start(sandbox, &listeners);
        if let Err(error) = started.and_then(|starting| starting.map_or(Ok(()), Starting::ready)) {
            tracing::warn!(container = %sandbox.id, error = %Chain(&error), "no proxy for its ports");
        }
    }
    Ok(())
}

fn open_firewall(
    config: &NetworksConfig,
    bridge: &Bridge,
    state: &State,
) -> Result<Firewall, Error> {
    let scope = Scope {
        bridge: bridge.name.clone(),
        subnet: bridge.subnet,
        inter_container: config.inter_container,
        masquerade: config.masquerade,
    };
    let failed = |error| Error::kernel("set up packet filter", std::io::Error::from(error));
    Firewall::open(scope, state.forwardings()).map_err(failed)
}
