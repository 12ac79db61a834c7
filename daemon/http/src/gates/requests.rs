//! What older clients send, or cannot mean.

use super::{Admission, RequestGate, each, remove, set, within};
use crate::failure::Failure;
use serde_json::{Value, json};

const CREATE: &str = "POST /containers/create";
const EXEC_CREATE: &str = "POST /containers/{}/exec";
const EXEC_START: &str = "POST /exec/{}/start";

pub(super) const GATES: &[RequestGate] = &[
    RequestGate { before: 25, route: CREATE, change: clients_remove },
    RequestGate { before: 40, route: CREATE, change: shareable_ipc },
    RequestGate { before: 41, route: CREATE, change: host_cgroup_namespace },
    RequestGate { before: 42, route: EXEC_START, change: without_exec_console_size },
    RequestGate { before: 42, route: EXEC_CREATE, change: without_exec_console_size },
    RequestGate { before: 42, route: CREATE, change: without_console_size },
    RequestGate { before: 43, route: CREATE, change: without_annotations },
    RequestGate { before: 44, route: CREATE, change: without_endpoint_addresses },
    RequestGate { before: 44, route: CREATE, change: without_recursive_read_only },
    RequestGate { before: 44, route: CREATE, change: without_several_endpoints },
    RequestGate { before: 45, route: CREATE, change: without_subpath },
    RequestGate { before: 48, route: CREATE, change: without_image_mounts },
    RequestGate { before: 52, route: CREATE, change: mac_address_moves },
    RequestGate { before: 56, route: CREATE, change: without_umask },
];

type Outcome = Result<(), Failure>;

/// Before 1.25 it was the client that removed a container behind `--rm`.
fn clients_remove(body: &mut Value, _: &mut Admission) -> Outcome {
    within(body, "HostConfig", |host| remove(host, &["AutoRemove"]));
    Ok(())
}

fn without_umask(body: &mut Value, _: &mut Admission) -> Outcome {
    within(body, "HostConfig", |host| remove(host, &["Umask"]));
    Ok(())
}

fn without_annotations(body: &mut Value, _: &mut Admission) -> Outcome {
    within(body, "HostConfig", |host| remove(host, &["Annotations"]));
    Ok(())
}

/// Image mounts and gateway priorities came with 1.48: the first cannot be meant, the second can
/// be ignored.
fn without_image_mounts(body: &mut Value, _: &mut Admission) -> Outcome {
    if mounts(body).any(|mount| mount.get("Type").is_some_and(|kind| kind == "image")) {
        return Err(Failure::invalid("Mount type \"Image\" needs API v1.48 or newer"));
    }
    each_endpoint(body, |endpoint| remove(endpoint, &["GwPriority"]));
    Ok(())
}

fn without_subpath(body: &mut Value, _: &mut Admission) -> Outcome {
    let has_subpath = |mount: &Value| {
        let subpath = mount.pointer("/VolumeOptions/Subpath").and_then(Value::as_str);
        subpath.is_some_and(|subpath| !subpath.is_empty())
    };
    if mounts(body).any(has_subpath) {
        return Err(Failure::invalid("VolumeOptions.Subpath needs API v1.45 or newer"));
    }
    Ok(())
}

fn without_several_endpoints(body: &mut Value, _: &mut Admission) -> Outcome {
    within(body, "Healthcheck", |check| remove(check, &["StartInterval"]));
    let endpoints = body.pointer("/NetworkingConfig/EndpointsConfig").and_then(Value::as_object);
    match endpoints {
        Some(endpoints) if endpoints.len() > 1 => {
            let names: Vec<&str> = endpoints.keys().map(String::as_str).collect();
            Err(Failure::invalid(format!(
                "Container cannot be created with multiple network endpoints: {}",
                names.join(", ")
            )))
        }
        _ => Ok(()),
    }
}

/// Before 1.44 a read-only bind mount left what was mounted below it writable.
fn without_recursive_read_only(body: &mut Value, _: &mut Admission) -> Outcome {
    let is_bind = |mount: &Value| mount.get("Type").is_some_and(|kind| kind == "bind");
    let forces = |mount: &Value| {
        mount.pointer("/BindOptions/ReadOnlyForceRecursive").is_some_and(|flag| flag == true)
    };
    if mounts(body).any(|mount| is_bind(mount) && forces(mount)) {
        let text = "BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer";
        return Err(Failure::invalid(text));
    }
    within(body, "HostConfig", |host| {
        within(host, "Mounts", |mounts| {
            each(mounts, |mount| {
                if is_bind(mount) {
                    if !mount["BindOptions"].is_object() {
                        set(mount, "BindOptions", json!({}));
                    }
                    set(&mut mount["BindOptions"], "ReadOnlyNonRecursive", true);
                }
            });
        });
    });
    Ok(())
}

