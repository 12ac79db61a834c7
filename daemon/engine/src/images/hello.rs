//! The built-in `hello-world` image: packed here, put into the store like any other.

use super::Images;
use crate::error::{Error, Result};
use crate::supervisor::{SNAPSHOTTER, failed};
use base_errors::Kind;
use base_ids::{ContainerId, Digest};
use base_oci::image::{
    ContainerDefaults, Descriptor, History, ImageConfig, Manifest, RootFs, media_type,
};
use contracts_supervisor_api::services::content::{WriteAction, WriteContentRequest};
use contracts_supervisor_api::services::diff::ApplyRequest;
use contracts_supervisor_api::services::leases;
use contracts_supervisor_api::services::snapshots::{
    CommitSnapshotRequest, PrepareSnapshotRequest, RemoveSnapshotRequest,
};
use contracts_supervisor_api::{status, types};
use sha2::Digest as _;
use std::collections::HashMap;

/// The program, compiled by the build script.
const PROGRAM: &[u8] = include_bytes!(env!("GANTRY_HELLO"));
/// The same on every machine, so that the image has the same id everywhere.
const CREATED: &str = "2026-11-22T00:00:00Z";
const BLOCK: usize = 512;
/// A leaked lease ends by itself.
const EXPIRE: &str = "containerd.io/gc.expire";

struct Packed {
    layer: Vec<u8>,
    config: Vec<u8>,
    manifest: Vec<u8>,
    layer_descriptor: Descriptor,
    config_descriptor: Descriptor,
    manifest_descriptor: Descriptor,
}

/// Puts the image into the store under a name.
pub(super) async fn import(images: &Images, name: &str) -> Result<()> {
    let supervisor = images.supervisor();
    let id = format!("hello-{}", ContainerId::random().short());
    let expires = jiff::Timestamp::now().as_second() + 600;
    let expires = jiff::Timestamp::from_second(expires).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let request = leases::CreateRequest {
        id: id.clone(),
        labels: [(EXPIRE.to_owned(), expires.to_string())].into(),
    };
    supervisor.leases().create(supervisor.call(request)).await.map_err(failed("create lease"))?;
    let result = write(images, &id, name).await;
    let request = leases::DeleteRequest { id, sync: false };
    if let Err(error) = supervisor.leases().delete(supervisor.call(request)).await {
        tracing::warn!(error = error.message(), "lease not deleted, it expires");
    }
    result
}

async fn write(images: &Images, lease: &str, name: &str) -> Result<()> {
    let packed = pack()?;
    let reference =
        |key: &str, value: &str| (format!("containerd.io/gc.ref.{key}"), value.to_owned());
    let layer = &packed.layer_descriptor;
    let snapshot = reference(&format!("snapshot.{SNAPSHOTTER}"), &layer.digest);
    blob(images, lease, layer, packed.layer, HashMap::new()).await?;
    let config = &packed.config_descriptor;
    blob(images, lease, config, packed.config, [snapshot].into()).await?;
    let content =
        [reference("content.config", &config.digest), reference("content.l.0", &layer.digest)];
    let manifest = &packed.manifest_descriptor;
    blob(images, lease, manifest, packed.manifest, content.into()).await?;
    unpack(images, lease, layer).await?;
    images.set_name(name, wire(manifest)).await.map(drop)
}

async fn blob(
    images: &Images,
    lease: &str,
    descriptor: &Descriptor,
    data: Vec<u8>,
    labels: HashMap<String, String>,
) -> Result<()> {
    let message = WriteContentRequest {
        action: WriteAction::Commit.into(),
        r#ref: format!("hello-{}", descriptor.digest),
        total: descriptor.size,
        expected: descriptor.digest.clone(),
        offset: 0,
        data: data.into(),
        labels,
    };
    let supervisor = images.supervisor();
    let request = supervisor.call_leased(lease, tokio_stream::once(message));
    let written = async {
        let mut answers = supervisor.content().write(request).await?.into_inner();
        while answers.message().await?.is_some() {}
        Ok(())
    };
    match written.await {
        Err(error) if status::kind(&error) != Kind::AlreadyExists => {
            Err(failed("write built-in image")(error))
        }
        _ => Ok(()),
    }
}

