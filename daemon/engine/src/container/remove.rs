//! Removing a container: its snapshot, volumes, record and name.

use super::{Command, Container};
use crate::error::{Error, Result};
use crate::record::{MountKind, MountRecord};
use crate::requests::RemoveOptions;
use crate::shared::{Shared, blocking};
use crate::supervisor::{SNAPSHOTTER, failed, insist};
use crate::until::until;
use base_errors::Kind;
use base_faults as faults;
use contracts_engine_api::Filters;
use contracts_engine_api::container::PruneReport;
use contracts_supervisor_api::services::snapshots::RemoveSnapshotRequest;
use contracts_supervisor_api::status;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// Removes everything. A container that goes by itself (`--rm`) is gone for everybody before the
/// kernel's and the disk's part is done: its record, marked as being removed, stays until then,
/// so that the next start of the daemon can finish what a crash interrupts.
pub(super) async fn run(
    shared: &Arc<Shared>,
    container: &Arc<Container>,
    options: RemoveOptions,
    teardown: Option<watch::Receiver<bool>>,
) -> Result<()> {
    // Nobody will start it any more.
    super::attach::turn_away(container).await;
    if options.volumes && container.record.mounts.iter().any(is_anonymous) {
        let (shared, container) = (shared.clone(), container.clone());
        blocking("remove volumes", move || remove_volumes(&shared, &container)).await?;
    }
    if container.auto_remove() {
        publish(shared, container);
        let (shared, container) = (shared.clone(), container.clone());
        tokio::spawn(async move {
            if let Err(error) = clean(&shared, &container, teardown).await {
                tracing::error!(container = %container.id(), %error, "removal incomplete");
            }
        });
        return Ok(());
    }
    clean(shared, container, teardown).await?;
    publish(shared, container);
    Ok(())
}

/// Makes the container gone: name, table, waiters, event.
fn publish(shared: &Shared, container: &Container) {
    shared.containers.remove(container);
    shared.execs.forget(container);
    let attributes = container.event_attributes();
    shared.events.emit("container", "destroy", container.id().as_str(), attributes);
    container.view.send_modify(|view| view.removed = Some(view.state.exit_code));
}

/// Removes what is left of it in supervisor and on disk.
pub(crate) async fn clean(
    shared: &Arc<Shared>,
    container: &Arc<Container>,
    teardown: Option<watch::Receiver<bool>>,
) -> Result<()> {
    if let Some(mut teardown) = teardown {
        // An error means that the job is over, too.
        let _ = teardown.wait_for(|done| *done).await;
    }
    let supervisor = &shared.supervisor;
    let removed = insist(|| {
        let (snapshotter, key) = (SNAPSHOTTER.to_owned(), container.record.snapshot.clone());
        let request = supervisor.call(RemoveSnapshotRequest { snapshotter, key });
        async move { supervisor.snapshots().remove(request).await }
    });
    match removed.await {
        Ok(_) => {}
        Err(error) if status::kind(&error) == Kind::NotFound => {}
        Err(error) => return Err(failed("remove root file system")(error)),
    }
    faults::reach(const { faults::step("daemon.rm.snapshot-removed") });
    let (store, id) = (shared.store.clone(), container.id().clone());
    let volatile = container.auto_remove();
    blocking("remove record", move || store.remove(&id, volatile)).await??;
    faults::reach(const { faults::step("daemon.rm.record-removed") });
    Ok(())
}

fn is_anonymous(mount: &MountRecord) -> bool {
    matches!(mount.kind, MountKind::Volume { anonymous: true, .. })
}

fn remove_volumes(shared: &Shared, container: &Container) {
    for mount in container.record.mounts.iter().filter(|mount| is_anonymous(mount)) {
        if let MountKind::Volume { name, .. } = &mount.kind
            && let Err(error) = shared.volume_remove_unless_used(name, Some(container))
        {
            tracing::warn!(volume = name, %error, "anonymous volume not removed");
        }
    }
}

impl Shared {
    /// `DELETE /containers/{id}`.
    pub(crate) async fn container_remove(&self, id: &str, options: RemoveOptions) -> Result<()> {
        let container = self.containers.find(id)?;
        container.ask(|trace, reply| Command::Remove { options, trace, reply }).await
    }

    /// `POST /containers/prune`.
    pub(crate) async fn container_prune(&self, filters: &Filters) -> Result<PruneReport> {
        filters
            .accept_only(&["label", "label!", "until"])
            .map_err(|e| Error::invalid(e.to_string()))?;
        let until = until(filters)?;
        let (mut deleted, mut space_reclaimed) = (Vec::new(), 0_u64);
        for container in self.containers.all() {
            let labels = container.record.config.labels.as_ref();
            let created = container.record.created.parse::<Timestamp>().ok();
            let old = until.is_none_or(|until| created.is_some_and(|created| created <= until));
            let unwanted = filters.contains("label!")
                && filters.get("label!").any(|label| has_label(labels, label));
            let fits = old && !unwanted && filters.matches_pairs("label", labels);
            let idle = !container.view().running();
            if fits && idle && !container.auto_remove() {
                let id = container.id().to_string();
                let (size, _) = self.sizes(&container).await;
                match self.container_remove(&id, RemoveOptions::default()).await {
                    Ok(()) => {
                        deleted.push(id);
                        space_reclaimed +=
                            u64::try_from(size.unwrap_or_default()).unwrap_or_default();
                    }
                    Err(error) => tracing::warn!(container = id, %error, "not pruned"),
                }
            }
        }
        let containers_deleted = (!deleted.is_empty()).then_some(deleted);
        Ok(PruneReport { containers_deleted, space_reclaimed })
    }
}

/// Whether labels have `key` or `key=value`.
fn has_label(labels: Option<&BTreeMap<String, String>>, wanted: &str) -> bool {
    let (key, value) = wanted.split_once('=').map_or((wanted, None), |(k, v)| (k, Some(v)));
    labels.and_then(|labels| labels.get(key)).is_some_and(|has| value.is_none_or(|v| v == has))
}
