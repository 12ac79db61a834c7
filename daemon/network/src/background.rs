//! Work that nobody waits for: making sandboxes ahead of need, and unmaking those that are done
//! with.
//!
//! Every namespace made ahead is a mount below `<exec>/netns` that no sandbox record names; after
//! a crash it is told from one in use by just that, and removed: none is ever used twice.

use crate::bridge::{Bridge, LINK_DIGITS, host_name_prefix};
use crate::namespace::{self, Interface};
use crate::proxies::Proxies;
use crate::sandbox::{random_mac, random_sandbox_id};
use crate::state::State;
use crate::store::Store;
use crate::{Error, firewall::Firewall};
use base_errors::Chain;
use kernel_netlink::route::{Changes, RouteSocket};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long the worker leaves the kernel's network lock to those who wait, after each sandbox
/// taken, while the pool still has some.
const REST: Duration = Duration::from_millis(5);
/// How long a link has to go by itself with its namespace, which costs nobody anything.
const FADE: Duration = Duration::from_secs(1);
/// A pool takes at most this part of a subnet.
const POOL_SHARE: usize = 8;

/// A namespace with one interface, ready to be handed out.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) sandbox_id: String,
    pub(crate) netns: PathBuf,
    pub(crate) interface: Interface,
}

/// What callers and the worker share.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) bridge: Option<Bridge>,
    pub(crate) proxies: Proxies,
    pub(crate) firewall: Option<Mutex<Firewall>>,
    pub(crate) state: Mutex<State>,
    /// Told when the worker has something to do, and when it has done it.
    pub(crate) changed: Condvar,
    pub(crate) pool_size: usize,
}

impl Shared {
    /// The state. A panic elsewhere cannot leave it half changed: it is changed in single steps.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs until told to stop.
    pub(crate) fn work(&self) {
        let mut state = self.state();
        loop {
            let due =
                state.fading.front().map(|(due, _)| due.saturating_duration_since(Instant::now()));
            if let Some(path) = state.doomed.pop_front() {
                state.working = true;
                drop(state);
                if let Err(error) = namespace::remove(&path) {
                    tracing::warn!(error = %Chain(&error), "namespace not removed");
                }
                state = self.state();
                state.fading.extend(link_prefix(&path).map(|name| (Instant::now() + FADE, name)));
            } else if state.stopping {
                break;
            } else if due.is_some_and(|due| due.is_zero()) {
                state = self.help_fading(state);
            } else if self.wants_more(&state) {
                state.working = true;
                state = self.refill(state);
            } else {
                state.working = false;
                self.changed.notify_all();
                state = match due {
                    Some(due) => {
                        let result = self.changed.wait_timeout(state, due);
                        result.unwrap_or_else(PoisonError::into_inner).0
                    }
                    None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                };
            }
        }
        state = self.help_fading(state);
        state.working = false;
        self.changed.notify_all();
    }

    /// Deletes what is still there of the links that should have gone with their namespaces. A
    /// connection that nobody answers any more keeps its namespace alive for minutes.
    fn help_fading<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let fading = std::mem::take(&mut state.fading);
        drop(state);
        let names: Vec<String> = fading.into_iter().map(|(_, name)| name).collect();
        if !names.is_empty()
            && let Err(error) = delete_links(&names)
        {
            tracing::warn!(error = %Chain(&error), "links not deleted");
        }
        self.state()
    }

    /// Waits until the worker has nothing left to do.
    pub(crate) fn drain(&self) {
        let mut state = self.state();
        while !state.stopped
            && (state.working || !state.doomed.is_empty() || self.wants_more(&state))
        {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn wants_more(&self, state: &State) -> bool {
        let enough = self.pool_size.min(state.pool.len() + state.free_addresses() / POOL_SHARE);
        !state.stopping && !state.pool_broken && state.pool.len() < enough
    }

    fn refill<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        if state.recently_taken && state.pool.len() * 2 >= self.pool_size {
            state.recently_taken = false;
            return self
                .changed
                .wait_timeout(state, REST)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        let address = state.addresses.as_mut().and_then(crate::addresses::Addresses::take_next);
        drop(state);
        self.answer_docker();
        let made = address.map(|address| (address, self.make_ready(address)));
        let mut state = self.state();
        match made {
            Some((_, Ok(ready))) => state.pool.push_back(ready),
            Some((address, Err(error))) => {
                state.release_address(address);
                // Do not spin: the next sandbox asked for tells what is wrong, and tries anew.
                state.pool_broken = true;
                tracing::warn!(error = %Chain(&error), "no sandbox made ahead");
            }
            None => state.pool_broken = true,
        }
        state
    }

    fn make_ready(&self, address: std::net::Ipv4Addr) -> Result<Ready, Error> {
        let bridge = self.bridge.as_ref().expect("there are addresses only with a bridge");
        let sandbox_id = random_sandbox_id();
        let interface = bridge.interface(&sandbox_id, 0, address, random_mac());
        let netns = self.store.netns(&sandbox_id[..12]);
        namespace::create(&netns, std::slice::from_ref(&interface))?;
        Ok(Ready { sandbox_id, netns, interface })
    }

    /// Sees to it that the bridge is there: somebody may have deleted it. It is made again as it
    /// was, and the sandboxes' links are plugged into it, so that their containers notice a pause
    /// only.
    pub(crate) fn keep_bridge(&self) -> Result<(), Error> {
        let Some(bridge) = self.bridge.as_ref().filter(|bridge| !bridge.is_there()) else {
            return Ok(());
        };
        let ends: Vec<String> = {
            let state = self.state();
            let ends = state.live().flat_map(|sandbox| &sandbox.endpoints);
            ends.filter_map(|end| end.host_interface.clone()).collect()
        };
        tracing::warn!(bridge = bridge.name, "bridge was deleted by somebody; making it again");
        bridge.restore(&ends)
    }

    /// Docker may have been started since we last looked.
    pub(crate) fn answer_docker(&self) {
        let Some(firewall) = &self.firewall else { return };
        let result = firewall.lock().unwrap_or_else(PoisonError::into_inner).answer_docker();
        if let Err(error) = result {
            tracing::warn!(error = %Chain(&error), "DOCKER-USER not answered");
        }
    }
}

/// How the names of the links into the namespace at `path` begin.
fn link_prefix(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    Some(host_name_prefix(name.get(..LINK_DIGITS)?))
}

fn delete_links(prefixes: &[String]) -> Result<(), kernel_netlink::Error> {
    let mut routes = RouteSocket::open()?;
    let links = routes.links()?;
    let ours = |name: &str| prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()));
    let mut outcome = Ok(());
    for link in links.into_iter().filter(|link| ours(&link.name)) {
        let mut changes = Changes::new();
        changes.delete_link(link.index);
        match routes.apply(&changes) {
            // Gone by itself meanwhile.
            Err(error) if error.os_error() == rustix::io::Errno::NODEV.raw_os_error() => {}
            result => outcome = outcome.and(result),
        }
    }
    outcome
}

/// The beginnings of names of links on the bridge that belong to none of these sandboxes: what a
/// crash left.
pub(crate) fn stale_links(bridge: &Bridge, live: &[String]) -> Result<Vec<String>, Error> {
    let links = RouteSocket::open()
        .and_then(|mut routes| routes.links())
        .map_err(|error| Error::kernel("list links", error))?;
    let ours = links.into_iter().filter(|link| link.master == Some(bridge.index()));
    let ours = ours.map(|link| link.name).filter(|name| name.starts_with(&host_name_prefix("")));
    Ok(ours.filter(|name| !live.contains(name)).collect())
}
