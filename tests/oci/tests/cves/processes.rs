//! Processes that join a container: who they become, and what of the host they bring along.

use serde_json::json;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tests_harness::wait;
use tests_oci::bundle::{Bundle, runtime};

/// CVE-2016-3697: a number is a number, also where the image has a user of that name.
#[test]
fn a_user_given_by_number_is_not_looked_up_by_name() {
    let mut bundle = Bundle::script("id -u; exec sleep 1000");
    fs::write(bundle.rootfs().join("etc/passwd"), "1000:x:0:0::/:/bin/sh\n").unwrap();
    bundle.config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    bundle.succeed(&["run", "--detach", "ID"]);
    assert_eq!(bundle.succeed(&["exec", "ID", "id", "-u"]), "1000\n");
    assert_eq!(bundle.succeed(&["exec", "--user", "1000", "ID", "id", "-u"]), "1000\n");
}

/// CVE-2026-30892.
#[test]
fn a_user_that_is_no_plain_number_is_refused_or_exactly_that_user() {
    let bundle = Bundle::program(&["sleep", "1000"]);
    bundle.succeed(&["run", "--detach", "ID"]);
    let exec = |user: &str| bundle.runtime(&["exec", "--user", user, "ID", "id", "-u"]);
    for wrong in ["1000x", "1000:", ":5", "-1", "", " 1000", "0x10", "4294967296", "1000:x", "::"] {
        assert_ne!(exec(wrong).code, 0, "{wrong:?}");
    }
    for (user, uid) in [("1000", "1000\n"), ("01000", "1000\n"), ("1000:7", "1000\n")] {
        assert_eq!(exec(user).out, uid, "{user}");
    }
}

/// The kernel reads -1 as "no change", which is root.
#[test]
fn the_id_that_means_no_change_is_no_user() {
    let bundle = Bundle::program(&["sleep", "1000"]);
    bundle.succeed(&["run", "--detach", "ID"]);
    for user in ["4294967295", "1000:4294967295"] {
        let ended = bundle.runtime(&["exec", "--user", user, "ID", "id"]);
        assert_ne!(ended.code, 0, "{user}: {ended:?}");
    }
    for user in [json!({"uid": u32::MAX, "gid": 0}), json!({"uid": 0, "gid": u32::MAX})] {
        let mut bundle = Bundle::program(&["id"]);
        bundle.config["process"]["user"] = user;
        let ended = bundle.run();
        assert_ne!(ended.code, 0, "{ended:?}");
    }
}

/// CVE-2016-9962: what joins a container keeps its descriptors to itself until it is the program.
#[test]
fn a_joining_process_shows_no_descriptor_to_those_inside() {
    let bundle = Bundle::script(LOOK_AT_DESCRIPTORS);
    assert_nothing_is_found(&bundle);
}

/// The same where those inside may trace each other, all as root of their user namespace: what has
/// joined is one of them, and only that its memory is of the host's namespace protects it.
#[test]
fn a_joining_process_shows_no_descriptor_to_a_user_namespace_s_root() {
    let mut bundle = Bundle::script(LOOK_AT_DESCRIPTORS);
    let all = json!([{"containerID": 0, "hostID": 0, "size": 65536}]);
    bundle.config["linux"]["uidMappings"] = all.clone();
    bundle.config["linux"]["gidMappings"] = all;
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    let features: serde_json::Value = serde_json::from_str(&bundle.succeed(&["features"])).unwrap();
    for set in ["bounding", "effective", "permitted"] {
        bundle.config["process"]["capabilities"][set] = features["linux"]["capabilities"].clone();
    }
    assert_nothing_is_found(&bundle);
}

