//! The command line: dockerd's flags, as far as they have a meaning here.

use clap::{ArgAction, Parser, ValueEnum};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use tracing::level_filters::LevelFilter;

/// Runs containers, for docker, gantry and every other client of the Engine API.
#[derive(Clone, Debug, Parser)]
#[command(name = "gantryd", version, disable_version_flag = true)]
pub(crate) struct Arguments {
    /// Add a runtime: NAME=SHIM, where SHIM is a containerd shim's name or path
    #[arg(long, value_name = "NAME=SHIM")]
    pub(crate) add_runtime: Vec<String>,
    /// The default bridge's address and prefix length (CIDR)
    #[arg(long, value_name = "CIDR")]
    pub(crate) bip: Option<String>,
    /// Attach containers to this bridge; "none" disables bridge networking
    #[arg(short, long)]
    pub(crate) bridge: Option<String>,
    /// Parent cgroup of all containers
    #[arg(long, default_value = "")]
    pub(crate) cgroup_parent: String,
    /// Daemon configuration file
    #[arg(long, default_value = "/etc/gantry/daemon.json")]
    pub(crate) config_file: PathBuf,
    /// Address of a supervisor (containerd gRPC); without it the daemon starts its own
    #[arg(long, value_name = "SOCKET")]
    pub(crate) containerd: Option<PathBuf>,
    /// Root directory of persistent state
    #[arg(long, default_value = "/var/lib/gantry")]
    pub(crate) data_root: PathBuf,
    /// Log debug messages
    #[arg(short = 'D', long)]
    pub(crate) debug: bool,
    /// Address pool for networks: base=CIDR,size=LENGTH
    #[arg(long, value_name = "POOL")]
    pub(crate) default_address_pool: Vec<String>,
    /// Runtime of containers that name none
    #[arg(long, default_value = daemon_engine::OWN_RUNTIME)]
    pub(crate) default_runtime: String,
    /// Ulimit of containers that set none: NAME=SOFT[:HARD]
    #[arg(long, value_name = "ULIMIT")]
    pub(crate) default_ulimit: Vec<String>,
    /// DNS server for containers
    #[arg(long)]
    pub(crate) dns: Vec<String>,
    /// DNS option for containers
    #[arg(long)]
    pub(crate) dns_opt: Vec<String>,
    /// DNS search domain for containers
    #[arg(long)]
    pub(crate) dns_search: Vec<String>,
    /// Root directory of state that ends with the machine; a tmpfs, mounted when it is none
    #[arg(long, default_value = "/run/gantry")]
    pub(crate) exec_root: PathBuf,
    /// On cgroup v1, have the kernel attach processes without waiting (the whole machine's
    /// favordynmods, until it is rebooted)
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(crate) favor_dynmods: bool,
    /// Group of the Unix socket
    #[arg(short = 'G', long)]
    pub(crate) group: Option<String>,
    /// Address to listen on (repeatable): unix://PATH, tcp://ADDRESS:PORT, fd:// (all sockets
    /// that systemd passes), fd://NUMBER, fd://NAME
    #[arg(short = 'H', long, value_name = "ADDRESS")]
    pub(crate) host: Vec<String>,
    /// Let containers of the default network reach each other
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(crate) icc: bool,
    /// Leave after this many seconds without a connection and without a running container
    #[arg(long, value_name = "SECONDS")]
    pub(crate) idle_exit: Option<u64>,
    /// Run an init in containers that do not say, which passes signals on and reaps processes
    #[arg(long)]
    pub(crate) init: bool,
    /// The init's program; default: gantry-init beside this one
    #[arg(long, value_name = "PATH")]
    pub(crate) init_path: Option<PathBuf>,
    /// Registry reached without verified TLS (repeatable)
    #[arg(long, value_name = "HOST")]
    pub(crate) insecure_registry: Vec<String>,
    /// Host address of published ports that name none
    #[arg(long, default_value = "0.0.0.0")]
    pub(crate) ip: Ipv4Addr,
    /// Switch IP forwarding on
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(crate) ip_forward: bool,
    /// Hide containers behind the host's address
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(crate) ip_masq: bool,
    /// Label of this daemon: KEY=VALUE
    #[arg(long)]
    pub(crate) label: Vec<String>,
    /// Accepted for dockerd's sake: containers always survive the daemon
    #[arg(long)]
    pub(crate) live_restore: bool,
    /// Log driver of containers that name none
    #[arg(long, default_value = "json-file")]
    pub(crate) log_driver: String,
    /// What is logged
    #[arg(short, long, value_enum, default_value = "info")]
    pub(crate) log_level: Level,
    /// Option of the default log driver: KEY=VALUE
    #[arg(long)]
    pub(crate) log_opt: Vec<String>,
    /// Oldest API version that is answered
    #[arg(long, env = "DOCKER_MIN_API_VERSION", value_name = "VERSION")]
    pub(crate) min_api_version: Option<String>,
    /// Largest packet of the default network
    #[arg(long, default_value_t = 1500)]
    pub(crate) mtu: u32,
    /// File for the daemon's process id; default: gantryd.pid in the exec root
    #[arg(short, long)]
    pub(crate) pidfile: Option<PathBuf>,
    /// Mirror of Docker Hub, tried first (repeatable)
    #[arg(long, value_name = "URL")]
    pub(crate) registry_mirror: Vec<String>,
    /// Ready network namespaces to keep; 0 makes each when it is needed
    #[arg(long, default_value_t = 8)]
    pub(crate) sandbox_pool: usize,
    /// Use TLS on TCP; implied by --tlsverify
    #[arg(long)]
    pub(crate) tls: bool,
    /// Whose clients are let in
    #[arg(long, default_value = "/etc/gantry/ca.pem")]
    pub(crate) tlscacert: PathBuf,
    /// The daemon's certificate
    #[arg(long, default_value = "/etc/gantry/cert.pem")]
    pub(crate) tlscert: PathBuf,
    /// The daemon's key
    #[arg(long, default_value = "/etc/gantry/key.pem")]
    pub(crate) tlskey: PathBuf,
    /// Use TLS on TCP and verify clients
    #[arg(long)]
    pub(crate) tlsverify: bool,
    /// Publish ports on IPv6 addresses too, by a proxy
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(crate) userland_proxy: bool,
    /// The proxy's program; default: gantry-proxy beside this one
    #[arg(long, value_name = "PATH")]
    pub(crate) userland_proxy_path: Option<PathBuf>,
    /// Check the configuration and exit
    #[arg(long)]
    pub(crate) validate: bool,
    /// Print the version and exit
    #[arg(short, long, action = ArgAction::Version)]
    version: Option<bool>,
    /// Named runtimes of `daemon.json`, which flags write as NAME=SHIM.
    #[arg(skip)]
    pub(crate) runtimes: std::collections::BTreeMap<String, String>,
    /// Log options of `daemon.json`.
    #[arg(skip)]
    pub(crate) log_opts: std::collections::BTreeMap<String, String>,
}

