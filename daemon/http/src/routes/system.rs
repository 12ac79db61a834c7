//! The daemon and its machine: info, version, disk usage.

use super::{Context, route};
use crate::failure::Failure;
use crate::reply::{Outcome, Reply};
use crate::request::Request;
use crate::site::Route;
use contracts_engine_api::ApiVersion;
use std::sync::Arc;

pub(super) fn routes() -> [Route<Context>; 3] {
    [
        route!(Whole "GET /info" => info),
        route!(Whole "GET /version" => version),
        route!(Whole "GET /system/df" => disk_usage),
    ]
}

async fn info(context: Arc<Context>, request: Request) -> Outcome {
    Reply::json(&request, &context.engine.info().await?)
}

/// The API's versions are this layer's to tell.
async fn version(context: Arc<Context>, request: Request) -> Outcome {
    let mut version = context.engine.version();
    version.api_version = ApiVersion::newest().to_string();
    version.min_api_version = context.oldest.to_string();
    let engine = version.components.iter_mut().flatten().next();
    if let Some(details) = engine.and_then(|engine| engine.details.as_mut()) {
        details.insert("ApiVersion".to_owned(), version.api_version.clone());
        details.insert("MinAPIVersion".to_owned(), version.min_api_version.clone());
    }
    Reply::json(&request, &version)
}

async fn disk_usage(context: Arc<Context>, request: Request) -> Outcome {
    let types: Vec<&str> =
        if request.version.at_least(42) { request.query.all("type").collect() } else { Vec::new() };
    let known = ["container", "image", "volume", "build-cache"];
    if let Some(unknown) = types.iter().find(|kind| !known.contains(kind)) {
        return Err(Failure::Invalid(format!("unknown object type: {unknown}")));
    }
    let wanted = |kind| types.is_empty() || types.contains(&kind);
    let mut usage = context.engine.disk_usage().await?;
    if !wanted("image") {
        (usage.images, usage.layers_size, usage.image_usage) = (None, None, None);
    }
    if !wanted("container") {
        (usage.containers, usage.container_usage) = (None, None);
    }
    if !wanted("volume") {
        (usage.volumes, usage.volume_usage) = (None, None);
    }
    if !wanted("build-cache") {
        (usage.build_cache, usage.build_cache_usage) = (None, None);
    }
    // The old lists go with it.
    let verbose = request.version.at_least(52) && request.query.switch("verbose");
    if verbose {
        usage.layers_size = None;
        (usage.images, usage.containers) = (None, None);
        (usage.volumes, usage.build_cache) = (None, None);
    }
    Reply::json(&request, &usage)
}
