//! Progress streams (pull): one line for each layer on a terminal, plain lines elsewhere.

use crate::failure::Failure;
use crate::output::Out;
use crate::{quantity, terminal};
use contracts_engine_api::progress::{Detail, Message};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};

/// The longest line of a stream that is accepted.
const MAX_LINE: u64 = 1024 * 1024;
/// Narrower terminals get figures without a bar.
const BAR_NEEDS: u16 = 110;
const BAR_WIDTH: usize = 50;

/// Reads a stream of messages to its end and shows them; `None` shows nothing.
///
/// # Errors
///
/// When the stream breaks, or tells an error.
pub(crate) fn show(from: impl Read, to: Option<Out>) -> Result<(), Failure> {
    let terminal = match to {
        Some(Out::Stdout) => std::io::IsTerminal::is_terminal(&std::io::stdout()),
        Some(Out::Stderr) => std::io::IsTerminal::is_terminal(&std::io::stderr()),
        None => false,
    };
    let width = terminal::stdout_size().map_or(200, |size| size.columns);
    let mut display = Display { terminal, width, lines: HashMap::new() };
    let mut from = BufReader::with_capacity(16 * 1024, from);
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut from).take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let message: Message = contracts_engine_api::decode::from_slice(&line)
            .map_err(|error| Failure::text(format!("unreadable progress: {error}")))?;
        if let Some(error) = message.error_detail {
            return Err(Failure::text(error.message));
        }
        if !message.error.is_empty() {
            return Err(Failure::text(message.error));
        }
        if let Some(mut to) = to {
            to.write_all(display.render(&message).as_bytes())?;
        }
    }
}

struct Display {
    terminal: bool,
    width: u16,
    /// The line that belongs to an id, counted from the top.
    lines: HashMap<String, usize>,
}

impl Display {
    fn render(&mut self, message: &Message) -> String {
        let figures = message.progress_detail.as_ref().map(|detail| figures(detail, self.width));
        if !self.terminal {
            // Figures only make sense where they can be overwritten.
            return match figures {
                Some(figures) if !figures.is_empty() => String::new(),
                _ => text(message, None) + if message.stream.is_empty() { "\n" } else { "" },
            };
        }
        let body = text(message, figures.as_deref());
        if message.id.is_empty() || message.progress_detail.is_none() {
            self.lines.clear();
            let end = if message.stream.is_empty() { "\n" } else { "" };
            return body + end;
        }
        let count = self.lines.len();
        let line = *self.lines.entry(message.id.clone()).or_insert(count);
        let new = if line == count { "\n" } else { "" };
        let up = self.lines.len() - line;
        format!("{new}\x1b[{up}A\x1b[2K\r{body}\r\x1b[{up}B")
    }
}

fn text(message: &Message, figures: Option<&str>) -> String {
    if !message.stream.is_empty() {
        return message.stream.clone();
    }
    let id = if message.id.is_empty() { String::new() } else { format!("{}: ", message.id) };
    match figures {
        Some(figures) => format!("{id}{} {figures}", message.status),
        None => format!("{id}{}", message.status),
    }
}

fn figures(detail: &Detail, width: u16) -> String {
    let (current, total) = (detail.current, detail.total);
    if current <= 0 && total <= 0 {
        return String::new();
    }
    // A count of something else than bytes has no column of its own.
    let counts = match (detail.units.as_str(), total > 0 && current <= total) {
        ("", true) => format!("{:>8}/{}", bytes(current), bytes(total)),
        ("", false) => format!("{:>8}", bytes(current)),
        (units, true) => format!("{current}/{total} {units}"),
        (units, false) => format!("{current} {units}"),
    };
    if total <= 0 {
        return counts;
    }
    let done = usize::try_from(current.max(0) * 50 / total).unwrap_or(0).min(BAR_WIDTH);
    let mut out = String::new();
    if width > BAR_NEEDS {
        out = format!("[{}>{}] ", "=".repeat(done), " ".repeat(BAR_WIDTH - done));
    }
    if !detail.hidecounts {
        out += &counts;
    }
    out
}

#[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
fn bytes(count: i64) -> String {
    quantity::human_size(count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(id: &str, status: &str, current: i64, total: i64) -> Message {
        let mut message = Message::about(id, status);
        message.progress_detail = Some(Detail { current, total, ..Detail::default() });
        message
    }

    #[test]
    fn plain_output_has_no_figures() {
        let mut display = Display { terminal: false, width: 80, lines: HashMap::new() };
        assert_eq!(display.render(&layer("a", "Downloading", 5, 10)), "");
        assert_eq!(display.render(&layer("a", "Pull complete", 0, 0)), "a: Pull complete\n");
        assert_eq!(display.render(&Message::status("Digest: x")), "Digest: x\n");
    }

    #[test]
    fn a_terminal_has_a_line_for_each_layer() {
        let mut display = Display { terminal: true, width: 80, lines: HashMap::new() };
        let first = display.render(&layer("a", "Downloading", 500, 1000));
        assert_eq!(first, "\n\x1b[1A\x1b[2K\ra: Downloading     500B/1kB\r\x1b[1B");
        display.render(&layer("b", "Waiting", 0, 0));
        assert!(display.render(&layer("a", "Done", 0, 0)).starts_with("\x1b[2A"));
        assert_eq!(display.render(&Message::status("x")), "x\n");
        assert!(display.render(&layer("a", "again", 0, 0)).starts_with('\n'));
    }

    #[test]
    fn figures_are_bytes_or_a_count_of_something() {
        let detail = |current, total, units: &str| Detail {
            current,
            total,
            units: units.to_owned(),
            ..Detail::default()
        };
        for (detail, wanted) in [
            (detail(0, 0, ""), ""),
            (detail(5, 0, ""), "      5B"),
            (detail(5, 10, ""), "      5B/10B"),
            (detail(11, 10, ""), "     11B"),
            (detail(1, 0, "s"), "1 s"),
            (detail(1, 3, "files"), "1/3 files"),
        ] {
            assert_eq!(figures(&detail, 80), wanted, "{detail:?}");
        }
    }

    #[test]
    fn wide_terminals_have_a_bar() {
        let half = figures(&Detail { current: 1, total: 2, ..Detail::default() }, 120);
        assert_eq!(half, format!("[{}>{}]       1B/2B", "=".repeat(25), " ".repeat(25)));
    }
}
