//! What the daemon tells a new proxy: datagrams on standard input (`SOCK_SEQPACKET`), each a word
//! and one descriptor; the end of what it says is the word to begin. The answer is `ready`, or why
//! not.
//!
//! | word | descriptor |
//! |---|---|
//! | `control` | a listening Unix socket (`SOCK_SEQPACKET`); who sends `stop` on it ends the proxy |
//! | `tcp ADDRESS:PORT` | a listening socket, whose connections go to that address |
//! | `udp ADDRESS:PORT` | a bound socket, whose datagrams go to that address |
//!
//! Words may be added, never changed: proxies are as old as their containers.

use kernel_sys::message;
use rustix::io::Errno;
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, OwnedFd};

/// More ports than a sandbox can have in one protocol.
pub(crate) const MAX_PORTS: usize = 2 * 65_536;
/// Longer than any order.
const LONGEST: usize = 64;

/// What to do.
#[derive(Debug)]
pub(crate) struct Orders {
    pub(crate) control: OwnedFd,
    pub(crate) ports: Vec<Port>,
}

/// A published port.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) socket: OwnedFd,
    pub(crate) kind: Kind,
    pub(crate) target: SocketAddrV4,
}

/// What goes through a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Stream,
    Datagram,
}

/// Orders that make no sense.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Standard input is no such conversation.
    #[error("receive orders: {0}")]
    Receive(#[source] Errno),
    /// An unknown word, or not one descriptor with it.
    #[error("order {0:?} cannot be understood")]
    Order(String),
    /// Nobody could ever end this process.
    #[error("no control socket")]
    NoControl,
}

impl Orders {
    /// Receives all orders.
    pub(crate) fn receive(from: impl AsFd) -> Result<Self, Error> {
        let (mut control, mut ports) = (None, Vec::new());
        let mut buffer = [0; LONGEST];
        loop {
            let (length, mut descriptors) =
                message::receive(&from, &mut buffer).map_err(Error::Receive)?;
            if length == 0 {
                let control = control.ok_or(Error::NoControl)?;
                return Ok(Self { control, ports });
            }
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let (Some(descriptor), true) = (descriptors.pop(), descriptors.is_empty()) else {
                return Err(Error::Order(text));
            };
            match order(&text) {
                Some(Order::Control) => control = Some(descriptor),
                Some(Order::Port(kind, target)) if ports.len() < MAX_PORTS => {
                    ports.push(Port { socket: descriptor, kind, target });
                }
                _ => return Err(Error::Order(text)),
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Order {
    Control,
    Port(Kind, SocketAddrV4),
}

fn order(text: &str) -> Option<Order> {
    if text == "control" {
        return Some(Order::Control);
    }
    let (kind, target) = text.split_once(' ')?;
    let kind = match kind {
        "tcp" => Kind::Stream,
        "udp" => Kind::Datagram,
        _ => return None,
    };
    Some(Order::Port(kind, target.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_a_word_and_a_target() {
        assert_eq!(order("control"), Some(Order::Control));
        let target = "172.17.0.2:80".parse().unwrap();
        assert_eq!(order("tcp 172.17.0.2:80"), Some(Order::Port(Kind::Stream, target)));
        for bad in ["", "tcp", "sctp 172.17.0.2:80", "udp [::1]:80", "udp 172.17.0.2"] {
            assert_eq!(order(bad), None, "{bad}");
        }
    }
}
