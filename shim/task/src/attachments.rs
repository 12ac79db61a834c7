//! The bundles' attach sockets: connections on which the daemon asks for attachments.

use crate::error::TaskError;
use crate::reactor::{Source, Watched};
use crate::server::Server;
use base_errors::Kind;
use base_telemetry::logger::Level;
use contracts_shim_api::attach::{self, AttachRequest, AttachResponse};
use kernel_sys::Errno;
use rustix::event::epoll::EventFlags;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, recvmsg,
};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::path::Path;

/// Connections on which no request has come yet.
const MAX_HANDSHAKES: usize = 64;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;

/// A connection whose request has not come whole.
#[derive(Debug)]
pub(crate) struct Handshake {
    /// The container's init.
    init: u32,
    socket: Watched,
    buffer: Vec<u8>,
    stream: Option<OwnedFd>,
}

impl Server {
    /// Makes a container's attach socket, if it has none yet.
    pub(crate) fn open_attach_socket(&mut self, id: &str) -> Result<(), TaskError> {
        let Some(container) = self.containers.get_mut(id) else { return Ok(()) };
        if container.attach.is_none() {
            let listener = listen_in(&container.bundle, attach::SOCKET)
                .map_err(TaskError::system("listen on the attach socket"))?;
            let source = Source::AttachListener(container.init);
            container.attach = Some(self.reactor.watch(listener, source, EventFlags::IN));
        }
        Ok(())
    }

    pub(crate) fn accept_attachment(&mut self, init: u32) {
        let container = self.containers.values().find(|container| container.init == init);
        let Some(listener) = container.and_then(|container| container.attach.as_ref()) else {
            return;
        };
        let socket = match self.reactor.accept(listener) {
            Ok(Some(socket)) => socket,
            Ok(None) => return,
            Err(errno) => {
                let fields = [("error", &*errno.to_string())];
                return self.log(Level::Warning, "cannot take an attach request", &fields);
            }
        };
        if self.handshakes.len() >= MAX_HANDSHAKES {
            return self.log(Level::Warning, "too many attach requests at once", &[]);
        }
        let number = self.number();
        let socket = self.reactor.watch(socket, Source::Handshake(number), EventFlags::IN);
        let handshake = Handshake { init, socket, buffer: Vec::new(), stream: None };
        self.handshakes.insert(number, handshake);
    }

    pub(crate) fn on_handshake(&mut self, number: u32) {
        let Some(handshake) = self.handshakes.get_mut(&number) else { return };
        match handshake.receive() {
            Ok(None) => {}
            Ok(Some(request)) => {
                if let Some(handshake) = self.handshakes.remove(&number) {
                    self.attach(&request, &handshake);
                }
            }
            Err(errno) if Self::is_transient(errno) => {}
            Err(_) => drop(self.handshakes.remove(&number)),
        }
    }

    fn attach(&mut self, request: &AttachRequest, handshake: &Handshake) {
        let refuse = |kind: Kind, error: String| {
            let response = AttachResponse { error, code: kind.grpc_code() };
            if let Ok(frame) = attach::encode(&response) {
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                let _ = rustix::net::send(&handshake.socket, &frame, flags);
            }
        };
        let (init, stream) = (handshake.init, &handshake.stream);
        let number = match self.find(&request.id, &request.exec_id) {
            Ok(number) if self.containers[&request.id].init == init => number,
            Ok(_) => return refuse(Kind::NotFound, TaskError::NoContainer.to_string()),
            Err(error) => return refuse(Kind::NotFound, error.to_string()),
        };
        let Some(stream) = stream else {
            return refuse(Kind::InvalidArgument, "no stream came with the request".to_owned());
        };
        let copy = |fd: &_| rustix::io::fcntl_dupfd_cloexec(fd, 3);
        let (Ok(stream), Ok(control)) =
            (copy(stream), rustix::io::fcntl_dupfd_cloexec(&handshake.socket, 3))
        else {
            return refuse(Kind::ResourceExhausted, "no descriptor is free".to_owned());
        };
        if let Some(process) = self.processes.get_mut(&number) {
            process.stdio.attach(&mut self.reactor, request, stream, control);
        }
        self.log(
            Level::Debug,
            "attached",
            &[("id", request.id.as_str()), ("exec_id", request.exec_id.as_str())],
        );
    }
}

impl Handshake {
    fn receive(&mut self) -> Result<Option<AttachRequest>, Errno> {
        let mut bytes = [0_u8; 4 << 10];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let received = recvmsg(&self.socket, &mut slices, &mut control, flags)?.bytes;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                self.stream = rights.last().or(self.stream.take());
            }
        }
        if received == 0 {
            return Err(Errno::PIPE);
        }
        self.buffer.extend_from_slice(&bytes[..received]);
        attach::decode(&mut self.buffer).map_err(|_| Errno::PROTO)
    }
}

/// Listens on `directory/name`, for root only, replacing an older socket. The path goes through the
/// directory's descriptor, because a bundle's own may be longer than a socket's address.
pub(crate) fn listen_in(directory: &Path, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(directory, flags, Mode::empty())?;
    let path = format!("/proc/self/fd/{}/{name}", directory.as_raw_fd());
    match rustix::fs::unlinkat(&directory, name, rustix::fs::AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno),
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // The mode of the socket's file is that of the descriptor before bind(2), less the umask.
    rustix::fs::fchmod(&socket, Mode::from_raw_mode(0o600))?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}
