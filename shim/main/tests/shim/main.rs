//! The shim's program with real containers, through its sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bundle;
mod supervisor;

use bundle::Bundle;
use contracts_shim_api::attach::{EndReason, Framing};
use contracts_shim_api::exit::ExitRecord;
use contracts_shim_api::task::{
    PauseRequest, PidsRequest, PidsResponse, ResumeRequest, StatsRequest, StatsResponse,
};
use contracts_shim_api::types::TaskStatus;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;
use supervisor::{Shim, wait_for};

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
    let shim = Shim::start(Bundle::new("echo out; echo err >&2; exit 7"));
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
    let shim = Shim::start(Bundle::new("cat; echo done >&2"));
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
    let shim = Shim::start(Bundle::with("read x; stty size; read y", |config| {
        config["process"]["terminal"] = true.into();
    }));
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
    let shim = Shim::start(Bundle::new("sleep 1000"));
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
    // Events come in order: the deletion of an exec is none.
    shim.wait_for_topics("/tasks/exit", 2);
    let topics = ["/tasks/create", "/tasks/start", "/tasks/exec-added", "/tasks/exec-started"];
    assert_eq!(shim.topics()[..4], topics);
    assert_eq!(shim.topics()[4..], ["/tasks/exit", "/tasks/exit"]);
    assert_eq!(shim.kill("", 9).unwrap_err().message, "process already finished: not found");
    assert_eq!(shim.begin("").unwrap_err().message, "cannot start a stopped process");
}

#[test]
fn a_failed_create_tells_the_runtimes_words_and_leaves_nothing() {
    let shim = Shim::start(Bundle::with("", |config| {
        config["process"]["args"] = serde_json::json!(["/no/such/program"]);
    }));
    let status = shim.create("", "", false).unwrap_err();
    assert!(status.message.starts_with("OCI runtime create failed: "), "{}", status.message);
    assert!(status.message.contains("no such file or directory"), "{}", status.message);
    assert_eq!(shim.state("").unwrap_err().message, "container not created: not found");
}

#[test]
fn a_dead_shims_container_is_removed_by_the_delete_action() {
    let shim = Shim::start(Bundle::new("sleep 1000"));
    let pid = shim.create("", "", false).unwrap();
    shim.begin("").unwrap();
    shim.end();
    shim.wait_for_end();
    let deleted = shim.delete_action();
    assert_eq!((deleted.pid, deleted.exit_status), (pid, 137));
    wait_for("init's end", || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        (status.is_empty() || status.contains("State:\tZ")).then_some(())
    });
}

#[test]
fn other_runtimes_programs_do_as_well_as_the_linked_one() {
    for runtime in ["runc", "crun"] {
        let shim = Shim::start_with(Bundle::new("cat; exit 4"), runtime);
        shim.create("gantry:///?once=1", "gantry:///", false).unwrap();
        let mut client = shim.attach("", true, Framing::Raw);
        shim.begin("").unwrap();
        shim.exec("e", "tty; exit 5", "", "gantry:///", true).unwrap();
        let terminal = shim.attach("e", false, Framing::Raw);
        shim.begin("e").unwrap();
        assert_eq!(terminal.finish(), (b"/dev/pts/0\r\n".to_vec(), EndReason::Ended), "{runtime}");
        assert_eq!(shim.wait("e"), 5, "{runtime}");
        client.write("through it");
        client.stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(client.finish(), (b"through it".to_vec(), EndReason::Ended), "{runtime}");
        assert_eq!(shim.wait(""), 4, "{runtime}");
        shim.delete("").unwrap();
    }
}

