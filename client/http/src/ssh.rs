//! `ssh://` hosts: the `ssh` program runs `docker system dial-stdio` on the other machine, and its
//! stdio is the connection.

use crate::Place;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

pub(crate) fn dial(place: &Place) -> io::Result<UnixStream> {
    let words = command_line(place);
    let (program, arguments) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let (ours, theirs) = UnixStream::pair()?;
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::from(OwnedFd::from(theirs.try_clone()?)))
        .stdout(Stdio::from(OwnedFd::from(theirs)))
        .spawn()?;
    Ok(ours)
}

/// The command that connects; empty for what is no ssh address.
pub(crate) fn command_line(place: &Place) -> Vec<String> {
    let Place::Ssh { user, host, port, path } = place else { return Vec::new() };
    let mut words = vec!["ssh", "-o", "ConnectTimeout=30", "-T"];
    if let Some(user) = user {
        words.extend(["-l", user]);
    }
    let port = port.map(|port| port.to_string());
    if let Some(port) = &port {
        words.extend(["-p", port]);
    }
    words.extend(["--", host, "docker"]);
    // ssh hands the words to a shell over there.
    let socket =
        path.as_ref().map(|path| format!("--host='unix://{}'", path.replace('\'', r"'\''")));
    words.extend(socket.as_deref());
    words.extend(["system", "dial-stdio"]);
    words.into_iter().map(str::to_owned).collect()
}
