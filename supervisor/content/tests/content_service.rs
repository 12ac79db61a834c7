//! The Content service as clients see it: codes and conversations are containerd's.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use contracts_supervisor_api::FieldMask;
use contracts_supervisor_api::channel::connect;
use contracts_supervisor_api::metadata::CallContext;
use contracts_supervisor_api::services::content::content_client::ContentClient;
use contracts_supervisor_api::services::content::content_server::ContentServer;
use contracts_supervisor_api::services::content::{
    AbortRequest, DeleteContentRequest, Info, InfoRequest, ListContentRequest, ReadContentRequest,
    StatusRequest, UpdateRequest, WriteAction, WriteContentRequest, WriteContentResponse,
};
use sha2::{Digest, Sha256};
use std::path::Path;
use supervisor_content::ContentStore;
use supervisor_content::service::ContentService;
use supervisor_metadata::{Config, Store};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::transport::{Channel, Server};
use tonic::{Code, Status, Streaming};

struct Client {
    client: ContentClient<Channel>,
    call: CallContext,
}

async fn serve(root: &Path) -> Channel {
    let state = root.join("state");
    std::fs::create_dir_all(&state).unwrap();
    let config = Config { index: root.join("metadata.redb"), state, described: Vec::new() };
    let store = ContentStore::open(&root.join("content"), Store::open(&config).unwrap()).unwrap();
    let socket = root.join("socket");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let router = Server::builder().add_service(ContentServer::new(ContentService::new(store)));
    tokio::spawn(router.serve_with_incoming(UnixListenerStream::new(listener)));
    connect(&socket).await.unwrap()
}

