//! The program as the daemon starts it, between sockets on loopback.

#![expect(clippy::unwrap_used, reason = "tests")]

use kernel_sys::message;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, shutdown,
    socket_with, socketpair,
};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command};
use std::time::Duration;

/// Nothing here takes longer unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

struct Proxy {
    child: Child,
    control: SocketAddrUnix,
    _folder: tempfile::TempDir,
}

fn packets(flags: SocketFlags) -> OwnedFd {
    let flags = flags | SocketFlags::CLOEXEC;
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap()
}

impl Proxy {
    fn start(ports: &[(&str, &dyn AsFd, SocketAddr)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let control = SocketAddrUnix::new(folder.path().join("control")).unwrap();
        let listening = packets(SocketFlags::NONBLOCK);
        bind(&listening, &control).unwrap();
        listen(&listening, 4).unwrap();
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_gantry-proxy")).stdin(theirs).spawn().unwrap();
        message::send(&ours, b"control", &[listening.as_fd()]).unwrap();
        for (kind, socket, target) in ports {
            let order = format!("{kind} {target}");
            message::send(&ours, order.as_bytes(), &[socket.as_fd()]).unwrap();
        }
        assert_eq!(answer(&ours), "ready");
        Self { child, control, _folder: folder }
    }

    fn visit(&self) -> OwnedFd {
        let visitor = packets(SocketFlags::empty());
        connect(&visitor, &self.control).unwrap();
        visitor
    }

    /// Stops it, and waits until it says that it has ended.
    fn stop(&self) {
        let visitor = self.visit();
        message::send(&visitor, b"stop", &[]).unwrap();
        assert_eq!(message::receive(&visitor, &mut [0; 1]).unwrap().0, 0);
    }
}

/// What the proxy answers to its orders.
fn answer(orders: &OwnedFd) -> String {
    shutdown(orders, rustix::net::Shutdown::Write).unwrap();
    let mut buffer = [0; 256];
    let (length, _) = message::receive(orders, &mut buffer).unwrap();
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A listening socket on the host's side, with its address.
fn port() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// What stands for the container's server.
fn server() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn call(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn a_connection_is_carried_both_ways_and_ends_one_way_at_a_time() {
    let ((listener, address), (server, target)) = (port(), server());
    let proxy = Proxy::start(&[("tcp", &listener, target)]);
    drop(listener);
    let mut client = call(address);
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let (mut inside, _) = server.accept().unwrap();
    let mut heard = String::new();
    inside.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "question");
    inside.write_all(b"answer").unwrap();
    drop(inside);
    let mut told = String::new();
    client.read_to_string(&mut told).unwrap();
    assert_eq!(told, "answer");
    drop(proxy);
}

#[test]
fn what_a_slow_reader_has_not_read_waits_and_nothing_is_lost() {
    const LENGTH: usize = 32 << 20;
    let ((listener, address), (server, target)) = (port(), server());
    let _proxy = Proxy::start(&[("tcp", &listener, target)]);
    let mut client = call(address);
    let (mut inside, _) = server.accept().unwrap();
    let byte = |place: usize| u8::try_from(place % 251).unwrap();
    let sender = std::thread::spawn(move || {
        let bytes: Vec<u8> = (0..LENGTH).map(byte).collect();
        inside.write_all(&bytes).unwrap();
        inside.shutdown(Shutdown::Write).unwrap();
        let mut back = Vec::new();
        inside.read_to_end(&mut back).unwrap();
        back
    });
    // Both directions at once, and nobody reads while the other way is full.
    client.write_all(&[7; 100_000]).unwrap();
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len(), LENGTH);
    assert!(bytes.iter().enumerate().all(|(place, found)| *found == byte(place)));
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(sender.join().unwrap(), [7; 100_000]);
}

#[test]
fn a_container_that_refuses_ends_the_clients_connection() {
    let ((listener, address), (server, target)) = (port(), server());
    drop(server);
    let _proxy = Proxy::start(&[("tcp", &listener, target)]);
    let mut client = call(address);
    match client.read(&mut [0; 1]) {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_visit_changes_nothing_and_a_stop_frees_the_ports() {
    let ((listener, address), (server, target)) = (port(), server());
    let proxy = Proxy::start(&[("tcp", &listener, target)]);
    drop(listener);
    drop(proxy.visit());
    let visitor = proxy.visit();
    message::send(&visitor, b"stopping", &[]).unwrap();
    let mut client = call(address);
    let (mut inside, _) = server.accept().unwrap();
    inside.write_all(b"x").unwrap();
    client.read_exact(&mut [0; 1]).unwrap();
    proxy.stop();
    assert!(TcpStream::connect(address).is_err());
    let _again = TcpListener::bind(address).unwrap();
}

#[test]
fn datagrams_find_their_way_back_to_each_caller() {
    let front = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
    front.set_nonblocking(true).unwrap();
    let address = SocketAddr::from((Ipv6Addr::LOCALHOST, front.local_addr().unwrap().port()));
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let _proxy = Proxy::start(&[("udp", &front, server.local_addr().unwrap())]);
    let callers: Vec<UdpSocket> = (0..3)
        .map(|_| {
            let caller = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
            caller.set_read_timeout(Some(PATIENCE)).unwrap();
            caller.connect(address).unwrap();
            caller
        })
        .collect();
    for (number, caller) in callers.iter().enumerate() {
        caller.send(format!("caller {number}").as_bytes()).unwrap();
    }
    let mut buffer = [0; 64];
    for _ in &callers {
        let (length, from) = server.recv_from(&mut buffer).unwrap();
        server.send_to(&buffer[..length], from).unwrap();
    }
    for (number, caller) in callers.iter().enumerate() {
        let length = caller.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], format!("caller {number}").as_bytes());
    }
}

#[test]
fn orders_that_cannot_be_understood_are_an_error() {
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_gantry-proxy")).stdin(theirs).spawn().unwrap();
    message::send(&ours, b"fly", &[ours.as_fd()]).unwrap();
    assert_eq!(answer(&ours), "order \"fly\" cannot be understood");
    assert!(!child.wait().unwrap().success());
}
