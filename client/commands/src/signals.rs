//! Signals while a container is in the foreground: passed on to it, or an orderly end here.

use crate::output;
use crate::terminal;
use client_http::Client;
use signal_hook::consts::signal as number;
use signal_hook::iterator::Signals;
use std::sync::Arc;

/// What a process in the foreground is, in the API's paths.
#[derive(Clone, Debug)]
pub(crate) enum Foreground {
    /// A container's main process.
    Container(String),
    /// A further process.
    Exec(String),
}

impl Foreground {
    fn resize_path(&self) -> String {
        match self {
            Self::Container(id) => format!("/containers/{id}/resize"),
            Self::Exec(id) => format!("/exec/{id}/resize"),
        }
    }
}

/// What to do with signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Pass them on.
    PassOn,
    /// Keep the other side's terminal as large as ours, and ours tidy when we are killed.
    KeepSize,
}

/// The ones that are passed on, by the names that the API takes. Not passed on: those that
/// cannot be caught, those that mean this process alone (SIGCHLD, SIGPIPE, SIGURG and faults).
const PASSED_ON: [(i32, &str); 19] = [
    (number::SIGHUP, "HUP"),
    (number::SIGINT, "INT"),
    (number::SIGQUIT, "QUIT"),
    (number::SIGTRAP, "TRAP"),
    (number::SIGABRT, "ABRT"),
    (number::SIGUSR1, "USR1"),
    (number::SIGUSR2, "USR2"),
    (number::SIGALRM, "ALRM"),
    (number::SIGTERM, "TERM"),
    (number::SIGCONT, "CONT"),
    (number::SIGTSTP, "TSTP"),
    (number::SIGTTIN, "TTIN"),
    (number::SIGTTOU, "TTOU"),
    (number::SIGXCPU, "XCPU"),
    (number::SIGXFSZ, "XFSZ"),
    (number::SIGVTALRM, "VTALRM"),
    (number::SIGPROF, "PROF"),
    (number::SIGWINCH, "WINCH"),
    (number::SIGSYS, "SYS"),
];

/// After so many requests to end, this program ends, whatever the container does.
const PATIENCE: u32 = 3;

/// Handles signals from now on, in a thread of its own.
///
/// # Errors
///
/// When the handlers cannot be installed.
pub(crate) fn watch(
    client: &Arc<Client>,
    foreground: Foreground,
    plan: Plan,
) -> std::io::Result<()> {
    let client = Arc::clone(client);
    match plan {
        Plan::PassOn => {
            let mut signals = Signals::new(PASSED_ON.map(|(number, _)| number))?;
            std::thread::spawn(move || {
                let mut endings = 0;
                for signal in signals.forever() {
                    pass_on(&client, &foreground, signal);
                    if matches!(signal, number::SIGINT | number::SIGTERM) {
                        endings += 1;
                        if endings >= PATIENCE {
                            output::note(format!(
                                "\ngot {PATIENCE} SIGTERM/SIGINTs, forcefully exiting"
                            ));
                            std::process::exit(1);
                        }
                    }
                }
            });
        }
        Plan::KeepSize => {
            let ends = [number::SIGHUP, number::SIGINT, number::SIGQUIT, number::SIGTERM];
            let mut signals = Signals::new(ends.into_iter().chain([number::SIGWINCH]))?;
            std::thread::spawn(move || {
                for signal in signals.forever() {
                    if signal == number::SIGWINCH {
                        let _ = resize(&client, &foreground);
                    } else {
                        terminal::restore();
                        std::process::exit(128 + signal);
                    }
                }
            });
        }
    }
    Ok(())
}

fn pass_on(client: &Client, foreground: &Foreground, signal: i32) {
    let Foreground::Container(id) = foreground else { return };
    if let Some((_, name)) = PASSED_ON.iter().find(|(number, _)| *number == signal) {
        // The container may be gone, or not started yet: Docker ignores that too.
        let _ = client.post(format!("/containers/{id}/kill")).query("signal", *name).run();
    }
}

/// Tells the other side how large the terminal here is; `false` when it would not hear.
pub(crate) fn resize(client: &Client, foreground: &Foreground) -> bool {
    let Some(size) = terminal::stdout_size() else { return true };
    client
        .post(foreground.resize_path())
        .query("h", size.rows.to_string())
        .query("w", size.columns.to_string())
        .run()
        .is_ok()
}

/// [`resize`] right after the start, when the other side may not have its terminal yet: tried
/// again a few times, as Docker does.
pub(crate) fn resize_at_start(client: &Arc<Client>, foreground: &Foreground) {
    if resize(client, foreground) {
        return;
    }
    let (client, foreground) = (Arc::clone(client), foreground.clone());
    std::thread::spawn(move || {
        for attempt in 1..=10 {
            std::thread::sleep(std::time::Duration::from_millis(attempt * 10));
            if resize(&client, &foreground) {
                return;
            }
        }
    });
}
