//! Images: list, inspect, history, tag, remove.

use super::{Context, route};
use crate::failure::Failure;
use crate::reply::{Outcome, Reply};
use crate::request::Request;
use crate::site::Route;
use contracts_engine_api::container::DriverData;
use daemon_engine::{ImageListOptions, ImageRemoveOptions};
use http::StatusCode;
use std::sync::Arc;

pub(super) fn routes() -> [Route<Context>; 5] {
    [
        route!(Whole "GET /images/json" => list),
        route!(Whole "GET /images/{}/json" => inspect),
        route!(Whole "GET /images/{}/history" => history),
        route!(Whole "POST /images/{}/tag" => tag),
        route!(Whole "DELETE /images/{}" => remove),
    ]
}

async fn list(context: Arc<Context>, request: Request) -> Outcome {
    let (query, version) = (&request.query, &request.version);
    let mut filters = query.filters()?;
    let old_filter = query.text("filter");
    if version.before(25) && !old_filter.is_empty() && !filters.contains("reference") {
        filters.add("reference", old_filter);
    }
    let options = ImageListOptions {
        all: query.switch("all"),
        manifests: version.at_least(47) && query.switch("manifests"),
        shared_size: version.at_least(42) && query.switch("shared-size"),
        filters,
    };
    Reply::json(&request, &context.engine.image_list(options).await?)
}

async fn inspect(context: Arc<Context>, request: Request) -> Outcome {
    let manifests = request.version.at_least(48) && request.query.switch("manifests");
    let platform = request.version.at_least(49) && !request.query.text("platform").is_empty();
    if manifests && platform {
        let text = "conflicting options: manifests and platform options cannot both be set";
        return Err(Failure::invalid(text));
    }
    if platform {
        return Err(Failure::Absent("inspecting one platform of an image"));
    }
    let mut image = context.engine.image_inspect(&request.name, manifests).await?;
    if request.version.before(52) {
        // Old clients expect a storage driver; with the containerd store it is the snapshotter.
        let name = "overlayfs".to_owned();
        image.graph_driver.get_or_insert(DriverData { data: None, name });
    }
    Reply::json(&request, &image)
}

async fn history(context: Arc<Context>, request: Request) -> Outcome {
    Reply::json(&request, &context.engine.image_history(&request.name).await?)
}

async fn tag(context: Arc<Context>, request: Request) -> Outcome {
    let (repository, tag) = (request.query.text("repo"), request.query.text("tag"));
    context.engine.image_tag(&request.name, repository, tag).await?;
    Reply::empty(StatusCode::CREATED)
}

async fn remove(context: Arc<Context>, request: Request) -> Outcome {
    if request.name.trim().is_empty() {
        return Err(Failure::invalid("image name cannot be blank"));
    }
    let query = &request.query;
    let options =
        ImageRemoveOptions { force: query.switch("force"), no_prune: query.switch("noprune") };
    let removed = context.engine.image_remove(&request.name, options).await?;
    Reply::json(&request, &removed)
}
