//! `GET /containers/{id}/json`.

use super::Container;
use crate::error::Result;
use crate::record::{HealthRecord, MountKind, MountRecord, Phase, ProbeRecord, StateRecord};
use crate::shared::Shared;
use crate::supervisor::SNAPSHOTTER;
use contracts_engine_api::container::{
    Health, HealthcheckResult, InspectResponse, MountPoint, NetworkSettings, PortBinding, PortMap,
    RootFsSnapshot, RootFsStorage, State, Status, Storage,
};
use contracts_engine_api::network::EndpointSettings;
use contracts_engine_api::timestamp;
use contracts_supervisor_api::services::snapshots::UsageRequest;
use daemon_network::Sandbox;
use std::collections::BTreeMap;

impl Shared {
    /// `GET /containers/{id}/json`.
    pub(crate) async fn container_inspect(&self, id: &str, size: bool) -> Result<InspectResponse> {
        let container = self.containers.find(id)?;
        let view = container.view();
        let record = &container.record;
        let state = &view.state;
        let mut command = crate::spec::command(record);
        let path = if command.is_empty() { String::new() } else { command.remove(0) };
        let file = |name: &str| container.folder.join(name).display().to_string();
        let tried = state.started_at.is_some() || !state.error.is_empty();
        let name_file = |name: &str| if tried { file(name) } else { String::new() };
        let exec_ids = self.execs.running(&container);
        let (size_rw, size_root_fs) =
            if size { self.sizes(&container).await } else { (None, None) };
        let snapshot = RootFsSnapshot { name: SNAPSHOTTER.to_owned() };
        Ok(InspectResponse {
            id: container.id().to_string(),
            created: record.created.clone(),
            path,
            args: command,
            state: api_state(state),
            image: record.image.id.as_str().to_owned(),
            resolv_conf_path: name_file("resolv.conf"),
            hostname_path: name_file("hostname"),
            hosts_path: name_file("hosts"),
            log_path: container
                .log_path()
                .filter(|_| tried)
                .map_or_else(String::new, |path| path.display().to_string()),
            name: format!("/{}", record.name),
            restart_count: state.restart_count,
            driver: SNAPSHOTTER.to_owned(),
            platform: record.image.os.clone(),
            exec_ids: (!exec_ids.is_empty()).then_some(exec_ids),
            host_config: record.host_config.clone(),
            storage: Some(Storage { root_fs: Some(RootFsStorage { snapshot: Some(snapshot) }) }),
            size_rw,
            size_root_fs,
            mounts: record.mounts.iter().filter_map(mount_point).collect(),
            config: record.config.clone(),
            network_settings: network_settings(&container, state.sandbox.as_ref()),
            image_manifest_descriptor: Some(record.image.manifest.clone()),
            ..InspectResponse::default()
        })
    }

    /// Bytes written by the container, and those with its image.
    pub(super) async fn sizes(&self, container: &Container) -> (Option<i64>, Option<i64>) {
        let usage = |key: String| async move {
            let request = UsageRequest { snapshotter: SNAPSHOTTER.to_owned(), key };
            let answer = self.supervisor.snapshots().usage(self.supervisor.call(request)).await;
            answer.map_or(0, |answer| answer.into_inner().size)
        };
        let own = usage(container.record.snapshot.clone()).await;
        let image = self.images.unpacked_size(&container.record.image.id).await.unwrap_or(0);
        (Some(own), Some(own + image))
    }
}

/// The API's form of a state.
pub(super) fn api_state(state: &StateRecord) -> State {
    let status = status(state);
    let time = |time: Option<crate::record::Timestamp3339>| {
        time.map_or_else(|| timestamp::ZERO.to_owned(), |time| timestamp::to_text(time.0))
    };
    State {
        status: status.as_str().to_owned(),
        running: matches!(status, Status::Running | Status::Paused | Status::Restarting),
        paused: status == Status::Paused,
        restarting: status == Status::Restarting,
        oom_killed: state.oom_killed,
        dead: false,
        pid: i64::from(state.pid),
        exit_code: state.exit_code,
        error: state.error.clone(),
        started_at: time(state.started_at),
        finished_at: time(state.finished_at),
        health: state.health.as_ref().map(api_health),
    }
}

fn api_health(health: &HealthRecord) -> Health {
    let probe = |probe: &ProbeRecord| HealthcheckResult {
        start: timestamp::to_text(probe.start.0),
        end: timestamp::to_text(probe.end.0),
        exit_code: probe.exit_code,
        output: probe.output.clone(),
    };
    Health {
        status: health.status.as_str().to_owned(),
        failing_streak: health.failing_streak,
        log: Some(health.log.iter().map(probe).collect()),
    }
}

