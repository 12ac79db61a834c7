//! `info`.

use crate::arguments::Arguments;
use crate::command::{Command, Group, Operands};
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::listing::bad_template;
use crate::session::Session;
use crate::template::Template;
use crate::{output, quantity, show};
use contracts_engine_api::decode;
use contracts_engine_api::system::Info;
use serde_json::{Value, json};

static FLAGS: &[Flag] = &[Flag::new("format", Kind::Text, show::FORMAT_HELP).short('f')];

/// `info`.
pub(crate) static COMMAND: Command =
    Command::new("info", "[OPTIONS]", "Display system-wide information", run)
        .flags(&[FLAGS])
        .operands(Operands::None)
        .known_as(&["system info", "info"])
        .group(Group::Common);

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let template = match arguments.text("format") {
        "" => None,
        "json" => Some(Template::parse("{{json .}}")),
        format => Some(Template::parse(format)),
    };
    let template = template.transpose().map_err(bad_template)?;
    let answer = session.client.get("/info").fetch::<Value>();
    if let Some(template) = template {
        // Without an answer, templates find every field empty.
        let nothing = || serde_json::to_value(Info::default());
        let mut value = match &answer {
            Ok(value) => value.clone(),
            Err(_) => nothing().expect("the contract's types are serialisable"),
        };
        value["ClientInfo"] = json!({
            "Debug": session.debug,
            "Context": session.context,
            "Plugins": [],
            "Warnings": null,
            "Version": session.version,
        });
        if let Err(error) = &answer {
            value["ServerErrors"] = json!([crate::failure::told(error)]);
        }
        output::line(template.render(&value).map_err(bad_template)?)?;
        return answer.map(drop).map_err(Failure::from);
    }
    output::print(&format!(
        "Client:\n Version:    {}\n Context:    {}\n Debug Mode: {}\n\nServer:\n",
        session.version, session.context, session.debug
    ))?;
    let info: Info = decode::from_value(&answer?)
        .map_err(|error| Failure::text(format!("unreadable answer: {error}")))?;
    output::print(&server_text(&info))?;
    info.warnings.iter().flatten().for_each(output::note);
    Ok(())
}

/// Lines that grow, indented as Docker indents them.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, depth: usize, name: &str, value: impl std::fmt::Display) {
        let text = format!("{}{name}: {value}", " ".repeat(depth));
        self.0.push_str(text.trim_end());
        self.0.push('\n');
    }

    fn add_if(&mut self, depth: usize, name: &str, value: &str) {
        if !value.is_empty() {
            self.add(depth, name, value);
        }
    }

    fn text(&mut self, depth: usize, text: &str) {
        self.0.push_str(&format!("{}{text}\n", " ".repeat(depth)));
    }
}

fn server_text(info: &Info) -> String {
    let mut lines = Lines::default();
    lines.add(1, "Containers", info.containers);
    lines.add(2, "Running", info.containers_running);
    lines.add(2, "Paused", info.containers_paused);
    lines.add(2, "Stopped", info.containers_stopped);
    lines.add(1, "Images", info.images);
    lines.add_if(1, "Server Version", &info.server_version);
    lines.add_if(1, "Storage Driver", &info.driver);
    for [name, value] in info.driver_status.iter().flatten() {
        lines.add(2, name, value);
    }
    lines.add_if(1, "Logging Driver", &info.logging_driver);
    lines.add_if(1, "Cgroup Driver", &info.cgroup_driver);
    lines.add_if(1, "Cgroup Version", &info.cgroup_version);
    plugins(&mut lines, info);
    lines.add(1, "Swarm", &info.swarm.local_node_state);
    runtimes(&mut lines, info);
    lines.add_if(1, "Kernel Version", &info.kernel_version);
    lines.add_if(1, "Operating System", &info.operating_system);
    lines.add_if(1, "OSType", &info.os_type);
    lines.add_if(1, "Architecture", &info.architecture);
    lines.add(1, "CPUs", info.n_cpu);
    #[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
    lines.add(1, "Total Memory", quantity::memory_size(info.mem_total as f64));
    lines.add_if(1, "Name", &info.name);
    lines.add_if(1, "ID", &info.id);
    lines.add(1, "Docker Root Dir", &info.docker_root_dir);
    lines.add(1, "Debug Mode", info.debug);
    if info.debug {
        lines.add(2, "File Descriptors", info.n_fd);
        lines.add(2, "Goroutines", info.n_goroutines);
        lines.add(2, "System Time", &info.system_time);
        lines.add(2, "EventsListeners", info.n_events_listener);
    }
    lines.add_if(1, "HTTP Proxy", &info.http_proxy);
    lines.add_if(1, "HTTPS Proxy", &info.https_proxy);
    lines.add_if(1, "No Proxy", &info.no_proxy);
    let labels = info.labels.as_deref().unwrap_or_default();
    if !labels.is_empty() {
        lines.text(1, "Labels:");
        labels.iter().for_each(|label| lines.text(2, label));
    }
    lines.add(1, "Experimental", info.experimental_build);
    registries(&mut lines, info);
    lines.add(1, "Live Restore Enabled", info.live_restore_enabled);
    let pools = info.default_address_pools.as_deref().unwrap_or_default();
    if !pools.is_empty() {
        lines.text(1, "Default Address Pools:");
        for pool in pools {
            lines.text(2, &format!("Base: {}, Size: {}", pool.base, pool.size));
        }
    }
    lines.text(0, "");
    lines.0
}

