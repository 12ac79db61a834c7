//! Requests that are wrong.

use super::Step;
use serde_json::json;

const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];
const CHARSET: &[(&str, &str)] = &[("Content-Type", "application/json; charset=utf-8")];
const PLAIN: &[(&str, &str)] = &[("Content-Type", "text/plain")];

pub(super) fn steps() -> Vec<Step> {
    let create = "/containers/create";
    vec![
        Step::post("create from nothing", create).text(JSON, ""),
        Step::post("create from null", create).text(JSON, "null"),
        Step::post("create from a list", create).text(JSON, "[]"),
        Step::post("create from half an object", create).text(JSON, "{\"Image\": \"x\""),
        Step::post("create from no JSON", create).text(JSON, "hello"),
        Step::post("create from two objects", create).text(JSON, "{\"Image\":\"missing\"} {}"),
        Step::post("create from plain text", create).text(PLAIN, "{}"),
        Step::post("create without a type", create).text(&[], "{}"),
        Step::post("create with a charset", create).text(CHARSET, "{\"Image\":\"missing\"}"),
        Step::post("create with a command as text", create)
            .json(json!({"Image": "missing", "Cmd": "true"})),
        Step::post("create with memory as text", create)
            .json(json!({"Image": "web", "HostConfig": {"Memory": "1g"}})),
        Step::post("create without an image", "/containers/create?name=unimaged")
            .json(json!({"Cmd": ["true"]})),
        Step::post("create from an image that is not there", create)
            .json(json!({"Image": "missing:now", "Cmd": ["true"]})),
        Step::post("create with a bad name", "/containers/create?name=a%20b")
            .json(json!({"Image": "web"})),
        Step::post("create with a bad restart policy", create)
            .json(json!({"Image": "web", "HostConfig": {"RestartPolicy": {"Name": "often"}}})),
        Step::post("create with a bad port", "/containers/create?name=badport")
            .json(json!({"Image": "web", "ExposedPorts": {"x/tcp": {}}})),
        Step::post("create with options of another mount", create).json(json!({"Image": "web",
            "HostConfig": {"Mounts": [{"Type": "tmpfs", "Target": "/t", "BindOptions": {}}]}})),
        Step::post("create with too little memory", create)
            .json(json!({"Image": "web", "HostConfig": {"Memory": 1000}})),
        Step::post("create in an unknown network mode", "/containers/create?name=badmode")
            .json(json!({"Image": "web", "HostConfig": {"NetworkMode": "container:missing"}})),
        // Some daemons refuse the three above at start only.
        Step::delete("remove what had no image", "/containers/unimaged"),
        Step::delete("remove what had a bad port", "/containers/badport?v=1"),
        Step::delete("remove what had a bad mode", "/containers/badmode?v=1"),
        Step::get("containers by no filter", "/containers/json?filters=x"),
        Step::get(
            "containers by a wrong filter",
            "/containers/json?filters=%7B%22x%22%3A%5B%22y%22%5D%7D",
        ),
        Step::get(
            "containers by a wrong status",
            "/containers/json?filters=%7B%22status%22%3A%5B%22y%22%5D%7D",
        ),
        Step::get("containers with a wrong limit", "/containers/json?limit=x"),
        Step::get("a container that is not there", "/containers/missing/json"),
        Step::post("start a container that is not there", "/containers/missing/start"),
        Step::post("stop a container that is not there", "/containers/missing/stop"),
        Step::post("stop with a wrong time", "/containers/missing/stop?t=x"),
        Step::post("kill a container that is not there", "/containers/missing/kill"),
        Step::post("wait for a container that is not there", "/containers/missing/wait"),
        Step::post("wait for a wrong condition", "/containers/missing/wait?condition=x"),
        Step::post(
            "attach to a container that is not there",
            "/containers/missing/attach?stream=1&stdout=1",
        ),
        Step::post("resize a container that is not there", "/containers/missing/resize?h=1&w=1"),
        Step::post("resize without a size", "/containers/missing/resize"),
        Step::get("logs of a container that is not there", "/containers/missing/logs?stdout=1"),
        Step::get("stats of a container that is not there", "/containers/missing/stats?stream=0"),
        Step::delete("remove a container that is not there", "/containers/missing"),
        Step::post("exec in a container that is not there", "/containers/missing/exec")
            .json(json!({"Cmd": ["true"]})),
        Step::get("an exec that is not there", "/exec/missing/json"),
        Step::post("start an exec that is not there", "/exec/missing/start").json(json!({})),
        Step::get("an image that is not there", "/images/missing/json"),
        Step::get("the history of an image that is not there", "/images/missing/history"),
        Step::delete("remove an image that is not there", "/images/missing"),
        Step::post("tag an image that is not there", "/images/missing/tag?repo=x"),
        Step::post(
            "pull an image that is not there",
            "/images/create?fromImage={registry}/nothing&tag=now",
        ),
        Step::post("pull a bad name", "/images/create?fromImage=UPPER"),
    ]
}
