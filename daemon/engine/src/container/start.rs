//! Starting: sandbox, files, configuration, task. Each step is undone when a later one fails.

use super::request::HOST_GATEWAY;
use super::{Container, exit};
use crate::error::{Error, Result};
use crate::record::MountKind;
use crate::shared::{RUNC_NAMES, Reloadable, Shared, blocking};
use crate::spec::user::{Accounts, Identity};
use crate::spec::{self, Input};
use crate::supervisor::{NAMESPACE, RUNTIME, SNAPSHOTTER, failed};
use base_errors::{Chain, Classify, Kind};
use base_faults as faults;
use base_ids::ContainerId;
use contracts_shim_api::stdio::{GantryStdio, StdioUri};
use contracts_supervisor_api::labels::EPHEMERAL;
use contracts_supervisor_api::services::containers::{self, CreateContainerRequest};
use contracts_supervisor_api::services::snapshots::MountsRequest;
use contracts_supervisor_api::services::tasks::{CreateTaskRequest, StartRequest};
use contracts_supervisor_api::{any, status, tonic, types};
use daemon_network::{
    Endpoint, EndpointRequest, PortRequest, Sandbox, SandboxRequest, hosts_file, resolv_conf,
};
use daemon_volumes::{Layers, RootView};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest account file that is looked at.
const MAX_ACCOUNTS: u64 = 1 << 20;

/// A task that runs.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) pid: u32,
    pub(crate) sandbox: Option<Sandbox>,
}

/// Why a container did not start.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) exit_code: i64,
    /// It came far enough that events tell of its end.
    pub(crate) died: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, exit_code: 128, died: false }
    }
}

/// Runs all steps.
pub(super) async fn run(
    shared: &Arc<Shared>,
    container: &Arc<Container>,
) -> std::result::Result<Started, Failure> {
    let joined = match Joined::resolve(shared, container) {
        Ok(joined) => joined,
        Err(error) => {
            super::attach::turn_away(container).await;
            return Err(error.into());
        }
    };
    // Namespace and root file system have nothing to do with each other.
    let (sandbox, mounts) =
        tokio::join!(create_sandbox(shared, container, &joined), rootfs(shared, container));
    let mut sandbox = match sandbox {
        Ok(sandbox) => sandbox,
        Err(error) => {
            super::attach::turn_away(container).await;
            return Err(error.into());
        }
    };
    faults::reach(const { faults::step("daemon.run.sandbox-created") });
    let result = match mounts {
        Ok(mounts) => run_task(shared, container, &joined, sandbox.as_ref(), mounts).await,
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(pid) => Ok(Started { pid, sandbox }),
        Err(failure) => {
            super::attach::turn_away(container).await;
            exit::forget(shared, container.id().as_str()).await;
            if let Some(sandbox) = sandbox.take() {
                remove_sandbox(shared, container.id()).await;
                exit::tell_disconnects(shared, container, Some(&sandbox));
            }
            Err(failure)
        }
    }
}

async fn run_task(
    shared: &Arc<Shared>,
    container: &Arc<Container>,
    joined: &Joined,
    sandbox: Option<&Sandbox>,
    mounts: Vec<types::Mount>,
) -> std::result::Result<u32, Failure> {
    for endpoint in sandbox.map(|sandbox| &sandbox.endpoints[..]).unwrap_or_default() {
        tell_network(shared, container, endpoint, "connect");
    }
    // Who it runs as and the files with its names have nothing to do with each other.
    let (identity, written) = tokio::join!(
        identify(shared, container, &mounts),
        write_name_files(shared, container, sandbox)
    );
    let identity = identity?;
    written?;
    tell_volumes(shared, container, "mount");
    let spec = spec::generate(&Input {
        record: &container.record,
        host: &shared.facts,
        identity,
        network: joined.network(sandbox),
        join_pid: joined.pid,
        join_ipc: joined.ipc,
        folder: &container.folder,
        default_ulimits: &shared.config.default_ulimits,
        cgroup_parent: &shared.config.cgroup_parent,
        init: init(shared, container)?,
    })?;
    let json = serde_json::to_vec(&spec).map_err(|e| Error::internal("encode spec", e))?;
    create_record(shared, container, json).await?;
    create_task(shared, container, mounts).await?;
    super::attach::open_gate(shared, container).await;
    faults::reach(const { faults::step("daemon.run.task-created") });
    let container_id = container.id().to_string();
    let request = shared.supervisor.call(StartRequest { container_id, exec_id: String::new() });
    let answer = shared.supervisor.tasks().start(request).await;
    Ok(answer.map_err(|error| start_failure(&error))?.into_inner().pid)
}

