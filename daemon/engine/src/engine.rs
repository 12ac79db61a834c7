//! The handle that the HTTP layer calls: one method for each operation of the Engine API.
//!
//! Answers are of the newest API version and complete; the HTTP layer takes away what older
//! versions do not have. Errors carry Docker's text and the `Kind` that decides the status.

use crate::error::{Error, Result};
use crate::requests::*;
use crate::streams::{Attachment, ContainerWait, EventStream, Logs};
use contracts_engine_api::auth::AuthConfig;
use contracts_engine_api::{Filters, container, exec, image, network, progress, system, volume};
use tokio::sync::mpsc;

/// A cheap handle on the engine.
#[derive(Clone)]
pub struct Engine {}

impl Engine {
    // System.

    /// `GET /info`.
    ///
    /// # Errors
    /// The supervisor cannot be reached.
    pub async fn info(&self) -> Result<system::Info> {
        Err(Error::Unimplemented("info"))
    }

    /// `GET /version`.
    #[must_use]
    pub fn version(&self) -> system::VersionResponse {
        system::VersionResponse::default()
    }

    /// `GET /system/df`, every list filled.
    ///
    /// # Errors
    /// The supervisor cannot be reached.
    pub async fn disk_usage(&self) -> Result<system::DiskUsage> {
        Err(Error::Unimplemented("system df"))
    }

    /// `GET /events`: kept ones since then, then new ones until dropped.
    ///
    /// # Errors
    /// A filter is wrong.
    pub async fn events(&self, options: EventsOptions) -> Result<EventStream> {
        let _ = options;
        Err(Error::Unimplemented("events"))
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
        let _ = (name, platform, request);
        Err(Error::Unimplemented("container create"))
    }

    /// `POST /containers/{id}/start`.
    ///
    /// # Errors
    /// `NotModified` when it runs; the text of what failed otherwise.
    pub async fn container_start(&self, id: &str) -> Result<()> {
        let _ = id;
        Err(Error::Unimplemented("container start"))
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
        let _ = (id, size);
        Err(Error::Unimplemented("container inspect"))
    }

    /// `GET /containers/json`, newest first.
    ///
    /// # Errors
    /// A filter is wrong.
    pub async fn container_list(
        &self,
        options: ContainerListOptions,
    ) -> Result<Vec<container::Summary>> {
        let _ = options;
        Err(Error::Unimplemented("container list"))
    }

    /// `GET /containers/{id}/logs`.
    ///
    /// # Errors
    /// No such container, or its log driver cannot be read.
    pub async fn container_logs(&self, id: &str, options: LogsOptions) -> Result<Logs> {
        let _ = (id, options);
        Err(Error::Unimplemented("container logs"))
    }

    /// `POST /containers/{id}/attach`, first half: answer the client's request head according to
    /// [`Attachment::tty`], then hand the connection to [`Attachment::run`].
    ///
    /// # Errors
    /// No such container, wrong detach keys, or it is paused.
    pub async fn container_attach(&self, id: &str, options: AttachOptions) -> Result<Attachment> {
        let _ = (id, options);
        Err(Error::Unimplemented("container attach"))
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
        let _ = (id, condition);
        Err(Error::Unimplemented("container wait"))
    }

    /// `POST /containers/{id}/stop`.
    ///
    /// # Errors
    /// `NotModified` when it does not run.
    pub async fn container_stop(&self, id: &str, options: StopOptions) -> Result<()> {
        let _ = (id, options);
        Err(Error::Unimplemented("container stop"))
    }

    /// `POST /containers/{id}/restart`.
    ///
    /// # Errors
    /// As stop and start.
    pub async fn container_restart(&self, id: &str, options: StopOptions) -> Result<()> {
        let _ = (id, options);
        Err(Error::Unimplemented("container restart"))
    }

    /// `POST /containers/{id}/kill`; no signal is SIGKILL.
    ///
    /// # Errors
    /// It does not run, or there is no such signal.
    pub async fn container_kill(&self, id: &str, signal: Option<String>) -> Result<()> {
        let _ = (id, signal);
        Err(Error::Unimplemented("container kill"))
    }

    /// `POST /containers/{id}/pause`.
    ///
    /// # Errors
    /// It does not run, or is paused.
    pub async fn container_pause(&self, id: &str) -> Result<()> {
        let _ = id;
        Err(Error::Unimplemented("container pause"))
    }

    /// `POST /containers/{id}/unpause`.
    ///
    /// # Errors
    /// It is not paused.
    pub async fn container_unpause(&self, id: &str) -> Result<()> {
        let _ = id;
        Err(Error::Unimplemented("container unpause"))
    }

