//! Waiting for a container.

use super::{Context, route};
use crate::failure::Failure;
use crate::reply::{Outcome, Reply};
use crate::request::Request;
use crate::site::Route;
use bytes::Bytes;
use contracts_engine_api::container::WaitResponse;
use daemon_engine::WaitCondition;
use futures_util::stream;
use std::sync::Arc;

pub(super) fn routes() -> [Route<Context>; 1] {
    [route!(Whole "POST /containers/{}/wait" => wait)]
}

/// The head goes out as soon as the wait is registered: `docker run` starts the container only
/// then, so that no exit is missed.
async fn wait(context: Arc<Context>, request: Request) -> Outcome {
    // Before 1.30 there was one condition, and nothing was sent before the end.
    let silent = request.version.before(30);
    let condition = match request.query.text("condition") {
        _ if silent => WaitCondition::NotRunning,
        "" | "not-running" => WaitCondition::NotRunning,
        "next-exit" => WaitCondition::NextExit,
        "removed" => WaitCondition::Removed,
        other => return Err(Failure::Invalid(format!("invalid condition: {other:?}"))),
    };
    let wait = context.engine.container_wait(&request.name, condition).await?;
    if silent {
        return Reply::json(&request, &wait.status().await);
    }
    let (route, version) = (request.route, request.version);
    let answer = async move {
        let response: WaitResponse = wait.status().await;
        let mut line = crate::gates::encode(route, &version, &response).unwrap_or_default();
        line.push(b'\n');
        Bytes::from(line)
    };
    Reply::stream("application/json", stream::once(answer))
}
