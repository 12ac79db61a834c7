//! The daemon, its networks and volumes.

use super::Step;
use serde_json::json;

pub(super) fn steps() -> Vec<Step> {
    vec![
        Step::get("ping", "/_ping"),
        Step::new("ping without a body", "HEAD", "!/_ping"),
        Step::get("version", "/version").shape(),
        Step::get("info", "/info").shape(),
        Step::get("a page that is not there", "/nothing"),
        Step::new("a method that is not there", "PUT", "/info"),
        Step::get("a trailing slash", "/info/"),
        Step::get("a version that is no number", "!/vx/info"),
        Step::get("a version that is too old", "!/v1.4/info"),
        Step::get("a version that is too new", "!/v1.99/info"),
        Step::get("networks", "/networks"),
        Step::get("the bridge", "/networks/bridge"),
        Step::get("the host's network", "/networks/host"),
        Step::get("a network that is not there", "/networks/nothing"),
        Step::get("networks by a wrong filter", "/networks?filters=%7B%22x%22%3A%5B%22y%22%5D%7D"),
        Step::get("volumes before there is one", "/volumes"),
        Step::post("a new volume", "/volumes/create")
            .json(json!({"Name": "recorded", "Labels": {"a": "b"}})),
        Step::post("the same volume again", "/volumes/create").json(json!({"Name": "recorded"})),
        Step::post("a volume with a bad name", "/volumes/create").json(json!({"Name": "a/b"})),
        Step::get("a volume", "/volumes/recorded"),
        Step::get("volumes", "/volumes"),
        Step::get("volumes by label", "/volumes?filters=%7B%22label%22%3A%5B%22a%3Dc%22%5D%7D"),
        Step::get("volumes by a wrong filter", "/volumes?filters=%7B%22x%22%3A%5B%22y%22%5D%7D"),
        Step::get("a volume that is not there", "/volumes/nothing"),
        Step::delete("remove a volume that is not there", "/volumes/nothing"),
        Step::get("services without a swarm", "/services"),
        Step::get("nodes without a swarm", "/nodes"),
        Step::get("the swarm without a swarm", "/swarm"),
        Step::get("plugins", "/plugins"),
        Step::get("the first events", "/events?since=1&until=2"),
        Step::get("events of a bad time", "/events?since=bad"),
        Step::get("events that end before they begin", "/events?since=5&until=2"),
    ]
}

pub(super) fn last_steps() -> Vec<Step> {
    vec![
        Step::get("disk usage", "/system/df").shape(),
        Step::get("disk usage of images", "/system/df?type=image").shape(),
        Step::delete("remove the volume", "/volumes/recorded"),
    ]
}
