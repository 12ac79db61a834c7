//! IPv6 datagrams with the address of this host that they were sent to, so that an answer comes
//! from the address that was asked (`IPV6_PKTINFO`).
//!
//! <https://man7.org/linux/man-pages/man7/ipv6.7.html>, RFC 3542, 6.

use crate::{Errno, Result, check};
use std::mem::MaybeUninit;
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};

/// A datagram that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// How many bytes of the buffer it fills.
    pub length: usize,
    /// Who sent it.
    pub from: SocketAddrV6,
    /// To which address of this host; unspecified where the socket was not asked to tell.
    pub to: Ipv6Addr,
}

/// Room for one `in6_pktinfo`, aligned as control messages want it.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// Has [`receive_datagram`] tell where datagrams were sent to.
///
/// # Errors
/// The kernel's.
pub fn tell_destinations(socket: impl AsFd) -> Result<()> {
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&on)).unwrap_or(4);
    // SAFETY: `on` outlives the call and has the length that is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_IPV6,
            libc::IPV6_RECVPKTINFO,
            (&raw const on).cast(),
            length,
        )
    };
    check(result.into()).map(drop)
}

/// Receives a datagram of an IPv6 socket; what does not fit into `buffer` is lost.
///
/// # Errors
/// The kernel's; `EAFNOSUPPORT` when the sender has no IPv6 address.
pub fn receive_datagram(socket: impl AsFd, buffer: &mut [u8]) -> Result<Datagram> {
    let mut sender = MaybeUninit::<libc::sockaddr_in6>::zeroed();
    let mut control = Control([0; 64]);
    let mut slice = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: a message header of zeros is a valid one.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = sender.as_mut_ptr().cast();
    message.msg_namelen = socket_address_length();
    message.msg_iov = &raw mut slice;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len();
    let flags = libc::MSG_CMSG_CLOEXEC;
    // SAFETY: every pointer of the header is to a local or to `buffer`, with its own length.
    let length =
        check(unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut message, flags) }
            as libc::c_long)?;
    // SAFETY: it was zeroed, which is a valid address, before the kernel wrote to it.
    let sender = unsafe { sender.assume_init() };
    if message.msg_namelen < socket_address_length()
        || libc::c_int::from(sender.sin6_family) != libc::AF_INET6
    {
        return Err(Errno::AFNOSUPPORT);
    }
    let mut to = Ipv6Addr::UNSPECIFIED;
    // SAFETY: the header and its control bytes are as the kernel left them.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    while !header.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR give headers that lie inside `control`.
        let (level, kind) = unsafe { ((*header).cmsg_level, (*header).cmsg_type) };
        if (level, kind) == (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) {
            // SAFETY: a control message of this type carries an in6_pktinfo.
            let info =
                unsafe { libc::CMSG_DATA(header).cast::<libc::in6_pktinfo>().read_unaligned() };
            to = info.ipi6_addr.s6_addr.into();
        }
        // SAFETY: as for CMSG_FIRSTHDR.
        header = unsafe { libc::CMSG_NXTHDR(&raw const message, header) };
    }
    Ok(Datagram {
        length: usize::try_from(length).unwrap_or(0),
        from: SocketAddrV6::new(
            sender.sin6_addr.s6_addr.into(),
            u16::from_be(sender.sin6_port),
            sender.sin6_flowinfo,
            sender.sin6_scope_id,
        ),
        to,
    })
}

/// Sends a datagram `from` this address of the host; an unspecified one leaves it to the kernel.
///
/// # Errors
/// The kernel's.
pub fn send_datagram(
    socket: impl AsFd,
    bytes: &[u8],
    to: SocketAddrV6,
    from: Ipv6Addr,
) -> Result<()> {
    let mut receiver = libc::sockaddr_in6 {
        sin6_family: libc::sa_family_t::try_from(libc::AF_INET6).unwrap_or(10),
        sin6_port: to.port().to_be(),
        sin6_flowinfo: to.flowinfo(),
        sin6_addr: libc::in6_addr { s6_addr: to.ip().octets() },
        sin6_scope_id: to.scope_id(),
    };
    let mut control = Control([0; 64]);
    let mut slice =
        libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: a message header of zeros is a valid one.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = (&raw mut receiver).cast();
    message.msg_namelen = socket_address_length();
    message.msg_iov = &raw mut slice;
    message.msg_iovlen = 1;
    if !from.is_unspecified() {
        let info = libc::in6_pktinfo {
            ipi6_addr: libc::in6_addr { s6_addr: from.octets() },
            ipi6_ifindex: 0,
        };
        let length = u32::try_from(size_of_val(&info)).unwrap_or(20);
        message.msg_control = control.0.as_mut_ptr().cast();
        // SAFETY: both only compute; 64 bytes are more than the space of an in6_pktinfo, so the
        // first header and its data lie inside `control`.
        unsafe {
            message.msg_controllen = libc::CMSG_SPACE(length) as usize;
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::IPPROTO_IPV6;
            (*header).cmsg_type = libc::IPV6_PKTINFO;
            (*header).cmsg_len = libc::CMSG_LEN(length) as usize;
            libc::CMSG_DATA(header).cast::<libc::in6_pktinfo>().write_unaligned(info);
        }
    }
    // SAFETY: every pointer of the header is to a local or to `bytes`, which sendmsg only reads.
    check(unsafe {
        libc::sendmsg(socket.as_fd().as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL)
    } as libc::c_long)
    .map(drop)
}

fn socket_address_length() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<libc::sockaddr_in6>()).unwrap_or(28)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn an_answer_comes_from_the_address_that_was_asked() {
        let Ok(server) = UdpSocket::bind("[::]:0") else { return };
        tell_destinations(&server).unwrap();
        let port = server.local_addr().unwrap().port();
        let client = UdpSocket::bind("[::1]:0").unwrap();
        client.connect(("::1", port)).unwrap();
        client.send(b"ping").unwrap();
        let mut buffer = [0; 16];
        let datagram = receive_datagram(&server, &mut buffer).unwrap();
        assert_eq!(&buffer[..datagram.length], b"ping");
        assert_eq!(datagram.to, Ipv6Addr::LOCALHOST);
        assert_eq!(std::net::SocketAddr::from(datagram.from), client.local_addr().unwrap());
        send_datagram(&server, b"pong", datagram.from, datagram.to).unwrap();
        let length = client.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"pong");
        let nowhere: Ipv6Addr = "2001:db8::1".parse().unwrap();
        assert!(send_datagram(&server, b"x", datagram.from, nowhere).is_err());
    }
}