    /// `DELETE /containers/{id}`.
    ///
    /// # Errors
    /// It runs and `force` is not set.
    pub async fn container_remove(&self, id: &str, options: RemoveOptions) -> Result<()> {
        let _ = (id, options);
        Err(Error::Unimplemented("container remove"))
    }

    /// `POST /containers/{id}/resize`.
    ///
    /// # Errors
    /// It does not run.
    pub async fn container_resize(&self, id: &str, height: u32, width: u32) -> Result<()> {
        let _ = (id, height, width);
        Err(Error::Unimplemented("container resize"))
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
        let _ = (id, options);
        Err(Error::Unimplemented("container stats"))
    }

    /// `POST /containers/prune`.
    ///
    /// # Errors
    /// A filter is wrong.
    pub async fn container_prune(&self, filters: Filters) -> Result<container::PruneReport> {
        let _ = filters;
        Err(Error::Unimplemented("container prune"))
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
        let _ = (id, request);
        Err(Error::Unimplemented("exec create"))
    }

    /// `POST /exec/{id}/start` without `Detach`, first half: answer the client's request head,
    /// then hand the connection to [`Attachment::run`], which starts the process.
    ///
    /// # Errors
    /// No such exec.
    pub async fn exec_start(&self, id: &str, options: ExecStartOptions) -> Result<Attachment> {
        let _ = (id, options);
        Err(Error::Unimplemented("exec start"))
    }

    /// `POST /exec/{id}/start` with `Detach`.
    ///
    /// # Errors
    /// No such exec, or the command cannot be run.
    pub async fn exec_start_detached(&self, id: &str, options: ExecStartOptions) -> Result<()> {
        let _ = (id, options);
        Err(Error::Unimplemented("exec start"))
    }

    /// `GET /exec/{id}/json`.
    ///
    /// # Errors
    /// No such exec.
    pub async fn exec_inspect(&self, id: &str) -> Result<exec::ExecInspectResponse> {
        Err(Error::NoSuchExec(id.to_owned()))
    }

    /// `POST /exec/{id}/resize`.
    ///
    /// # Errors
    /// No such exec, or it does not run.
    pub async fn exec_resize(&self, id: &str, height: u32, width: u32) -> Result<()> {
        let _ = (height, width);
        Err(Error::NoSuchExec(id.to_owned()))
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
        let _ = options;
        Err(Error::Unimplemented("image pull"))
    }

    /// `GET /images/json`.
    ///
    /// # Errors
    /// A filter is wrong.
    pub async fn image_list(&self, options: ImageListOptions) -> Result<Vec<image::Summary>> {
        let _ = options;
        Err(Error::Unimplemented("image list"))
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
        let _ = (name, manifests);
        Err(Error::Unimplemented("image inspect"))
    }

    /// `GET /images/{name}/history`.
    ///
    /// # Errors
    /// No such image.
    pub async fn image_history(&self, name: &str) -> Result<Vec<image::HistoryItem>> {
        let _ = name;
        Err(Error::Unimplemented("image history"))
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
        let _ = (name, options);
        Err(Error::Unimplemented("image remove"))
    }

    /// `POST /images/{name}/tag`.
    ///
    /// # Errors
    /// No such image, or the new name is wrong.
    pub async fn image_tag(&self, name: &str, repository: &str, tag: &str) -> Result<()> {
        let _ = (name, repository, tag);
        Err(Error::Unimplemented("image tag"))
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
        let _ = filters;
        Err(Error::Unimplemented("network list"))
    }

    /// `GET /networks/{id}`, with `Containers`.
    ///
    /// # Errors
    /// No such network.
    pub async fn network_inspect(&self, id: &str) -> Result<network::Network> {
        let _ = id;
        Err(Error::Unimplemented("network inspect"))
    }

    // Volumes.

    /// `POST /volumes/create`.
    ///
    /// # Errors
    /// The name or driver is wrong.
    pub async fn volume_create(&self, request: volume::CreateRequest) -> Result<volume::Volume> {
        let _ = request;
        Err(Error::Unimplemented("volume create"))
    }

    /// `GET /volumes`.
    ///
    /// # Errors
    /// A filter is wrong.
    pub async fn volume_list(&self, filters: Filters) -> Result<volume::ListResponse> {
        let _ = filters;
        Err(Error::Unimplemented("volume list"))
    }

    /// `GET /volumes/{name}`.
    ///
    /// # Errors
    /// No such volume.
    pub async fn volume_inspect(&self, name: &str) -> Result<volume::Volume> {
        let _ = name;
        Err(Error::Unimplemented("volume inspect"))
    }

    /// `DELETE /volumes/{name}`.
    ///
    /// # Errors
    /// No such volume, or a container uses it.
    pub async fn volume_remove(&self, name: &str, force: bool) -> Result<()> {
        let _ = (name, force);
        Err(Error::Unimplemented("volume remove"))
    }
}