#[test]
fn a_paused_container_is_thawed_and_counted() {
    let shim = Shim::start(Bundle::new("sleep 1000"));
    shim.create("", "", false).unwrap();
    let pid = shim.begin("").unwrap();
    let id = || shim.bundle.id.clone();
    shim.call::<()>("Pause", &PauseRequest { id: id() }).unwrap();
    assert_eq!(shim.state("").unwrap().status(), TaskStatus::Paused);
    assert_eq!(shim.exec("e", "true", "", "", false).unwrap_err().code, 9);
    shim.call::<()>("Resume", &ResumeRequest { id: id() }).unwrap();
    assert_eq!(shim.state("").unwrap().status(), TaskStatus::Running);
    let processes: PidsResponse = shim.call("Pids", &PidsRequest { id: id() }).unwrap();
    assert!(processes.processes.iter().any(|process| process.pid == pid));
    let stats: StatsResponse = shim.call("Stats", &StatsRequest { id: id() }).unwrap();
    assert!(stats.stats.unwrap().type_url.starts_with("io.containerd.cgroups.v"));
    shim.call::<()>("Pause", &PauseRequest { id: id() }).unwrap();
    shim.kill("", 9).unwrap();
    assert_eq!(shim.wait(""), 137);
}

#[test]
fn a_slow_client_gets_all_of_a_flood_and_the_log_too() {
    let shim = Shim::start(Bundle::new("seq 1 700000"));
    let log = shim.bundle.file("x-json.log");
    shim.create("", &format!("gantry://{}", log.display()), false).unwrap();
    let mut client = shim.attach("", false, Framing::Raw);
    shim.begin("").unwrap();
    // The client does not read at first: its megabyte fills, and the container has to wait.
    client.expect("1000\n");
    let waiting = wait_for("the log to stand still", || {
        let size = || std::fs::metadata(&log).map_or(0, |file| file.len());
        let before = size();
        std::thread::sleep(std::time::Duration::from_millis(50));
        (before > 0 && size() == before).then_some(before)
    });
    let (rest, reason) = client.finish();
    assert_eq!((reason, shim.wait("")), (EndReason::Ended, 0));
    assert!(rest.ends_with(b"699999\n700000\n"));
    let expected: String = (1..=700_000).map(|number| format!("{number}\n")).collect();
    let logged = log_texts(&shim.bundle.read("x-json.log"));
    assert!(logged == expected, "{} bytes of {}", logged.len(), expected.len());
    assert!(waiting < std::fs::metadata(&log).unwrap().len());
}

#[test]
fn a_deleted_containers_slow_client_still_gets_everything() {
    let shim = Shim::start(Bundle::new("seq 1 100000"));
    shim.create("", "gantry:///", false).unwrap();
    let client = shim.attach("", false, Framing::Raw);
    shim.begin("").unwrap();
    assert_eq!(shim.wait(""), 0);
    // What a socket does not hold is still with the shim, which its supervisor sees leave.
    shim.delete("").unwrap();
    shim.shut_down();
    shim.wait_for_end();
    let expected: String = (1..=100_000).map(|number| format!("{number}\n")).collect();
    let (output, reason) = client.finish();
    assert!(output == expected.as_bytes(), "{} bytes of {}", output.len(), expected.len());
    assert_eq!(reason, EndReason::Ended);
    wait_for("the shim's end", || {
        (!std::path::Path::new(&format!("/proc/{}", shim.pid())).exists()).then_some(())
    });
}

#[test]
fn an_exit_does_not_wait_for_a_grandchild_that_keeps_the_pipe() {
    let shim = Shim::start(Bundle::new("sleep 1000"));
    shim.create("", "", false).unwrap();
    shim.begin("").unwrap();
    shim.exec("e", "sleep 1000 & echo parent", "", "gantry:///", false).unwrap();
    let client = shim.attach("e", false, Framing::Raw);
    shim.begin("e").unwrap();
    assert_eq!(shim.wait("e"), 0);
    assert_eq!(client.finish(), (b"parent\n".to_vec(), EndReason::Ended));
}

