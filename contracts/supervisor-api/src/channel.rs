//! Connecting to a supervisor over its Unix socket.

use crate::metadata::MAX_MESSAGE;
use hyper_util::rt::TokioIo;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};

/// A channel that connects to `path` when first used, and again whenever the connection is lost.
///
/// Must be called inside a tokio runtime.
#[must_use]
pub fn lazy(path: &Path) -> Channel {
    endpoint().connect_with_connector_lazy(connector(path.to_owned()))
}

/// Connects to the supervisor that listens at `path`.
///
/// # Errors
/// Nothing listens there, or the caller may not connect.
pub async fn connect(path: &Path) -> Result<Channel, tonic::transport::Error> {
    endpoint().connect_with_connector(connector(path.to_owned())).await
}

/// The windows are those of a local socket, where a round trip costs nothing and memory does.
fn endpoint() -> Endpoint {
    // gRPC wants an authority; over a Unix socket it means nothing. containerd's client says this.
    Endpoint::from_static("http://localhost")
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .http2_max_header_list_size(u32::try_from(MAX_MESSAGE).unwrap_or(u32::MAX))
}

fn connector(
    path: PathBuf,
) -> impl tower::Service<
    Uri,
    Response = TokioIo<UnixStream>,
    Error = std::io::Error,
    Future = impl Future<Output = std::io::Result<TokioIo<UnixStream>>> + Send,
> + Send
+ 'static {
    tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    })
}
