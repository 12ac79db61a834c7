//! Services that are about records alone.

use crate::program::{Program, wait_for};
use contracts_supervisor_api::events::ContentDelete;
use contracts_supervisor_api::services::containers::containers_client::ContainersClient;
use contracts_supervisor_api::services::containers::{
    Container, CreateContainerRequest, DeleteContainerRequest, ListContainersRequest,
    container::Runtime,
};
use contracts_supervisor_api::services::content::content_client::ContentClient;
use contracts_supervisor_api::services::content::{
    DeleteContentRequest, WriteAction, WriteContentRequest,
};
use contracts_supervisor_api::services::events::SubscribeRequest;
use contracts_supervisor_api::services::events::events_client::EventsClient;
use contracts_supervisor_api::services::health::HealthCheckRequest;
use contracts_supervisor_api::services::health::health_client::HealthClient;
use contracts_supervisor_api::services::images::images_client::ImagesClient;
use contracts_supervisor_api::services::images::{
    CreateImageRequest, DeleteImageRequest, GetImageRequest, Image, UpdateImageRequest,
};
use contracts_supervisor_api::services::introspection::PluginsRequest;
use contracts_supervisor_api::services::introspection::introspection_client::IntrospectionClient;
use contracts_supervisor_api::services::namespaces::namespaces_client::NamespacesClient;
use contracts_supervisor_api::services::namespaces::{
    DeleteNamespaceRequest, ListNamespacesRequest,
};
use contracts_supervisor_api::services::snapshots::snapshots_client::SnapshotsClient;
use contracts_supervisor_api::services::snapshots::{
    CommitSnapshotRequest, PrepareSnapshotRequest, RemoveSnapshotRequest,
};
use contracts_supervisor_api::tonic::{Code, Request};
use contracts_supervisor_api::types::Descriptor;
use contracts_supervisor_api::{Any, any};

fn container(id: &str, ephemeral: bool) -> Container {
    let mut container = Container {
        id: id.to_owned(),
        runtime: Some(Runtime { name: "io.containerd.runc.v2".to_owned(), options: None }),
        spec: Some(Any { type_url: any::SPEC.to_owned(), value: vec![] }),
        ..Container::default()
    };
    if ephemeral {
        container.labels.insert("gantry.io/ephemeral".to_owned(), "true".to_owned());
    }
    container
}

fn create(program: &Program, container: Container) -> Request<CreateContainerRequest> {
    program.request(CreateContainerRequest { container: Some(container) })
}

fn image(name: &str) -> Image {
    let target = Descriptor { digest: format!("sha256:{:064}", 1), size: 1, ..Default::default() };
    Image { name: name.to_owned(), target: Some(target), ..Image::default() }
}

