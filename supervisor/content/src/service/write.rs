//! The Write call: a conversation of STAT, WRITE and COMMIT about one ingest.
//!
//! The first message names the ingest and may announce length and digest. Each message is
//! answered by how far the ingest is after it; COMMIT ends the conversation. Order of the checks
//! and codes of the errors are those of containerd's content service.

use super::digest;
use crate::request::blocking;
use crate::{ContentError, ContentStore, Details, Writer};
use base_ids::Digest;
use contracts_supervisor_api::services::content::{
    WriteAction, WriteContentRequest, WriteContentResponse,
};
use futures_util::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// Answers that may wait for a slow client.
const ANSWERS: usize = 4;

/// One conversation.
pub(super) struct Session {
    store: ContentStore,
    namespace: String,
    lease: Option<String>,
    reference: String,
    total: i64,
    expected: Option<Digest>,
}

impl Session {
    pub(super) fn new(store: ContentStore, namespace: String, lease: Option<String>) -> Self {
        Self { store, namespace, lease, reference: String::new(), total: 0, expected: None }
    }

    /// Answers the messages of a client until COMMIT, an error, or the client's end.
    pub(super) fn run(
        mut self,
        mut requests: Streaming<WriteContentRequest>,
    ) -> impl Stream<Item = Result<WriteContentResponse, Status>> {
        let (answers, receiver) = mpsc::channel(ANSWERS);
        tokio::spawn(async move {
            if let Err(status) = self.converse(&mut requests, &answers).await {
                let _ = answers.send(Err(status)).await;
            }
        });
        ReceiverStream::new(receiver)
    }

    async fn converse(
        &mut self,
        requests: &mut Streaming<WriteContentRequest>,
        answers: &mpsc::Sender<Result<WriteContentResponse, Status>>,
    ) -> Result<(), Status> {
        let Some(mut request) = requests.message().await? else {
            return Err(Status::invalid_argument("first message must have a reference"));
        };
        let mut writer = self.begin(&request).await?;
        loop {
            self.note(&request).await?;
            let commits = request.action() == WriteAction::Commit;
            let (answer, rest) = self.answer(writer, request).await?;
            let gone = answers.send(Ok(answer)).await.is_err();
            let Some(rest) = rest.filter(|_| !commits && !gone) else { return Ok(()) };
            writer = rest;
            request = match requests.message().await? {
                Some(request) => request,
                None => return Ok(()),
            };
        }
    }

    async fn begin(&mut self, request: &WriteContentRequest) -> Result<Writer, Status> {
        if request.r#ref.is_empty() {
            return Err(Status::invalid_argument("first message must have a reference"));
        }
        if request.total < 0 {
            return Err(Status::invalid_argument("total is negative"));
        }
        self.reference.clone_from(&request.r#ref);
        self.total = request.total;
        self.expected = optional_digest(&request.expected)?;
        let (store, namespace) = (self.store.clone(), self.namespace.clone());
        let (reference, expected) = (self.reference.clone(), self.expected.clone());
        let (total, lease) = (self.total.cast_unsigned(), self.lease.clone());
        blocking(move || {
            let writer = store.writer(&namespace, &reference, total, expected.as_ref());
            if let (Err(ContentError::Exists(_)), Some(digest)) = (&writer, &expected) {
                store.keep_with(&namespace, digest, lease.as_deref())?;
            }
            writer
        })
        .await
    }

    /// Takes over what a later message announces.
    async fn note(&mut self, request: &WriteContentRequest) -> Result<(), Status> {
        if request.total > 0 {
            self.total = request.total;
        }
        if let Some(expected) = optional_digest(&request.expected)? {
            let (store, namespace) = (self.store.clone(), self.namespace.clone());
            let (digest, reference) = (expected.clone(), self.reference.clone());
            let exists = blocking(move || {
                let exists = store.find(&namespace, &digest)?.is_some();
                if exists {
                    let _ = store.abort(&namespace, &reference);
                }
                Ok::<_, ContentError>(exists)
            })
            .await?;
            if exists {
                return Err(Status::already_exists(format!(
                    "blob with expected digest {expected} exists"
                )));
            }
            self.expected = Some(expected);
        }
        Ok(())
    }

    /// Does what a message says; gives the writer back unless it has ended.
    async fn answer(
        &self,
        mut writer: Writer,
        request: WriteContentRequest,
    ) -> Result<(WriteContentResponse, Option<Writer>), Status> {
        let action = request.action();
        let at = writer.status().offset.cast_signed();
        if action != WriteAction::Stat && request.offset > 0 && request.offset != at {
            return Err(Status::out_of_range(format!(
                "write @{} must occur at current offset {at}",
                request.offset
            )));
        }
        let (total, expected) = (self.total.cast_unsigned(), self.expected.clone());
        let lease = self.lease.clone();
        blocking(move || {
            let mut answer = describe(&writer, action);
            if action == WriteAction::Stat {
                answer.digest = writer.digest().to_string();
                return Ok::<_, ContentError>((answer, Some(writer)));
            }
            if request.offset == 0 && at > 0 && !request.data.is_empty() {
                writer.restart()?;
            }
            if !request.data.is_empty() {
                writer.write(&request.data)?;
            }
            answer.offset = writer.status().offset.cast_signed();
            answer.digest = writer.digest().to_string();
            if action == WriteAction::Write {
                return Ok((answer, Some(writer)));
            }
            let details = Details { labels: &request.labels, lease: lease.as_deref() };
            writer.commit(total, expected, details)?;
            Ok((answer, None))
        })
        .await
    }
}

fn describe(writer: &Writer, action: WriteAction) -> WriteContentResponse {
    let status = writer.status();
    WriteContentResponse {
        action: action.into(),
        started_at: Some(status.started_at.into()),
        updated_at: Some(status.updated_at.into()),
        offset: status.offset.cast_signed(),
        total: status.total.cast_signed(),
        digest: String::new(),
    }
}

fn optional_digest(text: &str) -> Result<Option<Digest>, Status> {
    if text.is_empty() { Ok(None) } else { digest(text).map(Some) }
}
