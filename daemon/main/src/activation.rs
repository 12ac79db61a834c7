//! Sockets that a service manager listens on for us (sd_listen_fds(3)).

use anyhow::{Context, bail};
use rustix::net::sockopt::socket_acceptconn;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use std::os::fd::{OwnedFd, RawFd};

/// The variables of the protocol.
pub(crate) const VARIABLES: [&str; 3] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];
/// The first descriptor that is passed.
const FIRST: RawFd = 3;
/// More are not believed.
const MOST: usize = 128;

/// Keeps whatever this process was started with from the programs that it starts.
pub(crate) fn keep_from_children() -> std::io::Result<()> {
    Ok(kernel_sys::close_on_exec_from(FIRST.unsigned_abs())?)
}

/// Passed sockets: their numbers, and their names where they have some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Passed(Vec<(RawFd, String)>);

impl Passed {
    /// What the environment says was passed to this process.
    pub(crate) fn from_environment() -> Self {
        Self::read(getpid(), |name| std::env::var(name).ok())
    }

    fn read(own: Pid, variable: impl Fn(&str) -> Option<String>) -> Self {
        let number = |name: &str| variable(name)?.trim().parse::<i32>().ok();
        if number(VARIABLES[0]) != Some(own.as_raw_nonzero().get()) {
            return Self::default();
        }
        let count = number(VARIABLES[1]).and_then(|count| usize::try_from(count).ok());
        let names = variable(VARIABLES[2]).unwrap_or_default();
        let names = names.split(':').map(str::to_owned).chain(std::iter::repeat(String::new()));
        Self((FIRST..).zip(names).take(count.unwrap_or_default().min(MOST)).collect())
    }

    /// The sockets that `-H fd://WHICH` means: all, the one of a number, or those of a name.
    pub(crate) fn sockets(&self, which: &str) -> anyhow::Result<Vec<OwnedFd>> {
        if self.0.is_empty() {
            bail!(
                "no sockets found via socket activation: make sure the service was started by \
                 systemd"
            );
        }
        let wanted = |(fd, name): &&(RawFd, String)| match which {
            "" | "*" => true,
            _ => which == name || which.parse() == Ok(*fd),
        };
        let found: Vec<_> = self.0.iter().filter(wanted).map(|(fd, _)| *fd).collect();
        if found.is_empty() {
            bail!("no socket of this number or name was passed by systemd");
        }
        found.into_iter().map(take).collect()
    }
}

/// A descriptor of ours by its number, as one that this program owns: a duplicate, which leaves
/// the number alone. Whatever it names is looked at before it is used.
fn take(number: RawFd) -> anyhow::Result<OwnedFd> {
    let own = pidfd_open(getpid(), PidfdFlags::empty()).context("open own process")?;
    let socket = pidfd_getfd(&own, number, PidfdGetfdFlags::empty());
    let socket = socket.with_context(|| format!("descriptor {number} is not open"))?;
    match socket_acceptconn(&socket) {
        Ok(true) => Ok(socket),
        _ => bail!("descriptor {number} is not a listening socket"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixListener;

    fn read(pid: &str, count: &str, names: &str) -> Vec<(RawFd, String)> {
        let variable = |name: &str| {
            let value = match name {
                "LISTEN_PID" => pid,
                "LISTEN_FDS" => count,
                _ => names,
            };
            (!value.is_empty()).then(|| value.to_owned())
        };
        Passed::read(Pid::from_raw(7).unwrap(), variable).0
    }

    #[test]
    fn only_what_was_passed_to_this_process_counts() {
        let plain = [(3, String::new()), (4, String::new())];
        assert_eq!(read("7", "2", ""), plain);
        assert_eq!(read("7", "2", "a"), [(3, "a".to_owned()), (4, String::new())]);
        assert!(read("8", "2", "").is_empty());
        assert!(read("", "2", "").is_empty());
        assert!(read("7", "-1", "").is_empty());
        assert_eq!(read("7", "1000000", "").len(), MOST);
    }

    #[test]
    fn sockets_are_chosen_by_number_and_name_and_nothing_else_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let first = UnixListener::bind(folder.path().join("a")).unwrap();
        let second = UnixListener::bind(folder.path().join("b")).unwrap();
        let (first, second) = (first.as_raw_fd(), second.as_raw_fd());
        let passed = Passed(vec![(first, "api".to_owned()), (second, String::new())]);
        assert_eq!(passed.sockets("").unwrap().len(), 2);
        assert_eq!(passed.sockets("*").unwrap().len(), 2);
        assert_eq!(passed.sockets("api").unwrap().len(), 1);
        assert_eq!(passed.sockets(&second.to_string()).unwrap().len(), 1);
        assert!(passed.sockets("other").is_err());
        assert!(Passed::default().sockets("").is_err());
        let file = std::fs::File::open(folder.path()).unwrap();
        let error = Passed(vec![(file.as_raw_fd(), String::new())]).sockets("").unwrap_err();
        assert!(error.to_string().contains("is not a listening socket"), "{error}");
    }
}
