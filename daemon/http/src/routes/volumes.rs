//! Volumes.

use super::{Context, route};
use crate::reply::{Outcome, Reply};
use crate::request::Request;
use crate::site::Route;
use contracts_engine_api::volume::CreateRequest;
use http::StatusCode;
use std::sync::Arc;

pub(super) fn routes() -> [Route<Context>; 4] {
    [
        route!(Whole "GET /volumes" => list),
        route!(Whole "POST /volumes/create" => create),
        route!(Whole "GET /volumes/{}" => inspect),
        route!(Whole "DELETE /volumes/{}" => remove),
    ]
}

async fn list(context: Arc<Context>, request: Request) -> Outcome {
    Reply::json(&request, &context.engine.volume_list(request.query.filters()?).await?)
}

async fn create(context: Arc<Context>, request: Request) -> Outcome {
    let wanted: CreateRequest = request.json()?;
    let volume = context.engine.volume_create(wanted).await?;
    Reply::json_status(&request, StatusCode::CREATED, &volume)
}

async fn inspect(context: Arc<Context>, request: Request) -> Outcome {
    Reply::json(&request, &context.engine.volume_inspect(&request.name).await?)
}

async fn remove(context: Arc<Context>, request: Request) -> Outcome {
    context.engine.volume_remove(&request.name, request.query.switch("force")).await?;
    Reply::nothing()
}
