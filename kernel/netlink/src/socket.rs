//! A netlink socket and the two ways of asking: a batch with acknowledgements, and a dump.

use crate::Error;
use crate::wire::{Messages, Received, messages, u32_at};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recvfrom, sendto,
    socket_with,
};
use std::io;
use std::os::fd::OwnedFd;

/// `NLMSG_ERROR`, which also acknowledges.
const ERROR: u16 = 2;
/// `NLMSG_DONE`.
const DONE: u16 = 3;
/// The kernel splits dumps into pieces of at most 32 KiB.
const RECEIVE_BYTES: usize = 64 * 1024;
/// No dump that we ask for has more messages; a bound, not an expectation.
const DUMP_DATAGRAMS: usize = 16 * 1024;

#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    buffer: Vec<u8>,
}

/// An answer to one message of a batch: its sequence number, and the kernel's error if any.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) sequence: u32,
    pub(crate) error: Option<io::Error>,
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace; `None` is `NETLINK_ROUTE`.
    pub(crate) fn open(protocol: Option<Protocol>) -> Result<Self, Error> {
        let fd =
            socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)
                .map_err(|errno| Error::Open(errno.into()))?;
        Ok(Self { fd, buffer: vec![0; RECEIVE_BYTES] })
    }

    /// Sends the messages and collects the answers, which are all there when the send returns.
    pub(crate) fn exchange(&mut self, out: &Messages) -> Result<Vec<Answer>, Error> {
        self.send(out)?;
        let mut answers = Vec::new();
        while let Some(datagram) = self.receive(RecvFlags::DONTWAIT)? {
            answers.extend(messages(datagram).filter_map(answer));
        }
        Ok(answers)
    }

    /// Sends one dump request and hands each message of the answer to `each`.
    pub(crate) fn dump(
        &mut self,
        out: &Messages,
        mut each: impl FnMut(Received<'_>),
    ) -> Result<(), Error> {
        self.send(out)?;
        for _ in 0..DUMP_DATAGRAMS {
            let datagram = self.receive(RecvFlags::empty())?.unwrap_or_default();
            for message in messages(datagram) {
                match message.kind {
                    DONE => return Ok(()),
                    ERROR => match answer(message).and_then(|answer| answer.error) {
                        Some(error) => return Err(Error::Transfer("dump", error)),
                        None => return Ok(()),
                    },
                    _ => each(message),
                }
            }
        }
        Err(Error::Malformed("a dump without end"))
    }

    /// Sends one request and hands the messages that answer it to `each`.
    pub(crate) fn query(
        &mut self,
        out: &Messages,
        mut each: impl FnMut(Received<'_>),
    ) -> Result<Option<io::Error>, Error> {
        self.send(out)?;
        let mut failure = None;
        while let Some(datagram) = self.receive(RecvFlags::DONTWAIT)? {
            for message in messages(datagram) {
                match answer(message) {
                    Some(answer) => failure = failure.or(answer.error),
                    None => each(message),
                }
            }
        }
        Ok(failure)
    }

    fn send(&self, out: &Messages) -> Result<(), Error> {
        let kernel = SocketAddrNetlink::new(0, 0);
        let sent = rustix::io::retry_on_intr(|| {
            sendto(&self.fd, out.as_bytes(), SendFlags::empty(), &kernel)
        })
        .map_err(|errno| Error::Transfer("send", errno.into()))?;
        if sent == out.as_bytes().len() { Ok(()) } else { Err(Error::Malformed("a short send")) }
    }

    /// The next datagram that the kernel itself sent; `None` when there is none now.
    fn receive(&mut self, flags: RecvFlags) -> Result<Option<&[u8]>, Error> {
        loop {
            match recvfrom(&self.fd, &mut self.buffer[..], flags) {
                Ok((_, length, sender)) => {
                    let from_kernel = sender
                        .and_then(|sender| SocketAddrNetlink::try_from(sender).ok())
                        .is_some_and(|sender| sender.pid() == 0);
                    if from_kernel {
                        return Ok(Some(&self.buffer[..length.min(self.buffer.len())]));
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return Ok(None),
                Err(errno) => return Err(Error::Transfer("receive", errno.into())),
            }
        }
    }
}

fn answer(message: Received<'_>) -> Option<Answer> {
    if message.kind != ERROR {
        return None;
    }
    // The kernel answers a negative errno, 0 to acknowledge.
    let code = u32_at(message.payload, 0)?.cast_signed();
    let error = (code != 0).then(|| io::Error::from_raw_os_error(code.wrapping_neg()));
    Some(Answer { sequence: message.sequence, error })
}
