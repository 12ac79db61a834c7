//! Creating: image, configuration, snapshot, volumes, record.

use super::{Command, Container, NameSource, names, request};
use crate::error::{Error, Result};
use crate::images::{Resolved, parse_platform};
use crate::record::{ConfigRecord, ImageRecord, MountKind, MountRecord, StateRecord};
use crate::shared::{Shared, blocking};
use crate::spec::HostFacts;
use crate::supervisor::{SNAPSHOTTER, failed};
use crate::volumes::VolumeClaim;
use base_errors::{Chain, Kind};
use base_faults as faults;
use base_ids::ContainerId;
use base_ids::reference::Reference;
use base_oci::image::{ContainerDefaults, Healthcheck};
use contracts_engine_api::container::{
    Config, CreateRequest, CreateResponse, HealthConfig, HostConfig,
};
use contracts_engine_api::network::EndpointSettings;
use contracts_supervisor_api::labels::{EPHEMERAL, GC_ROOT};
use contracts_supervisor_api::services::snapshots::{
    PrepareSnapshotRequest, RemoveSnapshotRequest,
};
use contracts_supervisor_api::{status, types};
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

/// How often a drawn name may be taken.
const NAME_ATTEMPTS: usize = 32;
const DEFAULT_SHM_SIZE: i64 = 64 << 20;
const LOG_DRIVERS: [&str; 2] = ["json-file", "none"];
const JSON_FILE_OPTIONS: [&str; 9] = [
    "max-size",
    "max-file",
    "compress",
    "labels",
    "labels-regex",
    "env",
    "env-regex",
    "tag",
    "mode",
];

impl Shared {
    /// `POST /containers/create`.
    pub(crate) async fn container_create(
        self: &Arc<Self>,
        name: Option<String>,
        platform: Option<String>,
        request: CreateRequest,
    ) -> Result<CreateResponse> {
        let CreateRequest { mut config, host_config, networking_config } = request;
        let mut host = host_config.unwrap_or_default();
        if let Some(name) = name.as_deref().map(|n| n.strip_prefix('/').unwrap_or(n))
            && !name.is_empty()
            && !names::valid(name)
        {
            return Err(Error::Invalid(format!(
                "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
            )));
        }
        if config.image.is_empty() {
            return Err(Error::invalid("no image specified"));
        }
        request::check_modes(&config, &host)?;
        let platform = parse_platform(platform.as_deref().unwrap_or_default())?;
        let found = self.images.find(&config.image).await?;
        let image = match self.images.resolve(&found.target, platform.as_ref()).await {
            Err(Error::NoSuchImage(_)) => {
                let familiar = Reference::parse(&config.image)
                    .map_or_else(|_| config.image.clone(), |reference| reference.familiar());
                return Err(Error::NoSuchImage(familiar));
            }
            result => result?,
        };
        merge(&mut config, image.config.config.as_ref());
        let id = ContainerId::random();
        let mut warnings = Vec::new();
        self.complete(&id, &mut config, &mut host, &mut warnings)?;
        request::check(&config, &host)?;
        let wanted = request::mounts(&config, &host)?;
        let endpoints: BTreeMap<String, EndpointSettings> = networking_config
            .and_then(|networking| networking.endpoints_config)
            .unwrap_or_default()
            .into_iter()
            .map(|(key, settings)| (key, settings.unwrap_or_default()))
            .collect();
        endpoints.values().try_for_each(request::check_endpoint)?;
        let name = self.reserve_name(name, &id)?;
        let record = ConfigRecord {
            version: ConfigRecord::VERSION,
            name: name.clone(),
            created: Timestamp::now().to_string(),
            image: ImageRecord {
                id: image.id.clone(),
                manifest: image.manifest_descriptor.clone(),
                chain: image.chain.clone(),
                os: image.config.os.clone(),
            },
            config,
            host_config: host,
            endpoints,
            mounts: Vec::new(),
            snapshot: id.to_string(),
            id: id.clone(),
        };
        match self.finish(record, &image, wanted).await {
            Ok(container) => {
                let attributes = container.event_attributes();
                self.events.emit("container", "create", id.as_str(), attributes);
                Ok(CreateResponse { id: id.to_string(), warnings })
            }
            Err(error) => {
                self.containers.release(&name);
                Err(error)
            }
        }
    }

