//! The handle that the HTTP layer calls: one method for each operation of the Engine API.
//!
//! Answers are of the newest API version and complete; the HTTP layer takes away what older
//! versions do not have. Errors carry Docker's text and the `Kind` that decides the status.

use crate::adopt;
use crate::container::Containers;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::exec::Execs;
use crate::images::{self, Images};
use crate::record::Store;
use crate::requests::{
    AttachOptions, ContainerListOptions, EventsOptions, ExecStartOptions, ImageListOptions,
    ImageRemoveOptions, LogsOptions, PullOptions, RemoveOptions, StatsOptions, StopOptions,
    WaitCondition,
};
use crate::shared::{EngineConfig, Reloadable, Shared, blocking};
use crate::spec::HostFacts;
use crate::streams::{Attachment, ContainerWait, EventStream, Logs};
use crate::supervisor::Supervisor;
use crate::volumes::VolumeClaims;
use base_errors::Chain;
use contracts_engine_api::auth::AuthConfig;
use contracts_engine_api::{Filters, container, exec, image, network, progress, system, volume};
use daemon_network::Networks;
use daemon_volumes::{Detached, Volumes};
use std::sync::{Arc, RwLock};
use tokio::sync::mpsc;

/// A cheap handle on the engine.
#[derive(Clone)]
pub struct Engine(Arc<Shared>);

impl Engine {
    /// Opens everything below the two roots, and takes over what an earlier process left.
    ///
    /// # Errors
    /// A root cannot be used, the network cannot be set up, or the supervisor does not answer.
    pub async fn open(config: EngineConfig) -> Result<Self> {
        let settings = config.networks.clone();
        let opening = blocking("open networks", move || Networks::open(settings));
        let store = Store::open(&config.data_root, &config.exec_root)?;
        let volumes = Volumes::open(&config.data_root)
            .map_err(|error| Error::internal("open volumes", error))?;
        let leftovers = volumes.leftovers().map_err(|e| Error::internal("open volumes", e))?;
        if !leftovers.is_empty() {
            tokio::task::spawn_blocking(move || delete_all(leftovers));
        }
        let reloadable = &config.reloadable;
        reloadable.check()?;
        images::write_hosts(
            &config.exec_root,
            &reloadable.registry_mirrors,
            &reloadable.insecure_registries,
        )
        .map_err(|error| Error::internal("write registry hosts", error))?;
        let identity = adopt::identity(&config.data_root)?;
        let networks =
            opening.await?.map_err(|error| Error::internal("open networks", Chain(&error)))?;
        let supervisor = Supervisor::at(&config.supervisor_socket);
        let shared = Arc::new(Shared {
            facts: HostFacts::gather(),
            images: Images::new(supervisor.clone()),
            networks: Arc::new(networks),
            containers: Containers::default(),
            execs: Execs::default(),
            events: Events::new(),
            supervisor,
            volumes,
            volume_claims: VolumeClaims::default(),
            store,
            identity,
            reloadable: RwLock::new(Arc::new(config.reloadable.clone())),
            config,
        });
        adopt::adopt(&shared).await?;
        adopt::listen(&shared);
        Ok(Self(shared))
    }

    /// Whether a container runs or waits to be started again.
    #[must_use]
    pub fn busy(&self) -> bool {
        self.0.containers.all().iter().any(|container| container.view().running())
    }

    /// Takes over changed settings.
    ///
    /// # Errors
    /// One of them has no meaning, or the disk refuses; nothing is changed then.
    pub fn reload(&self, settings: Reloadable) -> Result<()> {
        self.0.reload(settings)
    }

    /// Gives back what only a living daemon needs; containers go on.
    pub async fn close(&self) {
        let closed = self.0.network("close networks", Networks::shutdown).await;
        if let Err(error) = closed {
            tracing::warn!(%error, "networks not closed");
        }
    }

    // System.

    /// `GET /info`.
    ///
    /// # Errors
    /// The supervisor cannot be reached.
    pub async fn info(&self) -> Result<system::Info> {
        self.0.info().await
    }

    /// `GET /version`.
    #[must_use]
    pub fn version(&self) -> system::VersionResponse {
        crate::system::version()
    }

    /// `GET /system/df`, every list filled.
    ///
    /// # Errors
    /// The supervisor cannot be reached.
    pub async fn disk_usage(&self) -> Result<system::DiskUsage> {
        self.0.disk_usage().await
    }

    /// `GET /events`: kept ones since then, then new ones until dropped.
    ///
    /// # Errors
    /// A filter is wrong.
    pub async fn events(&self, options: EventsOptions) -> Result<EventStream> {
        Ok(self.0.events.subscribe(options))
    }

    // Containers.

    /// `POST /containers/create`. `name` without or with its slash; `None` draws one.
    ///
    /// # Errors
    /// The image is missing, the name taken, the request wrong.
    pub async fn container_create(
        &self,
        name: Option<String>,
        platform: Option<String>,
        request: container::CreateRequest,
    ) -> Result<container::CreateResponse> {
        self.0.container_create(name, platform, request).await
    }