#[test]
fn fifos_carry_all_three_streams_until_close_io() {
    let shim = Shim::start(Bundle::new("cat; echo end"));
    let fifo = |name: &str| {
        let path = shim.bundle.file(name);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    };
    let (stdin, stdout) = (fifo("in"), fifo("out"));
    // Open before the shim opens it, and waits for nobody until the shim has.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut options = std::fs::File::options();
    let mut reader = options.read(true).custom_flags(nonblocking).open(&stdout).unwrap();
    shim.create(stdin.to_str().unwrap(), stdout.to_str().unwrap(), false).unwrap();
    rustix::fs::fcntl_setfl(&reader, rustix::fs::OFlags::empty()).unwrap();
    shim.begin("").unwrap();
    for word in ["one ", "two "] {
        // Closing the fifo is not the end of input; CloseIO is.
        std::fs::File::options()
            .write(true)
            .open(&stdin)
            .unwrap()
            .write_all(word.as_bytes())
            .unwrap();
    }
    let id = shim.bundle.id.clone();
    let request =
        contracts_shim_api::task::CloseIoRequest { id, exec_id: String::new(), stdin: true };
    shim.call::<()>("CloseIO", &request).unwrap();
    assert_eq!(shim.wait(""), 0);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "one two end\n");
}

#[test]
fn a_hung_worker_blocks_no_other_request() {
    let bundle = Bundle::with("sleep 1000", |config| {
        config["hooks"] = serde_json::json!({
            "poststart": [{"path": "/bin/sh", "args": ["sh", "-c", "cat $0", "GATE"]}],
        });
    });
    let gate = with_gate(&bundle);
    let shim = Shim::start(bundle);
    shim.create("", "", false).unwrap();
    let mut stream = std::os::unix::net::UnixStream::connect(&shim.socket).unwrap();
    let request = contracts_shim_api::task::StartRequest {
        id: shim.bundle.id.clone(),
        exec_id: String::new(),
    };
    supervisor::send(&mut stream, "Start", &request);
    // The start ends when its hook does.
    assert_eq!(shim.state("").unwrap().id, shim.bundle.id);
    std::fs::write(&gate, "").unwrap();
    supervisor::receive::<contracts_shim_api::task::StartResponse>(&mut stream).unwrap();
}

/// A fifo that a hook waits at, in the place of `GATE` in the configuration.
fn with_gate(bundle: &Bundle) -> std::path::PathBuf {
    let gate = bundle.file("gate");
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    let config = bundle.read("config.json").replace("GATE", gate.to_str().unwrap());
    std::fs::write(bundle.file("config.json"), config).unwrap();
    gate
}

#[test]
fn an_init_that_does_not_answer_blocks_no_other_request() {
    const STOP: u32 = 19;
    const CONTINUE: u32 = 18;
    let shim = Shim::start(Bundle::new("sleep 1000"));
    let pid = shim.create("", "", false).unwrap();
    shim.kill("", STOP).unwrap();
    wait_for("init to stop", || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.contains(") T ").then_some(())
    });
    let mut stream = std::os::unix::net::UnixStream::connect(&shim.socket).unwrap();
    let request = contracts_shim_api::task::StartRequest {
        id: shim.bundle.id.clone(),
        exec_id: String::new(),
    };
    supervisor::send(&mut stream, "Start", &request);
    wait_for("the start to begin", || {
        (shim.begin("").unwrap_err().message == "cannot start a starting process").then_some(())
    });
    shim.kill("", CONTINUE).unwrap();
    let started = supervisor::receive::<contracts_shim_api::task::StartResponse>(&mut stream);
    assert_eq!(started.unwrap().pid, pid);
    assert_eq!(shim.state("").unwrap().status(), TaskStatus::Running);
}

