//! What older API versions look like.
//!
//! Handlers and the engine know the newest version only. A body on its way in is changed into
//! what the newest version would have sent ([`admit`]); an answer on its way out into what the
//! client's version had ([`encode`]). Each difference is one line of a table: the first version
//! that does not need it, the route, the change. Requests climb from the oldest version to the
//! newest, answers descend, so that each line sees what its neighbour left.

mod requests;
mod responses;

use crate::failure::Failure;
use contracts_engine_api::ApiVersion;
use serde::Serialize;
use serde_json::Value;

/// A difference in what clients send.
struct RequestGate {
    /// Applies to versions before `1.before`.
    before: u16,
    route: &'static str,
    /// Changes the body, may warn, may refuse.
    change: fn(&mut Value, &mut Admission) -> Result<(), Failure>,
}

/// A body on its way in.
struct Admission {
    /// What its client speaks.
    version: ApiVersion,
    /// What the client is to be told besides the answer.
    warnings: Vec<String>,
}

/// A difference in what clients are told.
struct ResponseGate {
    /// Applies to versions before `1.before`.
    before: u16,
    route: &'static str,
    change: fn(&mut Value),
}

/// Brings a body up to the newest version; the warnings belong into the answer.
pub(crate) fn admit(
    route: &str,
    version: &ApiVersion,
    body: &mut Value,
) -> Result<Vec<String>, Failure> {
    let mut admission = Admission { version: version.clone(), warnings: Vec::new() };
    for gate in requests::GATES {
        if gate.route == route && version.before(gate.before) {
            (gate.change)(body, &mut admission)?;
        }
    }
    Ok(admission.warnings)
}

/// Encodes an answer as the client's version has it.
pub(crate) fn encode<T: Serialize>(
    route: &str,
    version: &ApiVersion,
    answer: &T,
) -> Result<Vec<u8>, Failure> {
    let mut gates = responses::GATES
        .iter()
        .filter(|gate| gate.route == route && version.before(gate.before))
        .peekable();
    if gates.peek().is_none() {
        return Ok(serde_json::to_vec(answer)?);
    }
    let mut value = serde_json::to_value(answer)?;
    for gate in gates {
        (gate.change)(&mut value);
    }
    Ok(serde_json::to_vec(&value)?)
}

/// Takes fields out of an object.
fn remove(object: &mut Value, fields: &[&str]) {
    if let Some(object) = object.as_object_mut() {
        for field in fields {
            // The others keep their order.
            object.shift_remove(*field);
        }
    }
}

/// Puts a field into an object, if there is an object.
fn set(object: &mut Value, field: &str, value: impl Into<Value>) {
    if let Some(object) = object.as_object_mut() {
        object.insert(field.to_owned(), value.into());
    }
}

/// Puts a field into an object where it is missing.
fn set_missing(object: &mut Value, field: &str, value: impl Into<Value>) {
    if object.get(field).is_none() {
        set(object, field, value);
    }
}

/// Changes every element of a list.
fn each(list: &mut Value, change: impl Fn(&mut Value)) {
    list.as_array_mut().into_iter().flatten().for_each(change);
}

/// Changes a field where it is there.
fn within(object: &mut Value, field: &str, change: impl FnOnce(&mut Value)) {
    if let Some(inner) = object.get_mut(field) {
        change(inner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn encoded(route: &str, minor: u16, answer: &Value) -> Value {
        let bytes = encode(route, &ApiVersion::new(1, minor), answer).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn requests_climb_and_answers_descend() {
        let requests: Vec<_> = requests::GATES.iter().map(|gate| gate.before).collect();
        let responses: Vec<_> = responses::GATES.iter().map(|gate| gate.before).collect();
        assert!(requests.is_sorted(), "{requests:?}");
        assert!(responses.is_sorted_by(|a, b| a >= b), "{responses:?}");
    }

    #[test]
    fn the_bridges_addresses_stand_at_the_top_before_1_52() {
        let answer = json!({"NetworkSettings": {"Networks": {"bridge": {
            "IPAddress": "172.17.0.2", "IPPrefixLen": 16, "Gateway": "172.17.0.1",
            "EndpointID": "e", "MacAddress": "m", "IPv6Gateway": "",
            "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0}}},
            "Storage": {"RootFS": {"Snapshot": {"Name": "overlayfs"}}}});
        let route = "GET /containers/{}/json";
        assert_eq!(encoded(route, 52, &answer), answer);
        let old = encoded(route, 51, &answer);
        assert_eq!(old["NetworkSettings"]["IPAddress"], "172.17.0.2");
        assert_eq!(old["GraphDriver"], json!({"Data": null, "Name": "overlayfs"}));
        assert!(old.get("Storage").is_none());
    }

    #[test]
    fn options_that_a_version_does_not_know_are_dropped_or_refused() {
        let route = "POST /containers/create";
        let mut body = json!({"HostConfig": {"Umask": 18, "Annotations": {"a": "b"}}});
        admit(route, &ApiVersion::new(1, 42), &mut body).unwrap();
        assert_eq!(body, json!({"HostConfig": {}}));
        let mut body = json!({"NetworkingConfig": {"EndpointsConfig": {"a": {}, "b": {}}}});
        let error = admit(route, &ApiVersion::new(1, 43), &mut body).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Container cannot be created with multiple network endpoints: a, b"
        );
    }

    #[test]
    fn clients_before_1_40_find_the_fields_of_their_time() {
        let answer = json!({
            "Config": {}, "HostConfig": {},
            "NetworkSettings": {"Networks": {"host": {"DNSNames": null, "GwPriority": 0}}},
        });
        let old = encoded("GET /containers/{}/json", 24, &answer);
        assert_eq!(old["NetworkSettings"]["HairpinMode"], false);
        assert_eq!(old["NetworkSettings"]["IPAddress"], "");
        assert_eq!(old["NetworkSettings"]["Networks"], json!({"host": {}}));
        assert_eq!(old["HostConfig"], json!({"KernelMemory": 0, "KernelMemoryTCP": 0}));
        let waited = encoded("POST /containers/{}/wait", 39, &json!({"StatusCode": 3}));
        assert_eq!(waited, json!({"Error": null, "StatusCode": 3}));
        let info = json!({"SecurityOptions": ["name=seccomp,profile=builtin", "name=cgroupns"]});
        let info = encoded("GET /info", 24, &info);
        assert_eq!(info["SecurityOptions"], json!(["seccomp", "cgroupns"]));
        let mut body = json!({"HostConfig": {"AutoRemove": true, "IpcMode": "host"}});
        admit("POST /containers/create", &ApiVersion::new(1, 24), &mut body).unwrap();
        assert!(body["HostConfig"].get("AutoRemove").is_none());
    }

    #[test]
    fn a_container_wide_mac_address_moves_to_its_endpoint() {
        let route = "POST /containers/create";
        let mut body = json!({"MacAddress": "02:42:ac:11:00:09"});
        let warnings = admit(route, &ApiVersion::new(1, 44), &mut body).unwrap();
        assert_eq!(warnings.len(), 1);
        let endpoint = &body["NetworkingConfig"]["EndpointsConfig"]["bridge"];
        assert_eq!(endpoint["MacAddress"], "02:42:ac:11:00:09");
        let mut body = json!({"MacAddress": "02:42:ac:11:00:09"});
        assert!(admit(route, &ApiVersion::new(1, 43), &mut body).unwrap().is_empty());
        assert!(body["NetworkingConfig"]["EndpointsConfig"]["bridge"].is_object());
    }
}
