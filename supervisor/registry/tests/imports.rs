//! Archives of images through the services.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/fake_registry.rs"]
mod fake_registry;
#[path = "support/supervisor.rs"]
mod supervisor;

use contracts_supervisor_api::any::{pack, unpack};
use contracts_supervisor_api::services::images::Image;
use contracts_supervisor_api::types::transfer::{Data, ImageImportStream, Progress, WindowUpdate};
use fake_registry::layer;
use std::path::Path;
use std::process::Command;
use supervisor::{NAMESPACE, Supervisor, place, request, store};
use supervisor_snapshots::Snapshotter;
use tests_harness::images;
use tonic::{Code, Status};

/// Streams an archive as containerd's clients do: as much as the window allows.
async fn import(
    supervisor: &Supervisor,
    archive: &[u8],
    name: &str,
) -> Result<Vec<String>, Status> {
    let (sender, mut updates) = supervisor.stream("archive").await;
    let (_progress, mut events) = supervisor.stream("progress").await;
    let archive = archive.to_vec();
    let feeder = tokio::spawn(async move {
        let mut window = 0;
        for piece in archive.chunks(100_000) {
            while window < piece.len() {
                let Ok(Some(message)) = updates.message().await else { return };
                let update: WindowUpdate = unpack(&message).unwrap();
                window += usize::try_from(update.update).unwrap();
            }
            window -= piece.len();
            let data = Data { data: piece.to_vec().into() };
            if sender.send(pack(&data)).await.is_err() {
                return;
            }
        }
        drop(sender);
        while let Ok(Some(_)) = updates.message().await {}
    });
    let source = ImageImportStream { stream: "archive".to_owned(), ..ImageImportStream::default() };
    let result = supervisor.transfer(request(&pack(&source), &store(name), "progress")).await;
    let mut saved = Vec::new();
    while let Ok(Some(message)) = events.message().await {
        let event: Progress = unpack(&message).unwrap();
        if event.event == "saved" {
            saved.push(event.name);
        }
    }
    feeder.await.unwrap();
    result.map(|()| saved)
}

/// The tar of a directory.
fn packed(directory: &Path, flags: &[&str]) -> Vec<u8> {
    let output =
        Command::new("tar").args(flags).arg("-C").arg(directory).arg(".").output().unwrap();
    assert!(output.status.success());
    output.stdout
}

fn snapshots(supervisor: &Supervisor) -> usize {
    let filters = supervisor_metadata::filter::Filters::default();
    supervisor.snapshots.list(NAMESPACE, &filters).unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oci_layout_is_imported_under_the_name_that_was_asked_for() {
    for flags in [&["-c"][..], &["-c", "-z"]] {
        let archive = packed(&images::busybox(), flags);
        let root = place();
        let supervisor = Supervisor::start(root.path()).await;
        let name = "docker.io/library/busybox:latest";
        assert_eq!(import(&supervisor, &archive, name).await.unwrap(), [name]);
        let target = supervisor.image(name).unwrap().target.unwrap();
        assert!(target.media_type.ends_with("manifest.v1+json"));
        assert_eq!(snapshots(&supervisor), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_docker_save_wrote_is_imported_under_its_own_names() {
    let files = tempfile::TempDir::new().unwrap();
    let (one, two) = (layer("one", b"1"), layer("two", b"2"));
    let diff_ids: Vec<_> =
        [&one, &two].map(|layer| format!("sha256:{}", fake_registry::hex(layer))).into();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    })
    .to_string();
    let table = serde_json::json!([{
        "Config": "abc.json", "RepoTags": ["short:1", "r.io/n/long:2"],
        "Layers": ["x/layer.tar", "y/layer.tar"],
    }])
    .to_string();
    let at = |name: &str| files.path().join(name);
    std::fs::create_dir_all(at("x")).unwrap();
    std::fs::create_dir_all(at("y")).unwrap();
    std::fs::create_dir_all(at("z")).unwrap();
    std::fs::write(at("x/layer.tar"), &one).unwrap();
    std::fs::write(at("z/layer.tar"), &two).unwrap();
    std::os::unix::fs::symlink("../z/layer.tar", at("y/layer.tar")).unwrap();
    std::fs::write(at("abc.json"), config).unwrap();
    std::fs::write(at("manifest.json"), table).unwrap();
    let root = place();
    let supervisor = Supervisor::start(root.path()).await;
    let saved = import(&supervisor, &packed(files.path(), &["-c"]), "").await.unwrap();
    assert_eq!(saved, ["docker.io/library/short:1", "r.io/n/long:2"]);
    assert!(saved.iter().all(|name| supervisor.image(name).is_some()));
    assert_eq!(snapshots(&supervisor), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_name_of_an_image_is_refused() {
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []},
    })
    .to_string();
    for name in ["../x:t", "a b:t", "a:t\u{1b}[31m", "r.io/n:t\0", &"a".repeat(300), "r.io/A:t"] {
        let files = tempfile::TempDir::new().unwrap();
        let table = serde_json::json!([{"Config": "c.json", "RepoTags": [name], "Layers": []}]);
        std::fs::write(files.path().join("c.json"), &config).unwrap();
        std::fs::write(files.path().join("manifest.json"), table.to_string()).unwrap();
        let root = place();
        let supervisor = Supervisor::start(root.path()).await;
        let archive = packed(files.path(), &["-c"]);
        let error = import(&supervisor, &archive, "").await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        assert!(supervisor.records.list::<Image>(NAMESPACE).unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_that_are_none_or_lie_are_refused() {
    let root = place();
    let supervisor = Supervisor::start(root.path()).await;
    let lying = tempfile::TempDir::new().unwrap();
    std::fs::create_dir_all(lying.path().join("blobs/sha256")).unwrap();
    std::fs::write(lying.path().join("blobs/sha256").join("00".repeat(32)), "x").unwrap();
    let escaping = layer("x", b"");
    let empty = layer("oci-layout", b"{}");
    for archive in [packed(lying.path(), &["-c"]), escaping, empty, vec![b'x'; 4096], Vec::new()] {
        let error = import(&supervisor, &archive, "r.io/n:t").await.unwrap_err();
        let refused = matches!(error.code(), Code::InvalidArgument | Code::FailedPrecondition);
        assert!(refused, "{error}");
        assert!(supervisor.image("r.io/n:t").is_none());
        assert!(supervisor.content.statuses(NAMESPACE).unwrap().is_empty(), "rests of a file");
    }
}
