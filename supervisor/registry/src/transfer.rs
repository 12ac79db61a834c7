//! `containerd.services.transfer.v1.Transfer`: moves images between registries, archives and the
//! image store.
//!
//! A transfer runs in a task of its own. A client that goes away cancels it between two steps;
//! what was downloaded by then is found by the next try.

use crate::client::{CredentialSource, Credentials, NoCredentials};
use crate::error::{PullError, RegistryError};
use crate::hosts::Options;
use crate::image_store::{ImageStore, namespace_of, status};
use crate::import::Import;
use crate::platform;
use crate::progress::Progress;
use crate::pull::{Destination, Pull};
use crate::streams::{Stream, Streams};
use contracts_supervisor_api::Any;
use contracts_supervisor_api::any::{is, pack, unpack};
use contracts_supervisor_api::services::transfer::TransferRequest;
use contracts_supervisor_api::services::transfer::transfer_server::Transfer;
use contracts_supervisor_api::types::Platform as WirePlatform;
use contracts_supervisor_api::types::transfer::{
    AuthRequest, AuthResponse, AuthType, ImageImportStream, ImageStore as WireStore, OciRegistry,
    RegistryResolver,
};
use std::sync::Arc;
use std::time::Duration;
use supervisor_snapshots::overlay::NAME as OVERLAY;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, async_trait};

/// How long a client may take to answer for its credentials; it may ask a person.
const ANSWER: Duration = Duration::from_secs(120);

/// The gRPC service.
pub struct TransferService {
    store: ImageStore,
    streams: Streams,
}

impl TransferService {
    /// A service over `store`, whose clients' streams are found in `streams`.
    #[must_use]
    pub fn new(store: ImageStore, streams: Streams) -> Self {
        Self { store, streams }
    }

    fn stream(&self, namespace: &str, name: &str) -> Result<Stream, Status> {
        self.streams
            .take(namespace, name)
            .ok_or_else(|| Status::not_found(format!("stream {name:?}: not found")))
    }

    /// Finds out what is to be done.
    fn plan(&self, namespace: &str, request: &TransferRequest) -> Result<Plan, Status> {
        let missing = |what: &str| Status::invalid_argument(format!("{what} is required"));
        let source = request.source.as_ref().ok_or_else(|| missing("source"))?;
        let destination = request.destination.as_ref().ok_or_else(|| missing("destination"))?;
        if !is::<WireStore>(destination) {
            return Err(unsupported(source, destination));
        }
        let image: WireStore = open(destination)?;
        let target = destination_of(&image)?;
        if is::<OciRegistry>(source) {
            let registry: OciRegistry = open(source)?;
            let resolver = registry.resolver.unwrap_or_default();
            return Ok(Plan::Pull {
                reference: registry.reference,
                credentials: self.credentials(namespace, &resolver)?,
                options: options_of(resolver, self.store.stall),
                target,
            });
        }
        if is::<ImageImportStream>(source) {
            let import: ImageImportStream = open(source)?;
            let bytes = self.stream(namespace, &import.stream)?.into_bytes();
            let names = image.extra_references;
            return Ok(Plan::Import { bytes, target, names });
        }
        Err(unsupported(source, destination))
    }

    fn credentials(
        &self,
        namespace: &str,
        resolver: &RegistryResolver,
    ) -> Result<Arc<dyn CredentialSource>, Status> {
        if resolver.auth_stream.is_empty() {
            return Ok(Arc::new(NoCredentials));
        }
        let stream = self.stream(namespace, &resolver.auth_stream)?;
        Ok(Arc::new(AskClient { stream: Mutex::new(stream) }))
    }
}

/// What is to be done.
enum Plan {
    Pull {
        reference: String,
        credentials: Arc<dyn CredentialSource>,
        options: Options,
        target: Destination,
    },
    Import {
        bytes: tokio::sync::mpsc::Receiver<std::io::Result<bytes::Bytes>>,
        target: Destination,
        names: Vec<contracts_supervisor_api::types::transfer::ImageReference>,
    },
}

