//! `checkpoint` and `restore`.

use super::create::{Prepared, follow};
use super::document;
use crate::Global;
use crate::arguments::{Flags, Parsed};
use crate::failure::Failure;
use crate::foreground::Foreground;
use runtime_container::{CgroupsMode, CheckpointRequest, CriuOptions, RestoreRequest, Stdio};
use std::path::{Path, PathBuf};

/// Where the image is when `--image-path` does not say.
const IMAGE: &str = "checkpoint";

/// `checkpoint`.
pub(crate) fn checkpoint(global: &Global, parsed: &Parsed) -> Result<u8, Failure> {
    let (id, flags) = (parsed.id()?, &parsed.flags);
    let state = runtime_container::state(&global.root, id)?;
    let spec = document::config(Path::new(&state.bundle))?;
    let parent = flags.value("parent-path").filter(|parent| !parent.is_empty());
    if parent.is_some_and(|parent| Path::new(parent).is_absolute()) {
        return Err(Failure::Usage("--parent-path must be relative".to_owned()));
    }
    runtime_container::checkpoint(&CheckpointRequest {
        root: &global.root,
        id,
        spec: &spec,
        options: options(flags)?,
        leave_running: flags.has("leave-running"),
        pre_dump: flags.has("pre-dump"),
        parent: parent.map(str::to_owned),
        page_server: flags.value("page-server").map(page_server).transpose()?,
        status_fd: flags.number("status-fd")?.filter(|number| *number >= 0),
        link_remap: flags.has("link-remap"),
    })?;
    Ok(0)
}

/// `restore`.
pub(crate) fn restore(global: &Global, parsed: &Parsed) -> Result<u8, Failure> {
    let (id, flags) = (parsed.id()?, &parsed.flags);
    let prepared = Prepared::read(global, parsed)?;
    let is_detached = flags.has("detach");
    prepared.check_console(is_detached)?;
    let Prepared { bundle, spec, options: create, .. } = prepared;
    let foreground = Foreground::for_container(is_detached, flags)?;
    let bundle = std::fs::canonicalize(&bundle)
        .map_err(|error| Failure::Other(format!("bundle {}: {error}", bundle.display())))?;
    let made = runtime_container::restore(RestoreRequest {
        root: &global.root,
        id,
        bundle: &bundle,
        spec: &spec,
        rootfs_mounts: &[],
        criu: options(flags)?,
        stdio: Stdio::Inherit,
        options: create,
    })?;
    match foreground {
        None => Ok(0),
        Some(foreground) => follow(global, id, &foreground, made, flags),
    }
}

fn options(flags: &Flags) -> Result<CriuOptions, Failure> {
    let empty: Vec<&str> = flags.values("empty-ns").collect();
    if let Some(other) = empty.iter().find(|kind| **kind != "network") {
        return Err(Failure::Usage(format!("--empty-ns {other}: only network can be left empty")));
    }
    let text = |name: &str| flags.value(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let cgroups = flags.value("manage-cgroups-mode").unwrap_or_default();
    Ok(CriuOptions {
        image: absolute(&flags.path("image-path").unwrap_or_else(|| IMAGE.into()))?,
        work: flags.path("work-path").as_deref().map(absolute).transpose()?,
        tcp_established: flags.has("tcp-established"),
        tcp_skip_in_flight: flags.has("tcp-skip-in-flight"),
        external_unix_sockets: flags.has("ext-unix-sk"),
        shell_job: flags.has("shell-job"),
        file_locks: flags.has("file-locks"),
        auto_dedup: flags.has("auto-dedup"),
        lazy_pages: flags.has("lazy-pages"),
        cgroups: CgroupsMode::named(cgroups)
            .ok_or_else(|| Failure::Usage(format!("invalid manage-cgroups-mode {cgroups:?}")))?,
        empty_network: !empty.is_empty(),
        lsm_profile: text("lsm-profile"),
        lsm_mount_context: text("lsm-mount-context"),
    })
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path)
        .map_err(|error| Failure::Other(format!("{}: {error}", path.display())))
}

/// `ADDRESS:PORT`.
fn page_server(text: &str) -> Result<(String, u16), Failure> {
    let wrong = || Failure::Usage("use --page-server ADDRESS:PORT".to_owned());
    let (address, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    Ok((address.to_owned(), port.parse().map_err(|_| wrong())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_server_is_an_address_and_a_port() {
        assert_eq!(page_server("10.0.0.1:27").unwrap(), ("10.0.0.1".to_owned(), 27));
        assert!(page_server("10.0.0.1").is_err() && page_server("a:b").is_err());
    }
}