/// The word for a state.
pub(super) fn status(state: &StateRecord) -> Status {
    match state.phase {
        Phase::Created => Status::Created,
        Phase::Starting if state.started_at.is_none() => Status::Created,
        // Started by its policy: whoever starts it by hand sets the count back first.
        Phase::Starting if state.restart_count > 0 => Status::Restarting,
        Phase::Starting | Phase::Exited => Status::Exited,
        Phase::Running => Status::Running,
        Phase::Paused => Status::Paused,
        Phase::Restarting => Status::Restarting,
        Phase::Removing => Status::Removing,
    }
}

/// A mount as inspect and list show it; tmpfs of `--tmpfs` are not listed.
pub(super) fn mount_point(mount: &MountRecord) -> Option<MountPoint> {
    let point = MountPoint {
        destination: mount.destination.clone(),
        mode: mount.mode.clone(),
        rw: mount.writable,
        propagation: mount.propagation.clone(),
        ..MountPoint::default()
    };
    match &mount.kind {
        MountKind::Bind { source, .. } => Some(MountPoint {
            kind: "bind".to_owned(),
            source: source.display().to_string(),
            ..point
        }),
        MountKind::Volume { name, source, .. } => Some(MountPoint {
            kind: "volume".to_owned(),
            name: name.clone(),
            source: source.display().to_string(),
            driver: "local".to_owned(),
            ..point
        }),
        MountKind::Tmpfs { .. } => None,
    }
}

fn network_settings(container: &Container, sandbox: Option<&Sandbox>) -> NetworkSettings {
    NetworkSettings {
        sandbox_id: sandbox.map(|sandbox| sandbox.sandbox_id.clone()).unwrap_or_default(),
        sandbox_key: sandbox.map(|s| s.netns.display().to_string()).unwrap_or_default(),
        ports: ports(container, sandbox),
        networks: networks(container, &container.view().state),
        ..NetworkSettings::default()
    }
}

/// Published ports with where they are, exposed ones with `null`; nothing while it does not run.
fn ports(container: &Container, sandbox: Option<&Sandbox>) -> PortMap {
    let mut map = PortMap::new();
    let Some(sandbox) = sandbox else { return map };
    for port in container.record.config.exposed_ports.iter().flatten().map(|(port, _)| port) {
        map.insert(port.clone(), None);
    }
    for port in &sandbox.ports {
        let key = format!("{}/{}", port.container_port, port.protocol);
        map.entry(key).or_default().get_or_insert_default().push(PortBinding {
            host_ip: port.host_ip.to_string(),
            host_port: port.host_port.to_string(),
        });
    }
    map
}

/// Endpoints by network name; before the first start, the ones that are wanted.
pub(super) fn networks(
    container: &Container,
    state: &StateRecord,
) -> BTreeMap<String, EndpointSettings> {
    let sandbox = state.sandbox.as_ref();
    let host = &container.record.host_config;
    let mut map = BTreeMap::new();
    if host.network_mode.starts_with("container:") {
        return map;
    }
    let own = super::start::network_name(&host.network_mode).to_owned();
    map.insert(own, EndpointSettings::default());
    for (name, settings) in &container.record.endpoints {
        map.insert(super::start::network_name(name).to_owned(), settings.clone());
    }
    for (name, id) in &state.network_ids {
        map.entry(name.clone()).or_default().network_id.clone_from(id);
    }
    for endpoint in sandbox.map(|sandbox| &sandbox.endpoints[..]).unwrap_or_default() {
        let settings = map.entry(endpoint.network_name.clone()).or_default();
        let text = |address: Option<std::net::Ipv4Addr>| {
            address.map(|address| address.to_string()).unwrap_or_default()
        };
        settings.network_id = endpoint.network_id.to_string();
        settings.endpoint_id = endpoint.endpoint_id.to_string();
        settings.gateway = text(endpoint.gateway);
        settings.ip_address = text(endpoint.ipv4);
        settings.ip_prefix_len = i64::from(endpoint.prefix_length);
        settings.mac_address = endpoint.mac.map(|mac| mac.to_string()).unwrap_or_default();
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Timestamp3339;

    #[test]
    fn what_its_policy_starts_is_restarting_and_what_a_person_starts_is_not() {
        let starting = |started_at, restart_count| {
            status(&StateRecord {
                phase: Phase::Starting,
                started_at,
                restart_count,
                ..StateRecord::created()
            })
        };
        let before = Some(Timestamp3339(jiff::Timestamp::UNIX_EPOCH));
        assert_eq!(starting(None, 0), Status::Created);
        assert_eq!(starting(before, 0), Status::Exited);
        assert_eq!(starting(before, 1), Status::Restarting);
    }
}
