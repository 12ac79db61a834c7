//! Pulling: the supervisor's transfer, its progress as Docker's lines.

use super::progress::Translator;
use super::{hello, host_platform, parse_platform};
use crate::error::{Error, Result};
use crate::requests::PullOptions;
use crate::shared::Shared;
use crate::supervisor::{SNAPSHOTTER, Supervisor, failed};
use base_errors::Kind;
use base_ids::ContainerId;
use base_ids::reference::Reference;
use contracts_engine_api::auth::AuthConfig;
use contracts_engine_api::progress::Message;
use contracts_supervisor_api::any;
use contracts_supervisor_api::services::streaming::StreamInit;
use contracts_supervisor_api::services::transfer::{TransferOptions, TransferRequest};
use contracts_supervisor_api::types::transfer::{
    AuthRequest, AuthResponse, AuthType, ImageStore, OciRegistry, Progress, RegistryResolver,
    UnpackConfiguration,
};
use contracts_supervisor_api::{Any, status, tonic, types};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Lines that wait for a slow client.
const QUEUE: usize = 64;
/// The image that is built in.
const BUILT_IN: &str = "docker.io/library/hello-world";

impl Shared {
    /// `POST /images/create`.
    pub(crate) async fn image_pull(
        self: &Arc<Self>,
        options: PullOptions,
    ) -> Result<mpsc::Receiver<Message>> {
        let mut reference = Reference::parse_bare(&options.image)?;
        if !options.tag.is_empty() {
            reference = reference.with(&options.tag)?;
        }
        let reference = Reference::parse(&reference.to_string())?;
        let platform = parse_platform(&options.platform)?;
        let before = self.images.get(&reference.to_string()).await?.map(|i| i.target.digest);
        let (lines, receiver) = mpsc::channel(QUEUE);
        let (begun, begins) = oneshot::channel();
        let pull = Pull { shared: self.clone(), reference, before, lines };
        let auth = options.auth;
        tokio::spawn(crate::supervisor::traced(crate::supervisor::current_trace(), async move {
            pull.run(platform, auth, begun).await;
        }));
        // Until the registry has answered, a failure is an error and not a line.
        match begins.await {
            Ok(Ok(())) => Ok(receiver),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Error::internal("pull", "the transfer ended without an answer")),
        }
    }
}

struct Pull {
    shared: Arc<Shared>,
    reference: Reference,
    before: Option<String>,
    lines: mpsc::Sender<Message>,
}

type Begun = oneshot::Sender<Result<()>>;

impl Pull {
    async fn run(
        &self,
        platform: Option<contracts_engine_api::oci::Platform>,
        auth: Option<AuthConfig>,
        begun: Begun,
    ) {
        let mut begun = Some(begun);
        let result = self.transfer(platform, auth, &mut begun).await;
        let result = match result {
            Err(error) if self.may_be_built_in(&error) => {
                self.begin(&mut begun).await;
                let text = format!("Registry not reachable ({error}); using the built-in image");
                self.say(Message::status(text)).await;
                hello::import(&self.shared.images, &self.reference.to_string()).await
            }
            other => other,
        };
        match result {
            Ok(()) => {
                self.begin(&mut begun).await;
                self.conclude().await;
            }
            Err(error) => match begun.take() {
                Some(begun) => drop(begun.send(Err(error))),
                None => self.say(Message::failure(error.to_string())).await,
            },
        }
    }

    fn may_be_built_in(&self, error: &Error) -> bool {
        use base_errors::Classify as _;
        let answered = matches!(
            error.kind(),
            Kind::NotFound | Kind::PermissionDenied | Kind::Unauthenticated | Kind::InvalidArgument
        );
        !answered && self.reference.name() == BUILT_IN && self.reference.tag() == Some("latest")
    }

    async fn say(&self, line: Message) {
        // A client that is gone does not end the pull.
        let _ = self.lines.send(line).await;
    }

