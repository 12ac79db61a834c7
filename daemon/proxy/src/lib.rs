//! `gantry-proxy`: carries what reaches a published port on an IPv6 address of the host to a
//! container that has an IPv4 address only, as docker-proxy does in Docker.
//!
//! One process for each sandbox that has such ports, started by `daemon/network` and independent
//! of it from then on: it lives until it is told to stop. Everything that it needs comes on
//! standard input ([`orders`]); its only argument is for people who look at `ps`.
//!
//! One thread, one epoll instance ([`poll`]): [`control`] hears what it is told, [`stream`] carries
//! connections, [`datagram`] datagrams, [`forward`] is the loop. Queues: the bytes of one read for
//! each direction of a connection; connections, callers and visitors are counted against
//! [`forward::MAX_CONNECTIONS`], [`datagram::MAX_CALLERS`] and [`control::MAX_VISITORS`].

#![forbid(unsafe_code)]

mod orders;

mod forward;

mod control;
mod datagram;
mod stream;

mod poll;

use forward::Forwarder;
use kernel_sys::message;
use orders::Orders;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, setsid};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};
use std::os::fd::AsFd;
use std::process::ExitCode;

/// The answer to orders that are carried out.
const READY: &[u8] = b"ready";
/// The answer to others is why, cut to so many bytes.
const LONGEST_COMPLAINT: usize = 256;

/// Why there is nothing to do, or no way to do it.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// The orders cannot be understood.
    #[error(transparent)]
    Orders(#[from] orders::Error),
    /// The kernel refused a step.
    #[error("{0}: {1}")]
    Kernel(&'static str, #[source] rustix::io::Errno),
}

/// The whole program.
#[must_use]
pub fn run() -> ExitCode {
    match forward() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gantry-proxy: {error}");
            ExitCode::FAILURE
        }
    }
}

fn forward() -> Result<(), Error> {
    // What ends the daemon's terminal does not end this.
    let _ = setsid();
    let daemon = std::io::stdin();
    let forwarder = begin(&daemon).inspect_err(|error| {
        let text = error.to_string();
        let _ = message::send(&daemon, &text.as_bytes()[..text.len().min(LONGEST_COMPLAINT)], &[]);
    })?;
    message::send(&daemon, READY, &[]).map_err(|errno| Error::Kernel("answer", errno))?;
    forwarder.run().map_err(|errno| Error::Kernel("wait for events", errno))
}

fn begin(daemon: impl AsFd) -> Result<Forwarder, Error> {
    let orders = Orders::receive(daemon)?;
    confine().map_err(|errno| Error::Kernel("give up privileges", errno))?;
    Forwarder::new(orders).map_err(|errno| Error::Kernel("epoll", errno))
}

/// Strangers talk to this process, and it needs nothing but sockets.
fn confine() -> rustix::io::Result<()> {
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum })?;
    set_no_new_privs(true)?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
}