    fn reserve_name(&self, name: Option<String>, id: &ContainerId) -> Result<String> {
        let given = name.map(|n| n.strip_prefix('/').unwrap_or(&n).to_owned());
        if let Some(name) = given.filter(|name| !name.is_empty()) {
            return self.containers.reserve(&name, id).map(|()| name);
        }
        let source = NameSource::new();
        for attempt in 0..NAME_ATTEMPTS {
            let name = source.name(attempt);
            if self.containers.reserve(&name, id).is_ok() {
                return Ok(name);
            }
        }
        let name = id.short().to_owned();
        self.containers.reserve(&name, id).map(|()| name)
    }

    /// Fills in what dockerd fills in.
    fn complete(
        &self,
        id: &ContainerId,
        config: &mut Config,
        host: &mut HostConfig,
        warnings: &mut Vec<String>,
    ) -> Result<()> {
        let empty = |list: &Option<Vec<String>>| list.as_ref().is_none_or(Vec::is_empty);
        if empty(&config.entrypoint) && empty(&config.cmd) {
            return Err(Error::invalid("no command specified"));
        }
        if matches!(host.network_mode.as_str(), "" | "default") {
            "bridge".clone_into(&mut host.network_mode);
        }
        if config.hostname.is_empty() {
            let own_uts = host.network_mode != "host" && host.uts_mode != "host";
            config.hostname =
                if own_uts { id.short().to_owned() } else { self.facts.hostname.clone() };
        }
        if host.network_mode == "host"
            && host.port_bindings.as_ref().is_some_and(|bindings| !bindings.is_empty())
        {
            warnings.push("Published ports are discarded when using host network mode".to_owned());
        }
        if host.shm_size == 0 {
            host.shm_size = DEFAULT_SHM_SIZE;
        }
        if host.memory > 0 && host.memory_swap == 0 {
            host.memory_swap = host.memory * 2;
        }
        if host.memory_swappiness == Some(-1) {
            host.memory_swappiness = None;
        }
        host.oom_kill_disable.get_or_insert(false);
        if host.ipc_mode.is_empty() {
            "private".clone_into(&mut host.ipc_mode);
        }
        if host.cgroupns_mode.is_empty() {
            let mode = if self.facts.cgroup_v2 && !host.privileged { "private" } else { "host" };
            mode.clone_into(&mut host.cgroupns_mode);
        }
        if host.restart_policy.name.is_empty() {
            "no".clone_into(&mut host.restart_policy.name);
        }
        if host.privileged {
            (host.masked_paths, host.readonly_paths) = (None, None);
            let label = || vec!["label=disable".to_owned()];
            host.security_opt.get_or_insert_with(label);
        } else {
            host.masked_paths.get_or_insert_with(|| self.facts.masked_paths.clone());
            host.readonly_paths.get_or_insert_with(HostFacts::read_only_paths);
        }
        self.complete_runtime(host)?;
        self.complete_log(host)?;
        host.port_bindings.get_or_insert_default();
        Ok(())
    }

    fn complete_runtime(&self, host: &mut HostConfig) -> Result<()> {
        let settings = self.reloadable();
        if host.runtime.is_empty() {
            host.runtime.clone_from(&settings.default_runtime);
        }
        if settings.knows_runtime(&host.runtime) {
            return Ok(());
        }
        Err(Error::Invalid(format!("unknown or invalid runtime name: {}", host.runtime)))
    }

