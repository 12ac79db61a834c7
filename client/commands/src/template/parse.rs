//! From words to a tree.

use super::functions;
use super::lex::{Kind, Piece, Token, pieces};
use serde_json::Value;
use std::collections::BTreeMap;

/// How deep blocks and parentheses may nest: the tree is walked by recursion.
pub(super) const MAX_DEPTH: usize = 64;

/// A template as a tree: its own nodes, and the templates that it defines.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
    pub(super) defined: BTreeMap<String, Vec<Node>>,
}

/// A part of a template.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Text(String),
    /// A pipeline whose value is printed, unless it sets a variable.
    Action(Pipeline),
    /// `if` or `with`, and what is tried in its place.
    Choice {
        /// Whether `.` is the value inside.
        with: bool,
        cases: Vec<(Pipeline, Vec<Node>)>,
        otherwise: Vec<Node>,
    },
    Range {
        value: Pipeline,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
    Break,
    Continue,
    /// A template by its name, on a value.
    Template(String, Option<Pipeline>),
}

/// Where a part of an action stands in the template, and how it is written: what errors quote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) at: usize,
    pub(super) text: String,
}

/// `$a, $b := x | f y | g`.
#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    pub(super) variables: Vec<String>,
    /// Whether its variable was there before: `=` in place of `:=`.
    pub(super) assigns: bool,
    pub(super) commands: Vec<Command>,
    pub(super) spot: Spot,
}

/// `f x y`.
#[derive(Clone, Debug)]
pub(super) struct Command {
    pub(super) operands: Vec<Operand>,
    pub(super) spot: Spot,
}

/// A word of a command.
#[derive(Clone, Debug)]
pub(super) struct Operand {
    pub(super) term: Term,
    pub(super) spot: Spot,
}

/// A word with a value.
#[derive(Clone, Debug)]
pub(super) enum Term {
    Field(Vec<String>),
    Variable(Vec<String>),
    Function(String),
    Value(Value),
    /// A pipeline in parentheses, and fields of its value.
    Nested(Pipeline, Vec<String>),
}

/// A template that is not well formed: the byte by which it shows, and why.
pub(super) struct Malformed {
    pub(super) at: usize,
    pub(super) why: String,
}

/// Reads a template.
pub(super) fn parse(template: &str) -> Result<Tree, Malformed> {
    let pieces = pieces(template).map_err(|why| Malformed { at: 0, why })?;
    let mut parser = Parser {
        pieces: pieces.into_iter(),
        at: 0,
        variables: Vec::new(),
        ranges: 0,
        defined: BTreeMap::new(),
    };
    match parser.block(0) {
        Ok((nodes, Closing::EndOfText)) => Ok(Tree { nodes, defined: parser.defined }),
        Ok((_, Closing::End)) => Err("unexpected {{end}}".to_owned()),
        Ok((_, Closing::Else(_))) => Err("unexpected {{else}}".to_owned()),
        Err(why) => Err(why),
    }
    .map_err(|why| Malformed { at: parser.at, why })
}

/// What ended a block.
enum Closing {
    EndOfText,
    End,
    /// With what follows: the words of an `else if`.
    Else(Vec<Token>),
}

struct Parser {
    pieces: std::vec::IntoIter<Piece>,
    /// Where the action that is being read begins.
    at: usize,
    /// The variables that are known here.
    variables: Vec<String>,
    /// How many loops are around.
    ranges: usize,
    defined: BTreeMap<String, Vec<Node>>,
}

