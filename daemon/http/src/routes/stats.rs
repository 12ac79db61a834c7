//! A container's use of the machine.

use super::{Context, route};
use crate::failure::Failure;
use crate::reply::{Outcome, Reply};
use crate::request::Request;
use crate::site::Route;
use bytes::Bytes;
use contracts_engine_api::container::StatsResponse;
use daemon_engine::StatsOptions;
use futures_util::stream;
use std::sync::Arc;

pub(super) fn routes() -> [Route<Context>; 1] {
    [route!(Whole "GET /containers/{}/stats" => stats)]
}

async fn stats(context: Arc<Context>, request: Request) -> Outcome {
    let stream = request.query.switch_or_on("stream");
    let one_shot = request.version.at_least(41) && request.query.switch("one-shot");
    if stream && one_shot {
        return Err(Failure::invalid("cannot have stream=true and one-shot=true"));
    }
    let options = StatsOptions { stream, one_shot };
    let mut samples = context.engine.container_stats(&request.name, options).await?;
    if !stream {
        let sample = samples.recv().await.unwrap_or_default();
        return Reply::json(&request, &sample);
    }
    let version = request.version;
    let line = move |sample: &StatsResponse| {
        let mut line = crate::gates::encode(request.route, &version, sample).unwrap_or_default();
        line.push(b'\n');
        Bytes::from(line)
    };
    let pieces = stream::unfold((samples, line), |(mut samples, line)| async move {
        let sample = samples.recv().await?;
        Some((line(&sample), (samples, line)))
    });
    Reply::stream("application/json", pieces)
}