    fn complete_log(&self, host: &mut HostConfig) -> Result<()> {
        if host.log_config.driver.is_empty() {
            host.log_config.driver.clone_from(&self.config.log.driver);
            if host.log_config.config.as_ref().is_none_or(BTreeMap::is_empty) {
                host.log_config.config.clone_from(&self.config.log.config);
            }
        }
        let driver = host.log_config.driver.as_str();
        if !LOG_DRIVERS.contains(&driver) {
            return Err(Error::Invalid(format!(
                "error looking up logging plugin {driver}: plugin \"{driver}\" not found"
            )));
        }
        let options = host.log_config.config.get_or_insert_default();
        if host.log_config.driver == "json-file" {
            if let Some(other) =
                options.keys().find(|key| !JSON_FILE_OPTIONS.contains(&key.as_str()))
            {
                return Err(Error::Invalid(format!(
                    "unknown log opt '{other}' for json-file log driver"
                )));
            }
            if let Some(size) = options.get("max-size")
                && size != "-1"
                && request::parse_size(size).is_none()
            {
                return Err(Error::Invalid(format!("invalid size: '{size}'")));
            }
        }
        Ok(())
    }

    /// The steps that leave something behind, undone when a later one fails.
    async fn finish(
        self: &Arc<Self>,
        mut record: ConfigRecord,
        image: &Resolved,
        wanted: Vec<request::Wanted>,
    ) -> Result<Arc<Container>> {
        let rootfs =
            self.prepare(&record.snapshot, &image.chain, record.host_config.auto_remove).await?;
        faults::reach(const { faults::step("daemon.run.snapshot-prepared") });
        let (mounts, volumes) = self.make_mounts(&record.id, wanted, &rootfs).await?;
        let result = match mounts {
            Ok(mounts) => {
                record.mounts = mounts;
                self.store_record(&record).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            self.unmake(volumes).await;
            let (snapshotter, key) = (SNAPSHOTTER.to_owned(), record.snapshot.clone());
            let request = self.supervisor.call(RemoveSnapshotRequest { snapshotter, key });
            let _ = self.supervisor.snapshots().remove(request).await;
            return Err(error);
        }
        faults::reach(const { faults::step("daemon.run.record-written") });
        let folder = self.store.folder(&record.id, record.host_config.auto_remove);
        let (container, receiver) =
            Container::new(record, StateRecord::created(), folder, Some(rootfs));
        super::spawn(self, &container, receiver);
        self.containers.insert(container.clone());
        // From here on the table tells that the volumes are used.
        drop(volumes);
        Ok(container)
    }

    /// Removes the volumes that were made for a container which is not to be; one that somebody
    /// else has begun to use meanwhile stays.
    async fn unmake(self: &Arc<Self>, volumes: MadeVolumes) {
        let MadeVolumes { claims, new } = volumes;
        drop(claims);
        if new.is_empty() {
            return;
        }
        let shared = self.clone();
        let removed = blocking("remove volumes", move || {
            for name in new {
                if let Err(error) = shared.volume_remove_unless_used(&name, None) {
                    tracing::warn!(volume = name, %error, "volume of a failed create stays");
                }
            }
        });
        if let Err(error) = removed.await {
            tracing::warn!(%error, "volumes of a failed create stay");
        }
    }

    async fn store_record(&self, record: &ConfigRecord) -> Result<()> {
        let (store, record) = (self.store.clone(), record.clone());
        let state = StateRecord::created();
        if record.host_config.auto_remove {
            // On a tmpfs, and never synced: cheaper than another thread.
            return store.create(&record, &state);
        }
        blocking("write record", move || store.create(&record, &state)).await?
    }

    async fn prepare(&self, key: &str, parent: &str, passing: bool) -> Result<Vec<types::Mount>> {
        let mut labels = HashMap::from([(GC_ROOT.to_owned(), Timestamp::now().to_string())]);
        if passing {
            labels.insert(EPHEMERAL.to_owned(), "true".to_owned());
        }
        let request = PrepareSnapshotRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            key: key.to_owned(),
            parent: parent.to_owned(),
            labels,
        };
        let answer = self.supervisor.snapshots().prepare(self.supervisor.call(request)).await;
        match answer {
            Ok(answer) => Ok(answer.into_inner().mounts),
            Err(error) if status::kind(&error) == Kind::NotFound => Err(Error::internal_text(
                format!("image is not unpacked ({parent}): pull it again"),
            )),
            Err(error) => Err(failed("prepare root file system")(error)),
        }
    }

