//! Requests that mean different things at different API versions, and modes of a container.

use super::Step;
use serde_json::json;

pub(super) fn steps() -> Vec<Step> {
    let mut steps = vec![
        Step::post("create with two endpoints", "/containers/create?name=two").json(json!({
            "Image": "web",
            "NetworkingConfig": {"EndpointsConfig": {"bridge": {}, "none": {}}},
        })),
        Step::delete("remove what had two endpoints", "/containers/two?v=1"),
        Step::post("create with a part of a volume", "/containers/create?name=part").json(json!({
            "Image": "web",
            "HostConfig": {"Mounts": [{"Type": "volume", "Source": "recorded", "Target": "/x",
                "VolumeOptions": {"Subpath": "y"}}]},
        })),
        Step::delete("remove what had a part of a volume", "/containers/part?v=1"),
        Step::post("create with an image as a mount", "/containers/create").json(json!({
            "Image": "missing",
            "HostConfig": {"Mounts": [{"Type": "image", "Source": "web", "Target": "/x"}]},
        })),
    ];
    steps.extend(lives());
    steps
}

/// Containers that are created, looked at and removed.
fn lives() -> Vec<Step> {
    let life = |names: [&'static str; 3], paths: [&'static str; 3], body| {
        vec![
            Step::post(names[0], paths[0]).json(body),
            Step::get(names[1], paths[1]),
            Step::delete(names[2], paths[2]),
        ]
    };
    let mac = life(
        ["create with a mac address", "a mac address", "remove what had a mac address"],
        ["/containers/create?name=mac", "/containers/mac/json", "/containers/mac?v=1"],
        json!({"Image": "web", "MacAddress": "02:42:ac:11:00:09"}),
    );
    let new = life(
        ["create with what newer versions have", "what newer versions have", "remove what was new"],
        ["/containers/create?name=new", "/containers/new/json", "/containers/new?v=1"],
        json!({
            "Image": "web", "Tty": true,
            "Healthcheck": {"Test": ["CMD", "true"], "StartInterval": 1_000_000_000,
                "StartPeriod": 2_000_000_000},
            "HostConfig": {"Annotations": {"a": "b"}, "Umask": 18, "ConsoleSize": [10, 20],
                "PortBindings": {"80/tcp": []}},
        }),
    );
    let host = life(
        ["create in the host's network", "a container of the host's network", "remove it again"],
        ["/containers/create?name=host", "/containers/host/json", "/containers/host?v=1"],
        json!({"Image": "web", "HostConfig": {"NetworkMode": "host", "PidMode": "host",
            "IpcMode": "host", "UTSMode": "host", "Privileged": true, "Init": true}}),
    );
    let none = life(
        ["create without a network", "a container without a network", "remove it too"],
        ["/containers/create?name=none", "/containers/none/json", "/containers/none?v=1"],
        json!({"Image": "web", "HostConfig": {"NetworkMode": "none", "ReadonlyRootfs": true,
            "LogConfig": {"Type": "none"}, "AutoRemove": true, "GroupAdd": ["staff"],
            "Sysctls": {"net.ipv4.ip_forward": "1"}, "OomScoreAdj": 5}}),
    );
    [mac, new, host, none].concat()
}
