//! What the flags of commands bring about.

use crate::bundle::{Bundle, program};
use crate::{receive_descriptor, wait_for};
use serde_json::{Value, json};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

/// What a terminal's program writes until it ends.
fn read_all(master: &OwnedFd) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    // EIO is a terminal's end.
    while let Ok(length) = rustix::io::read(master, &mut buffer) {
        text.extend_from_slice(&buffer[..length]);
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn run_keeps_a_container_that_has_ended_and_writes_its_pid() {
    let bundle = Bundle::script("exit 7");
    let file = bundle.path().join("pid");
    let ended = bundle.runtime(&["run", "--keep", "--pid-file", file.to_str().unwrap(), "ID"]);
    assert_eq!(ended.code, 7, "{ended:?}");
    assert!(std::fs::read_to_string(&file).unwrap().parse::<u32>().unwrap() > 1);
    assert_eq!(bundle.status(), "stopped");
    bundle.succeed(&["delete", "ID"]);
    let bundle = Bundle::program(&["sleep", "1000"]);
    bundle.succeed(&["run", "--detach", "--pid-file", file.to_str().unwrap(), "ID"]);
    let state: Value = serde_json::from_str(&bundle.succeed(&["state", "ID"])).unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), state["pid"].to_string());
    bundle.succeed(&["delete", "--force", "ID"]);
    bundle.assert_nothing_is_left();
}

