//! The terminal: its size, raw mode, and putting it back the way it was on every way out.

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use std::io::IsTerminal;
use std::sync::{Mutex, Once, PoisonError};

/// A terminal's size in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// The size of the terminal on standard output, if it is one that has a size.
#[must_use]
pub fn stdout_size() -> Option<Size> {
    let size = tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some(Size { rows: size.ws_row, columns: size.ws_col })
}

/// Whether standard input is a terminal.
#[must_use]
pub fn stdin_is_terminal() -> bool {
    std::io::stdin().is_terminal()
}

/// Whether standard output is a terminal.
#[must_use]
pub fn stdout_is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// The settings to go back to; here rather than in [`RawMode`], because a panic in another thread
/// and a fatal signal must find them too.
static ORIGINAL: Mutex<Option<Termios>> = Mutex::new(None);

/// Standard input in raw mode, until dropped.
#[derive(Debug)]
#[must_use = "the terminal goes back to its old mode when this is dropped"]
pub struct RawMode(());

impl RawMode {
    /// Sets standard input to raw mode.
    ///
    /// # Errors
    ///
    /// When it is no terminal.
    pub fn enter() -> std::io::Result<Self> {
        static PANIC_HOOK: Once = Once::new();
        PANIC_HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore();
                before(panic);
            }));
        });
        let original = tcgetattr(std::io::stdin())?;
        let mut raw = original.clone();
        raw.make_raw();
        let mut slot = ORIGINAL.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert(original);
        tcsetattr(std::io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self(()))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

/// Puts the terminal back the way it was; does nothing when it was not changed. To be called on
/// every way out that runs no destructors.
pub fn restore() {
    let mut slot = ORIGINAL.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(original) = slot.take() {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &original);
    }
}
