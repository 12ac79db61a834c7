//! `ssh://` hosts: the `ssh` program runs `docker system dial-stdio` on the other machine, and its
//! stdio is the connection.

use crate::Place;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

pub(crate) fn dial(place: &Place) -> io::Result<UnixStream> {
    let Place::Ssh { user, host, port, path } = place else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new("ssh");
    command.args(["-o", "ConnectTimeout=30", "-T"]);
    if let Some(user) = user {
        command.args(["-l", user]);
    }
    if let Some(port) = port {
        command.args(["-p", &port.to_string()]);
    }
    command.args(["--", host, "docker"]);
    if let Some(path) = path {
        // ssh hands the words to a shell over there.
        command.arg(format!("--host='unix://{}'", path.replace('\'', r"'\''")));
    }
    command.args(["system", "dial-stdio"]);
    command.stdin(Stdio::from(OwnedFd::from(theirs.try_clone()?)));
    command.stdout(Stdio::from(OwnedFd::from(theirs)));
    command.spawn()?;
    Ok(ours)
}
