//! Containers, from create to remove.

use super::Step;
use serde_json::json;

pub(super) fn steps() -> Vec<Step> {
    let mut steps = first_life();
    steps.extend(processes());
    steps.extend(states());
    steps.extend(endings());
    steps
}

fn first_life() -> Vec<Step> {
    vec![
        Step::post("create with an image only", "/containers/create?name=plain")
            .json(json!({"Image": "web"}))
            .keep("plain", "/Id"),
        Step::get("a plain container", "/containers/plain/json"),
        Step::post("create with a name that is taken", "/containers/create?name=plain")
            .json(json!({"Image": "web"})),
        Step::post("create with much", "/containers/create?name=rich")
            .json(json!({
                "Image": "web:latest", "Hostname": "box", "User": "", "Env": ["A=b"],
                "Entrypoint": ["sh", "-c"],
                "Cmd": ["echo out; echo err >&2; exec httpd -f -p 80"],
                "Labels": {"k": "v"}, "WorkingDir": "/tmp", "StopTimeout": 1,
                "ExposedPorts": {"81/udp": {}},
                "HostConfig": {
                    "Memory": 67_108_864, "NanoCpus": 500_000_000, "PidsLimit": 50,
                    "CapDrop": ["NET_RAW"], "CapAdd": ["NET_ADMIN"],
                    "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2},
                    "Binds": ["recorded:/mnt:ro"], "Tmpfs": {"/scratch": "size=1m"},
                    "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]},
                    "Ulimits": [{"Name": "nofile", "Soft": 100, "Hard": 200}],
                    "Dns": ["9.9.9.9"], "ExtraHosts": ["a:1.2.3.4"], "ShmSize": 1_048_576,
                    "SecurityOpt": ["no-new-privileges"],
                    "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}},
                },
            }))
            .keep("rich", "/Id"),
        Step::get("a rich container", "/containers/rich/json"),
        Step::get("containers that run, before one does", "/containers/json"),
        Step::get("all containers", "/containers/json?all=1"),
        Step::get(
            "containers by name",
            "/containers/json?all=1&filters=%7B%22name%22%3A%5B%22%5E%2Fri%22%5D%7D",
        ),
        Step::post("start", "/containers/rich/start"),
        Step::post("start once more", "/containers/{rich}/start"),
        Step::get("a running container", "/containers/rich/json"),
        Step::get("containers that run", "/containers/json"),
        Step::get("one sample of stats", "/containers/rich/stats?stream=0").shape(),
        Step::get("one quick sample of stats", "/containers/rich/stats?stream=0&one-shot=1")
            .shape(),
        Step::get("logs", "/containers/rich/logs?stdout=1&stderr=0"),
        Step::get("logs of nothing", "/containers/rich/logs"),
        Step::get("logs since a bad time", "/containers/rich/logs?stdout=1&since=bad"),
        Step::get("logs with a bad tail", "/containers/rich/logs?stderr=1&tail=bad"),
        Step::get("the bridge with a container", "/networks/bridge"),
    ]
}

fn processes() -> Vec<Step> {
    vec![
        Step::post("exec without a command", "/containers/rich/exec").json(json!({"Cmd": []})),
        Step::post("exec", "/containers/rich/exec")
            .json(json!({"Cmd": ["sh", "-c", "echo hi; exit 3"], "AttachStdout": true}))
            .keep("exec", "/Id"),
        Step::get("an exec before its start", "/exec/{exec}/json"),
        Step::post("start an exec", "/exec/{exec}/start").json(json!({"Detach": false})),
        Step::get("an exec behind its end", "/exec/{exec}/json"),
        Step::post("an exec of nothing", "/containers/rich/exec")
            .json(json!({"Cmd": ["/no/such"], "AttachStdout": true}))
            .keep("broken", "/Id"),
        Step::post("start an exec of nothing", "/exec/{broken}/start")
            .json(json!({"Detach": true})),
    ]
}

fn states() -> Vec<Step> {
    vec![
        Step::post("pause", "/containers/rich/pause"),
        Step::post("pause once more", "/containers/rich/pause"),
        Step::get(
            "a paused container",
            "/containers/json?all=1&filters=%7B%22status%22%3A%5B%22paused%22%5D%7D",
        ),
        Step::post("exec in a paused container", "/containers/rich/exec")
            .json(json!({"Cmd": ["true"]})),
        Step::post("unpause", "/containers/rich/unpause"),
        Step::post("unpause once more", "/containers/rich/unpause"),
        Step::delete("remove a running container", "/containers/rich"),
        Step::delete("remove an image that is used", "/images/web"),
        Step::delete("remove a volume that is used", "/volumes/recorded"),
        Step::post("kill with a bad signal", "/containers/rich/kill?signal=SIGNOTHING"),
        Step::post("stop", "/containers/rich/stop"),
        Step::post("stop once more", "/containers/rich/stop"),
        Step::post("kill a stopped container", "/containers/rich/kill"),
        Step::post("pause a stopped container", "/containers/rich/pause"),
        Step::post("exec in a stopped container", "/containers/rich/exec")
            .json(json!({"Cmd": ["true"]})),
        Step::post("wait for a stopped container", "/containers/rich/wait"),
        Step::get("a stopped container", "/containers/rich/json"),
        Step::get(
            "stopped containers",
            "/containers/json?all=1&filters=%7B%22exited%22%3A%5B%22137%22%5D%7D",
        ),
        Step::post("restart", "/containers/rich/restart"),
    ]
}

fn endings() -> Vec<Step> {
    vec![
        Step::post("create with a command that is not there", "/containers/create?name=broken")
            .json(json!({"Image": "web", "Entrypoint": ["/no/such"]})),
        Step::post("start a command that is not there", "/containers/broken/start"),
        Step::get("a container that did not start", "/containers/broken/json"),
        Step::delete("remove a container that did not start", "/containers/broken?v=1"),
        Step::delete("remove by force", "/containers/rich?force=1&v=1"),
        Step::delete("remove", "/containers/plain?v=1"),
        // `{since}` and `{now}` are the recorder's clock.
        Step::get("what happened", "/events?since={since}&until={now}"),
        Step::get("containers behind the end", "/containers/json?all=1"),
    ]
}
