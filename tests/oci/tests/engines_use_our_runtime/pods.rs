//! Pods of podman's: containers that share the namespaces of an infra container.

use crate::IMAGE;
use std::time::Duration;
use tests_harness::{Podman, wait};
use tests_oci::bundle::runtime;

#[test]
fn containers_of_a_pod_share_its_namespaces_and_go_with_it() {
    let podman = Podman::new(&runtime(), IMAGE);
    let infra = ["--infra-image", IMAGE, "--infra-command", "sleep 1000"];
    let shared = ["--share", "net,ipc,uts,pid", "--network", "none", "--name", "pod"];
    let _ = podman.ok(&[&["pod", "create"], infra.as_slice(), &shared].concat());
    let run = |name: &str, command: &[&str]| {
        let all = ["run", "-d", "--pod", "pod", "--name", name, IMAGE];
        let _ = podman.ok(&[&all, command].concat());
    };
    let serve = "echo from the web >/tmp/index.html; exec httpd -f -p 127.0.0.1:80 -h /tmp";
    run("web", &["sh", "-c", serve]);
    run("visitor", &["sleep", "1000"]);
    let exec = |command: &[&str]| podman.ok(&[&["exec", "visitor"], command].concat());

    wait::until("the web server of the same pod", Duration::from_secs(60), || {
        let fetch = ["exec", "visitor", "wget", "-qO-", "http://127.0.0.1/"];
        let output = podman.command(&fetch).output().expect("start podman");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if text == "from the web\n" { Ok(()) } else { Err(tests_harness::describe(&output)) }
    });
    assert!(exec(&["ps"]).contains("httpd"), "{}", exec(&["ps"]));
    let namespaces = ["net", "ipc", "uts", "pid"].map(|name| format!("/proc/self/ns/{name}"));
    for path in &namespaces {
        let of = |name: &str| podman.ok(&["exec", name, "readlink", path]);
        assert_eq!(of("web"), of("visitor"), "{path}");
        assert_ne!(
            of("web"),
            std::fs::read_link(path).expect("a namespace").display().to_string(),
            "{path}"
        );
    }
    let root = |name: &str| podman.ok(&["exec", name, "readlink", "/proc/self/ns/mnt"]);
    assert_ne!(root("web"), root("visitor"));

    let state = || podman.ok(&["pod", "inspect", "--format", "{{.State}}", "pod"]);
    assert_eq!(state(), "Running");
    let _ = podman.ok(&["pod", "pause", "pod"]);
    assert_eq!(podman.ok(&["inspect", "-f", "{{.State.Status}}", "web"]), "paused");
    let _ = podman.ok(&["pod", "unpause", "pod"]);
    let stats = podman.ok(&["pod", "stats", "--no-stream", "--format", "{{.Name}}", "pod"]);
    assert!(stats.contains("visitor") && stats.contains("web"), "{stats}");
    let _ = podman.ok(&["pod", "stop", "-t", "0", "pod"]);
    assert_eq!(state(), "Exited");
    let _ = podman.ok(&["pod", "start", "pod"]);
    assert_eq!(state(), "Running");
    let _ = podman.ok(&["pod", "stop", "-t", "0", "pod"]);
    let _ = podman.ok(&["pod", "rm", "pod"]);
    assert_eq!(podman.ok(&["ps", "-aq"]), "");
}