#[test]
fn a_call_for_a_container_that_was_not_made_after_all_is_answered() {
    let bundle = Bundle::with("true", |config| {
        config["hooks"] = serde_json::json!({
            "createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "cat $0; exit 1", "GATE"]}],
        });
    });
    let gate = with_gate(&bundle);
    let shim = Shim::start(bundle);
    std::thread::scope(|scope| {
        let create = scope.spawn(|| shim.create("", "", false));
        wait_for("the container to be in the making", || shim.state("").ok());
        let mut stream = std::os::unix::net::UnixStream::connect(&shim.socket).unwrap();
        let id = shim.bundle.id.clone();
        let request = contracts_shim_api::task::WaitRequest { id, exec_id: String::new() };
        supervisor::send(&mut stream, "Wait", &request);
        std::fs::write(&gate, "").unwrap();
        create.join().unwrap().unwrap_err();
        let waited = supervisor::receive::<contracts_shim_api::task::WaitResponse>(&mut stream);
        assert_eq!(waited.unwrap_err().message, "container not created: not found");
    });
}

#[test]
fn a_shim_with_a_container_is_not_shut_down() {
    let shim = Shim::start(Bundle::new("sleep 1000"));
    shim.create("", "", false).unwrap();
    shim.begin("").unwrap();
    shim.shut_down();
    assert_eq!(shim.state("").unwrap().status(), TaskStatus::Running);
}

#[test]
fn containers_of_a_group_share_a_shim() {
    let grouped = |script: &str| {
        Bundle::with(script, |config| {
            config["annotations"] = serde_json::json!({"io.kubernetes.cri.sandbox-id": format!("pod-{}", std::process::id())});
        })
    };
    let first = Shim::start(grouped("sleep 1000"));
    first.create("", "", false).unwrap();
    first.begin("").unwrap();
    let second = Shim::start_beside(grouped("exit 6"), &first);
    assert_eq!(second.socket, first.socket);
    second.create("", "", false).unwrap();
    second.begin("").unwrap();
    assert_eq!(second.wait(""), 6);
    second.delete("").unwrap();
    assert_eq!(first.state("").unwrap().status(), TaskStatus::Running);
}

#[test]
fn events_wait_for_a_supervisor_that_is_away() {
    let shim = Shim::start_unheard(Bundle::new("exit 2"));
    shim.create("", "", false).unwrap();
    shim.begin("").unwrap();
    assert_eq!(shim.wait(""), 2);
    shim.hear();
    shim.wait_for_topic("/tasks/exit");
    assert_eq!(shim.topics(), ["/tasks/create", "/tasks/start", "/tasks/exit"]);
}

#[test]
fn a_kill_for_want_of_memory_is_an_event() {
    let shim = Shim::start(Bundle::with("dd if=/dev/zero of=/dev/null bs=64M count=1", |config| {
        config["linux"]["resources"] =
            serde_json::json!({"memory": {"limit": 8 << 20, "swap": 8 << 20}});
    }));
    shim.create("", "", false).unwrap();
    shim.begin("").unwrap();
    assert_eq!(shim.wait(""), 137);
    shim.wait_for_topic("/tasks/exit");
    let topics = ["/tasks/create", "/tasks/start", "/tasks/oom", "/tasks/exit"];
    assert_eq!(shim.topics(), topics);
}

#[test]
fn a_kill_beside_init_is_told_while_init_runs() {
    let shim = Shim::start(Bundle::with(
        "dd if=/dev/zero of=/dev/null bs=64M count=1; sleep 1000",
        |config| {
            config["linux"]["resources"] =
                serde_json::json!({"memory": {"limit": 8 << 20, "swap": 8 << 20}});
        },
    ));
    shim.create("", "", false).unwrap();
    shim.begin("").unwrap();
    shim.wait_for_topic("/tasks/oom");
    assert_eq!(shim.state("").unwrap().status(), TaskStatus::Running);
}

