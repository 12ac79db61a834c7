//! `--format` beside Docker's client: Go's templates on contexts, for which no daemon is needed.

#![forbid(unsafe_code)]

use tests_cli::{Outcome, call_at, docker, gantry, major_version};

/// Templates, one a line; each is used for a list and for one thing.
const TEMPLATES: &str = r#"{{.Name}}
{{json .Name}}
{{upper .Name}} {{lower .Name}} {{title .Name}}
{{pad .Name 2 3}}|{{truncate .Name 2}}
{{join (split .Name "a") "-"}} {{split .Name "a"}}
{{len .Name}} {{slice .Name 1 2}} {{index .Name 0}}
{{printf "%s|%10s|%-10s|%q|%v|%x|%d" .Name .Name .Name .Name .Name .Name 5}}
{{printf "%5.2f %t %c %U" 3.25 true 65 65}}
{{printf "%d" .Name}} {{printf "%!"}} {{printf "%s"}} {{printf "a" 1}}
{{printf "%v %v" true nil}} {{print .Name 1 2 "x" 3}} {{println .Name 5}}
{{html "<a>"}} {{js "<"}} {{urlquery .Name "a b"}}
{{eq .Name "far"}} {{ne .Name "far"}} {{lt 1 2}} {{ge "b" "a"}} {{eq .Name "x" "far"}}
{{and .Name ""}} {{or "" .Name}} {{not .Name}}
{{$x := .Name}}{{$x}} {{$y := 5}}{{$y = 6}}{{$y}}
{{if and (eq .Name "far") (ne .Name "x")}}both{{else if .Name}}one{{else}}none{{end}}
{{with .Name}}{{.}}{{else}}no{{end}} {{with ""}}x{{else with .Name}}{{.}}{{end}}
{{/* it's nothing */}}x {{- .Name -}} y
{{"quoted\ttab\u00e9\x41"}} {{1}} {{1.5}} {{0x10}} {{1e3}} {{'a'}} {{true}}
{{define "t"}}[{{.}}]{{end}}{{template "t" .Name}} {{block "b" .Name}}<{{.}}>{{end}}
{{range $i, $c := split .Name ""}}{{if $i}},{{end}}{{$c}}{{end}}
{{range split .Name ""}}{{if eq . "a"}}{{continue}}{{end}}{{.}}{{end}}
{{range split .Name ""}}{{if eq . "a"}}{{break}}{{end}}{{.}}{{else}}none{{end}}
{{range 3}}{{.}}{{end}} {{(len .Name) | printf "%03d"}}
{{.Name | upper | printf "%s-%s" "a"}}
{{.Name.Foo}}
{{.Name
{{
{{}}
{{end}}
{{else}}
{{if .Name}}x
{{if}}x{{end}}
{{range}}
{{range .Name}}x{{end}}
{{nope .Name}}
{{$nope}}
{{break}}
{{join .Name ","}}
{{eq 1 "a"}}
{{lt "a" 1}}
{{len 5}}
{{and}}
{{eq}}
{{upper}}
{{upper .Name .Name}}
{{"a" "b"}}
{{ "a\qb" }}
{{1x}}
{{template}}
{{define "x"}}
"#;

#[test]
fn templates_give_what_docker_s_give_and_fail_as_they_fail() {
    let (docker, gantry) = (docker(), gantry());
    let home = tempfile::tempdir().unwrap();
    let call = |program, words: &[&str]| call_at(program, home.path(), &[], words);
    for name in ["far", "other"] {
        let host = format!("host=tcp://{name}:1");
        assert_eq!(call(&docker, &["context", "create", name, "--docker", &host]).code, 0);
    }
    let whole = major_version(&docker) >= 28;
    let mut wrong = Vec::new();
    for template in TEMPLATES.lines() {
        for words in [&["context", "ls", "--format"][..], &["context", "inspect", "far", "-f"]] {
            let words = [words, &[template]].concat();
            let theirs: Outcome = call(&docker, &words);
            let ours = call(&gantry, &words);
            if if whole { theirs != ours } else { theirs.code != ours.code } {
                wrong.push(format!("{words:?}\n  theirs {theirs:?}\n  ours   {ours:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