impl Plan {
    async fn run(
        self,
        store: ImageStore,
        namespace: String,
        progress: Progress,
    ) -> Result<(), PullError> {
        match self {
            Self::Pull { reference: text, credentials, options, target } => {
                let pull = Pull {
                    reference: text.parse()?,
                    store,
                    namespace,
                    text,
                    options,
                    credentials,
                    progress,
                };
                pull.run(&target).await.map(drop)
            }
            Self::Import { bytes, target, names } => {
                Import { store, namespace, progress, names }.run(bytes, &target).await
            }
        }
    }
}

#[async_trait]
impl Transfer for TransferService {
    async fn transfer(&self, request: Request<TransferRequest>) -> Result<Response<()>, Status> {
        let namespace = namespace_of(request.metadata())?;
        let request = request.into_inner();
        let progress = match request.options.as_ref().map(|options| &*options.progress_stream) {
            None | Some("") => Progress::silent(),
            Some(name) => Progress::on(self.stream(&namespace, name)?),
        };
        let plan = self.plan(&namespace, &request)?;
        let store = self.store.clone();
        let cancelled = CancellationToken::new();
        // Dropped with the call, if the client goes away.
        let _watch = cancelled.clone().drop_guard();
        let task = tokio::spawn(async move {
            let result = tokio::select! {
                result = plan.run(store, namespace, progress.clone()) => result,
                // Every step of the transfer leaves the stores whole, so it may end at any await.
                () = cancelled.cancelled() => Err(PullError::Cancelled),
            };
            progress.flush().await;
            result
        });
        match task.await {
            Ok(Ok(())) => Ok(Response::new(())),
            Ok(Err(error)) => Err(status(&error)),
            Err(_) => Err(status(&PullError::Abandoned)),
        }
    }
}

/// Asks the client at the other end of a stream.
struct AskClient {
    stream: Mutex<Stream>,
}

#[async_trait]
impl CredentialSource for AskClient {
    async fn credentials(
        &self,
        host: &str,
        reference: &str,
        challenges: Vec<String>,
    ) -> Result<Credentials, RegistryError> {
        let mut stream = self.stream.lock().await;
        let question = AuthRequest {
            host: host.to_owned(),
            reference: reference.to_owned(),
            wwwauthenticate: challenges,
        };
        if !stream.send(pack(&question)).await {
            return Err(RegistryError::Credentials("the client is gone"));
        }
        let answer = tokio::time::timeout(ANSWER, stream.receive())
            .await
            .map_err(|_| RegistryError::Credentials("the client does not answer"))?
            .ok_or(RegistryError::Credentials("the client is gone"))?;
        let answer: AuthResponse = unpack(&answer)
            .map_err(|_| RegistryError::Credentials("the client's answer is none"))?;
        Ok(match answer.auth_type() {
            AuthType::None => Credentials::None,
            AuthType::Credentials => {
                Credentials::Password { user: answer.username, secret: answer.secret }
            }
            AuthType::Refresh => Credentials::Refresh(answer.secret),
            AuthType::Header => Credentials::Header(answer.secret),
        })
    }
}

fn destination_of(image: &WireStore) -> Result<Destination, Status> {
    for unpack in &image.unpacks {
        if !unpack.snapshotter.is_empty() && unpack.snapshotter != OVERLAY {
            let text = format!("snapshotter {:?} not loaded: invalid argument", unpack.snapshotter);
            return Err(Status::invalid_argument(text));
        }
    }
    let platform = |platform: &WirePlatform| {
        platform::wanted(&platform.os, &platform.architecture, &platform.variant)
    };
    Ok(Destination {
        name: image.name.clone(),
        labels: image.labels.clone(),
        platforms: image.platforms.iter().map(platform).collect(),
        unpack: image
            .unpacks
            .iter()
            .map(|unpack| unpack.platform.as_ref().map_or_else(platform::host, platform))
            .collect(),
    })
}

fn options_of(resolver: RegistryResolver, stall: Duration) -> Options {
    Options {
        host_dir: resolver.host_dir.into(),
        default_scheme: resolver.default_scheme,
        headers: resolver.headers,
        stall,
    }
}

fn open<M: contracts_supervisor_api::prost::Name + Default>(any: &Any) -> Result<M, Status> {
    unpack(any).map_err(|error| contracts_supervisor_api::status::of(&error))
}

fn unsupported(source: &Any, destination: &Any) -> Status {
    Status::unimplemented(format!(
        "transfer from {} to {}: not implemented",
        source.type_url, destination.type_url
    ))
}
