//! What commands print, and how they say that something cannot be done.

use crate::bundle::Bundle;
use crate::wait_for;
use serde_json::{Value, json};

fn document(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn state_and_list_say_the_same_of_a_container() {
    let mut bundle = Bundle::program(&["sleep", "1000"]);
    bundle.config["annotations"] = json!({"a": "b"});
    bundle.succeed(&["create", "ID"]);
    std::fs::create_dir(bundle.state_root().join("no-container")).unwrap();
    let mut state = document(&bundle.succeed(&["state", "ID"]));
    let folder = bundle.path().canonicalize().unwrap();
    let (pid, created) = (state["pid"].clone(), state["created"].clone());
    assert!(pid.as_i64().unwrap() > 1);
    // RFC 3339 in UTC.
    let created_text = created.as_str().unwrap();
    assert!(created_text.starts_with("20") && created_text.ends_with('Z'), "{created_text}");
    let expected = json!({
        "ociVersion": "1.3.0", "id": bundle.id, "pid": pid, "status": "created",
        "bundle": folder, "rootfs": folder.join("rootfs"), "created": created,
        "annotations": {"a": "b"}, "owner": "",
    });
    assert_eq!(state, expected);
    // There the owner has a name.
    state["owner"] = json!("root");
    assert_eq!(document(&bundle.succeed(&["list", "-f", "json"])), json!([state]));
    assert_eq!(bundle.succeed(&["list", "-q"]), format!("{}\n", bundle.id));
    let table = bundle.succeed(&["list"]);
    let words: Vec<&str> = table.split_whitespace().collect();
    assert_eq!(words[..6], ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"], "{table}");
    assert_eq!(words[6..9], [bundle.id.as_str(), &pid.to_string(), "created"], "{table}");
    bundle.succeed(&["delete", "ID"]);
    // Go's word for a list that nobody made.
    assert_eq!(bundle.succeed(&["list", "--format", "json"]), "null\n");
    assert_eq!(bundle.succeed(&["list", "--quiet"]), "");
    assert!(bundle.runtime(&["list", "-f", "x"]).err.contains("invalid format option"));
}

#[test]
fn what_cannot_be_done_to_a_container_that_has_ended_is_said_in_runcs_words() {
    let bundle = Bundle::program(&["true"]);
    bundle.succeed(&["create", "ID"]);
    bundle.succeed(&["start", "ID"]);
    bundle.wait_for_status("stopped");
    assert_eq!(document(&bundle.succeed(&["state", "ID"]))["pid"], 0);
    for (args, code, words) in [
        (&["start", "ID"][..], 1, "cannot start a container that has stopped"),
        (&["exec", "ID", "true"], 255, "exec failed: cannot exec in a stopped container"),
        (&["exec", "nosuch", "true"], 255, "exec failed: container does not exist"),
        (&["kill", "ID"], 1, "container not running"),
        (&["kill", "ID", "NOSUCH"], 1, "unknown signal \"NOSUCH\""),
        (&["pause", "ID"], 1, "container not running"),
        (&["resume", "ID"], 1, "container not paused"),
        (&["update", "--memory", "64M", "ID"], 1, "container not running"),
        (&["start", ""], 1, "container id cannot be empty"),
        (&["state", "nosuch"], 1, "container does not exist"),
        (&["delete", "nosuch"], 1, "container does not exist"),
    ] {
        let ended = bundle.runtime(args);
        let said = ended.err.replace('\\', "");
        assert!(ended.code == code && said.contains(words), "{args:?}: {ended:?}");
    }
    // Who wants all of its processes gone has what he wants.
    bundle.succeed(&["kill", "--all", "ID", "KILL"]);
    bundle.succeed(&["delete", "ID"]);
    bundle.assert_nothing_is_left();
}

#[test]
fn kill_sends_term_and_all_means_every_process() {
    let script = "trap 'echo term; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    let bundle = Bundle::script(script);
    let said = bundle.path().join("said");
    let says = |text: &str| {
        wait_for("the container's word", || {
            (std::fs::read_to_string(&said).unwrap() == text).then_some(())
        });
    };
    let file = std::fs::File::create(&said).unwrap();
    let run = bundle.command(&["run", "--detach", &bundle.id]).stdout(file).status();
    assert!(run.unwrap().success());
    says("ready\n");
    bundle.succeed(&["kill", "ID"]);
    says("ready\nterm\n");
    bundle.wait_for_status("stopped");
    bundle.succeed(&["delete", "ID"]);
    let bundle = Bundle::program(&["sleep", "1000"]);
    bundle.succeed(&["run", "--detach", "ID"]);
    let file = bundle.path().join("pid");
    let pid_file = file.to_str().unwrap();
    bundle.succeed(&["exec", "--detach", "--pid-file", pid_file, "ID", "sleep", "1000"]);
    let pid: i32 = std::fs::read_to_string(&file).unwrap().parse().unwrap();
    bundle.succeed(&["kill", "--all", "ID", "KILL"]);
    bundle.wait_for_status("stopped");
    wait_for("the further process' end", || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    });
}

#[test]
fn a_failed_hook_before_the_program_fails_the_start() {
    let mut bundle = Bundle::program(&["true"]);
    bundle.config["hooks"] = json!({"startContainer": [{"path": "/bin/false"}]});
    bundle.succeed(&["create", "ID"]);
    for command in ["start", "run"] {
        let ended = bundle.runtime(&[command, "ID"]);
        assert_eq!(ended.code, 1, "{ended:?}");
        assert!(ended.err.contains("error running startContainer hook #0"), "{ended:?}");
        if command == "start" {
            bundle.wait_for_status("stopped");
            bundle.succeed(&["delete", "ID"]);
        }
    }
    bundle.assert_nothing_is_left();
}

#[test]
fn a_newer_version_of_the_specification_is_taken_as_runc_takes_it() {
    let mut bundle = Bundle::script("echo here");
    bundle.config["ociVersion"] = json!("9.0.0");
    assert_eq!(bundle.run(), "here\n");
}

#[test]
fn features_are_what_callers_may_count_on() {
    let mut features = document(&Bundle::script("true").succeed(&["features"]));
    let archs = features["linux"]["seccomp"]["archs"].take();
    assert!(!archs.as_array().unwrap().is_empty());
    if cfg!(target_arch = "x86_64") {
        assert_eq!(archs, json!(["SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64"]));
    }
    let version = features["annotations"]["io.gantry.runtime.version"].take();
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    assert_eq!(features, document(include_str!("features.json")));
}

#[test]
fn the_version_has_the_lines_that_engines_read() {
    let bundle = Bundle::script("true");
    let version = env!("CARGO_PKG_VERSION");
    let text = format!("gantry-runtime version {version}\nspec: 1.3.0\n");
    for flag in ["--version", "-v"] {
        assert_eq!(bundle.succeed(&[flag]), text);
    }
}

#[test]
fn errors_go_to_the_log_and_plainly_to_the_caller() {
    let bundle = Bundle::script("true");
    let log = bundle.path().join("log");
    let path = log.to_str().unwrap();
    let lines = || std::fs::read_to_string(&log).unwrap();
    let ended = bundle.runtime(&["--log", path, "state", "nosuch"]);
    assert_eq!((ended.code, ended.err.as_str()), (1, "container does not exist\n"));
    assert!(lines().contains("level=error msg=\"container does not exist\""), "{}", lines());
    assert!(!lines().contains("level=debug"), "{}", lines());
    bundle.runtime(&["--debug", "--log", path, "state", "nosuch"]);
    assert!(lines().contains("level=debug"), "{}", lines());
}

#[test]
fn a_wrong_command_line_is_answered_with_how_it_is_used() {
    let bundle = Bundle::script("true");
    let unknown = bundle.runtime(&["nosuch"]);
    assert_eq!(unknown.code, 3);
    assert!(unknown.err.contains("No help topic for 'nosuch'"), "{unknown:?}");
    let log = bundle.path().join("log");
    assert_eq!(bundle.runtime(&["--log", log.to_str().unwrap(), "nosuch"]).code, 3);
    assert!(std::fs::read_to_string(log).unwrap().contains("No help topic for 'nosuch'"));
    for args in [&["--nosuch"][..], &["create", "--nosuch", "ID"]] {
        let ended = bundle.runtime(args);
        assert_eq!(ended.code, 1, "{ended:?}");
        assert!(ended.err.contains("flag provided but not defined: -nosuch"), "{ended:?}");
        assert!(ended.out.starts_with("Incorrect Usage"), "{ended:?}");
        assert!(ended.out.contains("USAGE:"), "{ended:?}");
    }
    for args in [&["help"][..], &["--help"], &[]] {
        assert!(bundle.succeed(args).contains("USAGE:"), "{args:?}");
    }
    assert!(bundle.succeed(&["exec", "--help"]).contains("--additional-gids"));
}

#[test]
fn an_example_is_written_to_a_bundle_and_over_nothing() {
    let bundle = Bundle::script("true");
    let folder = bundle.path().join("example");
    std::fs::create_dir(&folder).unwrap();
    let path = folder.to_str().unwrap();
    bundle.succeed(&["spec", "--bundle", path]);
    let text = std::fs::read_to_string(folder.join("config.json")).unwrap();
    assert_eq!(document(&text)["process"]["args"], json!(["sh"]));
    for args in [&["spec", "-b", path][..], &["spec"]] {
        let again = bundle.runtime(args);
        let words = "File config.json exists. Remove it first";
        assert!(again.code == 1 && again.err.contains(words), "{again:?}");
    }
    assert_eq!(std::fs::read_to_string(folder.join("config.json")).unwrap(), text);
}