/// The init's program, where the container gets one: not in a pid namespace that has its own.
fn init<'a>(shared: &'a Shared, container: &Container) -> Result<Option<&'a Path>> {
    let host = &container.record.host_config;
    let own_namespace = host.pid_mode != "host" && !host.pid_mode.starts_with("container:");
    if !(own_namespace && host.init.unwrap_or(shared.config.init)) {
        return Ok(None);
    }
    let program = shared.config.init_path.as_path();
    if program.is_absolute() && program.is_file() {
        return Ok(Some(program));
    }
    let text = format!("exec: {:?}: executable file not found in $PATH", program.display());
    Err(Error::internal_text(text))
}

/// The supervisor's record of a task to be: made anew for each start, so it never costs a disk
/// write.
async fn create_record(shared: &Shared, container: &Container, spec: Vec<u8>) -> Result<()> {
    let record = containers::Container {
        id: container.id().to_string(),
        image: container.record.config.image.clone(),
        labels: [
            ("com.docker/engine.bundle.path".to_owned(), String::new()),
            (EPHEMERAL.to_owned(), "true".to_owned()),
        ]
        .into(),
        runtime: Some(containers::container::Runtime {
            name: runtime_name(&shared.reloadable(), container),
            options: None,
        }),
        spec: Some(any::json(any::SPEC, spec)),
        snapshotter: SNAPSHOTTER.to_owned(),
        snapshot_key: container.record.snapshot.clone(),
        ..containers::Container::default()
    };
    let request = || {
        let container = Some(record.clone());
        shared.supervisor.call(CreateContainerRequest { container })
    };
    match shared.supervisor.containers().create(request()).await {
        Ok(_) => Ok(()),
        Err(error) if status::kind(&error) == Kind::AlreadyExists => {
            // Left by a start that we did not live to see the end of.
            exit::forget(shared, container.id().as_str()).await;
            let again = shared.supervisor.containers().create(request()).await;
            again.map(drop).map_err(failed("failed to create container"))
        }
        Err(error) => Err(failed("failed to create container")(error)),
    }
}

/// The runtime behind the name that the container asks for.
fn runtime_name(settings: &Reloadable, container: &Container) -> String {
    let name = &container.record.host_config.runtime;
    let name = if name.is_empty() { &settings.default_runtime } else { name };
    if RUNC_NAMES.contains(&name.as_str()) {
        return RUNTIME.to_owned();
    }
    settings.runtimes.get(name).unwrap_or(name).clone()
}

async fn create_task(
    shared: &Shared,
    container: &Container,
    rootfs: Vec<types::Mount>,
) -> std::result::Result<(), Failure> {
    let config = &container.record.config;
    let stdout = StdioUri::Gantry(log_target(container)).to_string();
    let stdin = if config.open_stdin {
        let once = config.stdin_once;
        StdioUri::Gantry(GantryStdio { once, ..GantryStdio::default() }).to_string()
    } else {
        String::new()
    };
    let request = CreateTaskRequest {
        container_id: container.id().to_string(),
        rootfs,
        stdin,
        stderr: if config.tty { String::new() } else { stdout.clone() },
        stdout,
        terminal: config.tty,
        ..CreateTaskRequest::default()
    };
    let answer = shared.supervisor.tasks().create(shared.supervisor.call(request)).await;
    answer.map(drop).map_err(|error| start_failure(&error))
}

