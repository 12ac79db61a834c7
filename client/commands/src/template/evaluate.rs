//! Filling a template in.

use super::Fields;
use super::functions::{self, Culprit};
use super::parse::{Command, MAX_DEPTH, Node, Operand, Pipeline, Spot, Term, Tree};
use super::show::show;
use serde_json::Value;

/// A failed execution: where, and why.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) spot: Spot,
    pub(super) why: String,
}

type Outcome<T> = Result<T, Failed>;

fn at(spot: &Spot) -> impl Fn(String) -> Failed + '_ {
    |why| Failed { spot: spot.clone(), why }
}

/// A member of a JSON object, by its name, else by its name in another case: Docker's users write
/// the names of Go structures, `{{.ID}}` for `Id`.
pub(super) fn member<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let object = value.as_object()?;
    object.get(name).or_else(|| {
        object.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    })
}

pub(super) fn render(tree: &Tree, data: &dyn Fields, headings: bool) -> Outcome<String> {
    let mut scope =
        Scope { tree, root: data, headings, dots: Vec::new(), variables: Vec::new(), templates: 0 };
    let mut out = String::new();
    scope.nodes(&tree.nodes, &mut out)?;
    Ok(out)
}

/// What to do after a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

struct Scope<'d> {
    tree: &'d Tree,
    root: &'d dyn Fields,
    headings: bool,
    /// What `.` is, innermost last; empty: the root.
    dots: Vec<Value>,
    variables: Vec<(String, Value)>,
    /// How many templates are around.
    templates: usize,
}