#[test]
fn terminals_of_detached_programs_go_to_the_console_socket() {
    let mut bundle = Bundle::script("tty; sleep 1000");
    let socket = bundle.path().join("console.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let socket = socket.display().to_string();
    bundle.config["process"]["terminal"] = json!(true);
    bundle.succeed(&["run", "--detach", "--console-socket", &socket, "ID"]);
    let first = receive_descriptor(&listener);
    bundle.succeed(&["exec", "-t", "--detach", "--console-socket", &socket, "ID", "tty"]);
    let second = receive_descriptor(&listener);
    assert_eq!(read_all(&second), "/dev/pts/1\r\n");
    bundle.succeed(&["kill", "ID", "KILL"]);
    assert_eq!(read_all(&first), "/dev/pts/0\r\n");
}

#[test]
fn exec_gives_a_terminal_a_folder_and_groups() {
    let bundle = Bundle::program(&["sleep", "1000"]);
    bundle.succeed(&["run", "--detach", "ID"]);
    let terminal = bundle.succeed(&["exec", "-t", "ID", "sh", "-c", "tty; test -t 1 && echo yes"]);
    assert_eq!(terminal, "/dev/pts/0\r\nyes\r\n");
    assert_eq!(bundle.succeed(&["exec", "ID", "sh", "-c", "pwd; test -t 1 || echo no"]), "/\nno\n");
    assert_eq!(bundle.succeed(&["exec", "--cwd", "/bin", "ID", "sh", "-c", "pwd"]), "/bin\n");
    let groups = ["exec", "-u", "7:8", "-g", "9", "--additional-gids", "10", "ID", "id"];
    assert_eq!(bundle.succeed(&groups), "uid=7 gid=8 groups=9,10\n");
    assert_eq!(bundle.runtime(&["exec", "-g", "-1", "ID", "true"]).code, 255);
}

#[test]
fn a_capability_that_programs_inherit_is_kept_by_a_further_process_without_rights() {
    let mut bundle = Bundle::program(&["sleep", "1000"]);
    bundle.config["process"]["capabilities"]["inheritable"] = json!(["CAP_KILL"]);
    bundle.succeed(&["run", "--detach", "ID"]);
    let script = "grep -E 'Cap(Eff|Amb)' /proc/self/status";
    let sets = |name: &str| {
        bundle.runtime(&["exec", "--cap", name, "--user", "1000:1000", "ID", "sh", "-c", script])
    };
    let both = |bits: u64| format!("CapEff:\t{bits:016x}\nCapAmb:\t{bits:016x}\n");
    assert_eq!(sets("CAP_KILL").out, both(1 << 5));
    // Given, but not to be kept by who is not root; nobody is told that it is not there.
    let other = sets("CAP_NET_RAW");
    assert_eq!((other.out, other.err), (both(0), String::new()));
}

#[test]
fn a_value_that_is_empty_is_none() {
    let bundle = Bundle::program(&["sleep", "1000"]);
    bundle.succeed(&["run", "--detach", "--pid-file", "", "ID"]);
    assert_eq!(bundle.succeed(&["exec", "--process", "", "ID", "hostname"]), "inside\n");
    bundle.succeed(&["update", "--resources", "", "--memory", "64M", "ID"]);
}

#[test]
fn descriptors_that_are_to_be_passed_on_arrive() {
    let mut bundle = Bundle::script("cat <&3; cat <&4; test -e /proc/self/fd/5 || sleep 1000");
    let file = |name: &str| {
        let path = bundle.path().join(name);
        std::fs::write(&path, format!("{name}\n")).unwrap();
        path.display().to_string()
    };
    let script =
        format!("exec 3< {} 4< {} 5< /dev/null; exec \"$0\" \"$@\"", file("third"), file("fourth"));
    let program = program().display().to_string();
    bundle.caller = ["sh", "-c", &script, &program].map(str::to_owned).to_vec();
    bundle.succeed(&["create", "--preserve-fds", "2", "ID"]);
    bundle.succeed(&["delete", "ID"]);
    let said = bundle.path().join("said");
    let id = bundle.id.clone();
    let run = bundle
        .command(&["run", "--detach", "--preserve-fds", "2", &id])
        .stdout(std::fs::File::create(&said).unwrap())
        .status();
    assert!(run.unwrap().success());
    wait_for("both texts", || {
        (std::fs::read_to_string(&said).unwrap() == "third\nfourth\n").then_some(())
    });
    let further = ["exec", "--preserve-fds", "1", "ID", "sh", "-c", "cat <&3; test -e /dev/fd/4"];
    let ended = bundle.runtime(&further);
    assert_eq!((ended.code, ended.out.as_str()), (1, "third\n"), "{ended:?}");
    // Many more than anybody has open.
    for command in ["run", "exec"] {
        let refused = bundle.runtime(&[command, "--preserve-fds", "500", "ID", "true"]);
        assert_ne!(refused.code, 0, "{refused:?}");
    }
}

#[test]
fn a_root_that_is_moved_is_as_good_as_one_that_is_pivoted_to() {
    let mut bundle = Bundle::script(
        "ls /; grep -c ' - ' /proc/self/mountinfo; \
         unshare -Urmpf mount -t proc proc /tmp && echo a whole procfs; \
         unshare -Urmn mount -t sysfs sysfs /tmp && echo a whole sysfs",
    );
    for applet in ["unshare", "mount"] {
        std::os::unix::fs::symlink("busybox", bundle.rootfs().join("bin").join(applet)).unwrap();
    }
    // Root itself may make no user namespace with these capabilities.
    bundle.config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    let pivoted = bundle.runtime(&["run", "ID"]);
    let moved = bundle.runtime(&["run", "--no-pivot", "ID"]);
    assert!(pivoted.out.starts_with("bin\ndev\netc\nproc\nsys\ntmp\n"), "{pivoted:?}");
    assert!(!pivoted.out.contains("whole"), "{pivoted:?}");
    assert_eq!(pivoted.out, moved.out, "{moved:?}");
    // Nothing is taken away on the host.
    for propagation in ["", "shared"] {
        bundle.config["linux"]["rootfsPropagation"] = json!(propagation);
        assert_eq!(bundle.runtime(&["run", "--no-pivot", "ID"]).out, pivoted.out);
        assert!(std::path::Path::new("/proc/self/status").exists());
        assert!(std::path::Path::new("/sys/class/net/lo").exists());
    }
    for propagation in ["private", "rprivate"] {
        bundle.config["linux"]["rootfsPropagation"] = json!(propagation);
        let refused = bundle.runtime(&["create", "--no-pivot", "ID"]);
        let text = "rootfsPropagation of [r]private is not safe without pivot_root";
        assert!(refused.code == 1 && refused.err.contains(text), "{refused:?}");
    }
    bundle.assert_nothing_is_left();
}

#[test]
fn processes_stay_in_their_callers_keyring_on_request() {
    let Ok(keys) = std::fs::read_to_string("/proc/keys") else { return };
    assert!(keys.contains("keyring"), "{keys}");
    // A container's keyring is there for as long as somebody is in it.
    let is_there = |bundle: &Bundle| {
        let keys = std::fs::read_to_string("/proc/keys").unwrap();
        keys.contains(&format!(" _ses.{}:", bundle.id))
    };
    for (flags, has_own) in [(&[][..], true), (&["--no-new-keyring"], false)] {
        let bundle = Bundle::program(&["sleep", "1000"]);
        bundle.succeed(&[&["create"], flags, &["ID"]].concat());
        assert_eq!(is_there(&bundle), has_own);
        bundle.succeed(&["start", "ID"]);
        bundle.succeed(&["exec", "--detach", "ID", "sleep", "1000"]);
        assert_eq!(is_there(&bundle), has_own);
    }
}
