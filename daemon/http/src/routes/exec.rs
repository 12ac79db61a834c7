//! Further processes in a container.

use super::attach::{head, take};
use super::lifecycle::terminal_size;
use super::{Context, route};
use crate::failure::Failure;
use crate::reply::{Hijack, Outcome, Reply};
use crate::request::Request;
use crate::site::Route;
use contracts_engine_api::exec::{ExecCreateRequest, ExecStartRequest};
use daemon_engine::ExecStartOptions;
use http::StatusCode;
use std::sync::Arc;

pub(super) fn routes() -> [Route<Context>; 4] {
    [
        route!(Whole "POST /containers/{}/exec" => create),
        route!(Hijack "POST /exec/{}/start" => start),
        route!(Whole "POST /exec/{}/resize" => resize),
        route!(Whole "GET /exec/{}/json" => inspect),
    ]
}

async fn create(context: Arc<Context>, request: Request) -> Outcome {
    let wanted: ExecCreateRequest = request.json()?;
    if wanted.cmd.as_ref().is_none_or(Vec::is_empty) {
        return Err(Failure::invalid("No exec command specified"));
    }
    let created = context.engine.exec_create(&request.name, wanted).await?;
    Reply::json_status(&request, StatusCode::CREATED, &created)
}

/// Unlike attach, an unknown id is an ordinary error; everything later is told in the stream.
async fn start(context: Arc<Context>, request: Request) -> Outcome {
    let wanted: ExecStartRequest = request.json()?;
    let console_size = wanted.console_size.filter(|_| wanted.tty);
    let options = ExecStartOptions { tty: wanted.tty, console_size };
    if wanted.detach {
        context.engine.exec_start_detached(&request.name, options).await?;
        return Reply::empty(StatusCode::OK);
    }
    let attachment = context.engine.exec_start(&request.name, options).await?;
    let head = head(&request, wanted.tty);
    Ok(Reply::Hijack(Hijack { head, common_headers: true, take: take(attachment) }))
}

async fn resize(context: Arc<Context>, request: Request) -> Outcome {
    let (height, width) = terminal_size(&request.query)?;
    context.engine.exec_resize(&request.name, height, width).await?;
    Reply::empty(StatusCode::OK)
}

async fn inspect(context: Arc<Context>, request: Request) -> Outcome {
    Reply::json(&request, &context.engine.exec_inspect(&request.name).await?)
}
