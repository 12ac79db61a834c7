//! Published ports on IPv6 addresses: one proxy process for each sandbox that has some.
//!
//! The kernel cannot translate IPv6 to IPv4, and containers have IPv4 addresses only, so that
//! somebody must carry the bytes. It must not be us, who may die at any time: `gantry-proxy`
//! (`daemon/proxy`) gets the listening sockets and goes on by itself. Each has a control socket
//! `<exec>/proxies/<12 digits of the sandbox id>`; who connects to it finds the proxy alive, and
//! ends it by saying `stop`. A control socket that no sandbox record names is what a crash left.

use crate::{Error, Protocol, PublishedPort, Sandbox};
use kernel_sys::message;
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, Shutdown, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen,
    shutdown, socket_with, socketpair,
};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Visits that may wait to be answered.
const BACKLOG: i32 = 16;
/// How long a proxy may take to begin, and to end: it only takes or closes its sockets.
const PATIENCE: Duration = Duration::from_secs(30);
/// What it says when it has begun; something else is why it cannot.
const READY: &[u8] = b"ready";
/// No answer is longer.
const LONGEST_ANSWER: usize = 1024;
/// So many digits of a sandbox's id name its proxy.
const DIGITS: usize = 12;

/// The proxies of one daemon.
#[derive(Debug)]
pub(crate) struct Proxies {
    program: Option<PathBuf>,
    directory: PathBuf,
    /// Those that this process has started, to be reaped; the others are init's.
    children: Mutex<HashMap<String, Child>>,
}

impl Proxies {
    /// Proxies with their control sockets in this directory; none can be started without a
    /// `program`.
    pub(crate) fn new(program: Option<PathBuf>, directory: PathBuf) -> Self {
        Self { program, directory, children: Mutex::default() }
    }

    /// Whether ports can be published on IPv6 addresses.
    pub(crate) fn available(&self) -> bool {
        self.program.is_some() && ipv6_is_there()
    }

    /// Starts a sandbox's proxy on these sockets. It may not be [`Starting::ready`] yet; clients
    /// wait in the sockets' queues meanwhile.
    ///
    /// # Errors
    /// The program cannot be started, or does not take its orders; [`Self::stop`] it then.
    pub(crate) fn start(
        &self,
        sandbox: &Sandbox,
        listeners: &[(PublishedPort, OwnedFd)],
    ) -> Result<Option<Starting>, Error> {
        let name = proxy_name(&sandbox.sandbox_id);
        let target = sandbox.endpoints.iter().find_map(|endpoint| endpoint.ipv4);
        let (Some(program), Some(target)) = (&self.program, target) else { return Ok(None) };
        if listeners.is_empty() {
            return Ok(None);
        }
        self.launch(program, name, target, listeners).map(Some)
    }