    /// `POST /containers/{id}/start`.
    ///
    /// # Errors
    /// `NotModified` when it runs; the text of what failed otherwise.
    pub async fn container_start(&self, id: &str) -> Result<()> {
        self.0.container_start(id).await
    }

    /// `GET /containers/{id}/json`.
    ///
    /// # Errors
    /// No such container.
    pub async fn container_inspect(
        &self,
        id: &str,
        size: bool,
    ) -> Result<container::InspectResponse> {
        self.0.container_inspect(id, size).await
    }

    /// `GET /containers/json`, newest first.
    ///
    /// # Errors
    /// A filter is wrong.
    pub async fn container_list(
        &self,
        options: ContainerListOptions,
    ) -> Result<Vec<container::Summary>> {
        self.0.container_list(options).await
    }

    /// `GET /containers/{id}/logs`.
    ///
    /// # Errors
    /// No such container, or its log driver cannot be read.
    pub async fn container_logs(&self, id: &str, options: LogsOptions) -> Result<Logs> {
        self.0.container_logs(id, options).await
    }

    /// `POST /containers/{id}/attach`, first half: answer the client's request head according to
    /// [`Attachment::tty`], then hand the connection to [`Attachment::run`].
    ///
    /// # Errors
    /// No such container, wrong detach keys, or it is paused.
    pub async fn container_attach(&self, id: &str, options: AttachOptions) -> Result<Attachment> {
        self.0.container_attach(id, options).await
    }

    /// `POST /containers/{id}/wait`. Registered once this returns; the answer comes from
    /// [`ContainerWait::status`].
    ///
    /// # Errors
    /// No such container.
    pub async fn container_wait(
        &self,
        id: &str,
        condition: WaitCondition,
    ) -> Result<ContainerWait> {
        self.0.container_wait(id, condition)
    }

    /// `POST /containers/{id}/stop`.
    ///
    /// # Errors
    /// `NotModified` when it does not run.
    pub async fn container_stop(&self, id: &str, options: StopOptions) -> Result<()> {
        self.0.container_stop(id, &options).await
    }

    /// `POST /containers/{id}/restart`.
    ///
    /// # Errors
    /// As stop and start.
    pub async fn container_restart(&self, id: &str, options: StopOptions) -> Result<()> {
        self.0.container_restart(id, &options).await
    }

    /// `POST /containers/{id}/kill`; no signal is SIGKILL.
    ///
    /// # Errors
    /// It does not run, or there is no such signal.
    pub async fn container_kill(&self, id: &str, signal: Option<String>) -> Result<()> {
        self.0.container_kill(id, signal.as_deref()).await
    }

    /// `POST /containers/{id}/pause`.
    ///
    /// # Errors
    /// It does not run, or is paused.
    pub async fn container_pause(&self, id: &str) -> Result<()> {
        self.0.container_pause(id, true).await
    }

    /// `POST /containers/{id}/unpause`.
    ///
    /// # Errors
    /// It is not paused.
    pub async fn container_unpause(&self, id: &str) -> Result<()> {
        self.0.container_pause(id, false).await
    }

    /// `DELETE /containers/{id}`.
    ///
    /// # Errors
    /// It runs and `force` is not set.
    pub async fn container_remove(&self, id: &str, options: RemoveOptions) -> Result<()> {
        self.0.container_remove(id, options).await
    }

    /// `POST /containers/{id}/resize`.
    ///
    /// # Errors
    /// It does not run.
    pub async fn container_resize(&self, id: &str, height: u32, width: u32) -> Result<()> {
        self.0.container_resize(id, height, width).await
    }

    /// `GET /containers/{id}/stats`: one sample, or one each second until the receiver is dropped.
    ///
    /// # Errors
    /// No such container.
    pub async fn container_stats(
        &self,
        id: &str,
        options: StatsOptions,
    ) -> Result<mpsc::Receiver<container::StatsResponse>> {
        self.0.container_stats(id, options).await
    }

    /// `POST /containers/prune`.
    ///
    /// # Errors
    /// A filter is wrong.
    pub async fn container_prune(&self, filters: Filters) -> Result<container::PruneReport> {
        self.0.container_prune(&filters).await
    }

    // Exec.

    /// `POST /containers/{id}/exec`.
    ///
    /// # Errors
    /// It does not run, is paused, or there is no command.
    pub async fn exec_create(
        &self,
        id: &str,
        request: exec::ExecCreateRequest,
    ) -> Result<container::IdResponse> {
        self.0.exec_create(id, request)
    }

    /// `POST /exec/{id}/start` without `Detach`, first half: answer the client's request head,
    /// then hand the connection to [`Attachment::run`], which starts the process.
    ///
    /// # Errors
    /// No such exec.
    pub async fn exec_start(&self, id: &str, options: ExecStartOptions) -> Result<Attachment> {
        self.0.exec_start(id, options)
    }

