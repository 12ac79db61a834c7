//! What of a configuration is to be seen from inside.

use crate::bundle::Bundle;
use serde_json::{Value, json};

#[test]
fn offsets_are_refused_for_clocks_of_somebody_else() {
    let mut bundle = Bundle::program(&["true"]);
    bundle.config["linux"]["timeOffsets"] = json!({"boottime": {"secs": 5}});
    bundle.config["linux"]["namespaces"]
        .as_array_mut()
        .unwrap()
        .push(json!({"type": "time", "path": "/proc/self/ns/time"}));
    let text = "time namespace enabled, but both namespace path and time offsets specified -- you \
                may only provide one";
    let ended = bundle.runtime(&["run", "ID"]);
    assert!(ended.code == 1 && ended.err.contains(text), "{ended:?}");
    // The same with a namespace that is not the runtime's.
    let mut other = Bundle::program(&["sleep", "1000"]);
    let namespaces = other.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.push(json!({"type": "time"}));
    other.succeed(&["run", "--detach", "ID"]);
    let state: Value = serde_json::from_str(&other.succeed(&["state", "ID"])).unwrap();
    bundle.config["linux"]["namespaces"][5]["path"] =
        json!(format!("/proc/{}/ns/time", state["pid"]));
    let ended = bundle.runtime(&["run", "ID"]);
    assert!(ended.code == 1 && ended.err.contains(text), "{ended:?}");
    bundle.assert_nothing_is_left();
}

#[test]
fn parameters_of_users_belong_to_a_user_namespace() {
    let name = "user.max_net_namespaces";
    let mut bundle = Bundle::script("cat /proc/sys/user/max_net_namespaces");
    bundle.config["linux"]["sysctl"] = json!({name: "77"});
    assert_eq!(bundle.runtime(&["run", "ID"]).code, 1);
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    for maps in ["uidMappings", "gidMappings"] {
        bundle.config["linux"][maps] =
            json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    }
    std::os::unix::fs::chown(bundle.rootfs(), Some(100_000), Some(100_000)).unwrap();
    let host = || std::fs::read_to_string("/proc/sys/user/max_net_namespaces").unwrap();
    let before = host();
    assert_eq!(bundle.run(), "77\n");
    assert_eq!(host(), before);
    bundle.assert_nothing_is_left();
}
