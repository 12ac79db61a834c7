//! `--format`: the part of Go's text templates that people use with Docker.
//!
//! Fields and indexes, pipelines, variables, `if`/`else if`/`with`/`range`/`end`, comments, trim
//! marks; Go's comparison and logic functions, `index`, `len`, `slice`, `print`, `printf`,
//! `println`, and Docker's `json`, `split`, `join`, `title`, `lower`, `upper`, `pad`, `truncate`,
//! `table`. Not there: `define`, `template`, `block`, `call`.
//!
//! Data is JSON. A row of a table can also compute fields: [`Fields`].

mod evaluate;
mod functions;
mod lex;
mod parse;
mod show;

use parse::Node;
use serde_json::Value;

/// What `.` is: JSON, or something that has named fields of its own.
pub(crate) trait Fields {
    /// A field or method, with a method's arguments; `None` when there is none of that name.
    fn field(&self, name: &str, arguments: &[Value]) -> Option<Value>;
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
#[error("template: :1: {0}")]
pub(crate) struct TemplateError(String);

/// A template, ready to be used.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    nodes: Vec<Node>,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// When it is not well formed.
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        parse::parse(text).map(|nodes| Self { nodes }).map_err(TemplateError)
    }

    /// Fills it in.
    ///
    /// # Errors
    ///
    /// When the data lacks what the template names, or a function refuses its arguments.
    pub(crate) fn render(&self, data: &dyn Fields) -> Result<String, TemplateError> {
        evaluate::render(&self.nodes, data, false).map_err(TemplateError)
    }

    /// Fills it in with column headings: functions leave those as they are.
    ///
    /// # Errors
    ///
    /// As [`Template::render`].
    pub(crate) fn render_headings(&self, headings: &dyn Fields) -> Result<String, TemplateError> {
        evaluate::render(&self.nodes, headings, true).map_err(TemplateError)
    }

    /// Whether it names the field `name` of the row itself.
    #[must_use]
    pub(crate) fn names(&self, name: &str) -> bool {
        parse::names(&self.nodes, name)
    }
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
        assert!(render("{{.A.B}}", &data).contains("<.A.B>"));
        for bad in ["{{", "{{.A", "{{end}}", "{{if .A}}", "{{foo .A}}", "{{range}}{{end}}"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
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
