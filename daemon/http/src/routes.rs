//! The operations of the Engine API, a file for each resource.

mod absent;
mod attach;
mod auth;
mod containers;
mod events;
mod exec;
mod images;
mod lifecycle;
mod logs;
mod networks;
mod ping;
mod pull;
mod stats;
mod system;
mod volumes;
mod wait;

use crate::site::Route;
use contracts_engine_api::ApiVersion;
use daemon_engine::Engine;

/// What handlers work on.
pub(crate) struct Context {
    /// Who does the work.
    pub(crate) engine: Engine,
    /// The oldest version that is answered.
    pub(crate) oldest: ApiVersion,
}

/// A line of the routing table: what happens to the body, method and path, handler.
macro_rules! route {
    ($intake:ident $key:literal => $handler:path) => {
        crate::site::Route {
            key: $key,
            intake: crate::site::Intake::$intake,
            handle: |context, request| Box::pin($handler(context, request)),
        }
    };
}
use route;

/// Every route; where two match, the first wins.
pub(crate) fn all() -> Vec<Route<Context>> {
    let mut routes = Vec::new();
    routes.extend(ping::routes());
    routes.extend(containers::routes());
    routes.extend(lifecycle::routes());
    routes.extend(wait::routes());
    routes.extend(attach::routes());
    routes.extend(logs::routes());
    routes.extend(stats::routes());
    routes.extend(exec::routes());
    routes.extend(images::routes());
    routes.extend(pull::routes());
    routes.extend(networks::routes());
    routes.extend(volumes::routes());
    routes.extend(system::routes());
    routes.extend(events::routes());
    routes.extend(auth::routes());
    routes.extend(absent::routes());
    routes
}