/// logrus' names of levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    /// Requests, followed step by step.
    Debug,
    /// Rare news.
    Info,
    /// Abnormal, carried on.
    Warn,
    /// What was asked for did not happen.
    Error,
    /// As error.
    Fatal,
}

impl Arguments {
    /// The least important thing that is logged.
    pub(crate) fn log_level(&self) -> LevelFilter {
        match self.log_level {
            _ if self.debug => LevelFilter::DEBUG,
            Level::Debug => LevelFilter::DEBUG,
            Level::Info => LevelFilter::INFO,
            Level::Warn => LevelFilter::WARN,
            Level::Error | Level::Fatal => LevelFilter::ERROR,
        }
    }

    /// Where to listen.
    pub(crate) fn hosts(&self) -> Vec<String> {
        if self.host.is_empty() {
            vec![format!("unix://{}", self.exec_root.join("docker.sock").display())]
        } else {
            self.host.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent_and_documented() {
        let command = Arguments::command();
        command.clone().debug_assert();
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{} has no help", argument.get_id());
        }
    }

    #[test]
    fn dockerds_flags_are_understood() {
        let arguments = Arguments::try_parse_from([
            "gantryd",
            "-H",
            "unix:///a",
            "-H",
            "tcp://127.0.0.1:2375",
            "-D",
            "-p",
            "/p",
            "-G",
            "docker",
            "--icc=false",
            "--data-root",
            "/d",
            "--log-level",
            "warn",
        ])
        .unwrap();
        assert_eq!(arguments.hosts().len(), 2);
        assert!(arguments.debug && !arguments.icc);
        let plain = Arguments::try_parse_from(["gantryd"]).unwrap();
        assert_eq!(plain.hosts(), ["unix:///run/gantry/docker.sock"]);
    }
}
