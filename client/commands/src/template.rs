//! `--format`: the part of Go's text templates that people use with Docker.
//!
//! Fields and indexes, pipelines, variables, `if`, `with`, `range` with `break` and `continue`,
//! `define`, `template`, `block`, comments, trim marks; Go's functions but for `call`, for which
//! JSON has nothing; Docker's `json`, `split`, `join`, `title`, `lower`, `upper`, `pad`, `truncate`.
//!
//! Data is JSON. A row of a table can also compute fields: [`Fields`].

mod evaluate;
mod functions;
mod lex;
mod parse;
mod printf;
mod show;

use evaluate::Failed;
use parse::{Malformed, Tree};
use serde_json::Value;

/// What `.` is: JSON, or something that has named fields of its own.
pub(crate) trait Fields {
    /// A field or method, with a method's arguments; `None` when there is none of that name.
    fn field(&self, name: &str, arguments: &[Value]) -> Option<Value>;
    /// What is said of a name that there is not.
    fn lacks(&self, name: &str) -> String {
        format!("map has no entry for key {name:?}")
    }
    /// The whole as JSON, for `{{json .}}` and `{{.}}`.
    fn whole(&self) -> Value;
    /// The whole as `{{json .}}` prints it.
    fn json(&self) -> String {
        self.whole().to_string()
    }
}

impl Fields for Value {
    fn field(&self, name: &str, _: &[Value]) -> Option<Value> {
        evaluate::member(self, name).cloned()
    }

    fn whole(&self) -> Value {
        self.clone()
    }
}

/// A template that cannot be used, or failed on some data. The text is in Go's form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template: {0}")]
pub(crate) struct TemplateError(String);

/// A template, ready to be used.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    text: String,
    tree: Tree,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// When it is not well formed.
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        let tree = parse::parse(text).map_err(|Malformed { at, why }| {
            let (line, _) = position(text, at);
            TemplateError(format!(":{line}: {why}"))
        })?;
        Ok(Self { text: text.to_owned(), tree })
    }

    /// Fills it in.
    ///
    /// # Errors
    ///
    /// When the data lacks what the template names, or a function refuses its arguments.
    pub(crate) fn render(&self, data: &dyn Fields) -> Result<String, TemplateError> {
        evaluate::render(&self.tree, data, false).map_err(|failed| self.failed(&failed))
    }

    /// Fills it in with column headings: functions leave those as they are.
    ///
    /// # Errors
    ///
    /// As [`Template::render`].
    pub(crate) fn render_headings(&self, headings: &dyn Fields) -> Result<String, TemplateError> {
        evaluate::render(&self.tree, headings, true).map_err(|failed| self.failed(&failed))
    }

    fn failed(&self, Failed { spot, why }: &Failed) -> TemplateError {
        let (line, column) = position(&self.text, spot.at);
        TemplateError(format!(":{line}:{column}: executing \"\" at <{}>: {why}", spot.text))
    }

    /// Whether it names the field `name` of the row itself.
    #[must_use]
    pub(crate) fn names(&self, name: &str) -> bool {
        parse::names(&self.tree.nodes, name)
    }
}