    /// Lets the caller answer 200, and says the first line.
    async fn begin(&self, begun: &mut Option<Begun>) {
        if let Some(begun) = begun.take() {
            let _ = begun.send(Ok(()));
            let tag = self.reference.tag().or(self.reference.digest()).unwrap_or_default();
            self.say(Message {
                status: format!("Pulling from {}", self.reference.path_with_registry()),
                id: tag.to_owned(),
                ..Message::default()
            })
            .await;
        }
    }

    async fn conclude(&self) {
        let Ok(Some(image)) = self.shared.images.get(&self.reference.to_string()).await else {
            return self.say(Message::failure("the image is gone again")).await;
        };
        let digest = image.target.digest;
        let name = self.reference.familiar();
        let attributes = [("name".to_owned(), self.reference.familiar_name())].into();
        self.shared.events.emit("image", "pull", &name, attributes);
        self.say(Message::status(format!("Digest: {digest}"))).await;
        let news = if self.before.as_ref() == Some(&digest) {
            format!("Status: Image is up to date for {name}")
        } else {
            format!("Status: Downloaded newer image for {name}")
        };
        self.say(Message::status(news)).await;
    }

    /// Has the supervisor fetch and unpack the image.
    async fn transfer(
        &self,
        platform: Option<contracts_engine_api::oci::Platform>,
        auth: Option<AuthConfig>,
        begun: &mut Option<Begun>,
    ) -> Result<()> {
        let supervisor = &self.shared.supervisor;
        let (progress_stream, mut events) = open_stream(supervisor).await?;
        let auth_stream = match auth {
            Some(auth) => answer_auth(supervisor, auth).await?,
            None => String::new(),
        };
        let platform = platform.unwrap_or_else(host_platform);
        let platform = types::Platform {
            os: platform.os,
            architecture: platform.architecture,
            variant: platform.variant,
            os_version: platform.os_version,
        };
        let source = OciRegistry {
            reference: self.reference.to_string(),
            resolver: Some(RegistryResolver {
                auth_stream,
                host_dir: host_folder(&self.shared.config.exec_root).display().to_string(),
                ..RegistryResolver::default()
            }),
        };
        let destination = ImageStore {
            name: self.reference.to_string(),
            platforms: vec![platform.clone()],
            unpacks: vec![UnpackConfiguration {
                platform: Some(platform),
                snapshotter: SNAPSHOTTER.to_owned(),
            }],
            ..ImageStore::default()
        };
        let request = supervisor.call(TransferRequest {
            source: Some(any::pack(&source)),
            destination: Some(any::pack(&destination)),
            options: Some(TransferOptions { progress_stream }),
        });
        let mut client = supervisor.transfer();
        let transfer = client.transfer(request);
        tokio::pin!(transfer);
        let mut translator = Translator::default();
        let mut listening = true;
        // Of an image that is here already, only what is fetched anew is told.
        let mut held = self.before.as_ref().map(|_| Vec::new());
        loop {
            // Cancel-safe: a stream's message is taken whole or not at all; the call is pinned.
            tokio::select! {
                biased;
                event = events.message(), if listening => match event {
                    Ok(Some(event)) => {
                        let Ok(progress) = any::unpack::<Progress>(&event) else { continue };
                        let mut lines = translator.lines(&progress);
                        if let Some(before) = &mut held
                            && progress.event != "downloading"
                        {
                            before.append(&mut lines);
                            continue;
                        }
                        if !lines.is_empty() {
                            self.begin(begun).await;
                        }
                        for line in held.take().into_iter().flatten().chain(lines) {
                            self.say(line).await;
                        }
                    }
                    _ => listening = false,
                },
                result = &mut transfer => {
                    return result.map(drop).map_err(|error| self.refusal(&error));
                }
            }
        }
    }

