//! What each command does.

mod checkpoint;
mod create;
mod document;
mod events;
mod exec;
mod features;
mod list;
mod spec;
mod update;

pub(crate) use checkpoint::{checkpoint, restore};
pub(crate) use create::{create, run};
pub(crate) use events::events;
pub(crate) use exec::exec;
pub(crate) use features::features;
pub(crate) use list::{list, ps};
pub(crate) use spec::spec;
pub(crate) use update::update;

use crate::Global;
use crate::arguments::Parsed;
use crate::failure::Failure;
use crate::signals;

/// What `--version` prints; engines read the lines' beginnings.
pub(crate) fn version() -> String {
    format!(
        "gantry-runtime version {}\nspec: {}\n",
        env!("CARGO_PKG_VERSION"),
        base_oci::runtime::VERSION
    )
}

/// `start`.
pub(crate) fn start(global: &Global, parsed: &Parsed) -> Result<u8, Failure> {
    runtime_container::start(&global.root, parsed.id()?)?;
    Ok(0)
}

/// `kill`.
pub(crate) fn kill(global: &Global, parsed: &Parsed) -> Result<u8, Failure> {
    let id = parsed.id()?;
    let signal = signals::parse(parsed.rest.get(1).map_or("SIGTERM", String::as_str))?;
    runtime_container::kill(&global.root, id, signal, parsed.flags.has("all"))?;
    Ok(0)
}

/// `delete`.
pub(crate) fn delete(global: &Global, parsed: &Parsed) -> Result<u8, Failure> {
    remove(global, parsed.id()?, parsed.flags.has("force"))?;
    Ok(0)
}

/// Removes a container, with a warning of each hook that failed.
fn remove(global: &Global, id: &str, force: bool) -> Result<(), Failure> {
    for warning in runtime_container::delete(&global.root, id, force)? {
        global.log.warning(&warning.to_string());
    }
    Ok(())
}

/// `state`.
pub(crate) fn state(global: &Global, parsed: &Parsed) -> Result<u8, Failure> {
    let state = runtime_container::state(&global.root, parsed.id()?)?;
    println!("{}", document::pretty(&state)?);
    Ok(0)
}

/// `pause`.
pub(crate) fn pause(global: &Global, parsed: &Parsed) -> Result<u8, Failure> {
    runtime_container::pause(&global.root, parsed.id()?)?;
    Ok(0)
}

/// `resume`.
pub(crate) fn resume(global: &Global, parsed: &Parsed) -> Result<u8, Failure> {
    runtime_container::resume(&global.root, parsed.id()?)?;
    Ok(0)
}
