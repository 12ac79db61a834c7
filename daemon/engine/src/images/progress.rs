//! From the supervisor's account of a transfer to Docker's progress lines.

use super::short;
use contracts_engine_api::progress::{Detail, Message};
use contracts_supervisor_api::types::transfer::Progress;
use std::collections::HashMap;

/// Remembers what was told about each layer, so that no line is told twice.
#[derive(Default)]
pub(super) struct Translator {
    told: HashMap<String, &'static str>,
}

impl Translator {
    /// The lines that one message means.
    pub(super) fn lines(&mut self, progress: &Progress) -> Vec<Message> {
        let Some(layer) = &progress.desc else { return Vec::new() };
        let id = short(&layer.digest);
        let words: &[&'static str] = match progress.event.as_str() {
            "waiting" => &["Pulling fs layer", "Waiting"],
            "downloading" => &["Downloading"],
            "downloaded" => &["Verifying Checksum", "Download complete"],
            "extracting" => &["Extracting"],
            "complete" | "extracted" => &["Pull complete"],
            "exists" => &["Already exists"],
            _ => &[],
        };
        // A layer that was here before is complete without a pull.
        let was_here = self.told.get(id) == Some(&"Already exists");
        let mut lines = Vec::new();
        for word in words.iter().filter(|_| !was_here) {
            let moving = matches!(*word, "Downloading" | "Extracting");
            if !moving && self.told.get(id) == Some(word) {
                continue;
            }
            self.told.insert(id.to_owned(), word);
            lines.push(if moving {
                figures(id, word, progress.progress, progress.total)
            } else {
                Message::about(id, *word)
            });
        }
        lines
    }
}

/// A line with figures and the bar that old clients print.
fn figures(id: &str, word: &str, current: i64, total: i64) -> Message {
    if current <= 0 || total <= 0 {
        return Message::about(id, word);
    }
    Message {
        progress: bar(current, total),
        progress_detail: Some(Detail { current, total, ..Detail::default() }),
        ..Message::about(id, word)
    }
}

/// `[=====>    ]  1.2MB/3.4MB`
fn bar(current: i64, total: i64) -> String {
    const WIDTH: i64 = 50;
    let done = (current.min(total) * WIDTH / total.max(1)).clamp(0, WIDTH);
    let done = usize::try_from(done).unwrap_or_default();
    let (arrow, width) = if done < 50 { (">", 50 - done) } else { ("", 0) };
    let rest = " ".repeat(width.saturating_sub(arrow.len()));
    format!("[{}{arrow}{rest}] {:>8}/{}", "=".repeat(done), size(current), size(total))
}

/// Four digits and a decimal unit (docker/go-units `HumanSize`).
fn size(bytes: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with four digits")]
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["kB", "MB", "GB", "TB"] {
        if value < 1000.0 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    let digits = match () {
        () if unit == "B" || value >= 1000.0 => 0,
        () if value >= 100.0 => 1,
        () if value >= 10.0 => 2,
        () => 3,
    };
    let text = format!("{value:.digits$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts_supervisor_api::types::Descriptor;

    fn progress(event: &str, done: i64) -> Progress {
        Progress {
            event: event.into(),
            progress: done,
            total: 1000,
            desc: Some(Descriptor {
                digest: format!("sha256:{}", "ab".repeat(32)),
                ..Descriptor::default()
            }),
            ..Progress::default()
        }
    }

    #[test]
    fn a_layer_goes_through_dockers_words() {
        let mut translator = Translator::default();
        let mut words = Vec::new();
        for (event, done) in [
            ("waiting", 0),
            ("downloading", 500),
            ("downloaded", 1000),
            ("extracting", 10),
            ("complete", 0),
        ] {
            words.extend(translator.lines(&progress(event, done)).into_iter().map(|m| m.status));
        }
        assert_eq!(
            words,
            [
                "Pulling fs layer",
                "Waiting",
                "Downloading",
                "Verifying Checksum",
                "Download complete",
                "Extracting",
                "Pull complete",
            ]
        );
    }

    #[test]
    fn bars_have_fifty_places() {
        let line = figures("ab", "Downloading", 500, 1000);
        assert_eq!(
            line.progress,
            format!("[{}>{}] {:>8}/1kB", "=".repeat(25), " ".repeat(24), "500B")
        );
        assert_eq!(size(12_345_678), "12.35MB");
    }
}
