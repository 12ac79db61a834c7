//! `version`.

use crate::arguments::Arguments;
use crate::command::{Command, Group, Operands};
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::listing::{align_with, bad_template};
use crate::session::Session;
use crate::template::Template;
use crate::{instant, output, show};
use contracts_engine_api::system::{ComponentVersion, VersionResponse};
use serde_json::{Value, json};

static FLAGS: &[Flag] = &[Flag::new("format", Kind::Text, show::FORMAT_HELP).short('f')];

/// `version`.
pub(crate) static COMMAND: Command =
    Command::new("version", "[OPTIONS]", "Show the Docker version information", run)
        .flags(&[FLAGS])
        .operands(Operands::None)
        .group(Group::Common);

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let template = match arguments.text("format") {
        "" => None,
        "json" => Some(Template::parse("{{json .}}")),
        format => Some(Template::parse(format)),
    };
    let template = template.transpose().map_err(bad_template)?;
    let server = session.client.get("/version").fetch::<VersionResponse>();
    match template {
        Some(template) => {
            let value = json!({
                "Client": client_json(session),
                "Server": server.as_ref().ok().map(server_json),
            });
            output::line(template.render(&value).map_err(bad_template)?)?;
        }
        None => {
            let mut text = client_text(session);
            if let Ok(server) = &server {
                text.push('\n');
                text.push_str(&server_text(server));
            }
            output::print(&text)?;
        }
    }
    server.map(drop).map_err(Failure::from)
}

fn platform() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{}/{architecture}", std::env::consts::OS)
}

fn client_json(session: &Session) -> Value {
    let platform = platform();
    let (os, architecture) = platform.split_once('/').unwrap_or_default();
    json!({
        "Version": session.version,
        "ApiVersion": session.client.version().as_str(),
        "DefaultAPIVersion": session.client.newest().as_str(),
        "GitCommit": "",
        "GoVersion": "",
        "Os": os,
        "Arch": architecture,
        "BuildTime": "",
        "Context": session.context,
    })
}

/// With the names that templates for Docker use, and components as a list.
fn server_json(server: &VersionResponse) -> Value {
    let mut value = serde_json::to_value(server).expect("the contract's types are serialisable");
    if value.get("Components").is_none() {
        value["Components"] = json!([]);
    }
    value
}

fn client_text(session: &Session) -> String {
    let ours = session.client.version();
    let newest = session.client.newest();
    let api = if ours == newest {
        ours.to_string()
    } else {
        format!("{ours} (downgraded from {newest})")
    };
    // Docker's clients of API 1.52 and later say "maximum"; this is the older form.
    let lines = [
        ("Version", session.version.to_owned()),
        ("API version", api),
        ("OS/Arch", platform()),
        ("Context", session.context.clone()),
    ];
    let mut out = "Client:\n".to_owned();
    for (name, value) in lines {
        out.push_str(&format!(" {:<19}{value}\n", format!("{name}:")));
    }
    out
}

fn server_text(server: &VersionResponse) -> String {
    let name = &server.platform.name;
    let mut out =
        if name.is_empty() { "Server:\n".to_owned() } else { format!("Server: {name}\n") };
    let own = vec![ComponentVersion {
        name: "Engine".to_owned(),
        version: server.version.clone(),
        details: Some(
            [
                ("ApiVersion", server.api_version.clone()),
                ("MinAPIVersion", server.min_api_version.clone()),
                ("GoVersion", server.go_version.clone()),
                ("GitCommit", server.git_commit.clone()),
                ("BuildTime", server.build_time.clone()),
                ("Os", server.os.clone()),
                ("Arch", server.arch.clone()),
                ("Experimental", server.experimental.to_string()),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
        ),
    }];
    let components = server.components.as_ref().filter(|list| !list.is_empty());
    for component in components.unwrap_or(&own) {
        out.push_str(&component_text(component));
    }
    align_with(&out, 0, 0)
}

fn component_text(component: &ComponentVersion) -> String {
    let details = component.details.clone().unwrap_or_default();
    let detail = |name: &str| details.get(name).cloned().unwrap_or_default();
    let mut out = format!(" {}:\n", component.name);
    let mut line = |name: &str, value: &str| {
        out.push_str(&format!("  {:<18}{value}\n", format!("{name}:")));
    };
    line("Version", &component.version);
    if details.contains_key("ApiVersion") {
        let oldest = detail("MinAPIVersion");
        line("API version", &format!("{} (minimum version {oldest})", detail("ApiVersion")));
    }
    if details.contains_key("GoVersion") {
        line("Go version", &detail("GoVersion"));
    }
    if details.contains_key("GitCommit") {
        line("Git commit", &detail("GitCommit"));
    }
    if details.contains_key("BuildTime") {
        line("Built", &instant::ansi_text(&detail("BuildTime")));
    }
    if details.contains_key("Os") {
        line("OS/Arch", &format!("{}/{}", detail("Os"), detail("Arch")));
    }
    if details.contains_key("Experimental") {
        line("Experimental", &detail("Experimental"));
    }
    out
}
