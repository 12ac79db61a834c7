//! Filling a template in.

use super::Fields;
use super::functions;
use super::parse::{Node, Pipeline, Term};
use super::show::show;
use serde_json::Value;

/// A member of a JSON object, by its name, else by its name in another case: Docker's users write
/// the names of Go structures, `{{.ID}}` for `Id`.
pub(super) fn member<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let object = value.as_object()?;
    object.get(name).or_else(|| {
        object.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    })
}

pub(super) fn render(nodes: &[Node], data: &dyn Fields, headings: bool) -> Result<String, String> {
    let mut scope = Scope { root: data, headings, dots: Vec::new(), variables: Vec::new() };
    let mut out = String::new();
    scope.nodes(nodes, &mut out)?;
    Ok(out)
}

struct Scope<'d> {
    root: &'d dyn Fields,
    headings: bool,
    /// What `.` is, innermost last; empty: the root.
    dots: Vec<Value>,
    variables: Vec<(String, Value)>,
}

impl Scope<'_> {
    fn nodes(&mut self, nodes: &[Node], out: &mut String) -> Result<(), String> {
        let outer = self.variables.len();
        for node in nodes {
            self.node(node, out)?;
        }
        self.variables.truncate(outer);
        Ok(())
    }

    fn node(&mut self, node: &Node, out: &mut String) -> Result<(), String> {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Action(pipeline) => {
                let value = self.pipeline(pipeline)?;
                match pipeline.variables.first() {
                    Some(name) => self.set(name, value),
                    None => out.push_str(&show(&value)),
                }
            }
            Node::If { cases, otherwise } => {
                for (condition, body) in cases {
                    let outer = self.variables.len();
                    let value = self.declared(condition)?;
                    if functions::truth(&value) {
                        self.nodes(body, out)?;
                        self.variables.truncate(outer);
                        return Ok(());
                    }
                    self.variables.truncate(outer);
                }
                self.nodes(otherwise, out)?;
            }
            Node::With { value, body, otherwise } => {
                let outer = self.variables.len();
                let value = self.declared(value)?;
                if functions::truth(&value) {
                    self.within(value, body, out)?;
                } else {
                    self.nodes(otherwise, out)?;
                }
                self.variables.truncate(outer);
            }
            Node::Range { value, body, otherwise } => self.range(value, body, otherwise, out)?,
        }
        Ok(())
    }

    fn range(
        &mut self,
        pipeline: &Pipeline,
        body: &[Node],
        otherwise: &[Node],
        out: &mut String,
    ) -> Result<(), String> {
        let items: Vec<(Value, Value)> = match self.pipeline(pipeline)? {
            Value::Null => Vec::new(),
            Value::Array(items) => {
                items.into_iter().enumerate().map(|(index, item)| (index.into(), item)).collect()
            }
            Value::Object(members) => {
                let mut members: Vec<_> =
                    members.into_iter().map(|(name, value)| (name.into(), value)).collect();
                members.sort_by(|(a, _): &(Value, _), (b, _)| a.as_str().cmp(&b.as_str()));
                members
            }
            other => return Err(format!("range can't iterate over {}", show(&other))),
        };
        if items.is_empty() {
            return self.nodes(otherwise, out);
        }
        for (key, item) in items {
            let outer = self.variables.len();
            match pipeline.variables.as_slice() {
                [both, value] => {
                    self.variables.push((both.clone(), key));
                    self.variables.push((value.clone(), item.clone()));
                }
                [value] => self.variables.push((value.clone(), item.clone())),
                _ => {}
            }
            self.within(item, body, out)?;
            self.variables.truncate(outer);
        }
        Ok(())
    }

    fn within(&mut self, dot: Value, body: &[Node], out: &mut String) -> Result<(), String> {
        self.dots.push(dot);
        let outcome = self.nodes(body, out);
        self.dots.pop();
        outcome
    }

    /// A pipeline's value, kept in its variable if it has one.
    fn declared(&mut self, pipeline: &Pipeline) -> Result<Value, String> {
        let value = self.pipeline(pipeline)?;
        if let Some(name) = pipeline.variables.first() {
            self.variables.push((name.clone(), value.clone()));
        }
        Ok(value)
    }

    fn set(&mut self, name: &str, value: Value) {
        match self.variables.iter_mut().rev().find(|(known, _)| known == name) {
            Some((_, slot)) => *slot = value,
            None => self.variables.push((name.to_owned(), value)),
        }
    }

    fn pipeline(&self, pipeline: &Pipeline) -> Result<Value, String> {
        let at = |error: String| format!("executing \"\" at <{}>: {error}", pipeline.source);
        let mut value: Option<Value> = None;
        for command in &pipeline.commands {
            value = Some(self.command(command, value).map_err(at)?);
        }
        Ok(value.unwrap_or(Value::Null))
    }

    fn command(&self, terms: &[Term], piped: Option<Value>) -> Result<Value, String> {
        let (first, rest) = terms.split_first().ok_or("missing value for command")?;
        if let (Term::Function(name), [Term::Field(path)]) = (first, rest)
            && name == "json"
            && path.is_empty()
            && self.dots.is_empty()
        {
            return Ok(Value::String(self.root.json()));
        }
        let mut arguments =
            rest.iter().map(|term| self.term(term, &[])).collect::<Result<Vec<_>, _>>()?;
        arguments.extend(piped);
        match first {
            Term::Function(name) if self.headings && functions::shapes_text(name) => {
                let text = arguments.into_iter().find(Value::is_string);
                text.ok_or_else(|| "no heading".to_owned())
            }
            Term::Function(name) => functions::call(name, &arguments),
            Term::Field(path) if !path.is_empty() => self.term(first, &arguments),
            _ if arguments.is_empty() => self.term(first, &[]),
            _ => Err("can't give argument to non-function".to_owned()),
        }
    }

    fn term(&self, term: &Term, arguments: &[Value]) -> Result<Value, String> {
        match term {
            Term::Value(value) => Ok(value.clone()),
            Term::Function(name) => functions::call(name, &[]),
            Term::Nested(pipeline, fields) => {
                let value = self.pipeline(pipeline)?;
                follow(&value, fields)
            }
            Term::Variable(path) => {
                let (name, fields) = path.split_first().ok_or("undefined variable")?;
                if name.is_empty() {
                    return root_field(self.root, fields, arguments);
                }
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                let (_, value) = found.ok_or_else(|| format!("undefined variable \"${name}\""))?;
                follow(value, fields)
            }
            Term::Field(path) => match self.dots.last() {
                Some(dot) => follow(dot, path),
                None => root_field(self.root, path, arguments),
            },
        }
    }
}

fn root_field(root: &dyn Fields, path: &[String], arguments: &[Value]) -> Result<Value, String> {
    let Some((first, rest)) = path.split_first() else { return Ok(root.whole()) };
    let value = root
        .field(first, arguments)
        .ok_or_else(|| format!("map has no entry for key {first:?}"))?;
    follow(&value, rest)
}

fn follow(value: &Value, path: &[String]) -> Result<Value, String> {
    let mut value = value;
    for name in path {
        if value.is_null() {
            return Err(format!("nil data; no entry for key {name:?}"));
        }
        value = member(value, name).ok_or_else(|| {
            if value.is_object() {
                format!("map has no entry for key {name:?}")
            } else {
                format!("can't evaluate field {name} in type {}", functions::type_name(value))
            }
        })?;
    }
    Ok(value.clone())
}