#[test]
fn a_logging_program_gets_both_streams_and_is_ready_before_the_first_byte() {
    let bundle = Bundle::new("echo out; echo err >&2");
    let program = bundle.file("logger");
    let script = format!(
        "#!/bin/sh\nid=$CONTAINER_ID/$CONTAINER_NAMESPACE\nexec 5>&-\n\
         (echo $id $@; cat <&3; cat <&4) > {0}/logged.new; mv {0}/logged.new {0}/logged\n",
        bundle.path().display()
    );
    std::fs::write(&program, script).unwrap();
    assert!(Command::new("chmod").arg("+x").arg(&program).status().unwrap().success());
    let shim = Shim::start(bundle);
    let uri = format!("binary://{}?tag=x&flag=", program.display());
    shim.create("", &uri, false).unwrap();
    shim.begin("").unwrap();
    assert_eq!(shim.wait(""), 0);
    let logged = wait_for("the program's end", || {
        Some(shim.bundle.read("logged")).filter(|text| !text.is_empty())
    });
    assert_eq!(logged, format!("{}/test tag x flag\nout\nerr\n", shim.bundle.id));
}

#[test]
fn a_logging_program_that_cannot_be_executed_is_told() {
    let shim = Shim::start(Bundle::new("true"));
    let status = shim.create("", "binary:///no/such/logger", false).unwrap_err();
    let expected = "OCI runtime create failed: start the logging program: No such file";
    assert!(status.message.starts_with(expected), "{}", status.message);
}

#[test]
fn a_log_is_whole_although_its_disk_was_full() {
    let shim = Shim::start(Bundle::new("seq 1 200000"));
    let disk = shim.bundle.file("disk");
    std::fs::create_dir(&disk).unwrap();
    let mount = |options: &str| {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", options, "none"]).arg(&disk);
        assert!(command.status().unwrap().success());
    };
    mount("size=1m");
    let log = disk.join("x-json.log");
    shim.create("", &format!("gantry://{}", log.display()), false).unwrap();
    shim.begin("").unwrap();
    wait_for("the disk to be full", || {
        (std::fs::metadata(&log).map_or(0, |file| file.len()) == 1 << 20).then_some(())
    });
    // The shim answers meanwhile.
    assert_eq!(shim.state("").unwrap().id, shim.bundle.id);
    mount("remount,size=64m");
    assert_eq!(shim.wait(""), 0);
    let logged = log_texts(&std::fs::read_to_string(&log).unwrap());
    let expected: String = (1..=200_000).map(|number| format!("{number}\n")).collect();
    assert!(logged == expected);
    shim.delete("").unwrap();
    assert!(Command::new("umount").arg(&disk).status().unwrap().success());
}

#[test]
fn a_shim_may_die_at_any_step_and_is_cleaned_up_after() {
    for step in base_faults::STEPS.iter().filter(|step| step.program == base_faults::Program::Shim)
    {
        let faults = tempfile::tempdir().unwrap();
        std::fs::write(faults.path().join(step.name), "").unwrap();
        let shim = Shim::start_faulty(Bundle::new("sleep 1000"), faults.path());
        // Whatever call meets the death panics; those after it are not made.
        let story = std::panic::AssertUnwindSafe(|| {
            shim.create("", "gantry:///", false).unwrap();
            shim.begin("").unwrap();
            shim.exec("e", "true", "", "", false).unwrap();
            shim.begin("e").unwrap();
            shim.wait("e");
            shim.kill("", 9).unwrap();
            shim.wait("");
        });
        assert!(std::panic::catch_unwind(story).is_err(), "{} was survived", step.name);
        let reached = faults.path().join(format!("{}.reached", step.name));
        assert!(reached.exists(), "{} was not reached", step.name);
        shim.wait_for_end();
        let deleted = shim.delete_action();
        assert_eq!(deleted.exit_status, 137, "{}", step.name);
        if deleted.pid != 0 {
            wait_for("init's end", || {
                let status = format!("/proc/{}/status", deleted.pid);
                let status = std::fs::read_to_string(status).unwrap_or_default();
                (status.is_empty() || status.contains("State:\tZ")).then_some(())
            });
        }
        assert!(!shim.socket.exists(), "{}", step.name);
    }
}
