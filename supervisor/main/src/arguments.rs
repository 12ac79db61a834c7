//! The command line: containerd's flags, as far as they have a meaning here.

use clap::{ArgAction, Parser};
use std::ffi::OsString;
use std::path::PathBuf;
use tracing::level_filters::LevelFilter;

/// Runs containers and keeps their images, for gantryd and every other client of containerd's API.
#[derive(Debug, Parser)]
#[command(name = "gantry-supervisor", version, disable_version_flag = true)]
pub(crate) struct Arguments {
    /// Socket for gRPC; default: containerd.sock in the state directory
    #[arg(short, long)]
    pub(crate) address: Option<PathBuf>,
    /// Socket for shims' events; default: the gRPC socket's with .ttrpc appended
    #[arg(long)]
    pub(crate) ttrpc_address: Option<PathBuf>,
    /// Directory for images, snapshots and records
    #[arg(long, default_value = "/var/lib/gantry")]
    pub(crate) root: PathBuf,
    /// Directory for what ends with the machine; a tmpfs
    #[arg(long, default_value = "/run/gantry/supervisor")]
    pub(crate) state: PathBuf,
    /// Not supported
    #[arg(short, long)]
    pub(crate) config: Option<PathBuf>,
    /// On cgroup v1, have the kernel attach processes without waiting (the whole machine's
    /// favordynmods, until it is rebooted)
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(crate) favor_dynmods: bool,
    /// What is logged
    #[arg(short, long, value_enum, default_value = "info")]
    pub(crate) log_level: Level,
    /// Print the version and exit
    #[arg(short, long, action = ArgAction::Version)]
    version: Option<bool>,
}

impl Arguments {
    /// The gRPC socket.
    pub(crate) fn grpc(&self) -> PathBuf {
        self.address.clone().unwrap_or_else(|| self.state.join("containerd.sock"))
    }

    /// The socket for events.
    pub(crate) fn ttrpc(&self) -> PathBuf {
        self.ttrpc_address.clone().unwrap_or_else(|| {
            let mut path = OsString::from(self.grpc());
            path.push(".ttrpc");
            path.into()
        })
    }
}

/// containerd's names of levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
    Panic,
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::TRACE,
            Level::Debug => Self::DEBUG,
            Level::Info => Self::INFO,
            Level::Warn => Self::WARN,
            Level::Error | Level::Fatal | Level::Panic => Self::ERROR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_in_the_state_directory_unless_said_otherwise() {
        let parse = |args: &[&str]| Arguments::try_parse_from(args).unwrap();
        let arguments = parse(&["x", "--state", "/s"]);
        assert_eq!(arguments.ttrpc(), PathBuf::from("/s/containerd.sock.ttrpc"));
        let arguments = parse(&["x", "-a", "/a/b.sock", "-l", "debug"]);
        assert_eq!(arguments.ttrpc(), PathBuf::from("/a/b.sock.ttrpc"));
        assert_eq!(arguments.log_level, Level::Debug);
        assert!(arguments.favor_dynmods);
        assert!(!parse(&["x", "--favor-dynmods=false"]).favor_dynmods);
    }
}