fn plugins(lines: &mut Lines, info: &Info) {
    let list = |names: &Option<Vec<String>>| names.as_deref().unwrap_or_default().join(" ");
    lines.text(1, "Plugins:");
    lines.add(2, "Volume", list(&info.plugins.volume));
    lines.add(2, "Network", list(&info.plugins.network));
    lines.add_if(2, "Authorization", &list(&info.plugins.authorization));
    lines.add(2, "Log", list(&info.plugins.log));
    let directories = info.cdi_spec_dirs.as_deref().unwrap_or_default();
    if !directories.is_empty() {
        lines.text(1, "CDI spec directories:");
        directories.iter().for_each(|directory| lines.text(2, directory));
    }
}

fn runtimes(lines: &mut Lines, info: &Info) {
    let names: Vec<&str> =
        info.runtimes.iter().flat_map(|runtimes| runtimes.keys()).map(String::as_str).collect();
    lines.add(1, "Runtimes", names.join(" "));
    lines.add(1, "Default Runtime", &info.default_runtime);
    lines.add(1, "Init Binary", &info.init_binary);
    lines.add(1, "containerd version", &info.containerd_commit.id);
    lines.add(1, "runc version", &info.runc_commit.id);
    lines.add(1, "init version", &info.init_commit.id);
    let options = info.security_options.as_deref().unwrap_or_default();
    if options.is_empty() {
        return;
    }
    lines.text(1, "Security Options:");
    for option in options {
        // `name=seccomp,profile=builtin`: the name, and what belongs to it below.
        let mut fields =
            option.split(',').map(|field| field.split_once('=').unwrap_or(("", field)));
        let name = fields.clone().find(|(key, _)| *key == "name" || key.is_empty());
        lines.text(2, name.map_or("", |(_, name)| name));
        for (key, value) in fields.by_ref().filter(|(key, _)| !matches!(*key, "name" | "")) {
            if key == "profile" {
                lines.add(3, "Profile", value);
            } else {
                lines.text(3, &format!("{key}: {value}"));
            }
        }
    }
}

fn registries(lines: &mut Lines, info: &Info) {
    let Some(config) = &info.registry_config else { return };
    let insecure: Vec<&str> = config
        .index_configs
        .iter()
        .flatten()
        .filter(|(_, index)| !index.secure)
        .map(|(name, _)| name.as_str())
        .chain(config.insecure_registry_cidrs.iter().flatten().map(String::as_str))
        .collect();
    if !insecure.is_empty() {
        lines.text(1, "Insecure Registries:");
        insecure.iter().for_each(|name| lines.text(2, name));
    }
    let mirrors = config.mirrors.as_deref().unwrap_or_default();
    if !mirrors.is_empty() {
        lines.text(1, "Registry Mirrors:");
        mirrors.iter().for_each(|mirror| lines.text(2, mirror));
    }
}
