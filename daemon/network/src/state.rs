//! What is in use now.

use crate::Sandbox;
use crate::addresses::Addresses;
use crate::background::Ready;
use crate::firewall::Forwarding;
use crate::ports::Ports;
use base_ids::ContainerId;
use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Instant;

/// What is in use now; behind one lock that is never held while the kernel works on interfaces.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) sandboxes: HashMap<ContainerId, Slot>,
    pub(crate) addresses: Option<Addresses>,
    pub(crate) ports: Ports,
    pub(crate) pool: VecDeque<Ready>,
    /// Namespaces to remove.
    pub(crate) doomed: VecDeque<PathBuf>,
    /// Beginnings of names of links that go with their namespaces, and when to help.
    pub(crate) fading: VecDeque<(Instant, String)>,
    /// The pool was used since the worker last looked.
    pub(crate) recently_taken: bool,
    /// Making ahead failed; tried again when a sandbox has been made.
    pub(crate) pool_broken: bool,
    /// The worker is busy.
    pub(crate) working: bool,
    /// The worker shall end.
    pub(crate) stopping: bool,
    /// The worker has ended.
    pub(crate) stopped: bool,
}

/// A container's place among the sandboxes.
#[derive(Debug)]
pub(crate) enum Slot {
    /// Being made or removed by some thread.
    Busy,
    /// There.
    Live(Box<Sandbox>),
}

impl State {
    pub(crate) fn new(addresses: Option<Addresses>, ports: Ports) -> Self {
        Self {
            sandboxes: HashMap::new(),
            addresses,
            ports,
            pool: VecDeque::new(),
            doomed: VecDeque::new(),
            fading: VecDeque::new(),
            recently_taken: false,
            pool_broken: false,
            working: false,
            stopping: false,
            stopped: false,
        }
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = &Sandbox> {
        self.sandboxes.values().filter_map(|slot| match slot {
            Slot::Live(sandbox) => Some(&**sandbox),
            Slot::Busy => None,
        })
    }

    /// The published ports of all sandboxes.
    pub(crate) fn forwardings(&self) -> Vec<Forwarding> {
        self.live().flat_map(forwardings_of).collect()
    }

    pub(crate) fn free_addresses(&self) -> usize {
        self.addresses.as_ref().map_or(0, Addresses::free)
    }

    /// A namespace made ahead, on the bridge of this index. Those that were on another, which
    /// somebody has deleted, are doomed.
    pub(crate) fn take_ready(&mut self, bridge: u32) -> Option<Ready> {
        while let Some(ready) = self.pool.pop_front() {
            if ready.interface.bridge == bridge {
                return Some(ready);
            }
            self.release_address(ready.interface.ipv4);
            self.doomed.push_back(ready.netns);
        }
        None
    }

    pub(crate) fn release_address(&mut self, address: Ipv4Addr) {
        if let Some(addresses) = &mut self.addresses {
            addresses.release(address);
        }
    }

    /// Gives back what a sandbox held.
    pub(crate) fn release(&mut self, sandbox: &Sandbox) {
        self.ports.release(&sandbox.ports);
        for address in sandbox.endpoints.iter().filter_map(|endpoint| endpoint.ipv4) {
            self.release_address(address);
        }
    }
}

/// A sandbox's published ports lead to its first address.
pub(crate) fn forwardings_of(sandbox: &Sandbox) -> Vec<Forwarding> {
    let Some(container) = sandbox.endpoints.iter().find_map(|endpoint| endpoint.ipv4) else {
        return Vec::new();
    };
    sandbox.ports.iter().map(|port| Forwarding { port: port.clone(), container }).collect()
}
