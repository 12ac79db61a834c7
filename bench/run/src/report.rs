//! The results as tables.

use crate::contender::Contender;
use crate::samples::Samples;
use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

/// One contender's line.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) samples: Samples,
}

/// The lines of contenders with their times.
pub(crate) fn rows(contenders: &[Contender<'_>], samples: Vec<Samples>) -> Vec<Row> {
    contenders.iter().zip(samples).map(|(c, samples)| Row { name: c.name, samples }).collect()
}

/// One section's text so far.
#[derive(Default)]
pub(crate) struct Report {
    tables: String,
    facts: String,
}

impl Report {
    /// A table of times; `base` is the contender that the others' ratios are to.
    pub(crate) fn times(&mut self, title: &str, base: &str, rows: Vec<Row>) {
        let base_row = rows.iter().find(|row| row.name == base);
        let base_times = base_row.map(|row| (row.samples.median(), row.samples.p99()));
        let _ = writeln!(
            self.tables,
            "| {title} | runs | minimum | median | p99 | median, times faster than {base} | p99, likewise |\n|---|---|---|---|---|---|---|"
        );
        for Row { name, samples } in rows {
            let (median, p99) = (samples.median(), samples.p99());
            let (base_median, base_p99) = base_times.unwrap_or_default();
            let _ = writeln!(
                self.tables,
                "| {name} | {} | {} | {} | {} | {} | {} |",
                samples.count(),
                milliseconds(samples.minimum()),
                milliseconds(median),
                milliseconds(p99),
                ratio(base_median, median),
                ratio(base_p99, p99),
            );
        }
        self.tables.push('\n');
    }

    /// A single figure.
    pub(crate) fn fact(&mut self, what: &str, value: &str) {
        let _ = writeln!(self.facts, "| {what} | {value} |");
    }

    pub(crate) fn to_markdown(&self) -> String {
        let mut text = self.tables.clone();
        if !self.facts.is_empty() {
            let _ = writeln!(text, "| figure | value |\n|---|---|\n{}", self.facts);
        }
        text
    }

    /// Replaces what is between the section's markers in LIMITS.md.
    pub(crate) fn write(&self, section: &str) -> Result<()> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("the root")?;
        let path = root.join("LIMITS.md");
        let old =
            std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        std::fs::write(&path, between_markers(&old, section, &self.to_markdown())?)?;
        Ok(())
    }
}

fn between_markers(old: &str, section: &str, new: &str) -> Result<String> {
    let [begin, end] = ["begin", "end"].map(|end| format!("<!-- bench {section}: {end} -->"));
    let (head, rest) =
        old.split_once(&begin).with_context(|| format!("no {begin} in LIMITS.md"))?;
    let (_, tail) = rest.split_once(&end).with_context(|| format!("no {end} in LIMITS.md"))?;
    Ok(format!("{head}{begin}\n{new}{end}{tail}"))
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

fn ratio(base: Duration, time: Duration) -> String {
    if base.is_zero() || time.is_zero() {
        return "–".to_owned();
    }
    format!("{:.1}", base.as_secs_f64() / time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_is_replaced() {
        let of = |section: &str, text: &str| {
            format!("<!-- bench {section}: begin -->\n{text}\n<!-- bench {section}: end -->\n")
        };
        let old = format!("head\n{}{}tail\n", of("a", "old"), of("b", "kept"));
        let new = between_markers(&old, "a", "new\n").unwrap();
        assert_eq!(new, format!("head\n{}{}tail\n", of("a", "new"), of("b", "kept")));
        assert!(between_markers("no markers", "a", "new").is_err());
    }

    #[test]
    fn ratios_are_to_the_base_contender() {
        let mut report = Report::default();
        let row = |name, time| Row { name, samples: Samples::from_milliseconds([time]) };
        report.times("title", "slow", vec![row("slow", 30.0), row("fast", 2.0)]);
        assert!(
            report.to_markdown().contains("| fast | 1 | 2.0 ms | 2.0 ms | 2.0 ms | 15.0 | 15.0 |")
        );
    }
}