    /// Makes volumes and missing bind sources; of a failure, too, the volumes are told.
    async fn make_mounts(
        self: &Arc<Self>,
        owner: &ContainerId,
        wanted: Vec<request::Wanted>,
        rootfs: &[types::Mount],
    ) -> Result<(Result<Vec<MountRecord>>, MadeVolumes)> {
        if wanted.is_empty() {
            return Ok((Ok(Vec::new()), MadeVolumes::default()));
        }
        let (shared, owner, rootfs) = (self.clone(), owner.clone(), rootfs.to_vec());
        blocking("make mounts", move || {
            let mut made = MadeVolumes::default();
            let mounts = wanted
                .into_iter()
                .map(|wanted| shared.make_mount(&owner, wanted, &rootfs, &mut made))
                .collect();
            (mounts, made)
        })
        .await
    }

    fn make_mount(
        &self,
        owner: &ContainerId,
        wanted: request::Wanted,
        rootfs: &[types::Mount],
        made: &mut MadeVolumes,
    ) -> Result<MountRecord> {
        let request::Wanted { mut mount, labels, copy, create_source } = wanted;
        match &mut mount.kind {
            MountKind::Bind { source, .. } if create_source && !source.exists() => {
                std::fs::create_dir_all(&*source).map_err(|error| {
                    Error::internal_text(format!(
                        "error while creating mount source path '{}': {error}",
                        source.display()
                    ))
                })?;
            }
            MountKind::Volume { name, source, anonymous, .. } => {
                let mut labels = labels;
                if *anonymous {
                    *name = ContainerId::random().to_string();
                    let label = ("com.docker.volume.anonymous".to_owned(), String::new());
                    labels.get_or_insert_default().extend([label]);
                }
                made.claims.push(self.volume_claims.claim(name, owner));
                let (volume, new) = self.volume_make(name, labels, None)?;
                if new {
                    made.new.push(volume.name);
                }
                *source = self.volumes.mountpoint(name);
                if copy {
                    fill(rootfs, &mount.destination, source.as_path())?;
                }
            }
            _ => {}
        }
        Ok(mount)
    }
}

/// The volumes of a container that is being created.
#[derive(Default)]
struct MadeVolumes {
    /// All of them, kept from being removed.
    claims: Vec<VolumeClaim>,
    /// The names of those that were not there before.
    new: Vec<String>,
}

/// Gives an empty volume the content that the image has at its place.
fn fill(rootfs: &[types::Mount], destination: &str, source: &Path) -> Result<()> {
    let copied = super::root_view(rootfs)
        .and_then(|view| daemon_volumes::copy_up(&view, Path::new(destination), source));
    copied.map_err(|error| Error::internal("fill volume", Chain(&error)))
}

