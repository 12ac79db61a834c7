//! `context inspect`.

use crate::arguments::Arguments;
use crate::command::{Command, Names, Operands};
use crate::contexts::{self, Meta};
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::session::Session;
use crate::{inspecting, show};
use client_http::Error;
use serde_json::{Map, Value, json};

static FLAGS: &[Flag] = &[Flag::new("format", Kind::Text, show::FORMAT_HELP).short('f')];

/// `context inspect`.
pub(super) static COMMAND: Command = Command::new(
    "inspect",
    "[OPTIONS] [CONTEXT] [CONTEXT...]",
    "Display detailed information on one or more contexts",
    run,
)
.flags(&[FLAGS])
.operands(Operands::Any)
.names(Names::Contexts)
.without_daemon();

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let current = [session.context.clone()];
    let names = if arguments.operands.is_empty() { &current[..] } else { &arguments.operands };
    inspecting::inspect(names, arguments.text("format"), |name| {
        fetch(session, name).map_err(|message| Error::Missing { message })
    })
}

fn fetch(session: &Session, name: &str) -> Result<Value, String> {
    /// Where Docker says that a context is that is no entry.
    const NOWHERE: &str = "<IN MEMORY>";
    let contexts = session.contexts();
    let is_default = name == contexts::DEFAULT;
    let meta = if is_default {
        let mut meta = Meta::new(name);
        meta.set_host(&session.default_host, false);
        meta
    } else {
        contexts.read(name)?
    };
    let files = contexts.tls_files(name);
    let mut tls = Map::new();
    if !is_default && !files.is_empty() {
        tls.insert("docker".to_owned(), json!(files));
    }
    let place = |path: std::path::PathBuf| match is_default {
        true => NOWHERE.to_owned(),
        false => path.display().to_string(),
    };
    let mut value = meta.text().clone();
    value["TLSMaterial"] = tls.into();
    value["Storage"] = json!({
        "MetadataPath": place(contexts.meta_directory(name)),
        "TLSPath": place(contexts.tls_directory(name)),
    });
    Ok(value)
}
