//! The shim's program with real containers, through its sockets.

mod bundle;
mod supervisor;

use bundle::Bundle;
use contracts_shim_api::attach::{EndReason, Framing};
use contracts_shim_api::exit::ExitRecord;
use contracts_shim_api::types::TaskStatus;
use supervisor::{Shim, wait_for};

/// The runtime that the tests run on: the linked one.
const RUNTIME: &str = "runc";

fn log_texts(log: &str) -> String {
    log.lines()
        .map(|line| {
            let entry: serde_json::Value = serde_json::from_str(line).unwrap();
            entry["log"].as_str().unwrap().to_owned()
        })
        .collect()
}

#[test]
fn a_container_runs_logs_and_leaves_its_exit_status() {
    let shim = Shim::start_with(Bundle::new("echo out; echo err >&2; exit 7"), RUNTIME);
    let log = shim.bundle.file("x-json.log");
    let pid = shim.create("", &format!("gantry://{}", log.display()), false).unwrap();
    assert_eq!(shim.state("").unwrap().status(), TaskStatus::Created);
    assert_eq!(shim.begin("").unwrap(), pid);
    assert_eq!(shim.wait(""), 7);
    // Both are there when Wait is answered.
    let texts = log_texts(&shim.bundle.read("x-json.log"));
    assert!(texts == "out\nerr\n" || texts == "err\nout\n", "{texts}");
    let record = ExitRecord::parse(shim.bundle.read("exit.json").as_bytes()).unwrap();
    assert_eq!((record.pid, record.exit_status), (pid, 7));
    let state = shim.state("").unwrap();
    assert_eq!((state.status(), state.exit_status), (TaskStatus::Stopped, 7));
    let deleted = shim.delete("").unwrap();
    assert_eq!((deleted.pid, deleted.exit_status), (pid, 7));
    shim.wait_for_topic("/tasks/delete");
    assert_eq!(shim.topics(), ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]);
}

#[test]
fn an_attached_client_gets_every_byte_and_feeds_stdin() {
    let shim = Shim::start_with(Bundle::new("cat; echo done >&2"), RUNTIME);
    shim.create("gantry:///?once=1", "gantry:///", false).unwrap();
    let mut client = shim.attach("", true, Framing::Multiplexed);
    shim.begin("").unwrap();
    client.write("hello\n");
    assert!(client.expect("hello").ends_with("hello\n"));
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.finish(), (b"\x02\0\0\0\0\0\0\x05done\n".to_vec(), EndReason::Ended));
    assert_eq!(shim.wait(""), 0);
}

#[test]
fn a_terminal_is_resized_and_detached_from_by_keys() {
    let shim = Shim::start_with(
        Bundle::with("read x; stty size; read y", |config| {
            config["process"]["terminal"] = true.into();
        }),
        RUNTIME,
    );
    shim.create("gantry:///", "gantry:///", true).unwrap();
    let mut client = shim.attach("", true, Framing::Raw);
    shim.begin("").unwrap();
    let size = contracts_shim_api::task::ResizePtyRequest {
        id: shim.bundle.id.clone(),
        exec_id: String::new(),
        width: 91,
        height: 33,
    };
    shim.call::<()>("ResizePty", &size).unwrap();
    client.write("go\n");
    client.expect("33 91");
    client.write("\x10\x11");
    assert_eq!(client.finish().1, EndReason::Detached);
    assert_eq!(shim.state("").unwrap().status(), TaskStatus::Running);
    shim.kill("", 9).unwrap();
    assert_eq!(shim.wait(""), 137);
}

#[test]
fn an_exec_runs_beside_init_and_is_deleted_apart() {
    let shim = Shim::start_with(Bundle::new("sleep 1000"), RUNTIME);
    shim.create("", "", false).unwrap();
    shim.begin("").unwrap();
    shim.exec("e", "echo from exec; exit 3", "", "gantry:///", false).unwrap();
    let client = shim.attach("e", false, Framing::Raw);
    shim.begin("e").unwrap();
    assert_eq!(shim.wait("e"), 3);
    assert_eq!(client.finish(), (b"from exec\n".to_vec(), EndReason::Ended));
    assert_eq!(shim.delete("e").unwrap().exit_status, 3);
    assert_eq!(shim.state("e").unwrap_err().code, 5);
    assert_eq!(shim.delete("").unwrap_err().message, "cannot delete a running process");
    shim.kill("", 15).unwrap_or_else(|status| panic!("{status:?}"));
    shim.kill("", 9).unwrap();
    shim.wait("");
    assert_eq!(shim.kill("", 9).unwrap_err().message, "process already finished: not found");
    assert_eq!(shim.begin("").unwrap_err().message, "cannot start a stopped process");
}

#[test]
fn a_failed_create_tells_the_runtimes_words_and_leaves_nothing() {
    let shim = Shim::start_with(
        Bundle::with("", |config| {
            config["process"]["args"] = serde_json::json!(["/no/such/program"]);
        }),
        RUNTIME,
    );
    let status = shim.create("", "", false).unwrap_err();
    assert!(status.message.starts_with("OCI runtime create failed: "), "{}", status.message);
    assert!(status.message.contains("no such file or directory"), "{}", status.message);
    assert_eq!(shim.state("").unwrap_err().message, "container not created: not found");
}

#[test]
fn a_dead_shims_container_is_removed_by_the_delete_action() {
    let shim = Shim::start_with(Bundle::new("sleep 1000"), RUNTIME);
    let pid = shim.create("", "", false).unwrap();
    shim.begin("").unwrap();
    let killed = std::process::Command::new("kill").arg("-9").arg(shim.pid().to_string()).status();
    assert!(killed.unwrap().success());
    wait_for("the shim's end", || {
        std::os::unix::net::UnixStream::connect(&shim.socket).is_err().then_some(())
    });
    let deleted = shim.delete_action();
    assert_eq!((deleted.pid, deleted.exit_status), (pid, 137));
    wait_for("init's end", || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        (status.is_empty() || status.contains("State:\tZ")).then_some(())
    });
}