    /// `POST /exec/{id}/start` with `Detach`.
    ///
    /// # Errors
    /// No such exec, or the command cannot be run.
    pub async fn exec_start_detached(&self, id: &str, options: ExecStartOptions) -> Result<()> {
        self.0.exec_start_detached(id, options).await
    }

    /// `GET /exec/{id}/json`.
    ///
    /// # Errors
    /// No such exec.
    pub async fn exec_inspect(&self, id: &str) -> Result<exec::ExecInspectResponse> {
        self.0.exec_inspect(id).await
    }

    /// `POST /exec/{id}/resize`.
    ///
    /// # Errors
    /// No such exec, or it does not run.
    pub async fn exec_resize(&self, id: &str, height: u32, width: u32) -> Result<()> {
        self.0.exec_resize(id, height, width).await
    }

    // Images.

    /// `POST /images/create?fromImage=…`: returns once the first message is there, so that an
    /// unknown image is an error (404) and not a stream. Later failures are the last message.
    ///
    /// # Errors
    /// The reference is wrong or unknown, or the registry cannot be reached.
    pub async fn image_pull(
        &self,
        options: PullOptions,
    ) -> Result<mpsc::Receiver<progress::Message>> {
        self.0.image_pull(options).await
    }

    /// `GET /images/json`.
    ///
    /// # Errors
    /// A filter is wrong.
    pub async fn image_list(&self, options: ImageListOptions) -> Result<Vec<image::Summary>> {
        self.0.image_list(options).await
    }

    /// `GET /images/{name}/json`; `manifests` fills `Manifests`.
    ///
    /// # Errors
    /// No such image.
    pub async fn image_inspect(
        &self,
        name: &str,
        manifests: bool,
    ) -> Result<image::InspectResponse> {
        self.0.image_inspect(name, manifests).await
    }

    /// `GET /images/{name}/history`.
    ///
    /// # Errors
    /// No such image.
    pub async fn image_history(&self, name: &str) -> Result<Vec<image::HistoryItem>> {
        self.0.image_history(name).await
    }

    /// `DELETE /images/{name}`.
    ///
    /// # Errors
    /// No such image, or it is used.
    pub async fn image_remove(
        &self,
        name: &str,
        options: ImageRemoveOptions,
    ) -> Result<Vec<image::DeleteResponse>> {
        self.0.image_remove(name, options).await
    }

    /// `POST /images/{name}/tag`.
    ///
    /// # Errors
    /// No such image, or the new name is wrong.
    pub async fn image_tag(&self, name: &str, repository: &str, tag: &str) -> Result<()> {
        self.0.image_tag(name, repository, tag).await
    }

    /// `POST /auth`.
    ///
    /// # Errors
    /// Always, as yet.
    pub async fn authenticate(&self, auth: AuthConfig) -> Result<()> {
        let _ = auth;
        Err(Error::Unimplemented("login"))
    }

    // Networks.

    /// `GET /networks`.
    ///
    /// # Errors
    /// A filter is wrong.
    pub async fn network_list(&self, filters: Filters) -> Result<Vec<network::Network>> {
        self.0.network_list(&filters).await
    }

    /// `GET /networks/{id}`, with `Containers`.
    ///
    /// # Errors
    /// No such network.
    pub async fn network_inspect(&self, id: &str) -> Result<network::Network> {
        self.0.network_inspect(id).await
    }

    // Volumes.

    /// `POST /volumes/create`.
    ///
    /// # Errors
    /// The name or driver is wrong.
    pub async fn volume_create(&self, request: volume::CreateRequest) -> Result<volume::Volume> {
        let shared = self.0.clone();
        blocking("create volume", move || shared.volume_create(request)).await?
    }

    /// `GET /volumes`.
    ///
    /// # Errors
    /// A filter is wrong.
    pub async fn volume_list(&self, filters: Filters) -> Result<volume::ListResponse> {
        let shared = self.0.clone();
        blocking("list volumes", move || shared.volume_list(&filters)).await?
    }

    /// `GET /volumes/{name}`.
    ///
    /// # Errors
    /// No such volume.
    pub async fn volume_inspect(&self, name: &str) -> Result<volume::Volume> {
        self.0.volume_inspect(name)
    }

    /// `DELETE /volumes/{name}`.
    ///
    /// # Errors
    /// No such volume, or a container uses it.
    pub async fn volume_remove(&self, name: &str, force: bool) -> Result<()> {
        let (shared, name) = (self.0.clone(), name.to_owned());
        blocking("remove volume", move || shared.volume_remove(&name, force)).await?
    }
}

/// Deletes the content of volumes that are gone already.
fn delete_all(volumes: Vec<Detached>) {
    for volume in volumes {
        if let Err(error) = volume.delete() {
            tracing::warn!(error = %Chain(&error), "volume not deleted");
        }
    }
}