/// Notes folders that other processes' descriptors lead to.
const LOOK_AT_DESCRIPTORS: &str = "
    while :; do for file in /proc/[0-9]*/fd/[3-9] /proc/[0-9]*/fd/[1-9][0-9]; do
        case $file in /proc/1/*|'/proc/[0-9]'*) ;; *) [ -d $file ] && echo $file >>/found ;; esac
    done; done";

fn assert_nothing_is_found(bundle: &Bundle) {
    bundle.succeed(&["run", "--detach", "ID"]);
    for _ in 0..200 {
        bundle.succeed(&["exec", "ID", "true"]);
    }
    let found = fs::read_to_string(bundle.rootfs().join("found")).unwrap_or_default();
    assert_eq!(found, "");
}

/// CVE-2019-5736: a process of the container gets hold of the runtime's own file, waits until that
/// is not being executed any more, and writes to it.
#[test]
fn the_runtime_s_file_cannot_be_overwritten_from_inside() {
    let bundle = Bundle::program(&["sleep", "1000"]);
    let copy = bundle.path().join("runtime");
    fs::copy(runtime(), &copy).unwrap();
    assert_eq!(bundle.end_of(bundle.command(&copy, &["run", "--detach", "ID"])).code, 0);
    // It waits for its standard input, inside.
    let mut victim = Interactive::start(
        bundle.command(&copy, &["exec", "ID", "/proc/self/exe", "update", "--resources", "-", "x"]),
    );
    wait::until("the runtime to run inside", Duration::from_secs(60), || {
        // One that only joined still has the command line with which it was called.
        let look =
            "for file in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$file; echo; done 2>/dev/null";
        let inside = bundle.succeed(&["exec", "ID", "sh", "-c", look]);
        let runs = inside.lines().any(|line| line.starts_with("/proc/self/exe "));
        if runs { Ok(()) } else { Err(inside) }
    });
    let script = "
        for folder in /proc/[0-9]*; do
            case $(tr '\\0' ' ' <$folder/cmdline) in
                /proc/self/exe*) exec 9<$folder/exe; echo have it ;;
            esac
        done
        echo that is all
        read go
        (echo overwritten >/proc/self/fd/9) && echo written";
    let mut attacker =
        Interactive::start(bundle.command(&copy, &["exec", "ID", "sh", "-c", script]));
    attacker.expect("have it");
    attacker.expect("that is all");
    victim.hang_up();
    victim.wait();
    attacker.say("go");
    let said = attacker.rest();
    assert_eq!(said, "", "the file was written to");
    assert!(fs::read(&copy).unwrap() == fs::read(runtime()).unwrap(), "the file has changed");
}

/// The same with the runtime's file as the container's own program.
#[test]
fn the_runtime_s_file_as_entry_point_cannot_be_overwritten_either() {
    let bundle = Bundle::program(&["/proc/self/exe", "update", "--resources", "-", "x"]);
    let copy = bundle.path().join("runtime");
    fs::copy(runtime(), &copy).unwrap();
    let mut victim = Interactive::start(bundle.command(&copy, &["run", "ID"]));
    wait::until("the container to run", Duration::from_secs(60), || {
        let ended = bundle.runtime(&["exec", "ID", "true"]);
        if ended.code == 0 { Ok(()) } else { Err(ended.err) }
    });
    let script = "exec 9</proc/1/exe; (echo x >/proc/1/exe) && echo written; (echo x >/proc/self/fd/9) && echo written; true";
    assert_eq!(bundle.runtime(&["exec", "ID", "sh", "-c", script]).out, "");
    victim.hang_up();
    victim.wait();
    assert!(fs::read(&copy).unwrap() == fs::read(runtime()).unwrap(), "the file has changed");
}

/// CVE-2022-27650, CVE-2022-29162, CVE-2025-27612.
#[test]
fn a_joining_process_has_no_inheritable_capability_and_none_that_it_was_not_given() {
    let bundle = Bundle::script("grep Cap /proc/self/status; exec sleep 1000");
    bundle.succeed(&["run", "--detach", "ID"]);
    let sets = |args: &[&str]| {
        let look: &[&str] = &["ID", "grep", "Cap", "/proc/self/status"];
        Sets::read(&bundle.succeed(&[&["exec"], args, look].concat()))
    };
    let init = Sets::read(&fs::read_to_string(format!("/proc/{}/status", bundle.pid())).unwrap());
    assert_eq!((init.inheritable, init.ambient), (0, 0));
    assert_eq!(sets(&[]), init);
    let more = sets(&["--cap", "CAP_NET_RAW"]);
    assert_eq!((more.inheritable, more.ambient), (0, 0));
    assert_eq!(more.effective, init.effective | 1 << 13);
    let user = sets(&["--user", "1000", "--cap", "CAP_NET_RAW"]);
    assert_eq!((user.inheritable, user.ambient), (0, 0));
    assert_eq!(user.permitted & !more.permitted, 0);
    // A process document that says nothing of capabilities.
    let document = bundle.path().join("process.json");
    let process = json!({
        "args": ["grep", "Cap", "/proc/self/status"], "cwd": "/", "user": {"uid": 0, "gid": 0},
        "env": ["PATH=/bin"],
    });
    fs::write(&document, process.to_string()).unwrap();
    let said = bundle.succeed(&["exec", "--process", &document.to_string_lossy(), "ID"]);
    assert_eq!(Sets::read(&said), init);
}

/// CVE-2024-21626, first and second form: a working directory behind a descriptor.
#[test]
fn a_working_directory_behind_a_descriptor_is_not_entered() {
    for number in 3..40 {
        let mut bundle = Bundle::script("pwd; ls");
        bundle.config["process"]["cwd"] = json!(format!("/proc/self/fd/{number}"));
        let ended = with_folders_open(&bundle, &["run", "ID"]);
        assert_ne!(ended.0, 0, "{number}: {ended:?}");
        assert_eq!(ended.1, "", "{number}");
    }
    let mut bundle = Bundle::script("pwd; ls");
    bundle.link("trap", Path::new("/proc/self/fd/7"));
    bundle.config["process"]["cwd"] = json!("/trap");
    assert_ne!(with_folders_open(&bundle, &["run", "ID"]).0, 0);

    let bundle = Bundle::program(&["sleep", "1000"]);
    bundle.link("trap", Path::new("/proc/self/fd/7"));
    bundle.succeed(&["run", "--detach", "ID"]);
    let folders = (3..40).map(|number| format!("/proc/self/fd/{number}"));
    for folder in folders.chain(["/trap".to_owned()]) {
        let ended = with_folders_open(&bundle, &["exec", "--cwd", &folder, "ID", "ls"]);
        assert_ne!(ended.0, 0, "{folder}: {ended:?}");
        assert_eq!(ended.1, "", "{folder}");
    }
}

/// CVE-2024-21626, third form: a program, or an image's link to one, behind a descriptor. It would be
/// a file of the host, and so open to being overwritten by its process.
#[test]
fn a_program_behind_a_descriptor_is_not_executed() {
    let programs = (3..40)
        .map(|number| format!("/proc/self/fd/{number}/../../../../../../../../bin/busybox"))
        .chain(["/trap".to_owned()]);
    for program in programs {
        let bundle = Bundle::program(&[&program, "echo", "out"]);
        bundle.link("trap", Path::new("/proc/self/fd/7/bin/busybox"));
        let ended = with_folders_open(&bundle, &["run", "ID"]);
        assert_ne!(ended.0, 0, "{program}: {ended:?}");
        assert_eq!(ended.1, "", "{program}");
        let mut bundle = bundle;
        bundle.config["process"]["args"] = json!(["sleep", "1000"]);
        let _ = bundle.runtime(&["delete", "--force", "ID"]);
        bundle.succeed(&["run", "--detach", "ID"]);
        let ended = with_folders_open(&bundle, &["exec", "ID", &program, "echo", "out"]);
        assert_ne!(ended.0, 0, "{program}: {ended:?}");
        assert_eq!(ended.1, "", "{program}");
    }
}

/// CVE-2024-21626: nothing that the caller left open is passed on.
#[test]
fn a_program_has_its_three_descriptors_and_no_other() {
    let bundle = Bundle::script("ls /proc/self/fd | grep -v ^3$; exec sleep 1000");
    // The fourth is the listing's own.
    let look = ["exec", "ID", "sh", "-c", "ls /proc/self/fd | grep -v ^3$"];
    let ended = with_folders_open(&bundle, &["run", "--detach", "ID"]);
    assert_eq!(ended.0, 0, "{ended:?}");
    assert_eq!(with_folders_open(&bundle, &look).1, "0\n1\n2\n");
}

/// A number that nobody opened is not filled with one of the runtime's own.
#[test]
fn descriptors_to_be_passed_on_must_exist() {
    let bundle = Bundle::script("ls -l /proc/self/fd");
    let ended = bundle.runtime(&["run", "--preserve-fds", "9", "ID"]);
    assert_ne!(ended.code, 0, "{ended:?}");
}

/// Runs a command of the runtime whose caller has folders of the host open; exit code, output.
fn with_folders_open(bundle: &Bundle, args: &[&str]) -> (i32, String, String) {
    let inner = bundle.command(&runtime(), args);
    let mut command = Command::new("sh");
    command.args(["-c", "exec 7</ 8</etc; exec \"$@\"", "sh"]).arg(inner.get_program());
    command.args(inner.get_args()).current_dir(bundle.path()).stdin(Stdio::null());
    let ended = bundle.end_of(command);
    (ended.code, ended.out, ended.err)
}

/// Capability sets, as `/proc/<pid>/status` tells them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sets {
    inheritable: u64,
    permitted: u64,
    effective: u64,
    bounding: u64,
    ambient: u64,
}

impl Sets {
    fn read(status: &str) -> Self {
        let bits = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let line = line.unwrap_or_else(|| panic!("{name} in {status}"));
            u64::from_str_radix(line.trim(), 16).expect("a hexadecimal number")
        };
        Self {
            inheritable: bits("CapInh:"),
            permitted: bits("CapPrm:"),
            effective: bits("CapEff:"),
            bounding: bits("CapBnd:"),
            ambient: bits("CapAmb:"),
        }
    }
}

/// A command that is spoken with.
struct Interactive {
    process: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Interactive {
    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().expect("start the runtime");
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        Self { process, output }
    }

    fn expect(&mut self, wanted: &str) {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("read a line");
        assert_eq!(line.trim_end(), wanted);
    }

    fn say(&mut self, line: &str) {
        let stdin = self.process.stdin.as_mut().expect("it was not hung up");
        writeln!(stdin, "{line}").expect("write a line");
    }

    fn hang_up(&mut self) {
        drop(self.process.stdin.take());
    }

    fn wait(&mut self) {
        let _ = self.process.wait().expect("wait for the runtime");
    }

    fn rest(mut self) -> String {
        let mut text = String::new();
        self.output.read_to_string(&mut text).expect("read to the end");
        self.wait();
        text
    }
}
