//! The leak check is itself checked: one leak of each sort is made and must be found.

#![forbid(unsafe_code)]

use std::path::Path;
use std::process::{Command, Stdio};
use tests_harness::leaks::{Census, Scope};
use tests_harness::output_of;

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        for root in ["data", "exec"] {
            std::fs::create_dir(folder.path().join(root)).expect("create root");
        }
        Self { folder }
    }

    fn scope(&self) -> Scope {
        Scope {
            data_root: self.folder.path().join("data"),
            exec_root: self.folder.path().join("exec"),
            programs: vec![std::process::id()],
        }
    }

    /// What making `leak` adds to the census; `mend` takes it away again.
    fn found(&self, leak: impl FnOnce(&Path), mend: impl FnOnce(&Path)) -> String {
        let before = Census::take(&self.scope());
        leak(self.folder.path());
        let after = Census::take(&self.scope());
        mend(self.folder.path());
        after.beyond(&before).join("\n")
    }
}

fn run(program: &str, arguments: &[&str]) {
    let _ = output_of(Command::new(program).args(arguments));
}

#[test]
fn a_mount_under_a_root_is_found() {
    let found = Place::new().found(
        |place| run("mount", &["-t", "tmpfs", "leak", &place.join("exec").display().to_string()]),
        |place| run("umount", &[&place.join("exec").display().to_string()]),
    );
    assert!(found.contains("mount: "), "{found}");
}

#[test]
fn a_network_namespace_and_a_process_that_names_a_root_are_found() {
    let place = Place::new();
    let root = place.folder.path().join("exec").display().to_string();
    let mut child = None;
    let found = place.found(
        |_| {
            let command = format!("exec 3>&1; echo in; : {root}; sleep 60; :");
            let mut process = Command::new("unshare")
                .args(["-n", "sh", "-c", &command])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut line = [0; 3];
            std::io::Read::read_exact(process.stdout.as_mut().unwrap(), &mut line).unwrap();
            child = Some(process);
        },
        |_| {},
    );
    let mut child = child.unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(found.contains("network namespace: "), "{found}");
    assert!(found.contains("process: sh"), "{found}");
}

#[test]
fn a_veth_and_a_bridge_of_ours_are_found() {
    let found = Place::new().found(
        |_| {
            run("ip", &["link", "add", "leak-a", "type", "veth", "peer", "name", "leak-b"]);
            run("ip", &["link", "add", "gantry-leak", "type", "bridge"]);
        },
        |_| {
            run("ip", &["link", "delete", "leak-a"]);
            run("ip", &["link", "delete", "gantry-leak"]);
        },
    );
    assert!(found.contains("link: veth"), "{found}");
    assert!(found.contains("link: gantry-leak"), "{found}");
}

#[test]
fn an_nft_element_is_found() {
    let found = Place::new().found(
        |_| {
            run("nft", &["add table ip gantry-leak"]);
            run(
                "nft",
                &["add set ip gantry-leak ports { type inet_service; elements = { 80 } ; }"],
            );
        },
        |_| run("nft", &["delete table ip gantry-leak"]),
    );
    assert!(found.contains("nft element: gantry-leak ports"), "{found}");
}

#[test]
fn a_cgroup_named_like_a_container_is_found() {
    let path = format!("/sys/fs/cgroup/pids/{}", "5a".repeat(32));
    let found = Place::new()
        .found(|_| std::fs::create_dir(&path).unwrap(), |_| std::fs::remove_dir(&path).unwrap());
    assert!(found.contains("cgroup: "), "{found}");
}

#[test]
fn a_file_and_a_descriptor_are_found() {
    let mut held = None;
    let found = Place::new().found(
        |place| {
            let path = place.join("data/left-over");
            held = Some([(); 5].map(|()| std::fs::File::create(&path).unwrap()));
        },
        |_| {},
    );
    drop(held);
    assert!(found.contains("file: left-over"), "{found}");
    assert!(found.contains("descriptor of program 0"), "{found}");
}

#[test]
fn a_zombie_child_is_found() {
    let mut child = None;
    let found = Place::new().found(
        |_| {
            let process = Command::new("true").spawn().unwrap();
            let stat = format!("/proc/{}/stat", process.id());
            tests_harness::wait::until(
                "the child to end",
                std::time::Duration::from_secs(5),
                || {
                    let stat = std::fs::read_to_string(&stat).unwrap_or_default();
                    if stat.contains(") Z ") { Ok(()) } else { Err(stat) }
                },
            );
            child = Some(process);
        },
        |_| {},
    );
    child.unwrap().wait().unwrap();
    assert!(found.contains("process: zombie"), "{found}");
}
