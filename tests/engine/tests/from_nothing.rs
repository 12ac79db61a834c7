//! One command on a machine without a daemon.

#![forbid(unsafe_code)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use tests_harness::{Daemon, describe, programs};

/// Runs a script where the default roots are empty, and ends the daemon that it left running.
fn on_a_bare_machine(script: &str) -> Output {
    let prologue = r#"
        set -eu
        mount --make-rprivate /
        for root in /run/gantry /var/lib/gantry; do
            mkdir -p "$root"
            mount -t tmpfs -o mode=755 tmpfs "$root"
        done
        unset DOCKER_HOST DOCKER_CONTEXT
        leave() {
            for file in /run/gantry/gantryd.pid /run/gantry/supervisor/supervisor.pid; do
                pid=$(cat "$file" 2>/dev/null) || continue
                kill "$pid" 2>/dev/null || continue
                # The next one has the same bridge: it must not meet this one taking it away.
                while readlink "/proc/$pid/exe" >/dev/null 2>&1; do sleep 0.02; done
            done
        }
        trap leave EXIT
    "#;
    Command::new("unshare")
        .args(["--mount", "sh", "-c", &format!("{prologue}\n{script}")])
        .env(
            "PATH",
            format!("{}:{}", programs().display(), std::env::var("PATH").unwrap_or_default()),
        )
        .output()
        .expect("start unshare")
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", describe(output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn hello_world_runs_though_no_registry_can_be_reached() {
    let output = on_a_bare_machine(
        "gantry image ls -q; gantry run --rm hello-world; gantry ps -aq; gantry image ls --format '{{.Repository}}:{{.Tag}}'",
    );
    let printed = stdout(&output);
    assert!(
        printed.starts_with("\nHello from Gantry!") || printed.contains("Hello from Gantry!"),
        "{printed}"
    );
    assert!(printed.ends_with("hello-world:latest\n"), "{printed}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("Unable to find image 'hello-world:latest' locally"), "{told}");
    assert!(told.contains("built-in") || printed.contains("built-in"), "{told}{printed}");
}

#[test]
fn two_clients_at_once_start_one_daemon() {
    let output = on_a_bare_machine(
        r#"
        for i in 1 2 3 4; do gantry version -f '{{.Server.Version}}' >"/run/gantry/out$i" 2>>/run/gantry/told & done
        wait
        cat /run/gantry/out*
        cat /run/gantry/told >&2
        count=0
        for link in /proc/[0-9]*/exe; do
            case "$(readlink "$link")" in */gantryd)
                [ "$(readlink "${link%exe}ns/mnt")" = "$(readlink /proc/self/ns/mnt)" ] && count=$((count+1)) ;;
            esac
        done
        echo "daemons: $count"
        "#,
    );
    let printed = stdout(&output);
    assert!(printed.ends_with("daemons: 1\n"), "{}", describe(&output));
    assert_eq!(printed.lines().count(), 5, "{}", describe(&output));
}

#[test]
fn a_killed_daemon_is_replaced_and_adopts_what_runs() {
    let output = on_a_bare_machine(
        r#"
        gantry run -d --name first --entrypoint /hello hello-world >/dev/null 2>&1
        old=$(cat /run/gantry/gantryd.pid)
        kill -9 "$old"
        gantry ps -a --format '{{.Names}}'
        new=$(cat /run/gantry/gantryd.pid)
        [ "$old" != "$new" ] && echo replaced
        gantry rm -f first >/dev/null
        "#,
    );
    assert_eq!(stdout(&output), "first\nreplaced\n", "{}", describe(&output));
}

#[test]
fn who_may_not_open_the_socket_gets_the_clients_part_and_what_to_do() {
    let daemon = Daemon::start(&[]);
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(daemon.scratch(), open.clone()).unwrap();
    // A copy that anybody may execute, wherever the checkout is.
    let client = daemon.scratch().join("gantry");
    std::fs::copy(programs().join("gantry"), &client).unwrap();
    std::fs::set_permissions(&client, open).unwrap();
    for command in ["version", "info"] {
        let output = as_nobody(&daemon, &client, &[command]);
        assert!(!output.status.success(), "{}", describe(&output));
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(printed.starts_with("Client:"), "{printed}");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains("permission denied while trying to connect to the"), "{error}");
        assert!(error.contains("group"), "{error}");
    }
    let output = as_nobody(&daemon, &client, &["ps"]);
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
}

fn as_nobody(daemon: &Daemon, client: &Path, arguments: &[&str]) -> Output {
    Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(client)
        .arg("-H")
        .arg(daemon.host())
        .args(arguments)
        .env("HOME", "/nonexistent")
        .output()
        .expect("start setpriv")
}
