//! `containerd-shim-gantry-v2`: containerd's shim binary protocol on the command line.
//!
//! Two actions, each in a bundle's directory: `start` prints the address of a shim that serves the
//! bundle's container, and `delete` removes what a dead shim left behind. Flags have one dash or
//! two, as Go's `flag` package takes them.

#![forbid(unsafe_code)]

mod arguments;

use arguments::{Action, Arguments};
use base_errors::Chain;
use contracts_shim_api::bootstrap::{
    MAX_DOCUMENT, MAX_VERSION_VARIABLE, RUNTIME_ROOT_VARIABLE, RuntimeInfo, RuntimeVersion,
    SOCKET_DIRECTORY_VARIABLE, StartInput, TTRPC_ADDRESS_VARIABLE, VERSION,
};
use prost::Message;
use prost_types::Any;
use shim_task::{DeleteAction, StartAction, Started, delete, start};
use std::error::Error;
use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Where containerd's shims have their sockets.
const SOCKETS: &str = "/run/containerd/s";
/// Where the runtime keeps state under containerd, a directory for each namespace.
const RUNTIME_ROOT: &str = "/run/containerd/gantry";
/// The runtime's name in `-info`.
const NAME: &str = "io.containerd.gantry.v2";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("containerd-shim-gantry-v2: {}", Chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    match arguments.action {
        Action::Version => {
            let version = env!("CARGO_PKG_VERSION");
            println!("containerd-shim-gantry-v2:\n  Version:  {version}");
            Ok(())
        }
        Action::Info => print(&info()?.encode_to_vec()),
        Action::Start => run_start(arguments),
        Action::Delete => run_delete(&arguments),
    }
}

fn run_start(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    // Workers join containers: their own file must not be writable from there (CVE-2019-5736).
    runtime_container::seal()?;
    // Options come again with `Create`; only what is said nowhere else is taken from here.
    let input = StartInput::parse(&standard_input()?);
    let mut caller = number(MAX_VERSION_VARIABLE);
    let mut events = text(TTRPC_ADDRESS_VARIABLE);
    let mut sockets = path(SOCKET_DIRECTORY_VARIABLE, SOCKETS);
    if let StartInput::Params(params) = input {
        caller = VERSION;
        events = params.containerd_ttrpc_address;
        sockets = params.socket_dir.map_or(sockets, PathBuf::from);
    }
    let namespace = arguments.namespace()?;
    let action = StartAction {
        bundle: std::env::current_dir()?,
        runtime_root: runtime_root(&namespace),
        namespace,
        id: arguments.id()?,
        address: arguments.address,
        events,
        sockets,
        debug: arguments.debug,
    };
    match start(&action)? {
        Started::Action(params) => print(params.print(caller).as_bytes()),
        Started::Shim(server) => {
            drop(action);
            Ok(server.run()?)
        }
    }
}

fn run_delete(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let bundle = match arguments.bundle.as_str() {
        "" => std::env::current_dir()?,
        bundle => PathBuf::from(bundle),
    };
    let action = DeleteAction {
        bundle,
        id: arguments.id()?,
        runtime_root: runtime_root(&arguments.namespace()?),
    };
    print(&delete(&action)?.encode_to_vec())
}

fn info() -> Result<RuntimeInfo, Box<dyn Error>> {
    let options = Any::decode(standard_input()?.as_slice()).ok();
    let version =
        RuntimeVersion { version: env!("CARGO_PKG_VERSION").to_owned(), revision: String::new() };
    Ok(RuntimeInfo {
        name: NAME.to_owned(),
        version: Some(version),
        options: options.filter(|any| !any.type_url.is_empty()),
        ..RuntimeInfo::default()
    })
}

/// What the caller wrote on standard input; nothing when that is a terminal.
fn standard_input() -> std::io::Result<Vec<u8>> {
    let mut input = Vec::new();
    if !std::io::stdin().is_terminal() {
        std::io::stdin().take(MAX_DOCUMENT as u64).read_to_end(&mut input)?;
    }
    Ok(input)
}

fn print(bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    std::io::stdout().write_all(bytes)?;
    Ok(std::io::stdout().flush()?)
}

fn text(variable: &str) -> String {
    std::env::var(variable).unwrap_or_default()
}

fn number(variable: &str) -> u32 {
    text(variable).parse().unwrap_or(0)
}

/// The runtime's state directory.
fn runtime_root(namespace: &str) -> PathBuf {
    path(RUNTIME_ROOT_VARIABLE, &format!("{RUNTIME_ROOT}/{namespace}"))
}

fn path(variable: &str, default: &str) -> PathBuf {
    std::env::var_os(variable)
        .filter(|value| !value.is_empty())
        .map_or_else(|| PathBuf::from(default), PathBuf::from)
}
