//! Containers: start, stop, restart, kill, pause, unpause, resize.

use super::{Context, route};
use crate::failure::Failure;
use crate::reply::{Outcome, Reply};
use crate::request::{Query, Request};
use crate::site::Route;
use daemon_engine::StopOptions;
use http::StatusCode;
use std::sync::Arc;

/// A body of `start` that clients of very old versions send and that means nothing: `{}`, `null`.
const HARMLESS_BODY: usize = 7;

pub(super) fn routes() -> [Route<Context>; 7] {
    [
        route!(Whole "POST /containers/{}/start" => start),
        route!(Whole "POST /containers/{}/stop" => stop),
        route!(Whole "POST /containers/{}/restart" => restart),
        route!(Whole "POST /containers/{}/kill" => kill),
        route!(Whole "POST /containers/{}/pause" => pause),
        route!(Whole "POST /containers/{}/unpause" => unpause),
        route!(Whole "POST /containers/{}/resize" => resize),
    ]
}

async fn start(context: Arc<Context>, request: Request) -> Outcome {
    if request.body.len() > HARMLESS_BODY {
        return Err(Failure::invalid(
            "starting container with non-empty request body was deprecated since API v1.22 and \
             removed in v1.24",
        ));
    }
    if !request.query.text("checkpoint").is_empty() {
        return Err(Failure::Absent("starting from a checkpoint"));
    }
    context.engine.container_start(&request.name).await?;
    Reply::nothing()
}

async fn stop(context: Arc<Context>, request: Request) -> Outcome {
    context.engine.container_stop(&request.name, stop_options(&request)?).await?;
    Reply::nothing()
}

async fn restart(context: Arc<Context>, request: Request) -> Outcome {
    context.engine.container_restart(&request.name, stop_options(&request)?).await?;
    Reply::nothing()
}

fn stop_options(request: &Request) -> Result<StopOptions, Failure> {
    let signal = request.query.optional("signal").filter(|_| request.version.at_least(42));
    Ok(StopOptions {
        signal: signal.filter(|signal| !signal.is_empty()).map(str::to_owned),
        timeout: request.query.number("t")?,
    })
}

async fn kill(context: Arc<Context>, request: Request) -> Outcome {
    let signal = request.query.optional("signal").filter(|signal| !signal.is_empty());
    let killed = context.engine.container_kill(&request.name, signal.map(str::to_owned)).await;
    killed.map_err(|source| Failure::Kill { name: request.name, source })?;
    Reply::nothing()
}

async fn pause(context: Arc<Context>, request: Request) -> Outcome {
    context.engine.container_pause(&request.name).await?;
    Reply::nothing()
}

async fn unpause(context: Arc<Context>, request: Request) -> Outcome {
    context.engine.container_unpause(&request.name).await?;
    Reply::nothing()
}

async fn resize(context: Arc<Context>, request: Request) -> Outcome {
    let (height, width) = terminal_size(&request.query)?;
    context.engine.container_resize(&request.name, height, width).await?;
    Reply::empty(StatusCode::OK)
}

/// `h` and `w`, in characters.
pub(super) fn terminal_size(query: &Query) -> Result<(u32, u32), Failure> {
    let read = |name: &str, what: &str| {
        let text = query.text(name);
        let why = match text.strip_prefix('-').unwrap_or(text).parse::<u32>() {
            Ok(number) if !text.starts_with(['-', '+']) => return Ok(number),
            Ok(_) if text.starts_with('-') => "value out of range",
            Err(error) if *error.kind() == std::num::IntErrorKind::PosOverflow => {
                "value out of range"
            }
            _ => "invalid syntax",
        };
        Err(Failure::Invalid(format!("invalid resize {what} {text:?}: {why}")))
    };
    Ok((read("h", "height")?, read("w", "width")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_has_a_height_and_a_width() {
        assert_eq!(terminal_size(&Query::parse("h=24&w=80")).unwrap(), (24, 80));
        for (query, text) in [
            ("w=80", "invalid resize height \"\": invalid syntax"),
            ("h=24&w=x", "invalid resize width \"x\": invalid syntax"),
            ("h=-1&w=80", "invalid resize height \"-1\": value out of range"),
            ("h=99999999999&w=80", "invalid resize height \"99999999999\": value out of range"),
        ] {
            assert_eq!(terminal_size(&Query::parse(query)).unwrap_err().to_string(), text);
        }
    }
}
