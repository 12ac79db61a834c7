//! Containers: create, list, inspect, remove, prune.

use super::{Context, route};
use crate::failure::Failure;
use crate::reply::{Outcome, Reply};
use crate::request::Request;
use crate::site::Route;
use contracts_engine_api::container::{CreateRequest, PortBinding};
use contracts_engine_api::{ApiVersion, decode, decode::DecodeError};
use daemon_engine::{ContainerListOptions, RemoveOptions};
use http::StatusCode;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) fn routes() -> [Route<Context>; 5] {
    [
        route!(Whole "GET /containers/json" => list),
        route!(Whole "POST /containers/create" => create),
        route!(Whole "POST /containers/prune" => prune),
        route!(Whole "GET /containers/{}/json" => inspect),
        route!(Whole "DELETE /containers/{}" => remove),
    ]
}

async fn list(context: Arc<Context>, request: Request) -> Outcome {
    let query = &request.query;
    let limit = query.number("limit")?.and_then(|limit| usize::try_from(limit).ok());
    let options = ContainerListOptions {
        all: query.switch("all"),
        limit: limit.filter(|limit| *limit > 0),
        size: query.switch("size"),
        filters: query.filters()?,
    };
    Reply::json(&request, &context.engine.container_list(options).await?)
}

async fn create(context: Arc<Context>, request: Request) -> Outcome {
    request.check_content_type()?;
    let mut body = decode::parse(&request.body)?;
    if body.is_null() {
        let text = "config cannot be empty in order to create a container";
        return Err(Failure::invalid(text));
    }
    if !body.is_object() {
        // Reports the type, in Go's words.
        CreateRequest::from_value(&body)?;
        return Err(DecodeError::Empty.into());
    }
    let mut warnings = crate::gates::admit(request.route, &request.version, &mut body)?;
    let mut wanted = CreateRequest::from_value(&body)?;
    check_mounts(&wanted, &request.version)?;
    if request.version.at_least(52) {
        // Addresses belong to endpoints since then.
        wanted.config.mac_address = None;
    }
    check_ports(&wanted)?;
    let unbound = bind_empty_ports(&mut wanted);
    if !unbound.is_empty() && request.version.at_least(52) {
        warnings.push(format!(
            "Following container port(s) have an empty list of port-bindings: {}. Such bindings \
             will be discarded in a future version.",
            unbound.join(", ")
        ));
    }
    let optional = |name| request.query.optional(name).filter(|text| !text.is_empty());
    let name = optional("name").map(str::to_owned);
    let platform = optional("platform").filter(|_| request.version.at_least(41));
    let platform = platform.map(str::to_owned);
    let mut created = context.engine.container_create(name, platform, wanted).await?;
    created.warnings.extend(warnings);
    Reply::json_status(&request, StatusCode::CREATED, &created)
}

/// Refuses options of one sort of mount on another.
fn check_mounts(request: &CreateRequest, version: &ApiVersion) -> Result<(), Failure> {
    let mounts = request.host_config.as_ref().and_then(|host| host.mounts.as_ref());
    for mount in mounts.into_iter().flatten() {
        let options = [
            ("VolumeOptions", "volume", mount.volume_options.is_some()),
            ("BindOptions", "bind", mount.bind_options.is_some()),
            ("TmpfsOptions", "tmpfs", mount.tmpfs_options.is_some()),
        ];
        for (name, kind, given) in options {
            if given && mount.kind != kind {
                let kind = &mount.kind;
                let text = if version.at_least(42) {
                    format!("{name} must not be specified on mount type {kind:?}")
                } else {
                    format!(
                        "invalid mount config for type {kind:?}: field {name} must not be specified"
                    )
                };
                return Err(Failure::Invalid(text));
            }
        }
    }
    Ok(())
}

/// Refuses a port that is no number, in the words of dockerd's decoder.
fn check_ports(request: &CreateRequest) -> Result<(), Failure> {
    let exposed = request.config.exposed_ports.iter().flat_map(BTreeMap::keys);
    let bindings = request.host_config.as_ref().and_then(|host| host.port_bindings.as_ref());
    for port in exposed.chain(bindings.into_iter().flat_map(BTreeMap::keys)) {
        let number = port.split('/').next().unwrap_or_default();
        if let Err(error) = number.parse::<u16>() {
            let why = match error.kind() {
                std::num::IntErrorKind::PosOverflow => "value out of range",
                _ => "invalid syntax",
            };
            return Err(Failure::Invalid(format!("invalid JSON: invalid port '{number}': {why}")));
        }
    }
    Ok(())
}

/// A port with an empty list of bindings means one that the daemon chooses.
fn bind_empty_ports(request: &mut CreateRequest) -> Vec<String> {
    let bindings = request.host_config.as_mut().and_then(|host| host.port_bindings.as_mut());
    let mut unbound = Vec::new();
    for (port, bindings) in bindings.into_iter().flatten() {
        if bindings.as_ref().is_none_or(Vec::is_empty) {
            *bindings = Some(vec![PortBinding::default()]);
            unbound.push(port.clone());
        }
    }
    unbound
}

async fn inspect(context: Arc<Context>, request: Request) -> Outcome {
    let size = request.query.switch("size");
    let mut container = context.engine.container_inspect(&request.name, size).await?;
    if request.version.at_least(52) {
        container.config.mac_address = None;
    }
    Reply::json(&request, &container)
}

async fn remove(context: Arc<Context>, request: Request) -> Outcome {
    let query = &request.query;
    if query.switch("link") {
        return Err(Failure::Absent("removing links"));
    }
    let options = RemoveOptions { force: query.switch("force"), volumes: query.switch("v") };
    context.engine.container_remove(&request.name, options).await?;
    Reply::nothing()
}

async fn prune(context: Arc<Context>, request: Request) -> Outcome {
    let report = context.engine.container_prune(request.query.filters()?).await?;
    Reply::json(&request, &report)
}
