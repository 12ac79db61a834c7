//! What the API has and this daemon does not: refused by name, so that nobody takes a missing
//! feature for a wrong address.

use super::{Context, route};
use crate::failure::Failure;
use crate::reply::{Outcome, Reply};
use crate::request::Request;
use crate::site::Route;
use http::StatusCode;
use std::sync::Arc;

pub(super) fn routes() -> Vec<Route<Context>> {
    let mut routes = vec![
        route!(Whole "POST /swarm/leave" => no_swarm_to_leave),
        route!(Whole "GET /plugins" => no_plugins),
        route!(Unread "POST /session" => no_session),
        route!(Unread "POST /grpc" => no_session),
    ];
    routes.extend(SWARM.map(|key| Route {
        key,
        intake: crate::site::Intake::Unread,
        handle: |context, request| Box::pin(no_swarm(context, request)),
    }));
    routes.extend(PLUGIN.map(|key| Route {
        key,
        intake: crate::site::Intake::Unread,
        handle: |context, request| Box::pin(no_plugin(context, request)),
    }));
    routes.extend(ABSENT.map(|key| Route {
        key,
        intake: crate::site::Intake::Unread,
        handle: |context, request| Box::pin(absent(context, request)),
    }));
    routes
}

/// What only a manager of a swarm answers.
const SWARM: [&str; 30] = [
    "GET /swarm",
    "POST /swarm/update",
    "GET /swarm/unlockkey",
    "POST /swarm/unlock",
    "GET /nodes",
    "GET /nodes/{}",
    "DELETE /nodes/{}",
    "POST /nodes/{}/update",
    "GET /services",
    "POST /services/create",
    "GET /services/{}/logs",
    "GET /services/{}",
    "DELETE /services/{}",
    "POST /services/{}/update",
    "GET /tasks",
    "GET /tasks/{}/logs",
    "GET /tasks/{}",
    "GET /secrets",
    "POST /secrets/create",
    "GET /secrets/{}",
    "DELETE /secrets/{}",
    "POST /secrets/{}/update",
    "GET /configs",
    "POST /configs/create",
    "GET /configs/{}",
    "DELETE /configs/{}",
    "POST /configs/{}/update",
    "PUT /volumes/{}",
    "POST /swarm/init",
    "POST /swarm/join",
];

/// What is asked of one plugin, by name.
const PLUGIN: [&str; 7] = [
    "GET /plugins/{}/json",
    "DELETE /plugins/{}",
    "POST /plugins/{}/enable",
    "POST /plugins/{}/disable",
    "POST /plugins/{}/upgrade",
    "POST /plugins/{}/push",
    "POST /plugins/{}/set",
];

/// What is not there yet.
const ABSENT: [&str; 35] = [
    "GET /containers/{}/top",
    "GET /containers/{}/changes",
    "GET /containers/{}/export",
    "POST /containers/{}/update",
    "POST /containers/{}/rename",
    "GET /containers/{}/attach/ws",
    "HEAD /containers/{}/archive",
    "GET /containers/{}/archive",
    "PUT /containers/{}/archive",
    "GET /containers/{}/checkpoints",
    "POST /containers/{}/checkpoints",
    "DELETE /containers/{}/checkpoints",
    "POST /build",
    "POST /build/prune",
    "POST /build/cancel",
    "GET /images/search",
    "GET /images/get",
    "GET /images/{}/get",
    "GET /images/{}/attestations",
    "POST /images/load",
    "POST /images/prune",
    "POST /images/{}/push",
    "POST /commit",
    "GET /distribution/{}/json",
    "POST /volumes/prune",
    "POST /networks/create",
    "POST /networks/prune",
    "POST /networks/{}/connect",
    "POST /networks/{}/disconnect",
    "DELETE /networks/{}",
    "GET /plugins/privileges",
    "POST /plugins/pull",
    "POST /plugins/create",
    "OPTIONS /",
    "OPTIONS /{}",
];

async fn absent(_: Arc<Context>, request: Request) -> Outcome {
    if request.head.method == http::Method::OPTIONS {
        return Reply::empty(StatusCode::OK);
    }
    Err(Failure::Absent(request.route))
}

async fn no_swarm(_: Arc<Context>, request: Request) -> Outcome {
    match request.route {
        "POST /swarm/init" | "POST /swarm/join" => Err(Failure::Absent("swarm mode")),
        "PUT /volumes/{}" => Err(Failure::NoSwarm(
            "volume update only valid for cluster volumes, but swarm is unavailable",
        )),
        _ => Err(Failure::NoSwarm(
            "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" \
             to connect this node to swarm and try again.",
        )),
    }
}

async fn no_swarm_to_leave(_: Arc<Context>, _: Request) -> Outcome {
    Err(Failure::NoSwarm("This node is not part of a swarm"))
}

/// There is no way to install one.
async fn no_plugins(_: Arc<Context>, request: Request) -> Outcome {
    Reply::json(&request, &[(); 0])
}

async fn no_plugin(_: Arc<Context>, request: Request) -> Outcome {
    Err(Failure::NoPlugin(request.name))
}

/// BuildKit's two doors; the checks on the way in are dockerd's.
async fn no_session(_: Arc<Context>, request: Request) -> Outcome {
    match request.head.header("upgrade") {
        "" if request.route == "POST /grpc" => Err(Failure::NoUpgrade),
        "" => Err(Failure::invalid(Failure::NoUpgrade.to_string())),
        "h2c" => Err(Failure::Absent("BuildKit")),
        other => Err(Failure::Invalid(format!("protocol {other} not supported"))),
    }
}
