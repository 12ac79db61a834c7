//! `port`.

use crate::arguments::Arguments;
use crate::command::{Command, Names, Operands};
use crate::failure::Failure;
use crate::output;
use crate::session::Session;
use contracts_engine_api::container::{InspectResponse, PortBinding};

/// `port`.
pub(crate) static COMMAND: Command = Command::new(
    "port",
    "CONTAINER [PRIVATE_PORT[/PROTO]]",
    "List port mappings or a specific mapping for the container",
    run,
)
.operands(Operands::Between(1, 2))
.names(Names::Running)
.known_as(&["container port", "port"]);

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let id = arguments.operand();
    let container: InspectResponse =
        session.client.get(format!("/containers/{id}/json")).fetch()?;
    let ports = &container.network_settings.ports;
    if let Some(wanted) = arguments.operands.get(1) {
        let (port, protocol) = wanted.split_once('/').unwrap_or((wanted, "tcp"));
        let found =
            ports.get(&format!("{port}/{protocol}")).and_then(Option::as_ref).ok_or_else(|| {
                Failure::text(format!("Error: No public port '{wanted}' published for {id}"))
            })?;
        return found.iter().try_for_each(|binding| output::line(address(binding)));
    }
    let mut lines: Vec<(u32, String)> = Vec::new();
    for (port, bindings) in ports {
        for binding in bindings.iter().flatten() {
            lines.push((sort_key(port), format!("{port} -> {}", address(binding))));
        }
    }
    lines.sort();
    lines.iter().try_for_each(|(_, line)| output::line(line))
}

fn address(binding: &PortBinding) -> String {
    if binding.host_ip.contains(':') {
        format!("[{}]:{}", binding.host_ip, binding.host_port)
    } else {
        format!("{}:{}", binding.host_ip, binding.host_port)
    }
}

fn sort_key(port: &str) -> u32 {
    port.split('/').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
