//! `containerd.services.diff.v1.Diff`: applies layers to active snapshots.

use crate::extract::{ExtractError, Limits, Whiteouts, adopt};
use crate::layer::unpack;
use crate::overlay::Overlay;
use crate::snapshotter::SnapshotError;
use base_errors::{Classify, Kind};
use contracts_supervisor_api::services::diff::diff_server::Diff;
use contracts_supervisor_api::services::diff::{
    ApplyRequest, ApplyResponse, DiffRequest, DiffResponse,
};
use contracts_supervisor_api::types::{Descriptor, Mount};
use rustix::fs::{CWD, Mode, OFlags};
use std::path::{Path, PathBuf};
use supervisor_content::request::{blocking, namespace};
use supervisor_content::{ContentError, ContentStore};
use tonic::{Request, Response, Status, async_trait};

/// The media type of what was applied.
const UNCOMPRESSED: &str = "application/vnd.oci.image.layer.v1.tar";

/// The gRPC service.
pub struct DiffService {
    content: ContentStore,
    overlay: Overlay,
}

impl DiffService {
    /// A service that takes layers from `content` and applies them to snapshots of `overlay`.
    #[must_use]
    pub fn new(content: ContentStore, overlay: Overlay) -> Self {
        Self { content, overlay }
    }
}

#[async_trait]
impl Diff for DiffService {
    async fn apply(
        &self,
        request: Request<ApplyRequest>,
    ) -> Result<Response<ApplyResponse>, Status> {
        let namespace = namespace(request.metadata())?;
        let request = request.into_inner();
        let (content, overlay) = (self.content.clone(), self.overlay.clone());
        let applied = blocking(move || apply(&content, &overlay, &namespace, &request)).await?;
        Ok(Response::new(ApplyResponse { applied: Some(applied) }))
    }

    async fn diff(&self, _: Request<DiffRequest>) -> Result<Response<DiffResponse>, Status> {
        Err(Status::unimplemented("layers are not made from snapshots yet: not implemented"))
    }
}

fn apply(
    content: &ContentStore,
    overlay: &Overlay,
    namespace: &str,
    request: &ApplyRequest,
) -> Result<Descriptor, ApplyError> {
    let layer = request.diff.as_ref().ok_or(ApplyError::NoLayer)?;
    let digest = layer.digest.parse().map_err(ApplyError::Digest)?;
    let target = Target::of(&request.mounts, overlay.root())?;
    let (blob, _) = content.read(namespace, &digest)?;
    let open = || {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(CWD, &target.layer, flags, Mode::empty())
            .map_err(SnapshotError::kernel("open snapshot directory"))
    };
    let unpacked = unpack(blob, open()?, target.whiteouts, &Limits::default(), None)?;
    let directory = open()?;
    adopt(&unpacked.summary, &directory, &target.lower)?;
    if request.sync_fs {
        rustix::fs::syncfs(&directory).map_err(SnapshotError::kernel("sync the snapshots"))?;
    }
    Ok(Descriptor {
        media_type: UNCOMPRESSED.to_owned(),
        digest: unpacked.diff_id.to_string(),
        size: unpacked.archive_bytes.cast_signed(),
        ..Descriptor::default()
    })
}

/// Where the mounts of an active snapshot would write.
#[derive(Debug)]
struct Target {
    layer: PathBuf,
    lower: Vec<PathBuf>,
    whiteouts: Whiteouts,
}

impl Target {
    /// Nothing is mounted: the layer goes straight to where an overlay mount would put it. Paths
    /// that are not ours are refused.
    fn of(mounts: &[Mount], root: &Path) -> Result<Self, SnapshotError> {
        let [mount] = mounts else {
            return Err(SnapshotError::ForeignMount(format!("{} mounts", mounts.len())));
        };
        let ours = |path: &str| ours(path, root);
        match mount.r#type.as_str() {
            "bind" if !mount.options.iter().any(|option| option == "ro") => Ok(Self {
                layer: ours(&mount.source)?,
                lower: Vec::new(),
                whiteouts: Whiteouts::Delete,
            }),
            "overlay" => {
                let option = |key: &str| {
                    mount.options.iter().find_map(|option| option.strip_prefix(key)).ok_or_else(
                        || SnapshotError::ForeignMount(format!("overlay without {key}")),
                    )
                };
                Ok(Self {
                    layer: ours(option("upperdir=")?)?,
                    lower: option("lowerdir=")?.split(':').map(ours).collect::<Result<_, _>>()?,
                    whiteouts: Whiteouts::Overlay,
                })
            }
            other => Err(SnapshotError::ForeignMount(format!("type {other:?}"))),
        }
    }
}

/// `ROOT/<number>/fs` and nothing else.
fn ours(path: &str, root: &Path) -> Result<PathBuf, SnapshotError> {
    let number = Path::new(path)
        .strip_prefix(root)
        .ok()
        .and_then(Path::to_str)
        .and_then(|rest| rest.strip_suffix("/fs"))
        .and_then(|number| number.parse::<u64>().ok());
    match number {
        Some(number) => Ok(root.join(number.to_string()).join("fs")),
        None => Err(SnapshotError::ForeignMount(path.to_owned())),
    }
}

#[derive(Debug, thiserror::Error)]
enum ApplyError {
    #[error("a layer to apply is required")]
    NoLayer,
    #[error(transparent)]
    Digest(base_ids::InvalidId),
    #[error(transparent)]
    Content(#[from] ContentError),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error("failed to extract layer")]
    Extract(#[from] ExtractError),
}

impl Classify for ApplyError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoLayer | Self::Digest(_) => Kind::InvalidArgument,
            Self::Content(error) => error.kind(),
            Self::Snapshot(error) => error.kind(),
            Self::Extract(error) => error.kind(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(kind: &str, source: &str, options: &[&str]) -> Vec<Mount> {
        vec![Mount {
            r#type: kind.to_owned(),
            source: source.to_owned(),
            target: String::new(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
        }]
    }

    #[test]
    fn only_writable_mounts_of_our_own_snapshots_are_targets() {
        let root = Path::new("/data/snapshots");
        let good = mount("bind", "/data/snapshots/7/fs", &["rw", "rbind"]);
        assert_eq!(Target::of(&good, root).unwrap().layer, Path::new("/data/snapshots/7/fs"));
        let lower = "lowerdir=/data/snapshots/2/fs:/data/snapshots/1/fs";
        let good = mount("overlay", "overlay", &["upperdir=/data/snapshots/3/fs", lower]);
        assert_eq!(Target::of(&good, root).unwrap().lower.len(), 2);
        for bad in [
            mount("bind", "/data/snapshots/7/fs", &["ro", "rbind"]),
            mount("bind", "/etc", &["rw"]),
            mount("bind", "/data/snapshots/../etc/fs", &["rw"]),
            mount("bind", "/data/snapshots/7/fs/x/fs", &["rw"]),
            mount("overlay", "overlay", &[lower]),
            mount("overlay", "overlay", &["upperdir=/etc", lower]),
            mount("tmpfs", "tmpfs", &[]),
            Vec::new(),
        ] {
            assert!(Target::of(&bad, root).is_err(), "{bad:?}");
        }
    }
}