/// Where the shim writes the log, with rotation and attributes as `--log-opt` says.
fn log_target(container: &Container) -> GantryStdio {
    let Some(log) = container.log_path() else { return GantryStdio::default() };
    let options = container.record.host_config.log_config.config.clone().unwrap_or_default();
    let option = |name: &str| options.get(name).map(String::as_str);
    let config = &container.record.config;
    let mut labels = Vec::new();
    let names = |list: Option<&str>| -> Vec<String> {
        list.unwrap_or_default().split(',').map(|n| n.trim().to_owned()).collect()
    };
    for name in names(option("labels")) {
        if let Some(value) = config.labels.as_ref().and_then(|labels| labels.get(&name)) {
            labels.push((name, value.clone()));
        }
    }
    for name in names(option("env")) {
        let variables = config.env.iter().flatten();
        let found = variables.filter_map(|v| v.split_once('=')).find(|(key, _)| *key == name);
        labels.extend(found.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }
    GantryStdio {
        log: Some(log),
        max_size: option("max-size").and_then(super::request::parse_size),
        max_file: option("max-file").and_then(|text| text.parse().ok()),
        labels,
        once: false,
    }
}

/// dockerd's texts and exit codes for what the runtime says.
pub(crate) fn start_failure(error: &tonic::Status) -> Failure {
    let said = error.message();
    let lower = said.to_lowercase();
    let has = |part: &str| lower.contains(part);
    let (kind, exit_code) = if has("executable file not found")
        || has("no such file or directory")
        || has("system cannot find the file specified")
    {
        (Kind::InvalidArgument, 127)
    } else if has("permission denied") || has("is a directory") || has("exec format error") {
        (Kind::InvalidArgument, 126)
    } else {
        (Kind::Internal, 128)
    };
    let prefix = |text: &str, prefix: &str| {
        if text.starts_with(prefix) { text.to_owned() } else { format!("{prefix}{text}") }
    };
    let mut message = said.to_owned();
    if has("oci runtime create failed") && !has("failed to create shim task") {
        message = prefix(&message, "failed to create shim task: ");
    }
    message = prefix(&message, "failed to create task for container: ");
    // Older engines name the class of an unclassified error behind it, newer ones do not; and
    // all name their runtime, which programs look for.
    if let Some(short) = message.strip_suffix(": unknown") {
        message.truncate(short.len());
    }
    let message = message.replacen(
        "OCI runtime create failed: unable",
        "OCI runtime create failed: runc create failed: unable",
        1,
    );
    Failure { error: Error::Start { kind, message }, exit_code, died: false }
}

// The parts of a container.

/// What of other containers is shared.
struct Joined {
    network: Option<Arc<Container>>,
    pid: Option<u32>,
    ipc: Option<u32>,
}

impl Joined {
    fn resolve(shared: &Shared, container: &Container) -> Result<Self> {
        let host = &container.record.host_config;
        let other = |mode: &str| {
            let name = mode.strip_prefix("container:")?;
            Some(shared.containers.find(name).and_then(|other| {
                if other.view().has_task() {
                    Ok(other)
                } else {
                    let id = other.id();
                    Err(Error::Conflict(format!(
                        "cannot join network namespace of a non running container: container {id} \
                         is exited"
                    )))
                }
            }))
        };
        let pid = |mode: &str, what: &str| {
            other(mode).transpose().map(|other| other.map(|other| other.view().state.pid)).map_err(
                |e| Error::internal_text(format!("joining {what} namespace of container: {e}")),
            )
        };
        let network = other(&host.network_mode).transpose().map_err(|e| match e {
            Error::NoSuchContainer(_) => {
                Error::internal_text(format!("joining network namespace of container: {e}"))
            }
            other => other,
        })?;
        Ok(Self { network, pid: pid(&host.pid_mode, "PID")?, ipc: pid(&host.ipc_mode, "IPC")? })
    }

    /// The namespace that the container's network is in.
    fn network(&self, sandbox: Option<&Sandbox>) -> Option<PathBuf> {
        let pick = |sandbox: &Sandbox| (!sandbox.host).then(|| sandbox.netns.clone());
        match &self.network {
            Some(other) => other.view().state.sandbox.as_ref().and_then(pick),
            None => sandbox.and_then(pick),
        }
    }
}

async fn create_sandbox(
    shared: &Arc<Shared>,
    container: &Arc<Container>,
    joined: &Joined,
) -> Result<Option<Sandbox>> {
    if joined.network.is_some() {
        return Ok(None);
    }
    let container = container.clone();
    let created = shared.network("create sandbox", move |networks| {
        let request = sandbox_request(networks, &container)?;
        networks.create_sandbox(&request)
    });
    created.await?.map(Some).map_err(|error| {
        let kind = match error.kind() {
            Kind::AlreadyExists => Kind::Internal,
            kind => kind,
        };
        Error::Remote {
            kind,
            message: format!("failed to set up container networking: {}", Chain(&error)),
        }
    })
}

fn sandbox_request(
    networks: &daemon_network::Networks,
    container: &Container,
) -> std::result::Result<SandboxRequest, daemon_network::Error> {
    let host = &container.record.host_config;
    let mut endpoints = Vec::new();
    let mut wanted: Vec<&str> = vec![network_name(&host.network_mode)];
    for name in container.record.endpoints.keys() {
        if network_name(name) != wanted[0] {
            wanted.push(name);
        }
    }
    for name in wanted {
        let network = networks.find(name)?;
        let settings = container
            .record
            .endpoints
            .iter()
            .find(|(key, _)| network_name(key) == name || **key == network.id.to_string())
            .map(|(_, settings)| settings);
        let address = settings.and_then(|s| s.ipam_config.as_ref());
        endpoints.push(EndpointRequest {
            network: network.id,
            ipv4: address.and_then(|ipam| ipam.ipv4_address.parse().ok()),
            mac: settings.and_then(|s| s.mac_address.parse().ok()),
        });
    }
    let ports = if host.network_mode == "host" { Vec::new() } else { ports(container) };
    let (id, name) = (container.id().clone(), container.record.name.clone());
    Ok(SandboxRequest { id, name, endpoints, ports })
}

/// `default` and nothing mean the bridge.
pub(super) fn network_name(mode: &str) -> &str {
    if matches!(mode, "" | "default") { "bridge" } else { mode }
}

fn ports(container: &Container) -> Vec<PortRequest> {
    let host = &container.record.host_config;
    let mut ports = Vec::new();
    let parse = |key: &str| super::request::parse_port(key);
    for (key, bindings) in host.port_bindings.iter().flatten() {
        let Some((container_port, protocol)) = parse(key) else { continue };
        for binding in bindings.iter().flatten() {
            ports.push(PortRequest {
                container_port,
                protocol,
                host_ip: binding.host_ip.parse::<IpAddr>().ok(),
                host_port: super::request::parse_port_range(&binding.host_port),
            });
        }
    }
    if host.publish_all_ports {
        for key in container.record.config.exposed_ports.iter().flatten().map(|(key, _)| key) {
            let Some((container_port, protocol)) = parse(key) else { continue };
            let bound = |port: &PortRequest| {
                port.container_port == container_port && port.protocol == protocol
            };
            if !ports.iter().any(bound) {
                let any = PortRequest { container_port, protocol, host_ip: None, host_port: None };
                ports.push(any);
            }
        }
    }
    ports
}

async fn remove_sandbox(shared: &Shared, id: &ContainerId) {
    let id = id.clone();
    let result =
        shared.network("remove sandbox", move |networks| networks.remove_sandbox(&id)).await;
    if let Ok(Err(error)) = result {
        tracing::error!(error = %Chain(&error), "sandbox not removed after a failed start");
    }
}

/// How the root file system is mounted.
pub(crate) async fn rootfs(shared: &Shared, container: &Container) -> Result<Vec<types::Mount>> {
    if let Some(mounts) = container.known_rootfs() {
        return Ok(mounts);
    }
    let (snapshotter, key) = (SNAPSHOTTER.to_owned(), container.record.snapshot.clone());
    let request = shared.supervisor.call(MountsRequest { snapshotter, key });
    let answer = shared.supervisor.snapshots().mounts(request).await;
    let mounts = answer.map_err(failed("look up root file system"))?.into_inner().mounts;
    container.remember_rootfs(&mounts);
    Ok(mounts)
}

/// Opens a root file system for reading.
pub(crate) fn root_view(
    mounts: &[types::Mount],
) -> std::result::Result<RootView, daemon_volumes::ViewError> {
    let kind = || daemon_volumes::ViewError::Kind(String::new());
    let mount = mounts.first().ok_or_else(kind)?;
    RootView::open(&Layers::of_mount(&mount.r#type, &mount.source, &mount.options)?)
}

/// Looks the user up in the container's own account files.
async fn identify(
    shared: &Shared,
    container: &Container,
    mounts: &[types::Mount],
) -> Result<Identity> {
    let groups = container.record.host_config.group_add.as_deref().unwrap_or_default();
    let (user, chain) = (&container.record.config.user, &container.record.image.chain);
    // Before its first start a container has written nothing: its files are the image's.
    let fresh = container.view().state.started_at.is_none() && !chain.is_empty();
    let known = if fresh { shared.images.known_accounts(chain) } else { None };
    let accounts = match known {
        Some(accounts) => accounts,
        None => {
            let accounts = Arc::new(accounts(mounts).await?);
            if fresh {
                shared.images.remember_accounts(chain, &accounts);
            }
            accounts
        }
    };
    accounts.identify(user, groups)
}

/// Reads the account files of a root file system.
pub(crate) async fn accounts(mounts: &[types::Mount]) -> Result<Accounts> {
    let mounts = mounts.to_vec();
    let read = blocking("read accounts", move || {
        let view = root_view(&mounts)?;
        let file =
            |path: &str| view.read(Path::new(path), MAX_ACCOUNTS).map(Option::unwrap_or_default);
        Ok::<_, daemon_volumes::ViewError>(Accounts {
            passwd: file("/etc/passwd")?,
            group: file("/etc/group")?,
        })
    });
    read.await?.map_err(|error| Error::internal("read accounts", Chain(&error)))
}

async fn write_name_files(
    shared: &Shared,
    container: &Arc<Container>,
    sandbox: Option<&Sandbox>,
) -> Result<()> {
    let host = &container.record.host_config;
    let mut options = shared.config.resolver.clone();
    let own = |list: &Option<Vec<String>>| list.clone().filter(|list| !list.is_empty());
    if let Some(servers) = own(&host.dns) {
        options.servers = servers.iter().filter_map(|text| text.parse().ok()).collect();
    }
    options.search = own(&host.dns_search).unwrap_or(options.search);
    options.options = own(&host.dns_options).unwrap_or(options.options);
    let addresses: Vec<_> =
        sandbox.iter().flat_map(|s| &s.endpoints).filter_map(|endpoint| endpoint.ipv4).collect();
    let gateway = sandbox.iter().flat_map(|s| &s.endpoints).find_map(|endpoint| endpoint.gateway);
    let extra: Vec<(String, IpAddr)> = host
        .extra_hosts
        .iter()
        .flatten()
        .filter_map(|pair| super::request::split_extra_host(pair))
        .filter_map(|(name, address)| match (address, gateway) {
            (HOST_GATEWAY, Some(gateway)) => Some((name.to_owned(), IpAddr::V4(gateway))),
            _ => Some((name.to_owned(), super::request::parse_address(address)?)),
        })
        .collect();
    let joined = host.network_mode == "host";
    let container = container.clone();
    let written = blocking("write name files", move || -> std::io::Result<()> {
        let (config, folder) = (&container.record.config, &container.folder);
        let write = |name: &str, content: &str| write_once(&folder.join(name), content);
        write("hostname", &format!("{}\n", config.hostname))?;
        let from_host = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        // The user's own edits of resolv.conf are kept.
        if !folder.join("resolv.conf").exists() {
            write("resolv.conf", &resolv_conf(&from_host, &options))?;
        }
        let hosts = if joined && extra.is_empty() {
            std::fs::read_to_string("/etc/hosts").unwrap_or_default()
        } else {
            hosts_file(&config.hostname, &config.domainname, &addresses, &extra)
        };
        write("hosts", &hosts)
    });
    written.await?.map_err(|error| Error::internal("write name files", error))
}

/// Writes a file in place: it may be mounted somewhere, so that it must stay the same file.
fn write_once(path: &Path, content: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o644).open(path)?;
    file.write_all(content.as_bytes())
}

/// Tells that a container joined or left a network.
pub(super) fn tell_network(
    shared: &Shared,
    container: &Container,
    endpoint: &Endpoint,
    action: &str,
) {
    let kind = match endpoint.network_name.as_str() {
        "none" => "null",
        "host" => "host",
        _ => "bridge",
    };
    let attributes: BTreeMap<String, String> = [
        ("container".to_owned(), container.id().to_string()),
        ("name".to_owned(), endpoint.network_name.clone()),
        ("type".to_owned(), kind.to_owned()),
    ]
    .into();
    shared.events.emit("network", action, endpoint.network_id.as_str(), attributes);
}

/// Tells that a container's volumes were mounted or unmounted.
pub(super) fn tell_volumes(shared: &Shared, container: &Container, action: &str) {
    for mount in &container.record.mounts {
        let MountKind::Volume { name, .. } = &mount.kind else { continue };
        let mut attributes: BTreeMap<String, String> = [
            ("container".to_owned(), container.id().to_string()),
            ("driver".to_owned(), "local".to_owned()),
        ]
        .into();
        if action == "mount" {
            let propagation = &mount.propagation;
            attributes.insert("destination".to_owned(), mount.destination.clone());
            attributes.insert("propagation".to_owned(), propagation.clone());
            attributes.insert("read/write".to_owned(), mount.writable.to_string());
        }
        shared.events.emit("volume", action, name, attributes);
    }
}

/// The path of a task's attach socket.
pub(crate) fn attach_socket(shared: &Shared, id: &ContainerId) -> PathBuf {
    let supervisor = shared.config.supervisor_socket.parent().unwrap_or(Path::new("/"));
    supervisor
        .join("tasks")
        .join(NAMESPACE)
        .join(id.as_str())
        .join(contracts_shim_api::attach::SOCKET)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_127_and_a_directory_126() {
        let fail = |text: &str| start_failure(&tonic::Status::unknown(text));
        let missing =
            fail("OCI runtime create failed: exec: \"x\": executable file not found in $PATH");
        assert_eq!(missing.exit_code, 127);
        assert_eq!(
            missing.error.to_string(),
            "failed to create task for container: failed to create shim task: OCI runtime create \
             failed: exec: \"x\": executable file not found in $PATH"
        );
        assert_eq!(missing.error.kind().http_status(), 400);
        assert_eq!(fail("OCI runtime create failed: exec: \"/\": is a directory").exit_code, 126);
        assert_eq!(fail("cgroup on fire").exit_code, 128);
    }
}