impl Scope<'_> {
    fn nodes(&mut self, nodes: &[Node], out: &mut String) -> Outcome<Flow> {
        let outer = self.variables.len();
        let mut flow = Flow::Next;
        for node in nodes {
            flow = self.node(node, out)?;
            if flow != Flow::Next {
                break;
            }
        }
        self.variables.truncate(outer);
        Ok(flow)
    }

    fn node(&mut self, node: &Node, out: &mut String) -> Outcome<Flow> {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Action(pipeline) => {
                let value = self.declared(pipeline)?;
                if pipeline.variables.is_empty() {
                    out.push_str(&show(&value));
                }
            }
            Node::Choice { with, cases, otherwise } => {
                return self.choice(*with, cases, otherwise, out);
            }
            Node::Range { value, body, otherwise } => {
                return self.range(value, body, otherwise, out);
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
            Node::Template(name, value) => self.template(name, value.as_ref(), out)?,
        }
        Ok(Flow::Next)
    }

    fn choice(
        &mut self,
        with: bool,
        cases: &[(Pipeline, Vec<Node>)],
        otherwise: &[Node],
        out: &mut String,
    ) -> Outcome<Flow> {
        let outer = self.variables.len();
        for (condition, body) in cases {
            let value = self.declared(condition)?;
            if functions::truth(&value) {
                let flow = if with { self.within(value, body, out) } else { self.nodes(body, out) };
                self.variables.truncate(outer);
                return flow;
            }
        }
        let flow = self.nodes(otherwise, out);
        self.variables.truncate(outer);
        flow
    }

    fn range(
        &mut self,
        pipeline: &Pipeline,
        body: &[Node],
        otherwise: &[Node],
        out: &mut String,
    ) -> Outcome<Flow> {
        let items = items(self.pipeline(pipeline)?).map_err(at(&pipeline.spot))?;
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
            let flow = self.within(item, body, out)?;
            self.variables.truncate(outer);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::Next)
    }

    fn within(&mut self, dot: Value, body: &[Node], out: &mut String) -> Outcome<Flow> {
        self.dots.push(dot);
        let outcome = self.nodes(body, out);
        self.dots.pop();
        outcome
    }

    /// A template knows its value, and no variable from around it.
    fn template(&mut self, name: &str, value: Option<&Pipeline>, out: &mut String) -> Outcome<()> {
        let spot = value.map(|value| value.spot.clone()).unwrap_or_default();
        let tree = self.tree;
        let nodes = tree.defined.get(name);
        let nodes = nodes.ok_or_else(|| at(&spot)(format!("template {name:?} not defined")))?;
        if self.templates >= MAX_DEPTH {
            return Err(at(&spot)("exceeded maximum template depth".to_owned()));
        }
        let value = value.map_or(Ok(Value::Null), |value| self.pipeline(value))?;
        let variables = std::mem::take(&mut self.variables);
        let dots = std::mem::replace(&mut self.dots, vec![value]);
        self.templates += 1;
        let outcome = self.nodes(nodes, out);
        self.templates -= 1;
        (self.variables, self.dots) = (variables, dots);
        outcome.map(|_| ())
    }

    /// A pipeline's value, kept in its variable if it has one.
    fn declared(&mut self, pipeline: &Pipeline) -> Outcome<Value> {
        let value = self.pipeline(pipeline)?;
        if let Some(name) = pipeline.variables.first() {
            let known = self.variables.iter_mut().rev().find(|(known, _)| known == name);
            match known.filter(|_| pipeline.assigns) {
                Some((_, slot)) => slot.clone_from(&value),
                None => self.variables.push((name.clone(), value.clone())),
            }
        }
        Ok(value)
    }

    fn pipeline(&self, pipeline: &Pipeline) -> Outcome<Value> {
        let mut value: Option<Value> = None;
        for command in &pipeline.commands {
            value = Some(self.command(command, value)?);
        }
        Ok(value.unwrap_or(Value::Null))
    }

    fn command(&self, command: &Command, piped: Option<Value>) -> Outcome<Value> {
        let (first, rest) = command
            .operands
            .split_first()
            .ok_or_else(|| at(&command.spot)("missing value for command".to_owned()))?;
        if let (Term::Function(name), [Operand { term: Term::Field(path), .. }]) =
            (&first.term, rest)
            && name == "json"
            && path.is_empty()
            && self.dots.is_empty()
        {
            return Ok(Value::String(self.root.json()));
        }
        let mut arguments =
            rest.iter().map(|operand| self.operand(operand, &[])).collect::<Outcome<Vec<_>>>()?;
        arguments.extend(piped);
        match &first.term {
            Term::Function(name) if self.headings && functions::shapes_text(name) => {
                let text = arguments.into_iter().find(Value::is_string);
                text.ok_or_else(|| at(&command.spot)("no heading".to_owned()))
            }
            Term::Function(name) => functions::call(name, &arguments).map_err(|error| {
                let spot = match error.culprit {
                    Culprit::Call => &command.spot,
                    Culprit::Function => &first.spot,
                    Culprit::Argument(index) => {
                        rest.get(index).map_or(&command.spot, |operand| &operand.spot)
                    }
                };
                at(spot)(error.why)
            }),
            Term::Field(path) if !path.is_empty() => self.operand(first, &arguments),
            _ if arguments.is_empty() => self.operand(first, &[]),
            _ => {
                let text = &first.spot.text;
                Err(at(&first.spot)(format!("can't give argument to non-function {text}")))
            }
        }
    }

    fn operand(&self, operand: &Operand, arguments: &[Value]) -> Outcome<Value> {
        let fail = at(&operand.spot);
        match &operand.term {
            Term::Value(value) => Ok(value.clone()),
            Term::Function(name) => functions::call(name, &[]).map_err(|error| fail(error.why)),
            Term::Nested(pipeline, fields) => {
                let value = self.pipeline(pipeline)?;
                follow(&value, fields).map_err(fail)
            }
            Term::Variable(path) => {
                let (name, fields) = path.split_first().expect("a variable has a name");
                if name.is_empty() {
                    // `$` is what the template was called with.
                    return match self.dots.first().filter(|_| self.templates > 0) {
                        Some(dot) => follow(dot, fields).map_err(fail),
                        None => root_field(self.root, fields, arguments).map_err(fail),
                    };
                }
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                let undefined = || fail(format!("undefined variable \"${name}\""));
                let (_, value) = found.ok_or_else(undefined)?;
                follow(value, fields).map_err(fail)
            }
            Term::Field(path) => match self.dots.last() {
                Some(dot) => follow(dot, path).map_err(fail),
                None => root_field(self.root, path, arguments).map_err(fail),
            },
        }
    }
}

/// What `range` goes through: keys and values.
fn items(value: Value) -> Result<Vec<(Value, Value)>, String> {
    /// Longer counting is a mistake.
    const MAX: u64 = 1_000_000;
    Ok(match value {
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
        Value::Number(number) if number.is_i64() => {
            let count = number.as_u64().unwrap_or(0).min(MAX);
            (0..count).map(|n| (n.into(), n.into())).collect()
        }
        other => return Err(format!("range can't iterate over {}", show(&other))),
    })
}

fn root_field(root: &dyn Fields, path: &[String], arguments: &[Value]) -> Result<Value, String> {
    let Some((first, rest)) = path.split_first() else { return Ok(root.whole()) };
    let value = root.field(first, arguments).ok_or_else(|| root.lacks(first))?;
    if !arguments.is_empty() && root.field(first, &[]).is_some() {
        return Err(format!("wrong number of args for {first}: want 0 got {}", arguments.len()));
    }
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