impl Parser {
    fn block(&mut self, depth: usize) -> Result<(Vec<Node>, Closing), String> {
        if depth > MAX_DEPTH {
            return Err("blocks are nested too deeply".to_owned());
        }
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let tokens = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action(tokens, at) => {
                    self.at = at;
                    tokens
                }
            };
            let Some((first, rest)) = tokens.split_first() else {
                return Err("missing value for command".to_owned());
            };
            let keyword = if let Kind::Word(word) = &first.kind { word.as_str() } else { "" };
            match keyword {
                "end" => return Ok((nodes, Closing::End)),
                "else" => return Ok((nodes, Closing::Else(rest.to_vec()))),
                "if" | "with" => nodes.push(self.choice(keyword, rest, depth)?),
                "range" => nodes.push(self.range(rest, depth)?),
                "break" | "continue" if self.ranges == 0 => {
                    return Err(format!("{{{{{keyword}}}}} outside {{{{range}}}}"));
                }
                "break" => nodes.push(Node::Break),
                "continue" => nodes.push(Node::Continue),
                "define" | "block" => nodes.extend(self.define(keyword, rest, depth)?),
                "template" => {
                    let (name, rest) = name(keyword, rest)?;
                    let value = (!rest.is_empty()).then(|| self.pipeline(keyword, rest));
                    nodes.push(Node::Template(name, value.transpose()?));
                }
                _ => nodes.push(Node::Action(self.pipeline("command", &tokens)?)),
            }
        }
        if depth == 0 { Ok((nodes, Closing::EndOfText)) } else { Err("unexpected EOF".to_owned()) }
    }

    fn choice(&mut self, keyword: &str, first: &[Token], depth: usize) -> Result<Node, String> {
        let outer = self.variables.len();
        let mut cases = Vec::new();
        let mut otherwise = Vec::new();
        let mut condition = self.pipeline(keyword, first)?;
        loop {
            let (body, end) = self.block(depth + 1)?;
            cases.push((condition, body));
            let Closing::Else(words) = end else { break };
            match words.split_first() {
                None => {
                    otherwise = self.last_block(depth)?;
                    break;
                }
                Some((Token { kind: Kind::Word(word), .. }, rest)) if word == keyword => {
                    condition = self.pipeline(keyword, rest)?;
                }
                Some((token, _)) => {
                    return Err(format!("unexpected <{}> in input", token.text));
                }
            }
        }
        self.variables.truncate(outer);
        Ok(Node::Choice { with: keyword == "with", cases, otherwise })
    }

    fn range(&mut self, words: &[Token], depth: usize) -> Result<Node, String> {
        let outer = self.variables.len();
        let value = self.pipeline("range", words)?;
        self.ranges += 1;
        let (body, end) = self.block(depth + 1)?;
        self.ranges -= 1;
        let otherwise = match end {
            Closing::Else(words) if words.is_empty() => self.last_block(depth)?,
            Closing::Else(words) => return Err(format!("unexpected <{}> in input", words[0].text)),
            _ => Vec::new(),
        };
        self.variables.truncate(outer);
        Ok(Node::Range { value, body, otherwise })
    }

    /// The block after an `else`, which only an `end` ends.
    fn last_block(&mut self, depth: usize) -> Result<Vec<Node>, String> {
        match self.block(depth + 1)? {
            (nodes, Closing::End) => Ok(nodes),
            _ => Err("expected end; found {{else}}".to_owned()),
        }
    }

    /// `define`, and `block`, which is used where it is defined.
    fn define(
        &mut self,
        keyword: &str,
        words: &[Token],
        depth: usize,
    ) -> Result<Option<Node>, String> {
        let (name, rest) = name(keyword, words)?;
        let value = if keyword == "block" { Some(self.pipeline(keyword, rest)?) } else { None };
        let (variables, ranges) = (std::mem::take(&mut self.variables), self.ranges);
        self.ranges = 0;
        let (nodes, end) = self.block(depth + 1)?;
        if !matches!(end, Closing::End) {
            return Err(format!("unexpected {{{{else}}}} in {keyword} clause"));
        }
        (self.variables, self.ranges) = (variables, ranges);
        self.defined.insert(name.clone(), nodes);
        Ok(value.map(|value| Node::Template(name, Some(value))))
    }

    fn pipeline(&mut self, what: &str, tokens: &[Token]) -> Result<Pipeline, String> {
        let mut rest = tokens;
        let (pipeline, end) = self.nested(what, &mut rest, 0)?;
        match end {
            None => Ok(pipeline),
            Some(_) => Err("unexpected right paren".to_owned()),
        }
    }

    /// Reads until the tokens end or a parenthesis closes; gives what closes it.
    fn nested<'t>(
        &mut self,
        what: &str,
        rest: &mut &'t [Token],
        depth: usize,
    ) -> Result<(Pipeline, Option<&'t Token>), String> {
        if depth > MAX_DEPTH {
            return Err("parentheses are nested too deeply".to_owned());
        }
        let missing = || format!("missing value for {what}");
        let at = rest.first().map_or(self.at, |token| token.at);
        let (variables, assigns) = declaration(rest);
        let mut commands = Vec::new();
        let mut operands: Vec<Operand> = Vec::new();
        let mut closed = None;
        while let Some((token, after)) = rest.split_first() {
            *rest = after;
            match &token.kind {
                Kind::Pipe => commands.push(command(&mut operands).ok_or_else(missing)?),
                Kind::Open => {
                    let (inner, close) = self.nested("parenthesized pipeline", rest, depth + 1)?;
                    let close = close.ok_or("unclosed left paren")?;
                    let Kind::Close(fields) = &close.kind else { return Err(missing()) };
                    let text = format!("({}{}", inner.spot.text, close.text);
                    let term = Term::Nested(inner, fields.clone());
                    operands.push(Operand { term, spot: Spot { at: token.at, text } });
                }
                Kind::Close(_) => {
                    closed = Some(token);
                    break;
                }
                _ => operands.push(self.operand(token)?),
            }
        }
        commands.push(command(&mut operands).ok_or_else(missing)?);
        let declared = match variables.as_slice() {
            [] => String::new(),
            names => {
                let names: Vec<String> = names.iter().map(|name| format!("${name}")).collect();
                format!("{} {} ", names.join(", "), if assigns { "=" } else { ":=" })
            }
        };
        let texts: Vec<&str> = commands.iter().map(|command| command.spot.text.as_str()).collect();
        let spot = Spot { at, text: declared + &texts.join(" | ") };
        if assigns {
            variables.iter().try_for_each(|name| self.known(name))?;
        } else {
            self.variables.extend(variables.iter().cloned());
        }
        Ok((Pipeline { variables, assigns, commands, spot }, closed))
    }

    fn known(&self, name: &str) -> Result<(), String> {
        if name.is_empty() || self.variables.iter().any(|known| known == name) {
            Ok(())
        } else {
            Err(format!("undefined variable \"${name}\""))
        }
    }

    fn operand(&self, token: &Token) -> Result<Operand, String> {
        let mut at = token.at;
        let term = match &token.kind {
            Kind::Field(path) => {
                // Of several fields Go names the place of the second.
                at += path.first().filter(|_| path.len() > 1).map_or(0, |first| 1 + first.len());
                Term::Field(path.clone())
            }
            Kind::Variable(path) => {
                self.known(&path[0])?;
                at += path.first().filter(|_| path.len() > 1).map_or(0, |first| 1 + first.len());
                Term::Variable(path.clone())
            }
            Kind::Text(text) => Term::Value(Value::String(text.clone())),
            Kind::Number(number) => Term::Value(Value::Number(number.clone())),
            Kind::Word(word) => match word.as_str() {
                "true" => Term::Value(Value::Bool(true)),
                "false" => Term::Value(Value::Bool(false)),
                "nil" => Term::Value(Value::Null),
                name if functions::exists(name) => Term::Function(name.to_owned()),
                name => return Err(format!("function {name:?} not defined")),
            },
            _ => return Err(format!("unexpected <{}> in operand", token.text)),
        };
        Ok(Operand { term, spot: Spot { at, text: token.text.clone() } })
    }
}