fn digest(data: &[u8]) -> String {
    let hex: String = Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// One Write conversation.
struct Conversation {
    requests: mpsc::Sender<WriteContentRequest>,
    answers: Streaming<WriteContentResponse>,
}

impl Conversation {
    async fn say(&mut self, request: WriteContentRequest) -> Result<WriteContentResponse, Status> {
        // A server that has refused is found out by its answer.
        let _ = self.requests.send(request).await;
        self.answers.message().await.map(Option::unwrap_or_default)
    }
}

impl Client {
    fn new(channel: &Channel, namespace: &str) -> Self {
        let client = ContentClient::new(channel.clone());
        Self { client, call: CallContext::new(namespace).unwrap() }
    }

    async fn converse(&self) -> Conversation {
        let (requests, receiver) = mpsc::channel(4);
        let request = self.call.request(ReceiverStream::new(receiver));
        let answers = self.client.clone().write(request).await.unwrap().into_inner();
        Conversation { requests, answers }
    }

    /// Writes a blob in one message.
    async fn write(&self, reference: &str, data: &[u8]) -> Result<WriteContentResponse, Status> {
        let request = WriteContentRequest {
            total: data.len().try_into().unwrap(),
            expected: digest(data),
            ..message(WriteAction::Commit, reference, 0, data)
        };
        self.converse().await.say(request).await
    }

    async fn info(&self, digest: &str) -> Result<Info, Status> {
        let request = self.call.request(InfoRequest { digest: digest.to_owned() });
        Ok(self.client.clone().info(request).await?.into_inner().info.unwrap())
    }

    async fn read(&self, digest: &str, offset: i64, size: i64) -> Result<Vec<u8>, Status> {
        let message = ReadContentRequest { digest: digest.to_owned(), offset, size };
        let mut pieces = self.client.clone().read(self.call.request(message)).await?.into_inner();
        let mut data = Vec::new();
        while let Some(piece) = pieces.message().await? {
            assert_eq!(piece.offset, offset + i64::try_from(data.len()).unwrap());
            assert!(piece.data.len() <= 1 << 20);
            data.extend_from_slice(&piece.data);
        }
        Ok(data)
    }
}

fn message(action: WriteAction, reference: &str, offset: i64, data: &[u8]) -> WriteContentRequest {
    WriteContentRequest {
        action: action.into(),
        r#ref: reference.to_owned(),
        offset,
        data: data.to_vec().into(),
        ..WriteContentRequest::default()
    }
}

#[tokio::test]
async fn a_blob_is_written_in_pieces_committed_and_read() {
    let root = TempDir::new().unwrap();
    let channel = serve(root.path()).await;
    let client = Client::new(&channel, "moby");
    let data: Vec<u8> = (0..2_500_000_u32).map(|number| (number % 253) as u8).collect();
    let mut talk = client.converse().await;
    let answer = talk.say(message(WriteAction::Stat, "r", 0, b"")).await.unwrap();
    assert_eq!((answer.offset, answer.digest), (0, digest(b"")));
    let answer = talk.say(message(WriteAction::Write, "r", 0, &data[..1_000_000])).await.unwrap();
    assert_eq!(answer.offset, 1_000_000);
    let answer =
        talk.say(message(WriteAction::Write, "r", 1_000_000, &data[1_000_000..])).await.unwrap();
    assert_eq!(answer.offset, 2_500_000);
    let mut commit = message(WriteAction::Commit, "r", 2_500_000, b"");
    commit.labels.insert("a".to_owned(), "1".to_owned());
    assert_eq!(talk.say(commit).await.unwrap().digest, digest(&data));

    let info = client.info(&digest(&data)).await.unwrap();
    assert_eq!((info.size, info.labels["a"].as_str()), (2_500_000, "1"));
    assert_eq!(client.read(&digest(&data), 0, 0).await.unwrap(), data);
    assert_eq!(client.read(&digest(&data), 5, 7).await.unwrap(), data[5..12]);
    assert_eq!(client.read(&digest(&data), 2_499_999, 99).await.unwrap(), data[2_499_999..]);
    let code = |result: Result<Vec<u8>, Status>| result.unwrap_err().code();
    assert_eq!(code(client.read(&digest(&data), 2_500_001, 0).await), Code::OutOfRange);
    assert_eq!(code(client.read(&digest(b"none"), 0, 0).await), Code::NotFound);
    assert_eq!(code(client.read("sha256:../../x", 0, 0).await), Code::InvalidArgument);
}

/// A conversation about the ingest `r`, once the server has noticed that the last one ended.
async fn resumed(client: &Client) -> (Conversation, WriteContentResponse) {
    loop {
        let mut talk = client.converse().await;
        match talk.say(message(WriteAction::Stat, "r", 0, b"")).await {
            Err(status) if status.code() == Code::Unavailable => tokio::task::yield_now().await,
            answer => return (talk, answer.unwrap()),
        }
    }
}

#[tokio::test]
async fn an_ingest_is_resumed_where_it_ended() {
    let root = TempDir::new().unwrap();
    let channel = serve(root.path()).await;
    let client = Client::new(&channel, "moby");
    let mut talk = client.converse().await;
    talk.say(message(WriteAction::Write, "r", 0, b"one ")).await.unwrap();
    let busy = client.converse().await.say(message(WriteAction::Stat, "r", 0, b"")).await;
    assert_eq!(busy.unwrap_err().code(), Code::Unavailable);
    drop(talk);
    let (_, answer) = resumed(&client).await;
    assert_eq!((answer.offset, answer.digest), (4, digest(b"one ")));
    let (mut talk, _) = resumed(&client).await;
    let wrong = talk.say(message(WriteAction::Write, "r", 3, b"x")).await;
    assert_eq!(wrong.unwrap_err().code(), Code::OutOfRange);
}

#[tokio::test]
async fn commits_that_are_not_as_announced_are_refused() {
    let root = TempDir::new().unwrap();
    let channel = serve(root.path()).await;
    let client = Client::new(&channel, "moby");
    let commit = async |reference: &str, total, expected: &str| {
        let request = WriteContentRequest {
            total,
            expected: expected.to_owned(),
            ..message(WriteAction::Commit, reference, 0, b"data")
        };
        client.converse().await.say(request).await.unwrap_err()
    };
    assert_eq!(commit("a", 9, "").await.code(), Code::FailedPrecondition);
    assert_eq!(commit("b", 3, "").await.code(), Code::FailedPrecondition);
    let error = commit("c", 4, &digest(b"other")).await;
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(error.message().starts_with("unexpected commit digest"), "{error}");
    assert_eq!(commit("", 4, "").await.code(), Code::InvalidArgument);
    client.write("d", b"data").await.unwrap();
    assert_eq!(commit("e", 4, &digest(b"data")).await.code(), Code::AlreadyExists);
    assert_eq!(commit("f", 4, "").await.code(), Code::AlreadyExists);
}

#[tokio::test]
async fn namespaces_share_files_but_not_sight() {
    let root = TempDir::new().unwrap();
    let channel = serve(root.path()).await;
    let (one, two) = (Client::new(&channel, "one"), Client::new(&channel, "two"));
    one.write("r", b"data").await.unwrap();
    let name = digest(b"data");
    assert_eq!(two.info(&name).await.unwrap_err().code(), Code::NotFound);
    let stat = WriteContentRequest {
        expected: name.clone(),
        total: 4,
        ..message(WriteAction::Stat, "r", 0, b"")
    };
    let mut talk = two.converse().await;
    let answer = talk.say(stat).await.unwrap();
    assert_eq!((answer.offset, answer.total), (4, 4));
    talk.say(message(WriteAction::Commit, "r", 4, b"")).await.unwrap();
    assert_eq!(two.read(&name, 0, 0).await.unwrap(), b"data");
    for client in [one, two] {
        client.info(&name).await.unwrap();
        let request = client.call.request(DeleteContentRequest { digest: name.clone() });
        client.client.clone().delete(request).await.unwrap();
        assert_eq!(client.info(&name).await.unwrap_err().code(), Code::NotFound);
    }
    let blobs = root.path().join("content/blobs/sha256");
    assert_eq!(std::fs::read_dir(blobs).unwrap().count(), 0);
}

#[tokio::test]
async fn lists_are_filtered_labels_updated_and_ingests_aborted() {
    let root = TempDir::new().unwrap();
    let channel = serve(root.path()).await;
    let client = Client::new(&channel, "moby");
    client.write("a", b"a").await.unwrap();
    client.write("b", b"b").await.unwrap();
    let update = UpdateRequest {
        info: Some(Info {
            digest: digest(b"a"),
            labels: [("keep".to_owned(), "yes".to_owned())].into(),
            ..Info::default()
        }),
        update_mask: Some(FieldMask { paths: vec!["labels.keep".to_owned()] }),
    };
    client.client.clone().update(client.call.request(update)).await.unwrap();
    let list = ListContentRequest { filters: vec!["labels.keep==yes".to_owned()] };
    let mut pages =
        client.client.clone().list(client.call.request(list)).await.unwrap().into_inner();
    let page = pages.message().await.unwrap().unwrap();
    assert_eq!(page.info.len(), 1);
    assert_eq!(page.info[0].digest, digest(b"a"));

    let abort = |reference: &str| {
        let request = client.call.request(AbortRequest { r#ref: reference.to_owned() });
        let mut client = client.client.clone();
        async move { client.abort(request).await }
    };
    assert_eq!(abort("none").await.unwrap_err().code(), Code::NotFound);
    let mut talk = client.converse().await;
    talk.say(message(WriteAction::Write, "w", 0, b"part")).await.unwrap();
    let status = client.call.request(StatusRequest { r#ref: "w".to_owned() });
    let status = client.client.clone().status(status).await.unwrap().into_inner();
    assert_eq!(status.status.unwrap().offset, 4);
    drop(talk);
    abort("w").await.unwrap();
}