/// Before 1.44 endpoints had no address of their own.
fn without_endpoint_addresses(body: &mut Value, _: &mut Admission) -> Outcome {
    each_endpoint(body, |endpoint| remove(endpoint, &["MacAddress"]));
    Ok(())
}

fn without_console_size(body: &mut Value, _: &mut Admission) -> Outcome {
    within(body, "HostConfig", |host| {
        remove(host, &["ConsoleSize"]);
        within(host, "Mounts", |mounts| {
            each(mounts, |mount| {
                within(mount, "BindOptions", |options| remove(options, &["CreateMountpoint"]));
                let kind = mount.get("Type").and_then(Value::as_str).unwrap_or_default().to_owned();
                if kind != "volume" {
                    remove(mount, &["VolumeOptions"]);
                }
                if kind != "tmpfs" {
                    remove(mount, &["TmpfsOptions"]);
                }
            });
        });
    });
    Ok(())
}

fn without_exec_console_size(body: &mut Value, _: &mut Admission) -> Outcome {
    remove(body, &["ConsoleSize"]);
    Ok(())
}

fn host_cgroup_namespace(body: &mut Value, _: &mut Admission) -> Outcome {
    default_of(body, "CgroupnsMode", "host");
    Ok(())
}

fn shareable_ipc(body: &mut Value, _: &mut Admission) -> Outcome {
    default_of(body, "IpcMode", "shareable");
    within(body, "HostConfig", |host| {
        within(host, "Mounts", |mounts| {
            each(mounts, |mount| {
                within(mount, "BindOptions", |options| remove(options, &["NonRecursive"]));
            });
        });
    });
    Ok(())
}

/// One address for the container became one for each endpoint.
fn mac_address_moves(body: &mut Value, admission: &mut Admission) -> Outcome {
    let address = body.get("MacAddress").and_then(Value::as_str).unwrap_or_default().to_owned();
    if address.is_empty() {
        return Ok(());
    }
    if admission.version.at_least(44) {
        admission.warnings.push(
            "The container-wide MacAddress field is now deprecated. It should be specified in \
             EndpointsConfig instead."
                .to_owned(),
        );
    }
    let mode = body.pointer("/HostConfig/NetworkMode").and_then(Value::as_str).unwrap_or_default();
    let network = match mode {
        "" | "default" => "bridge",
        "host" | "none" => {
            return Err(Failure::invalid("conflicting options: mac-address and the network mode"));
        }
        other => other,
    }
    .to_owned();
    let mut inner = body;
    for field in ["NetworkingConfig", "EndpointsConfig", &network] {
        if !inner.get(field).is_some_and(Value::is_object) {
            set(inner, field, json!({}));
        }
        match inner.get_mut(field) {
            Some(next) => inner = next,
            None => return Ok(()),
        }
    }
    match inner.get("MacAddress").and_then(Value::as_str) {
        None | Some("") => set(inner, "MacAddress", address),
        Some(own) if own.eq_ignore_ascii_case(&address) => {}
        Some(_) => {
            return Err(Failure::invalid(
                "the container-wide MAC address must match the endpoint-specific MAC address for \
                 the main network, or be left empty",
            ));
        }
    }
    Ok(())
}

/// Gives a field of the host configuration a value where the client gave none.
fn default_of(body: &mut Value, field: &str, value: &str) {
    if !body.get("HostConfig").is_some_and(Value::is_object) {
        set(body, "HostConfig", json!({}));
    }
    within(body, "HostConfig", |host| {
        if host.get(field).and_then(Value::as_str).unwrap_or_default().is_empty() {
            set(host, field, value);
        }
    });
}

fn mounts(body: &Value) -> impl Iterator<Item = &Value> {
    body.pointer("/HostConfig/Mounts").and_then(Value::as_array).into_iter().flatten()
}

fn each_endpoint(body: &mut Value, change: impl Fn(&mut Value)) {
    let endpoints =
        body.pointer_mut("/NetworkingConfig/EndpointsConfig").and_then(Value::as_object_mut);
    for (_, endpoint) in endpoints.into_iter().flatten() {
        change(endpoint);
    }
}
