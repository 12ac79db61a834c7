//! All commands, and the flags that stand before them.

use crate::command::{Command, Operands};
use crate::flag::{Flag, Kind};
use crate::{completion, container, context, image, inspect, network, system, volume};

/// The flags before the command.
pub static GLOBAL_FLAGS: &[Flag] = &[
    Flag::new("config", Kind::Text, "Directory of the client's configuration"),
    Flag::new(
        "context",
        Kind::Text,
        "Name of the context to connect with (overrides DOCKER_HOST and the default context)",
    )
    .short('c'),
    Flag::new("debug", Kind::Switch, "Enable debug mode").short('D').default("false"),
    Flag::new("host", Kind::List, "Daemon socket to connect to").short('H'),
    Flag::new(
        "log-level",
        Kind::Text,
        "Set the logging level (\"debug\", \"info\", \"warn\", \"error\", \"fatal\")",
    )
    .short('l')
    .default("info"),
    Flag::new("tls", Kind::Switch, "Use TLS; implied by --tlsverify").default("false"),
    Flag::new("tlscacert", Kind::Text, "Trust certs signed only by this CA"),
    Flag::new("tlscert", Kind::Text, "Path to TLS certificate file"),
    Flag::new("tlskey", Kind::Text, "Path to TLS key file"),
    Flag::new("tlsverify", Kind::Switch, "Use TLS and verify the remote").default("false"),
    Flag::new("version", Kind::Switch, "Print version information and quit")
        .short('v')
        .default("false"),
];

/// The program itself.
pub static ROOT: Command = Command::parent(
    "",
    "Containers, images, networks and volumes from the command line",
    &[
        &container::run::COMMAND,
        &container::exec::COMMAND,
        &container::ls::COMMAND,
        &image::pull::COMMAND,
        &image::ls::COMMAND,
        &system::version::COMMAND,
        &system::info::COMMAND,
        &container::CONTAINER,
        &context::CONTEXT,
        &image::IMAGE,
        &network::NETWORK,
        &system::SYSTEM,
        &volume::VOLUME,
        &completion::COMMAND,
        &completion::COMPLETE,
        &completion::COMPLETE_PLAIN,
        &container::attach::COMMAND,
        &container::create::COMMAND,
        &container::diff::COMMAND,
        &system::events::COMMAND,
        &image::history::COMMAND,
        &inspect::COMMAND,
        &container::kill::COMMAND,
        &container::logs::COMMAND,
        &container::pause::PAUSE,
        &container::port::COMMAND,
        &container::stop::RESTART,
        &container::rename::COMMAND,
        &container::rm::COMMAND,
        &image::rm::COMMAND,
        &container::start::COMMAND,
        &container::stats::COMMAND,
        &container::stop::STOP,
        &image::tag::COMMAND,
        &container::pause::UNPAUSE,
        &container::top::COMMAND,
        &container::wait::COMMAND,
    ],
)
.operands(Operands::Any)
.flags(&[GLOBAL_FLAGS]);