/// Line, from 1, and byte in it, from 0.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count();
    (line + 1, at - before.rfind('\n').map_or(0, |newline| newline + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn render(template: &str, data: &Value) -> String {
        Template::parse(template).and_then(|t| t.render(data)).unwrap_or_else(|e| e.to_string())
    }

    #[test]
    fn fields_pipes_and_functions() {
        let data = json!({
            "Id": "abc", "State": {"Running": true, "Pid": 7}, "Names": ["/a", "/b"],
            "Config": {"Labels": {"x.y": "z"}, "Env": null},
        });
        for (template, wanted) in [
            ("{{.Id}} {{.State.Pid}}", "abc 7"),
            ("{{ json .State }}", r#"{"Running":true,"Pid":7}"#),
            ("{{.Id | upper}}{{upper .Id | printf \"%s!\"}}", "ABCABC!"),
            ("{{index .Names 1}}", "/b"),
            ("{{index .Config.Labels \"x.y\"}}", "z"),
            ("{{join .Names \", \"}}", "/a, /b"),
            ("{{len .Names}}", "2"),
            ("{{index (split \"a:b\" \":\") 1}}", "b"),
            ("{{range .Names}}<{{.}}>{{end}}", "</a></b>"),
            ("{{range $i, $n := .Names}}{{$i}}={{$n}};{{end}}", "0=/a;1=/b;"),
            ("{{range $k, $v := .Config.Labels}}{{$k}}:{{$v}}{{end}}", "x.y:z"),
            ("{{range .Config.Env}}x{{else}}none{{end}}", "none"),
            ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
            ("{{if eq .State.Pid 7}}yes{{end}}", "yes"),
            ("{{if and .Id (not .Config.Env)}}ok{{end}}", "ok"),
            ("{{with .State}}{{.Pid}} {{$.Id}}{{end}}", "7 abc"),
            ("{{- .Id -}}  x", "abcx"),
            ("{{/* nothing */}}x", "x"),
            ("{{truncate \"abcdef\" 3}}", "abc"),
            ("{{pad \"x\" 1 2}}|", " x  |"),
            ("{{println .Id}}", "abc\n"),
            ("{{title \"hello\"}}", "Hello"),
            ("{{.Names}}", "[/a /b]"),
            ("{{.Config.Labels}}", "map[x.y:z]"),
            ("{{$x := .Id}}{{$x}}", "abc"),
            ("{{if false}}a{{else if true}}b{{else}}c{{end}}", "b"),
            ("{{lt 1 2}} {{ge 2 3}} {{ne \"a\" \"b\"}}", "true false true"),
            ("{{slice \"abcdef\" 1 3}}", "bc"),
            ("{{printf \"%-5s|%5d|%q\" .Id 3 \"x\"}}", "abc  |    3|\"x\""),
            ("{{range 3}}{{.}}{{end}}", "012"),
            ("{{range .Names}}{{if eq . \"/a\"}}{{continue}}{{end}}{{.}}{{end}}", "/b"),
            ("{{range .Names}}{{.}}{{break}}{{end}}", "/a"),
            ("{{with .Config.Env}}x{{else with .Id}}{{.}}{{else}}y{{end}}", "abc"),
            (
                "{{define \"t\"}}[{{.}}{{$}}]{{end}}{{range .Names}}{{template \"t\" .}}{{end}}",
                "[/a/a][/b/b]",
            ),
            ("{{block \"b\" .Id}}<{{.}}>{{end}}", "<abc>"),
            ("{{\"\\u00e9\\x41\"}}{{'a'}} {{0x10}} {{1e3}} {{1.5}}", "éA97 16 1000 1.5"),
            ("{{html \"<a>\"}}{{urlquery \"a b\"}}{{js \"<\"}}", "&lt;a&gt;a+b\\u003C"),
            ("{{index .Id 0}}{{/* don't */}}", "97"),
            ("{{$n := 1}}{{if .Id}}{{$n = 2}}{{end}}{{$n}}", "2"),
        ] {
            assert_eq!(render(template, &data), wanted, "{template}");
        }
    }

    #[test]
    fn field_names_fall_back_to_another_case() {
        let data = json!({"Id": "abc", "NetworkSettings": {"IPAddress": "1"}});
        assert_eq!(render("{{.ID}}", &data), "abc");
        assert_eq!(render("{{.NetworkSettings.IPAddress}}", &data), "1");
    }

    #[test]
    fn what_is_missing_is_an_error_and_so_is_bad_syntax() {
        let data = json!({"A": {}});
        assert!(render("{{.B}}", &data).contains("map has no entry for key \"B\""));
        for (bad, words) in [
            ("{{", ":1: unclosed action"),
            ("{{.A", ":1: unclosed action"),
            ("{{end}}", ":1: unexpected {{end}}"),
            ("{{if .A}}", ":1: unexpected EOF"),
            ("{{foo .A}}", ":1: function \"foo\" not defined"),
            ("{{range}}{{end}}", ":1: missing value for range"),
            ("{{$x}}", ":1: undefined variable \"$x\""),
            ("{{break}}", ":1: {{break}} outside {{range}}"),
            ("a\n{{nope}}", ":2: function \"nope\" not defined"),
            ("{{.B}}", ":1:2: executing \"\" at <.B>: map has no entry for key \"B\""),
            ("{{.A.B}}", ":1:4: executing \"\" at <.A.B>: map has no entry for key \"B\""),
            (
                "x {{eq 1 \"a\"}}",
                ":1:4: executing \"\" at <eq 1 \"a\">: error calling eq: incompatible types for comparison",
            ),
            (
                "{{join \"a\" \",\"}}",
                ":1:7: executing \"\" at <\"a\">: wrong type for value; expected []string; got string",
            ),
            (
                "{{and}}",
                ":1:2: executing \"\" at <and>: wrong number of args for and: want at least 1 got 0",
            ),
            (
                "{{range \"a\"}}{{end}}",
                ":1:8: executing \"\" at <\"a\">: range can't iterate over a",
            ),
            (
                "{{define \"r\"}}{{template \"r\"}}{{end}}{{template \"r\"}}",
                ":1:0: executing \"\" at <>: exceeded maximum template depth",
            ),
        ] {
            assert_eq!(render(bad, &data), format!("template: {words}"));
        }
    }

    #[test]
    fn a_deep_template_is_refused_and_not_a_crash() {
        let deep = format!("{{{{{}1{}}}}}", "(".repeat(100_000), ")".repeat(100_000));
        assert!(Template::parse(&deep).is_err());
        let nested = format!("{}{}", "{{if 1}}".repeat(100_000), "{{end}}".repeat(100_000));
        assert!(Template::parse(&nested).is_err());
    }
}