/// Takes over from the image what the request leaves open.
fn merge(config: &mut Config, image: Option<&ContainerDefaults>) {
    let Some(image) = image else { return };
    let text = |own: &mut String, default: &String| {
        if own.is_empty() {
            own.clone_from(default);
        }
    };
    text(&mut config.user, &image.user);
    text(&mut config.working_dir, &image.working_dir);
    text(&mut config.stop_signal, &image.stop_signal);
    if let Some(ports) = &image.exposed_ports {
        let own = config.exposed_ports.get_or_insert_default();
        for port in ports.keys() {
            own.entry(port.clone()).or_default();
        }
    }
    if let Some(volumes) = &image.volumes {
        let own = config.volumes.get_or_insert_default();
        for volume in volumes.keys() {
            own.entry(volume.clone()).or_default();
        }
    }
    let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    let mut variables = config.env.take().unwrap_or_default();
    for variable in image.env.iter().flatten() {
        if !variables.iter().any(|own| name(own) == name(variable)) {
            variables.push(variable.clone());
        }
    }
    config.env = Some(variables);
    if let Some(labels) = &image.labels {
        let own = config.labels.get_or_insert_default();
        for (key, value) in labels {
            own.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    config.labels.get_or_insert_default();
    // An entrypoint of the request makes the image's command meaningless; `[""]` resets both.
    let own_entrypoint = config.entrypoint.as_ref().is_some_and(|list| !list.is_empty());
    if !own_entrypoint {
        if config.cmd.as_ref().is_none_or(Vec::is_empty) {
            config.cmd.clone_from(&image.cmd);
            config.args_escaped = image.args_escaped;
        }
        config.entrypoint.clone_from(&image.entrypoint);
    } else if config.entrypoint.as_deref() == Some(&[String::new()]) {
        config.entrypoint = None;
    }
    if let Some(check) = &image.healthcheck {
        merge_check(config.healthcheck.get_or_insert_default(), check);
    }
    config.on_build.clone_from(&image.on_build);
    if config.shell.is_none() {
        config.shell.clone_from(&image.shell);
    }
}

/// Takes over the fields of a health check that the request leaves open.
fn merge_check(own: &mut HealthConfig, image: &Healthcheck) {
    if own.test.as_ref().is_none_or(Vec::is_empty) {
        own.test.clone_from(&image.test);
    }
    for (own, default) in [
        (&mut own.interval, image.interval),
        (&mut own.timeout, image.timeout),
        (&mut own.start_period, image.start_period),
        (&mut own.start_interval, image.start_interval),
        (&mut own.retries, image.retries),
    ] {
        if *own == 0 {
            *own = default.unwrap_or_default();
        }
    }
}

impl Shared {
    /// `POST /containers/{id}/start`.
    pub(crate) async fn container_start(&self, id: &str) -> Result<()> {
        let container = self.containers.find(id)?;
        container.ask(|trace, reply| Command::Start { trace, reply }).await
    }

    /// `POST /containers/{id}/pause` and `…/unpause`.
    pub(crate) async fn container_pause(&self, id: &str, freeze: bool) -> Result<()> {
        let container = self.containers.find(id)?;
        container.ask(|trace, reply| Command::Pause { freeze, trace, reply }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(words: &[&str]) -> Option<Vec<String>> {
        Some(words.iter().map(|word| (*word).to_owned()).collect())
    }

    fn image() -> ContainerDefaults {
        ContainerDefaults {
            entrypoint: list(&["/entry"]),
            cmd: list(&["serve"]),
            env: list(&["PATH=/bin", "A=1"]),
            user: "www".into(),
            ..ContainerDefaults::default()
        }
    }

    #[test]
    fn the_images_command_goes_with_the_images_entrypoint_only() {
        let mut own = Config { entrypoint: list(&["sh"]), ..Config::default() };
        merge(&mut own, Some(&image()));
        assert_eq!((own.entrypoint, own.cmd), (list(&["sh"]), None));
        let mut command = Config { cmd: list(&["x"]), ..Config::default() };
        merge(&mut command, Some(&image()));
        assert_eq!((command.entrypoint, command.cmd), (list(&["/entry"]), list(&["x"])));
        let mut reset = Config { entrypoint: list(&[""]), cmd: list(&["x"]), ..Config::default() };
        merge(&mut reset, Some(&image()));
        assert_eq!((reset.entrypoint, reset.cmd), (None, list(&["x"])));
    }

    #[test]
    fn an_images_health_check_fills_what_the_request_leaves_open() {
        let image = Healthcheck {
            test: list(&["CMD", "true"]),
            interval: Some(5),
            timeout: Some(6),
            ..Healthcheck::default()
        };
        let image = ContainerDefaults { healthcheck: Some(image), ..ContainerDefaults::default() };
        let own = HealthConfig { interval: 9, retries: 2, ..HealthConfig::default() };
        let mut config = Config { healthcheck: Some(own), ..Config::default() };
        merge(&mut config, Some(&image));
        let merged = config.healthcheck.unwrap();
        assert_eq!((merged.test, merged.interval), (list(&["CMD", "true"]), 9));
        assert_eq!((merged.timeout, merged.retries), (6, 2));
        let mut none = Config::default();
        merge(&mut none, Some(&image));
        assert_eq!(none.healthcheck.unwrap().interval, 5);
    }

    #[test]
    fn variables_of_the_request_win() {
        let mut config = Config { env: list(&["A=2", "B=3"]), ..Config::default() };
        merge(&mut config, Some(&image()));
        assert_eq!(config.env, list(&["A=2", "B=3", "PATH=/bin"]));
        assert_eq!(config.user, "www");
    }
}
