//! Pulling images.

use super::{Context, route};
use crate::failure::Failure;
use crate::reply::{Outcome, Reply};
use crate::request::Request;
use crate::site::Route;
use bytes::Bytes;
use contracts_engine_api::auth::{AuthConfig, REGISTRY_AUTH_HEADER};
use daemon_engine::PullOptions;
use futures_util::stream;
use std::sync::Arc;

pub(super) fn routes() -> [Route<Context>; 1] {
    // The body would be an archive to import; a pull has none.
    [route!(Unread "POST /images/create" => create)]
}

async fn create(context: Arc<Context>, request: Request) -> Outcome {
    let query = &request.query;
    let image = query.text("fromImage").trim_end_matches(':');
    if image.is_empty() {
        return Err(Failure::Absent("importing images"));
    }
    let platform = if request.version.at_least(32) { query.text("platform") } else { "" };
    let options = PullOptions {
        image: image.to_owned(),
        tag: query.text("tag").to_owned(),
        platform: platform.to_owned(),
        auth: AuthConfig::from_header(request.head.header(REGISTRY_AUTH_HEADER)),
    };
    let messages = context.engine.image_pull(options).await?;
    let lines = stream::unfold(messages, |mut messages| async move {
        let message = messages.recv().await?;
        let mut line = serde_json::to_vec(&message).unwrap_or_default();
        line.extend_from_slice(b"\r\n");
        Some((Bytes::from(line), messages))
    });
    Reply::stream("application/json", lines)
}
