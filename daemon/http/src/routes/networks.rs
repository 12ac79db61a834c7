//! Networks.

use super::{Context, route};
use crate::reply::{Outcome, Reply};
use crate::request::Request;
use crate::site::Route;
use std::sync::Arc;

pub(super) fn routes() -> [Route<Context>; 3] {
    [
        route!(Whole "GET /networks" => list),
        // Go's client of long ago asked with the slash.
        route!(Whole "GET /networks/" => list),
        route!(Whole "GET /networks/{}" => inspect),
    ]
}

async fn list(context: Arc<Context>, request: Request) -> Outcome {
    let mut networks = context.engine.network_list(request.query.filters()?).await?;
    for network in &mut networks {
        network.containers = None;
        network.status = None;
        if request.version.before(28) {
            // One that has gone meanwhile has nobody in it.
            let inspected = context.engine.network_inspect(&network.id).await.ok();
            network.containers = inspected.map(|network| network.containers.unwrap_or_default());
        }
    }
    Reply::json(&request, &networks)
}

async fn inspect(context: Arc<Context>, request: Request) -> Outcome {
    Reply::json(&request, &context.engine.network_inspect(&request.name).await?)
}