/// Unpacks the one layer; its chain id is its digest.
async fn unpack(images: &Images, lease: &str, layer: &Descriptor) -> Result<()> {
    let supervisor = images.supervisor();
    let snapshotter = SNAPSHOTTER.to_owned();
    let key = format!("extract-{} {}", ContainerId::random().short(), layer.digest);
    let request = PrepareSnapshotRequest {
        snapshotter: snapshotter.clone(),
        key: key.clone(),
        ..PrepareSnapshotRequest::default()
    };
    let prepared = supervisor.snapshots().prepare(supervisor.call_leased(lease, request)).await;
    let mounts = prepared.map_err(failed("unpack built-in image"))?.into_inner().mounts;
    let request = ApplyRequest { diff: Some(wire(layer)), mounts, ..ApplyRequest::default() };
    let applied = async {
        supervisor.diff().apply(supervisor.call_leased(lease, request)).await?;
        let request = CommitSnapshotRequest {
            snapshotter: snapshotter.clone(),
            name: layer.digest.clone(),
            key: key.clone(),
            ..CommitSnapshotRequest::default()
        };
        supervisor.snapshots().commit(supervisor.call_leased(lease, request)).await.map(drop)
    };
    let Err(error) = applied.await else { return Ok(()) };
    let request = RemoveSnapshotRequest { snapshotter, key };
    let _ = supervisor.snapshots().remove(supervisor.call(request)).await;
    if status::kind(&error) == Kind::AlreadyExists {
        return Ok(());
    }
    Err(failed("unpack built-in image")(error))
}

fn pack() -> Result<Packed> {
    let encode = |e: serde_json::Error| Error::internal("pack built-in image", e);
    let layer = archive();
    let layer_descriptor = describe(media_type::LAYER, &layer);
    let platform = super::host_platform();
    let config = serde_json::to_vec(&ImageConfig {
        architecture: platform.architecture,
        os: platform.os,
        created: Some(CREATED.to_owned()),
        config: Some(ContainerDefaults {
            cmd: Some(vec!["/hello".to_owned()]),
            env: Some(vec![
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
            ]),
            working_dir: "/".to_owned(),
            ..ContainerDefaults::default()
        }),
        rootfs: Some(RootFs {
            kind: "layers".to_owned(),
            diff_ids: vec![layer_descriptor.digest.clone()],
        }),
        history: vec![History {
            created: Some(CREATED.to_owned()),
            created_by: "built into gantryd".to_owned(),
            ..History::default()
        }],
        ..ImageConfig::default()
    })
    .map_err(encode)?;
    let config_descriptor = describe(media_type::CONFIG, &config);
    let manifest = serde_json::to_vec(&Manifest {
        schema_version: 2,
        media_type: media_type::MANIFEST.to_owned(),
        config: Some(config_descriptor.clone()),
        layers: vec![layer_descriptor.clone()],
        ..Manifest::default()
    })
    .map_err(encode)?;
    let manifest_descriptor = describe(media_type::MANIFEST, &manifest);
    Ok(Packed { layer, config, manifest, layer_descriptor, config_descriptor, manifest_descriptor })
}

fn describe(media_type: &str, bytes: &[u8]) -> Descriptor {
    let hash: [u8; 32] = sha2::Sha256::digest(bytes).into();
    Descriptor {
        media_type: media_type.to_owned(),
        digest: Digest::from_sha256(&hash).as_str().to_owned(),
        size: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
        ..Descriptor::default()
    }
}

fn wire(descriptor: &Descriptor) -> types::Descriptor {
    types::Descriptor {
        media_type: descriptor.media_type.clone(),
        digest: descriptor.digest.clone(),
        size: descriptor.size,
        ..types::Descriptor::default()
    }
}

/// A tar archive with the program as its only file (ustar, POSIX.1-1988).
fn archive() -> Vec<u8> {
    let mut header = [0_u8; BLOCK];
    let mut field = |at: usize, text: &str| {
        header[at..at + text.len()].copy_from_slice(text.as_bytes());
    };
    field(0, "hello");
    field(100, "0000755\0");
    field(108, "0000000\0");
    field(116, "0000000\0");
    field(124, &format!("{:011o}\0", PROGRAM.len()));
    field(136, "00000000000\0");
    field(148, "        ");
    field(156, "0");
    field(257, "ustar\0");
    field(263, "00");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut archive = header.to_vec();
    archive.extend_from_slice(PROGRAM);
    archive.resize(archive.len().next_multiple_of(BLOCK) + 2 * BLOCK, 0);
    archive
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_image_is_small_and_its_documents_fit_together() {
        let packed = pack().unwrap();
        assert!(packed.layer.len() < 64 * 1024, "{} bytes", packed.layer.len());
        let manifest: Manifest = serde_json::from_slice(&packed.manifest).unwrap();
        assert_eq!(manifest.layers[0].digest, packed.layer_descriptor.digest);
        let config: ImageConfig = serde_json::from_slice(&packed.config).unwrap();
        assert_eq!(config.rootfs.unwrap().diff_ids, [packed.layer_descriptor.digest]);
    }

    #[test]
    fn the_program_greets() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hello");
        std::fs::write(&path, PROGRAM).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        let output = std::process::Command::new(&path).output().unwrap();
        assert!(output.status.success());
        assert!(String::from_utf8_lossy(&output.stdout).contains("Hello from Gantry!"));
    }
}
