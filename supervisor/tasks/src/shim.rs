//! The Task service as its client sees it.

use crate::Error;
use crate::connection::Connection;
use base_telemetry::{TRACEPARENT, TraceContext};
use contracts_shim_api::bootstrap::BootstrapParams;
use contracts_shim_api::task::{
    CreateTaskRequest, CreateTaskResponse, DeleteRequest, DeleteResponse, Method, SERVICE_V2,
    SERVICE_V3, ShutdownRequest, StartRequest, StartResponse, StateRequest, StateResponse,
    WaitRequest, WaitResponse,
};
use contracts_shim_api::ttrpc::{KeyValue, NAMESPACE_KEY};
use prost::Message;
use std::path::Path;
use std::time::Duration;

/// How long a shim may take for an answer that needs no work.
const PROMPT: Duration = Duration::from_secs(10);

/// Where a call belongs.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The containerd namespace.
    pub namespace: String,
    /// The trace of the request that led to it.
    pub trace: TraceContext,
}

impl Scope {
    /// A scope for work of the supervisor's own: a trace of its own.
    #[must_use]
    pub fn own(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), trace: TraceContext::new() }
    }

    fn metadata(&self) -> Vec<KeyValue> {
        let pair = |key: &str, value: String| KeyValue { key: key.to_owned(), value };
        vec![pair(NAMESPACE_KEY, self.namespace.clone()), pair(TRACEPARENT, self.trace.to_string())]
    }
}

/// A shim that answers.
#[derive(Debug)]
pub(crate) struct Shim {
    connection: Connection,
    service: &'static str,
}

impl Shim {
    /// Connects to the shim that these parameters lead to.
    pub(crate) async fn connect(params: &BootstrapParams) -> Result<Self, Error> {
        let failed = |source| Error::Connect { address: params.address.clone(), source };
        let path =
            params.socket_path().ok_or_else(|| failed(std::io::ErrorKind::InvalidInput.into()))?;
        let connection = Connection::open(Path::new(path)).await.map_err(failed)?;
        let service = if params.version >= 3 { SERVICE_V3 } else { SERVICE_V2 };
        Ok(Self { connection, service })
    }

    /// Completes once the shim has gone.
    pub(crate) async fn gone(&self) {
        self.connection.closed().await;
    }

    /// Any method, for as long as a sound shim may take for it; the typed ones below are those that
    /// this crate needs itself.
    pub(crate) async fn request<A: Message + Default>(
        &self,
        scope: &Scope,
        method: Method,
        request: &impl Message,
    ) -> Result<A, Error> {
        match method {
            Method::State
            | Method::Pids
            | Method::Stats
            | Method::ResizePty
            | Method::CloseIo
            | Method::Connect => self.ask(scope, method, request).await,
            _ => self.call(scope, method, request).await,
        }
    }

    /// A method that may take as long as it likes.
    pub(crate) async fn call<A: Message + Default>(
        &self,
        scope: &Scope,
        method: Method,
        request: &impl Message,
    ) -> Result<A, Error> {
        let payload = request.encode_to_vec();
        self.connection.call(self.service, method.name(), payload, scope.metadata()).await
    }

    /// A method that a sound shim answers at once.
    async fn ask<A: Message + Default>(
        &self,
        scope: &Scope,
        method: Method,
        request: &impl Message,
    ) -> Result<A, Error> {
        tokio::time::timeout(PROMPT, self.call(scope, method, request))
            .await
            .unwrap_or(Err(Error::Timeout(method.name())))
    }

    pub(crate) async fn create(
        &self,
        scope: &Scope,
        request: &CreateTaskRequest,
    ) -> Result<CreateTaskResponse, Error> {
        self.call(scope, Method::Create, request).await
    }

    pub(crate) async fn start(
        &self,
        scope: &Scope,
        id: &str,
        exec_id: &str,
    ) -> Result<StartResponse, Error> {
        let request = StartRequest { id: id.to_owned(), exec_id: exec_id.to_owned() };
        self.call(scope, Method::Start, &request).await
    }

    pub(crate) async fn wait(
        &self,
        scope: &Scope,
        id: &str,
        exec_id: &str,
    ) -> Result<WaitResponse, Error> {
        let request = WaitRequest { id: id.to_owned(), exec_id: exec_id.to_owned() };
        self.call(scope, Method::Wait, &request).await
    }

    pub(crate) async fn delete(
        &self,
        scope: &Scope,
        id: &str,
        exec_id: &str,
    ) -> Result<DeleteResponse, Error> {
        let request = DeleteRequest { id: id.to_owned(), exec_id: exec_id.to_owned() };
        self.call(scope, Method::Delete, &request).await
    }

    pub(crate) async fn state(
        &self,
        scope: &Scope,
        id: &str,
        exec_id: &str,
    ) -> Result<StateResponse, Error> {
        let request = StateRequest { id: id.to_owned(), exec_id: exec_id.to_owned() };
        self.ask(scope, Method::State, &request).await
    }

    /// Asks a shim that has no task left to leave, and waits until it has.
    pub(crate) async fn shut_down(&self, scope: &Scope, id: &str) -> Result<(), Error> {
        let request = ShutdownRequest { id: id.to_owned(), now: false };
        let leave = async {
            match self.call::<()>(scope, Method::Shutdown, &request).await {
                // A shim may leave before it answers.
                Ok(()) | Err(Error::Closed) => {}
                Err(error) => return Err(error),
            }
            self.gone().await;
            Ok(())
        };
        tokio::time::timeout(PROMPT, leave).await.unwrap_or(Err(Error::Timeout("Shutdown")))
    }
}