    /// dockerd's texts for what the registry says.
    fn refusal(&self, error: &tonic::Status) -> Error {
        let (kind, said) = (status::kind(error), error.message());
        match kind {
            Kind::NotFound if !said.contains("failed to resolve reference") => Error::NotFound(
                format!("failed to resolve reference \"{}\": {said}", self.reference),
            ),
            Kind::NotFound => Error::NotFound(said.to_owned()),
            Kind::PermissionDenied | Kind::Unauthenticated => Error::NotFound(format!(
                "pull access denied for {}, repository does not exist or may require 'docker \
                 login': {said}",
                self.reference.familiar_name()
            )),
            // An unreachable registry is dockerd's 500, not "try again later".
            Kind::Unavailable => Error::internal_text(said.to_owned()),
            kind => Error::Remote { kind, message: said.to_owned() },
        }
    }
}

/// Opens a side channel and gives its name and what comes out of it.
async fn open_stream(supervisor: &Supervisor) -> Result<(String, tonic::Streaming<Any>)> {
    let (id, outgoing, incoming) = open_duplex(supervisor).await?;
    // Progress only flows towards us; our half stays open as long as we listen.
    tokio::spawn(async move { outgoing.closed().await });
    Ok((id, incoming))
}

async fn open_duplex(
    supervisor: &Supervisor,
) -> Result<(String, mpsc::Sender<Any>, tonic::Streaming<Any>)> {
    let id = ContainerId::random().short().to_owned();
    let (sender, receiver) = mpsc::channel(4);
    // The channel was made a moment ago and has room.
    let _ = sender.try_send(any::pack(&StreamInit { id: id.clone() }));
    let outgoing = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let answer = supervisor.streaming().stream(supervisor.call(outgoing)).await;
    let mut incoming = answer.map_err(failed("open stream"))?.into_inner();
    // The other end says that it knows the name before anything else.
    incoming.message().await.map_err(failed("open stream"))?;
    Ok((id, sender, incoming))
}

/// Answers the supervisor's questions for credentials; gives the name of the side channel.
async fn answer_auth(supervisor: &Supervisor, auth: AuthConfig) -> Result<String> {
    let (id, outgoing, mut incoming) = open_duplex(supervisor).await?;
    tokio::spawn(async move {
        while let Ok(Some(question)) = incoming.message().await {
            if any::unpack::<AuthRequest>(&question).is_err() {
                continue;
            }
            let (kind, username, secret) = if auth.identitytoken.is_empty() {
                let kind =
                    if auth.username.is_empty() { AuthType::None } else { AuthType::Credentials };
                (kind, auth.username.clone(), auth.password.clone())
            } else {
                (AuthType::Refresh, String::new(), auth.identitytoken.clone())
            };
            let answer = AuthResponse {
                auth_type: kind.into(),
                username,
                secret,
                ..AuthResponse::default()
            };
            if outgoing.send(any::pack(&answer)).await.is_err() {
                return;
            }
        }
    });
    Ok(id)
}

/// Where mirrors and insecure registries are written down for the supervisor.
pub(crate) fn host_folder(exec_root: &Path) -> PathBuf {
    exec_root.join("registries")
}

/// Writes down how registries are reached, in containerd's `hosts.toml` form.
pub(crate) fn write_hosts(
    exec_root: &Path,
    mirrors: &[String],
    insecure: &[String],
) -> std::io::Result<()> {
    let folder = host_folder(exec_root);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    let write = |host: &str, text: String| {
        let of_host = folder.join(host);
        std::fs::create_dir_all(&of_host)?;
        std::fs::write(of_host.join("hosts.toml"), text)
    };
    let table = |url: &str, more: &str| {
        format!("[host.{url:?}]\n  capabilities = [\"pull\", \"resolve\"]\n{more}\n")
    };
    if !mirrors.is_empty() {
        let hosts: String =
            mirrors.iter().map(|url| table(url.trim_end_matches('/'), "")).collect();
        write("docker.io", format!("server = \"https://registry-1.docker.io\"\n\n{hosts}"))?;
    }
    // Networks (`10.0.0.0/8`) would need the host's address first; single hosts do not.
    for host in insecure.iter().filter(|host| !host.contains('/')) {
        let secure = table(&format!("https://{host}"), "  skip_verify = true\n");
        let plain = table(&format!("http://{host}"), "");
        write(host, format!("server = \"http://{host}\"\n\n{secure}{plain}"))?;
    }
    Ok(())
}
