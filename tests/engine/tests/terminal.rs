//! Interactive use on a real terminal.

#![forbid(unsafe_code)]

use std::time::Duration;
use tests_engine::Stage;
use tests_harness::terminal::Terminal;
use tests_harness::wait;

#[test]
fn bash_has_a_terminal_that_is_resized_interrupted_detached_and_attached_again() {
    let stage = Stage::with(&["debian"]);
    for client in stage.clients() {
        let terminal = Terminal::start(
            &format!(
                "{}; echo status $?; sleep 100",
                client.line("run -it --name shell debian bash")
            ),
            100,
            30,
        );
        terminal.expect("root@");
        // A client sends a new size when it comes to it, an old one its first, too.
        terminal.line("until stty size | grep '30 100'; do sleep 0.1; done; tty");
        terminal.expect("\n30 100");
        terminal.expect("/dev/pts/0");
        terminal.resize(90, 20);
        terminal.line("until stty size | grep '20 90'; do sleep 0.1; done");
        terminal.expect("\n20 90");
        // The terminal drops what was typed before Ctrl-C: each key waits for the screen.
        terminal.line("echo then; sleep 1000");
        terminal.expect("\nthen");
        terminal.press(&["C-c"]);
        terminal.expect("^C");
        terminal.line("echo after-$((40+2))");
        terminal.expect("after-42");
        terminal.press(&["C-p", "C-q"]);
        terminal.expect("status 0");
        assert_eq!(client.ok(&["inspect", "-f", "{{.State.Status}}", "shell"]), "running");
        drop(terminal);

        let terminal = Terminal::start(
            &format!("{}; echo status $?; sleep 100", client.line("attach shell")),
            80,
            24,
        );
        terminal.line("echo again-$((1+1)); exit 5");
        terminal.expect("again-2");
        terminal.expect("status 5");
        let _ = client.ok(&["rm", "shell"]);
    }
}

#[test]
fn exec_has_a_terminal_of_its_own() {
    let stage = Stage::with(&["busybox"]);
    for client in stage.clients() {
        let _ = client.ok(&["run", "-d", "--name", "host", "busybox", "sleep", "1000"]);
        let terminal = Terminal::start(
            &format!("{}; echo status $?; sleep 100", client.line("exec -it host sh")),
            70,
            20,
        );
        terminal.expect("#");
        terminal.line("until stty size | grep '20 70'; do sleep 0.1; done; exit 6");
        terminal.expect("\n20 70");
        terminal.expect("status 6");
        drop(terminal);
        let _ = client.ok(&["rm", "-f", "host"]);
        wait::until("the container to be gone", Duration::from_secs(60), || {
            let left = client.ok(&["ps", "-aq"]);
            if left.is_empty() { Ok(()) } else { Err(left) }
        });
    }
}