    fn launch(
        &self,
        program: &Path,
        name: &str,
        target: Ipv4Addr,
        listeners: &[(PublishedPort, OwnedFd)],
    ) -> Result<Starting, Error> {
        let failed = |step: &'static str| move |errno: Errno| Error::kernel(step, errno);
        let control = self.listen(name)?;
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
            .map_err(failed("make a socket pair"))?;
        let child = Command::new(program)
            .arg(self.directory.join(name))
            .env_clear()
            .current_dir("/")
            .stdin(theirs)
            .stdout(Stdio::null())
            // Whoever reads what we log shall not wait for the proxy's end.
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| Error::file("start", program, error))?;
        self.children().insert(name.to_owned(), child);
        let order = |text: &str, descriptor: &OwnedFd| {
            message::send(&ours, text.as_bytes(), &[descriptor.as_fd()])
                .map_err(failed("tell the proxy its ports"))
        };
        order("control", &control)?;
        for (port, listener) in listeners {
            order(&format!("{} {target}:{}", port.protocol, port.container_port), listener)?;
        }
        shutdown(&ours, Shutdown::Write).map_err(failed("tell the proxy to begin"))?;
        Ok(Starting(ours))
    }

    /// Ends a proxy, if it is there; its ports are free then.
    pub(crate) fn stop(&self, name: &str) {
        if let Err(errno) = self.say_stop(name) {
            tracing::warn!(proxy = name, error = %errno, "proxy does not end when told to");
        }
        let _ = fs::remove_file(self.directory.join(name));
        if let Some(mut child) = self.children().remove(name) {
            // For one that did not hear; the others have closed their sockets and are ending.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Whether a sandbox's proxy is there.
    pub(crate) fn is_running(&self, sandbox: &Sandbox) -> bool {
        self.visit(proxy_name(&sandbox.sandbox_id)).is_ok()
    }

    /// Ends every proxy that belongs to none of these sandboxes.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(crate) fn stop_others(&self, sandboxes: &[&Sandbox]) -> Result<(), Error> {
        let failed = |error| Error::file("list", &self.directory, error);
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let name = name.to_string_lossy();
            let known = |sandbox: &&Sandbox| proxy_name(&sandbox.sandbox_id) == name;
            if !sandboxes.iter().any(known) {
                self.stop(&name);
            }
        }
        Ok(())
    }

    fn say_stop(&self, name: &str) -> Result<(), Errno> {
        let visitor = match self.visit(name) {
            Ok(visitor) => visitor,
            // It was never there, or has ended by itself.
            Err(Errno::NOENT | Errno::CONNREFUSED) => return Ok(()),
            Err(errno) => return Err(errno),
        };
        set_socket_timeout(&visitor, Timeout::Recv, Some(PATIENCE))?;
        message::send(&visitor, b"stop", &[])?;
        match message::receive(&visitor, &mut [0; 1]) {
            // It has closed its sockets, or has died over it.
            Ok(_) | Err(Errno::CONNRESET) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    fn visit(&self, name: &str) -> Result<OwnedFd, Errno> {
        let socket = packets(SocketFlags::CLOEXEC)?;
        self.at(name, |address| connect(&socket, address))?;
        Ok(socket)
    }

    fn listen(&self, name: &str) -> Result<OwnedFd, Error> {
        let path = self.directory.join(name);
        let make = || {
            let socket = packets(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
            self.at(name, |address| bind(&socket, address))?;
            listen(&socket, BACKLOG)?;
            Ok(socket)
        };
        make().map_err(|errno: Errno| Error::file("listen at", path, errno.into()))
    }

    /// Does something with a socket's address, which goes by the directory's descriptor: the path
    /// may be longer than an address can be.
    fn at(
        &self,
        name: &str,
        work: impl FnOnce(&SocketAddrUnix) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let failed = |error: io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
        let directory = File::open(&self.directory).map_err(failed)?;
        let path = format!("/proc/self/fd/{}/{name}", directory.as_raw_fd());
        work(&SocketAddrUnix::new(path)?)
    }

    fn children(&self) -> std::sync::MutexGuard<'_, HashMap<String, Child>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A proxy that was told what to do.
#[derive(Debug)]
#[must_use = "it may fail"]
pub(crate) struct Starting(OwnedFd);

impl Starting {
    /// Waits until it does it.
    ///
    /// # Errors
    /// It cannot, or takes too long.
    pub(crate) fn ready(self) -> Result<(), Error> {
        let failed = |error| Error::kernel("start the proxy of IPv6 ports", error);
        let mut answer = [0; LONGEST_ANSWER];
        let received = set_socket_timeout(&self.0, Timeout::Recv, Some(PATIENCE))
            .and_then(|()| message::receive(&self.0, &mut answer));
        match received {
            Ok((length, _)) if answer[..length] == *READY => Ok(()),
            Ok((0, _)) => Err(failed(io::Error::other("it has ended"))),
            Ok((length, _)) => {
                Err(failed(io::Error::other(String::from_utf8_lossy(&answer[..length]))))
            }
            Err(errno) => Err(failed(errno.into())),
        }
    }
}

/// How a sandbox's proxy is called.
pub(crate) fn proxy_name(sandbox_id: &str) -> &str {
    sandbox_id.get(..DIGITS).unwrap_or(sandbox_id)
}

/// Whether a port needs a proxy.
pub(crate) fn needs_proxy(port: &PublishedPort) -> bool {
    port.host_ip.is_ipv6()
}

/// Whether a proxy can carry this protocol.
pub(crate) fn can_proxy(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Tcp | Protocol::Udp)
}

fn packets(flags: SocketFlags) -> Result<OwnedFd, Errno> {
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
}

/// Whether this kernel has IPv6; dockerd asks it the same way.
fn ipv6_is_there() -> bool {
    std::net::TcpListener::bind("[::1]:0").is_ok()
}