#[tokio::test]
async fn records_outlive_the_supervisor_and_are_selected_by_filters() {
    let mut program = Program::start().await;
    let mut client = ContainersClient::new(program.channel.clone());
    for (id, ephemeral) in [("a", false), ("b", true)] {
        client.create(create(&program, container(id, ephemeral))).await.unwrap();
    }
    let again = client.create(create(&program, container("b", false))).await.unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists);

    program.replace().await;
    let mut client = ContainersClient::new(program.channel.clone());
    let filters = vec![r#"labels."gantry.io/ephemeral"==true"#.to_owned(), "id==none".to_owned()];
    let listed = client.list(program.request(ListContainersRequest { filters })).await.unwrap();
    let ids: Vec<String> = listed.into_inner().containers.into_iter().map(|c| c.id).collect();
    assert_eq!(ids, ["b"]);
    for id in ["a", "b"] {
        let request = program.request(DeleteContainerRequest { id: id.to_owned() });
        client.delete(request).await.unwrap();
    }
    program.replace().await;
    let mut client = ContainersClient::new(program.channel.clone());
    let listed = client.list(program.request(ListContainersRequest::default())).await.unwrap();
    assert!(listed.into_inner().containers.is_empty());
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused_by_kind() {
    let program = Program::start().await;
    let mut client = ContainersClient::new(program.channel.clone());
    let nowhere = client.list(ListContainersRequest::default()).await.unwrap_err();
    assert_eq!(nowhere.code(), Code::FailedPrecondition);
    assert!(nowhere.message().contains("namespace is required"), "{nowhere}");
    for id in ["", "../x", "a/b", &"x".repeat(77)] {
        let refused = client.create(create(&program, container(id, false))).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{id}");
    }
    let filters = vec!["id==".to_owned()];
    let refused = client.list(program.request(ListContainersRequest { filters })).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    let missing = program.request(DeleteContainerRequest { id: "none".to_owned() });
    let missing = client.delete(missing).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    assert_eq!(missing.message(), "container \"none\": not found");
}

#[tokio::test]
async fn changes_are_told_to_who_subscribed_and_a_full_namespace_stays() {
    let program = Program::start().await;
    let mut images = ImagesClient::new(program.channel.clone());
    let mut events = EventsClient::new(program.channel.clone());
    let filters = vec![r#"topic~="^/images/",event.name==wanted"#.to_owned()];
    let mut stream = events.subscribe(SubscribeRequest { filters }).await.unwrap().into_inner();
    for name in ["other", "wanted"] {
        let request = CreateImageRequest { image: Some(image(name)), source_date_epoch: None };
        images.create(program.request(request)).await.unwrap();
    }
    let envelope = stream.message().await.unwrap().unwrap();
    assert_eq!((envelope.topic.as_str(), envelope.namespace.as_str()), ("/images/create", "test"));

    let mut namespaces = NamespacesClient::new(program.channel.clone());
    let listed = namespaces.list(ListNamespacesRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.namespaces[0].name, "test");
    let delete = || DeleteNamespaceRequest { name: "test".to_owned() };
    let full = namespaces.delete(delete()).await.unwrap_err();
    assert_eq!(full.code(), Code::FailedPrecondition);

    let request = |name: &str, target: Option<Descriptor>| DeleteImageRequest {
        name: name.to_owned(),
        sync: true,
        target,
    };
    let elsewhere = Descriptor { digest: "sha256:other".to_owned(), ..Descriptor::default() };
    let refused = images.delete(program.request(request("wanted", Some(elsewhere)))).await;
    assert_eq!(refused.unwrap_err().code(), Code::NotFound);
    let untargeted = Image { target: None, ..image("wanted") };
    let request_update =
        UpdateImageRequest { image: Some(untargeted), update_mask: None, source_date_epoch: None };
    let refused = images.update(program.request(request_update)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let get = || GetImageRequest { name: "wanted".to_owned() };
    images.get(program.request(get())).await.unwrap();
    for name in ["other", "wanted"] {
        images.delete(program.request(request(name, None))).await.unwrap();
    }
    assert_eq!(images.get(program.request(get())).await.unwrap_err().code(), Code::NotFound);
    namespaces.delete(delete()).await.unwrap();
}

#[tokio::test]
async fn sigterm_ends_the_supervisor_with_subscribers_still_there() {
    let mut program = Program::start().await;
    let mut events = EventsClient::new(program.channel.clone());
    let _stream = events.subscribe(SubscribeRequest::default()).await.unwrap();
    assert!(program.terminate().success());
    assert!(!program.state().join("containerd.sock").exists());
    assert!(!program.state().join("supervisor.pid").exists());
}

#[tokio::test]
async fn what_is_offered_can_be_asked() {
    let program = Program::start().await;
    let mut client = IntrospectionClient::new(program.channel.clone());
    let filters = vec!["type==io.gantry.stdio".to_owned()];
    let plugins = client.plugins(PluginsRequest { filters }).await.unwrap().into_inner().plugins;
    assert_eq!(plugins.iter().map(|p| p.id.as_str()).collect::<Vec<_>>(), ["v1"]);
    let server = client.server(()).await.unwrap().into_inner();
    assert_eq!(server.uuid.len(), 36);
    assert_ne!(server.pidns, 0);
    let mut health = HealthClient::new(program.channel.clone());
    wait_for("health", async || health.check(HealthCheckRequest::default()).await.is_ok()).await;
}

/// Labels of what no collection takes away: one comes a second after the start.
fn kept() -> std::collections::HashMap<String, String> {
    [("containerd.io/gc.root".to_owned(), "test".to_owned())].into()
}

#[tokio::test]
async fn what_becomes_of_a_snapshot_is_told() {
    let program = Program::start().await;
    let mut snapshots = SnapshotsClient::new(program.channel.clone());
    let mut events = EventsClient::new(program.channel.clone());
    let filters = vec![r#"topic~="^/snapshot/",event.snapshotter==overlayfs"#.to_owned()];
    let mut stream = events.subscribe(SubscribeRequest { filters }).await.unwrap().into_inner();
    let snapshotter = || "overlayfs".to_owned();
    let prepare = PrepareSnapshotRequest {
        snapshotter: snapshotter(),
        key: "active".to_owned(),
        ..PrepareSnapshotRequest::default()
    };
    snapshots.prepare(program.request(prepare)).await.unwrap();
    let commit = CommitSnapshotRequest {
        snapshotter: snapshotter(),
        name: "done".to_owned(),
        key: "active".to_owned(),
        labels: kept(),
        ..CommitSnapshotRequest::default()
    };
    snapshots.commit(program.request(commit)).await.unwrap();
    let remove = RemoveSnapshotRequest { snapshotter: snapshotter(), key: "done".to_owned() };
    snapshots.remove(program.request(remove)).await.unwrap();
    let mut topics = Vec::new();
    while topics.len() < 3 {
        topics.push(stream.message().await.unwrap().unwrap().topic);
    }
    assert_eq!(topics, ["/snapshot/prepare", "/snapshot/commit", "/snapshot/remove"]);
}

#[tokio::test]
async fn the_deletion_of_a_blob_is_told() {
    let program = Program::start().await;
    let mut contents = ContentClient::new(program.channel.clone());
    let mut events = EventsClient::new(program.channel.clone());
    let subscribe = SubscribeRequest { filters: vec!["topic==/content/delete".to_owned()] };
    let mut stream = events.subscribe(subscribe).await.unwrap().into_inner();
    let write = WriteContentRequest {
        action: WriteAction::Commit.into(),
        r#ref: "ingest".to_owned(),
        data: b"hello\n".as_slice().into(),
        labels: kept(),
        ..WriteContentRequest::default()
    };
    let messages = tokio_stream::iter([write]);
    let mut answers = contents.write(program.request(messages)).await.unwrap().into_inner();
    let digest = answers.message().await.unwrap().unwrap().digest;
    let delete = DeleteContentRequest { digest: digest.clone() };
    contents.delete(program.request(delete)).await.unwrap();
    let envelope = stream.message().await.unwrap().unwrap();
    let event: ContentDelete = any::unpack(envelope.event.as_ref().unwrap()).unwrap();
    assert_eq!(event.digest, digest);
}
