//! TLS to a daemon. A thread pumps between the TLS connection and one end of a socket pair, so
//! that callers have a plain socket: two threads can use its two directions, and closing one of
//! them is a `close_notify`.

use crate::TlsFiles;
use rustix::event::{PollFd, PollFlags, poll};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A TLS connection that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file of the identity cannot be used.
    #[error("could not read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// No authorities to check the daemon against.
    #[error("TLS verification needs a ca.pem")]
    NoAuthorities,
    /// Certificate and key do not fit, or an authority is no certificate.
    #[error("TLS configuration")]
    Config(#[from] rustls::Error),
    /// The host is no name that a certificate could have.
    #[error("{0} is not a name for a certificate")]
    Name(String),
    /// The handshake failed.
    #[error("TLS handshake")]
    Handshake(#[source] io::Error),
}

/// Performs the handshake on `remote` and returns the plain end.
pub(crate) fn wrap(
    mut remote: TcpStream,
    host: &str,
    files: &TlsFiles,
) -> Result<UnixStream, TlsError> {
    let name = files.server_name.as_deref().unwrap_or(host).to_owned();
    let name = ServerName::try_from(name.clone()).map_err(|_| TlsError::Name(name))?;
    let mut tls = ClientConnection::new(Arc::new(config(files)?), name)?;
    while tls.is_handshaking() {
        tls.complete_io(&mut remote).map_err(TlsError::Handshake)?;
    }
    let prepare = || -> io::Result<(UnixStream, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        theirs.set_nonblocking(true)?;
        remote.set_nonblocking(true)?;
        Ok((ours, theirs))
    };
    let (ours, theirs) = prepare().map_err(TlsError::Handshake)?;
    // Ends when either side does; an error here shows as the end of the stream.
    std::thread::spawn(move || {
        let _ = Pump { tls, remote, local: theirs, to_local: Vec::new() }.run();
    });
    Ok(ours)
}

fn config(files: &TlsFiles) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?;
    let builder = if files.verify {
        let path = files.ca.as_deref().ok_or(TlsError::NoAuthorities)?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates(path)? {
            roots.add(certificate)?;
        }
        builder.with_root_certificates(roots)
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider)))
    };
    match (&files.certificate, &files.key) {
        (Some(certificate), Some(key)) => {
            let chain = certificates(certificate)?;
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|source| TlsError::File { path: key.clone(), source })?;
            Ok(builder.with_client_auth_cert(chain, key)?)
        }
        _ => Ok(builder.with_no_client_auth()),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let fail = |source| TlsError::File { path: path.to_owned(), source };
    CertificateDer::pem_file_iter(path).map_err(fail)?.collect::<Result<_, _>>().map_err(fail)
}

/// Docker's `--tls` without `--tlsverify`: encrypted, but to whom is not checked.
#[derive(Debug)]
struct Unverified(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// How much may wait for the local side before no more is read from the daemon.
const MAX_WAITING: usize = 256 * 1024;

struct Pump {
    tls: ClientConnection,
    remote: TcpStream,
    local: UnixStream,
    to_local: Vec<u8>,
}

impl Pump {
    fn run(mut self) -> io::Result<()> {
        let mut local_open = true;
        let mut remote_open = true;
        loop {
            while self.tls.wants_write() {
                match self.tls.write_tls(&mut self.remote) {
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
            self.flush_local()?;
            if !remote_open && self.to_local.is_empty() {
                return self.local.shutdown(Shutdown::Write);
            }
            let (from_local, from_remote) = self.wait(local_open, remote_open)?;
            if from_local {
                local_open = self.take_local()?;
            }
            if from_remote {
                remote_open = self.take_remote()?;
            }
        }
    }

    /// Waits for something to do; says whether to read the local and the remote side.
    fn wait(&self, local_open: bool, remote_open: bool) -> io::Result<(bool, bool)> {
        let mut local = PollFlags::empty();
        let mut remote = PollFlags::empty();
        local.set(PollFlags::IN, local_open && !self.tls.wants_write());
        local.set(PollFlags::OUT, !self.to_local.is_empty());
        remote.set(PollFlags::IN, remote_open && self.to_local.len() < MAX_WAITING);
        remote.set(PollFlags::OUT, self.tls.wants_write());
        // A side of which nothing is wanted is left out, since its hanging up would end every wait
        // at once; but a local side that has said all is watched for nothing else.
        let mut fds = Vec::with_capacity(2);
        let watched_local = !local.is_empty() || !local_open;
        if watched_local {
            fds.push(PollFd::new(&self.local, local));
        }
        if !remote.is_empty() {
            fds.push(PollFd::new(&self.remote, remote));
        }
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok((false, false)),
            Err(error) => return Err(error.into()),
        }
        let events = |fd: Option<&PollFd<'_>>| fd.map_or(PollFlags::empty(), PollFd::revents);
        let of_local = events(fds.first().filter(|_| watched_local));
        let of_remote = events(fds.last().filter(|_| !remote.is_empty()));
        let gone = of_local.intersects(PollFlags::ERR)
            || (of_local.intersects(PollFlags::HUP) && !local_open);
        if gone {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let readable = |wanted: PollFlags, came: PollFlags| {
            wanted.contains(PollFlags::IN)
                && came.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR)
        };
        Ok((readable(local, of_local), readable(remote, of_remote)))
    }

    fn flush_local(&mut self) -> io::Result<()> {
        while !self.to_local.is_empty() {
            match self.local.write(&self.to_local) {
                Ok(count) => drop(self.to_local.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether the local side may send more.
    fn take_local(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 16 * 1024];
        match self.local.read(&mut buffer) {
            Ok(0) => {
                self.tls.send_close_notify();
                Ok(false)
            }
            Ok(count) => self.tls.writer().write_all(&buffer[..count]).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Whether the daemon may send more.
    fn take_remote(&mut self) -> io::Result<bool> {
        match self.tls.read_tls(&mut self.remote) {
            Ok(0) => return Ok(false),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error),
        }
        let state = self.tls.process_new_packets().map_err(io::Error::other)?;
        let mut plain = vec![0; state.plaintext_bytes_to_read()];
        self.tls.reader().read_exact(&mut plain)?;
        self.to_local.extend_from_slice(&plain);
        Ok(!state.peer_has_closed())
    }
}
