//! What of a configuration is to be seen from inside.

use crate::bundle::Bundle;
use serde_json::json;

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
