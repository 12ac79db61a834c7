//! Volumes as the API shows them, and who uses them.

use crate::container::Container;
use crate::error::{Error, Result};
use crate::record::MountKind;
use crate::shared::Shared;
use base_errors::{Chain, Classify, Kind};
use base_ids::ContainerId;
use contracts_engine_api::Filters;
use contracts_engine_api::volume::{CreateRequest, ListResponse, Volume};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Volumes that containers are being created with, and by whom: until the container is in the
/// table, nothing else tells that they are used.
#[derive(Clone, Default)]
pub(crate) struct VolumeClaims(Arc<Mutex<Vec<(String, ContainerId)>>>);

/// A claim; given back when dropped.
pub(crate) struct VolumeClaim {
    claims: VolumeClaims,
    name: String,
    owner: ContainerId,
}

impl VolumeClaims {
    fn list(&self) -> MutexGuard<'_, Vec<(String, ContainerId)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a volume, existing or about to, for a container that is being created.
    pub(crate) fn claim(&self, name: &str, owner: &ContainerId) -> VolumeClaim {
        self.list().push((name.to_owned(), owner.clone()));
        VolumeClaim { claims: self.clone(), name: name.to_owned(), owner: owner.clone() }
    }
}

impl Drop for VolumeClaim {
    fn drop(&mut self) {
        let mut list = self.claims.list();
        let ours =
            |(name, owner): &(String, ContainerId)| *name == self.name && *owner == self.owner;
        if let Some(at) = list.iter().position(ours) {
            list.swap_remove(at);
        }
    }
}

impl Shared {
    /// Makes a volume and tells so when it is new.
    pub(crate) fn volume_make(
        &self,
        name: &str,
        labels: Option<BTreeMap<String, String>>,
        options: Option<BTreeMap<String, String>>,
    ) -> Result<(daemon_volumes::Volume, bool)> {
        let made = self.volumes.create(name, labels, options).map_err(|e| failed(name, &e))?;
        if made.1 {
            let attributes = [("driver".to_owned(), "local".to_owned())].into();
            self.events.emit("volume", "create", name, attributes);
        }
        Ok(made)
    }

    /// `POST /volumes/create`.
    pub(crate) fn volume_create(&self, request: CreateRequest) -> Result<Volume> {
        if !matches!(request.driver.as_str(), "" | "local") {
            let driver = &request.driver;
            return Err(Error::NotFound(format!(
                "create {}: error looking up volume plugin {driver}: plugin \"{driver}\" not found",
                request.name
            )));
        }
        let (name, mut labels) = (request.name, request.labels);
        let name = if name.is_empty() {
            let label = ("com.docker.volume.anonymous".to_owned(), String::new());
            labels.get_or_insert_default().extend([label]);
            ContainerId::random().to_string()
        } else {
            name
        };
        let (volume, _) = self.volume_make(&name, labels, request.driver_opts)?;
        Ok(self.shown(volume))
    }

    /// `GET /volumes`.
    pub(crate) fn volume_list(&self, filters: &Filters) -> Result<ListResponse> {
        let invalid =
            |e: contracts_engine_api::filters::InvalidFilter| Error::invalid(e.to_string());
        filters.accept_only(&["dangling", "driver", "label", "name"]).map_err(invalid)?;
        let dangling = filters.flag("dangling").map_err(invalid)?;
        let all = self.volumes.list().map_err(|error| Error::internal("list volumes", error))?;
        let named = |name: &str| {
            let mut values = filters.get("name").peekable();
            values.peek().is_none() || values.any(|value| name.contains(value))
        };
        let fits = |volume: &daemon_volumes::Volume| {
            named(&volume.name)
                && filters.matches("driver", "local")
                && filters.matches_pairs("label", volume.labels.as_ref())
                && dangling.is_none_or(|wanted| wanted == self.users(&volume.name).is_empty())
        };
        let volumes = all.into_iter().filter(fits).map(|volume| self.shown(volume)).collect();
        Ok(ListResponse { volumes: Some(volumes), warnings: None })
    }

    /// `GET /volumes/{name}`.
    pub(crate) fn volume_inspect(&self, name: &str) -> Result<Volume> {
        self.volumes.get(name).map(|volume| self.shown(volume)).map_err(|e| failed(name, &e))
    }

    /// `DELETE /volumes/{name}`.
    pub(crate) fn volume_remove(&self, name: &str, force: bool) -> Result<()> {
        match self.volume_remove_unless_used(name, None) {
            Err(Error::NoSuchVolume(_)) if force => Ok(()),
            result => result,
        }
    }

    /// Removes a volume that no container but `owner` uses.
    pub(crate) fn volume_remove_unless_used(
        &self,
        name: &str,
        owner: Option<&Container>,
    ) -> Result<()> {
        self.volumes.get(name).map_err(|error| failed(name, &error))?;
        let detached = {
            // Under the lock, so that nobody claims it between the look and the removal.
            let claims = self.volume_claims.list();
            let mut users = self.users(name);
            users.extend(claims.iter().filter(|(of, _)| of == name).map(|(_, id)| id.to_string()));
            users.retain(|id| owner.is_none_or(|owner| owner.id().as_str() != id));
            users.dedup();
            if !users.is_empty() {
                return Err(Error::Conflict(format!(
                    "remove {name}: volume is in use - [{}]",
                    users.join(", ")
                )));
            }
            self.volumes.detach(name).map_err(|error| failed(name, &error))?
        };
        detached.delete().map_err(|error| failed(name, &error))?;
        let attributes = [("driver".to_owned(), "local".to_owned())].into();
        self.events.emit("volume", "destroy", name, attributes);
        Ok(())
    }

    /// Ids of the containers that use a volume.
    pub(crate) fn users(&self, volume: &str) -> Vec<String> {
        let uses = |container: &Container| {
            container.record.mounts.iter().any(
                |mount| matches!(&mount.kind, MountKind::Volume { name, .. } if name == volume),
            )
        };
        let all = self.containers.all();
        all.iter().filter(|container| uses(container)).map(|c| c.id().to_string()).collect()
    }

    fn shown(&self, volume: daemon_volumes::Volume) -> Volume {
        Volume {
            created_at: volume.created_at,
            driver: "local".to_owned(),
            mountpoint: self.volumes.mountpoint(&volume.name).display().to_string(),
            labels: volume.labels,
            name: volume.name,
            options: volume.options,
            scope: "local".to_owned(),
            ..Volume::default()
        }
    }
}

fn failed(name: &str, error: &daemon_volumes::Error) -> Error {
    match error.kind() {
        Kind::NotFound => Error::NoSuchVolume(name.to_owned()),
        Kind::InvalidArgument => Error::invalid(error.to_string()),
        kind => Error::Remote { kind, message: Chain(error).to_string() },
    }
}
