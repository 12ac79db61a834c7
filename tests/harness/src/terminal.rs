//! A program in a real terminal: tmux, driven by keys and read by screen.

use crate::{output_of, wait};
use std::ffi::OsStr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A tmux session of the test's own with one program in it; it ends on drop.
pub struct Terminal {
    socket: String,
}

impl Terminal {
    /// Starts `command` (a shell line) in a terminal of this size.
    #[must_use]
    pub fn start(command: &str, columns: u16, rows: u16) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let socket = format!("gantry-test-{}-{number}", std::process::id());
        let terminal = Self { socket };
        let _ = output_of(&mut terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            &columns.to_string(),
            "-y",
            &rows.to_string(),
            command,
        ]));
        terminal
    }

    /// Runs a command in a terminal of this size, and then says `status` and its exit code.
    #[must_use]
    pub fn run(command: &Command, columns: u16, rows: u16) -> Self {
        let quoted = |word: &OsStr| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''"));
        let variables = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
        let mut words = vec!["env".to_owned()];
        words.extend(variables.map(|(name, value)| {
            let name = name.to_string_lossy();
            format!("{name}={}", quoted(value))
        }));
        words.push(quoted(command.get_program()));
        words.extend(command.get_args().map(quoted));
        Self::start(&format!("{}; echo status $?; sleep 100", words.join(" ")), columns, rows)
    }

    fn tmux(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.args(["-L", &self.socket]).args(arguments).env("TERM", "xterm");
        command
    }

    /// Presses keys, in tmux's names (`C-c`, `Enter`).
    pub fn press(&self, keys: &[&str]) {
        let _ = output_of(&mut self.tmux(&[&["send-keys"], keys].concat()));
    }

    /// Types a line and ends it.
    pub fn line(&self, text: &str) {
        let _ = output_of(&mut self.tmux(&["send-keys", "-l", text]));
        self.press(&["Enter"]);
    }

    /// Changes the terminal's size.
    pub fn resize(&self, columns: u16, rows: u16) {
        let _ = output_of(&mut self.tmux(&[
            "resize-window",
            "-x",
            &columns.to_string(),
            "-y",
            &rows.to_string(),
        ]));
    }

    /// What the screen shows; empty once the program has ended.
    #[must_use]
    pub fn screen(&self) -> String {
        let output = self.tmux(&["capture-pane", "-p"]).output();
        output
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .unwrap_or_default()
    }

    /// Waits until the screen shows `text`.
    ///
    /// # Panics
    /// After a minute, with the screen.
    pub fn expect(&self, text: &str) {
        wait::until(&format!("{text:?} on the screen"), Duration::from_secs(60), || {
            let screen = self.screen();
            if screen.contains(text) { Ok(()) } else { Err(format!("\n{screen}")) }
        });
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]).output();
    }
}