/// The name of a template, and the words after it.
fn name<'t>(keyword: &str, words: &'t [Token]) -> Result<(String, &'t [Token]), String> {
    match words.split_first() {
        Some((Token { kind: Kind::Text(name), .. }, rest)) => Ok((name.clone(), rest)),
        Some((token, _)) => Err(format!("unexpected {:?} in {keyword} clause", token.text)),
        None => Err(format!("unexpected \"}}}}\" in {keyword} clause")),
    }
}

/// The operands so far as a command; `None` without any.
fn command(operands: &mut Vec<Operand>) -> Option<Command> {
    let operands = std::mem::take(operands);
    let at = operands.first()?.spot.at;
    let texts: Vec<&str> = operands.iter().map(|operand| operand.spot.text.as_str()).collect();
    let spot = Spot { at, text: texts.join(" ") };
    Some(Command { operands, spot })
}

/// Takes `$a :=`, `$a, $b :=` or `$a =` off the front; says whether it is the last.
fn declaration(rest: &mut &[Token]) -> (Vec<String>, bool) {
    let kinds: Vec<&Kind> = rest.iter().take(4).map(|token| &token.kind).collect();
    let (names, assigns) = match kinds[..] {
        [Kind::Variable(a), Kind::Declare, ..] => (vec![a[0].clone()], false),
        [Kind::Variable(a), Kind::Assign, ..] => (vec![a[0].clone()], true),
        [Kind::Variable(a), Kind::Comma, Kind::Variable(b), Kind::Declare] => {
            (vec![a[0].clone(), b[0].clone()], false)
        }
        _ => return (Vec::new(), false),
    };
    *rest = &rest[2 * names.len()..];
    (names, assigns)
}

/// Whether some field path begins with `name`.
pub(super) fn names(nodes: &[Node], name: &str) -> bool {
    nodes.iter().any(|node| match node {
        Node::Text(_) | Node::Break | Node::Continue => false,
        Node::Action(pipeline) => pipeline_names(pipeline, name),
        Node::Choice { cases, otherwise, .. } => {
            cases.iter().any(|(p, body)| pipeline_names(p, name) || names(body, name))
                || names(otherwise, name)
        }
        Node::Range { value, body, otherwise } => {
            pipeline_names(value, name) || names(body, name) || names(otherwise, name)
        }
        Node::Template(_, value) => value.as_ref().is_some_and(|p| pipeline_names(p, name)),
    })
}

fn pipeline_names(pipeline: &Pipeline, name: &str) -> bool {
    let operands = pipeline.commands.iter().flat_map(|command| &command.operands);
    operands.into_iter().any(|operand| match &operand.term {
        Term::Field(path) => path.first().is_some_and(|first| first == name),
        Term::Nested(inner, _) => pipeline_names(inner, name),
        _ => false,
    })
}
