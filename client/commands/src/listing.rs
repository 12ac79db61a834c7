//! Lists: Docker's tables, `--format`, `--quiet`.

use crate::failure::Failure;
use crate::output;
use crate::template::{Fields, Template, TemplateError};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// One thing in a list: its placeholders, and its labels for `{{.Label "x"}}`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    /// Placeholder and value, all that `{{json .}}` shows.
    pub fields: Vec<(&'static str, Value)>,
    /// The labels.
    pub labels: BTreeMap<String, String>,
}

impl Row {
    /// A row without labels.
    #[must_use]
    pub(crate) fn new(fields: Vec<(&'static str, Value)>) -> Self {
        Self { fields, labels: BTreeMap::new() }
    }
}

impl Fields for Row {
    fn field(&self, name: &str, arguments: &[Value]) -> Option<Value> {
        if let ("Label", [Value::String(label)]) = (name, arguments) {
            let value = self.labels.get(label).cloned().unwrap_or_default();
            return Some(Value::String(value));
        }
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    }

    fn json(&self) -> String {
        // Go writes the rows of lists with these escaped, and other values as they are.
        let text = self.whole().to_string();
        text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
    }

    fn whole(&self) -> Value {
        let mut fields: Vec<_> = self.fields.clone();
        fields.sort_by_key(|(name, _)| *name);
        Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

/// Column headings in place of values.
struct Headings(&'static [(&'static str, &'static str)]);

impl Fields for Headings {
    fn field(&self, name: &str, arguments: &[Value]) -> Option<Value> {
        if let ("Label", [Value::String(label)]) = (name, arguments) {
            let last = label.rsplit('.').next().unwrap_or(label);
            return Some(Value::String(last.replace(['-', '_'], " ")));
        }
        let heading = self.0.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
        heading.map(|text| Value::String(text.to_owned()))
    }

    fn whole(&self) -> Value {
        let pairs = self.0.iter().map(|(name, text)| ((*name).to_owned(), Value::from(*text)));
        Value::Object(pairs.collect::<Map<_, _>>())
    }
}

/// How a list is to be shown.
#[derive(Debug)]
pub(crate) struct Format {
    template: Template,
    table: bool,
}

impl Format {
    /// Reads `--format`: empty and `table` are `default`, which is a table; `table TEMPLATE`;
    /// `json`; a template.
    ///
    /// # Errors
    ///
    /// When the template is not well formed.
    pub(crate) fn parse(text: &str, default: &str) -> Result<Self, Failure> {
        let (table, template) = match text.trim() {
            "" | "table" => (true, default),
            "json" => (false, "{{json .}}"),
            text => match text.strip_prefix("table ") {
                Some(template) => (true, template.trim()),
                None => (false, text),
            },
        };
        let template = template.replace("\\t", "\t").replace("\\n", "\n");
        let template = Template::parse(&template)
            .map_err(|error| Failure::text(format!("template parsing error: {error}")))?;
        Ok(Self { template, table })
    }

    /// Whether a placeholder is used.
    #[must_use]
    pub(crate) fn names(&self, placeholder: &str) -> bool {
        self.template.names(placeholder)
    }

    /// The rows as text.
    ///
    /// # Errors
    ///
    /// When the template names a placeholder that there is not.
    pub(crate) fn render(
        &self,
        headings: &'static [(&'static str, &'static str)],
        rows: &[Row],
    ) -> Result<String, Failure> {
        let mut out = String::new();
        if self.table {
            let line = self.template.render_headings(&Headings(headings)).map_err(failed)?;
            out.push_str(&line);
            out.push('\n');
        }
        for row in rows {
            out.push_str(&self.template.render(row).map_err(failed)?);
            out.push('\n');
        }
        Ok(if self.table { align(&out) } else { out })
    }

    /// Prints the rows.
    ///
    /// # Errors
    ///
    /// As [`Format::render`].
    pub(crate) fn print(
        &self,
        headings: &'static [(&'static str, &'static str)],
        rows: &[Row],
    ) -> Result<(), Failure> {
        output::print(&self.render(headings, rows)?)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is the argument of map_err")]
fn failed(error: TemplateError) -> Failure {
    Failure::text(format!("template parsing error: {error}"))
}

/// Docker's exit code for a template that cannot be used (BSD's `EX_USAGE`).
const BAD_TEMPLATE: i32 = 64;

/// What is said about a template for one thing that cannot be used.
#[must_use]
#[expect(clippy::needless_pass_by_value, reason = "it is the argument of map_err")]
pub(crate) fn bad_template(error: TemplateError) -> Failure {
    Failure::message(BAD_TEMPLATE, format!("template parsing error: {error}"))
}

/// A cell is at least this wide, and followed by so many spaces (docker/cli `formatter.go`).
const NARROWEST: usize = 10;
const GAP: usize = 3;

/// Lines up tab-separated columns, as Go's tabwriter does with Docker's settings: a column is a
/// run of lines that have it, and the last cell of a line belongs to none.
#[must_use]
pub(crate) fn align(text: &str) -> String {
    align_with(text, NARROWEST, GAP)
}

/// [`align`] with another least width and gap.
#[must_use]
pub(crate) fn align_with(text: &str, narrowest: usize, gap: usize) -> String {
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    let mut out = String::with_capacity(text.len() * 2);
    // For each column, the lines of its run below the current one (that one included) and how
    // wide it is; found once for each run, so that long lists stay linear.
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (index, cells) in lines.iter().enumerate() {
        for (column, cell) in cells.iter().enumerate() {
            out.push_str(cell);
            if column + 1 == cells.len() {
                runs.truncate(column);
                continue;
            }
            match runs.get_mut(column) {
                Some((left, _)) if *left > 0 => *left -= 1,
                _ => {
                    let (length, width) = run(&lines[index..], column);
                    runs.resize(column, (0, 0));
                    runs.push((length - 1, width));
                }
            }
            let width = runs[column].1;
            let room = if width == 0 { narrowest } else { (width + gap).max(narrowest) };
            let used = cell.chars().count();
            out.extend(std::iter::repeat_n(' ', room.saturating_sub(used)));
        }
        out.push('\n');
    }
    out
}

/// How many of these lines have the column one after the other, and their widest cell there.
fn run(lines: &[Vec<&str>], column: usize) -> (usize, usize) {
    let cells = lines.iter().take_while(|line| line.len() > column + 1).map(|line| line[column]);
    cells.fold((0, 0), |(count, widest), cell| (count + 1, widest.max(cell.chars().count())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADINGS: &[(&str, &str)] = &[("ID", "CONTAINER ID"), ("Names", "NAMES")];

    fn rows() -> Vec<Row> {
        let mut row = Row::new(vec![("ID", "abc".into()), ("Names", "x".into())]);
        row.labels.insert("a.b".into(), "c".into());
        vec![row]
    }

    fn shown(format: &str) -> String {
        let format = Format::parse(format, "table {{.ID}}").unwrap();
        format.render(HEADINGS, &rows()).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn tables_have_headings_and_templates_have_none() {
        assert_eq!(shown("table {{.ID}}\\t{{.Names}}"), "CONTAINER ID   NAMES\nabc            x\n");
        assert_eq!(shown("{{.ID}}:{{.Names}}"), "abc:x\n");
        assert_eq!(shown("json"), "{\"ID\":\"abc\",\"Names\":\"x\"}\n");
        assert_eq!(
            shown("table {{truncate .ID 2}}\t{{.Label \"a.b\"}}"),
            "CONTAINER ID   b\nab             c\n"
        );
        assert!(shown("{{.Foo}}").contains("Foo"));
    }

    #[test]
    fn columns_are_never_narrower_than_ten() {
        assert_eq!(align("A\tB\tC\n1\t\t3\n"), "A         B         C\n1                   3\n");
    }

    #[test]
    fn a_column_ends_with_the_lines_that_have_it() {
        assert_eq!(
            align_with("a\tb\tc\nlonger\td\nalone\nx\ty\twide\tz\nxx\ty\tw\tz\n", 0, 1),
            "a      b c\nlonger d\nalone\nx  y wide z\nxx y w    z\n"
        );
    }
}
