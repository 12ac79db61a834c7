//! From words to a tree.

use super::functions;
use super::lex::{Piece, Token, pieces};
use serde_json::Value;

/// How deep blocks and parentheses may nest: the tree is walked by recursion.
const MAX_DEPTH: usize = 64;

/// A part of a template.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Text(String),
    /// A pipeline whose value is printed, unless it sets a variable.
    Action(Pipeline),
    If {
        cases: Vec<(Pipeline, Vec<Node>)>,
        otherwise: Vec<Node>,
    },
    With {
        value: Pipeline,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
    Range {
        value: Pipeline,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
}

/// `$a, $b := x | f y | g`.
#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    pub(super) variables: Vec<String>,
    pub(super) commands: Vec<Vec<Term>>,
    /// The text that error messages quote.
    pub(super) source: String,
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

pub(super) fn parse(template: &str) -> Result<Vec<Node>, String> {
    let mut pieces = pieces(template)?.into_iter();
    let (nodes, end) = block(&mut pieces, 0)?;
    match end {
        Closing::EndOfText => Ok(nodes),
        _ => Err("unexpected {{end}} or {{else}}".to_owned()),
    }
}

/// What ended a block.
enum Closing {
    EndOfText,
    Keyword,
    /// With what follows: the words of an `else if`.
    Else(Vec<Token>),
}

fn block(
    pieces: &mut std::vec::IntoIter<Piece>,
    depth: usize,
) -> Result<(Vec<Node>, Closing), String> {
    if depth > MAX_DEPTH {
        return Err("blocks are nested too deeply".to_owned());
    }
    let mut nodes = Vec::new();
    while let Some(piece) = pieces.next() {
        let tokens = match piece {
            Piece::Text(text) => {
                nodes.push(Node::Text(text));
                continue;
            }
            Piece::Action(tokens) => tokens,
        };
        let keyword = match tokens.first() {
            Some(Token::Word(word)) => word.as_str(),
            Some(_) => "",
            None => return Err("missing value for command".to_owned()),
        };
        let rest = tokens.get(1..).unwrap_or_default();
        match keyword {
            "end" => return Ok((nodes, Closing::Keyword)),
            "else" => return Ok((nodes, Closing::Else(rest.to_vec()))),
            "if" => nodes.push(conditional(rest, pieces, depth)?),
            "with" | "range" => {
                let value = pipeline(rest)?;
                let (body, otherwise) = body_and_else(pieces, depth)?;
                nodes.push(if keyword == "with" {
                    Node::With { value, body, otherwise }
                } else {
                    Node::Range { value, body, otherwise }
                });
            }
            _ => nodes.push(Node::Action(pipeline(&tokens)?)),
        }
    }
    if depth == 0 { Ok((nodes, Closing::EndOfText)) } else { Err("unexpected EOF".to_owned()) }
}

fn conditional(
    first: &[Token],
    pieces: &mut std::vec::IntoIter<Piece>,
    depth: usize,
) -> Result<Node, String> {
    let mut cases = Vec::new();
    let mut condition = pipeline(first)?;
    loop {
        let (body, end) = block(pieces, depth + 1)?;
        cases.push((condition, body));
        match end {
            Closing::Else(words) => match words.split_first() {
                Some((Token::Word(word), rest)) if word == "if" => condition = pipeline(rest)?,
                None => {
                    let (otherwise, end) = block(pieces, depth + 1)?;
                    return match end {
                        Closing::Keyword => Ok(Node::If { cases, otherwise }),
                        _ => Err("expected end; found {{else}}".to_owned()),
                    };
                }
                Some(_) => return Err("unexpected words after else".to_owned()),
            },
            _ => return Ok(Node::If { cases, otherwise: Vec::new() }),
        }
    }
}

fn body_and_else(
    pieces: &mut std::vec::IntoIter<Piece>,
    depth: usize,
) -> Result<(Vec<Node>, Vec<Node>), String> {
    let (body, end) = block(pieces, depth + 1)?;
    match end {
        Closing::Else(words) if words.is_empty() => match block(pieces, depth + 1)? {
            (otherwise, Closing::Keyword) => Ok((body, otherwise)),
            _ => Err("expected end; found {{else}}".to_owned()),
        },
        Closing::Else(_) => Err("unexpected words after else".to_owned()),
        _ => Ok((body, Vec::new())),
    }
}

fn pipeline(tokens: &[Token]) -> Result<Pipeline, String> {
    let mut rest = tokens;
    let (pipeline, end) = nested(&mut rest, 0)?;
    match end {
        None => Ok(pipeline),
        Some(_) => Err("unexpected right paren".to_owned()),
    }
}

/// Reads until the tokens end or a parenthesis closes; says which fields follow that.
fn nested(rest: &mut &[Token], depth: usize) -> Result<(Pipeline, Option<Vec<String>>), String> {
    if depth > MAX_DEPTH {
        return Err("parentheses are nested too deeply".to_owned());
    }
    let source = source(rest);
    let variables = declaration(rest);
    let mut commands = Vec::new();
    let mut command = Vec::new();
    let mut closed = None;
    while let Some((token, after)) = rest.split_first() {
        *rest = after;
        match token {
            Token::Pipe => {
                if command.is_empty() {
                    return Err("missing value for command".to_owned());
                }
                commands.push(std::mem::take(&mut command));
            }
            Token::Open => {
                let (inner, fields) = nested(rest, depth + 1)?;
                let fields = fields.ok_or("unclosed left paren")?;
                command.push(Term::Nested(inner, fields));
            }
            Token::Close(fields) => {
                closed = Some(fields.clone());
                break;
            }
            token => command.push(term(token)?),
        }
    }
    if command.is_empty() {
        return Err("missing value for command".to_owned());
    }
    commands.push(command);
    Ok((Pipeline { variables, commands, source }, closed))
}

fn term(token: &Token) -> Result<Term, String> {
    Ok(match token {
        Token::Field(path) => Term::Field(path.clone()),
        Token::Variable(path) => Term::Variable(path.clone()),
        Token::Text(text) => Term::Value(Value::String(text.clone())),
        Token::Number(number) => Term::Value(Value::Number(number.clone())),
        Token::Word(word) => match word.as_str() {
            "true" => Term::Value(Value::Bool(true)),
            "false" => Term::Value(Value::Bool(false)),
            "nil" => Term::Value(Value::Null),
            name if functions::exists(name) => Term::Function(name.to_owned()),
            name => return Err(format!("function {name:?} not defined")),
        },
        _ => return Err("unexpected token in command".to_owned()),
    })
}

/// Takes `$a :=`, `$a, $b :=` or `$a =` off the front.
fn declaration(rest: &mut &[Token]) -> Vec<String> {
    let name = |path: &Vec<String>| path[0].clone();
    match rest {
        [Token::Variable(a), Token::Declare | Token::Assign, after @ ..] => {
            let names = vec![name(a)];
            *rest = after;
            names
        }
        [Token::Variable(a), Token::Comma, Token::Variable(b), Token::Declare, after @ ..] => {
            let names = vec![name(a), name(b)];
            *rest = after;
            names
        }
        _ => Vec::new(),
    }
}

/// The first field, as error messages quote it.
fn source(tokens: &[Token]) -> String {
    tokens
        .iter()
        .find_map(|token| match token {
            Token::Field(path) => Some(format!(".{}", path.join("."))),
            _ => None,
        })
        .unwrap_or_default()
}

/// Whether some field path begins with `name`.
pub(super) fn names(nodes: &[Node], name: &str) -> bool {
    nodes.iter().any(|node| match node {
        Node::Text(_) => false,
        Node::Action(pipeline) => pipeline_names(pipeline, name),
        Node::If { cases, otherwise } => {
            cases.iter().any(|(p, body)| pipeline_names(p, name) || names(body, name))
                || names(otherwise, name)
        }
        Node::With { value, body, otherwise } | Node::Range { value, body, otherwise } => {
            pipeline_names(value, name) || names(body, name) || names(otherwise, name)
        }
    })
}

fn pipeline_names(pipeline: &Pipeline, name: &str) -> bool {
    pipeline.commands.iter().flatten().any(|term| match term {
        Term::Field(path) => path.first().is_some_and(|first| first == name),
        Term::Nested(inner, _) => pipeline_names(inner, name),
        _ => false,
    })
}
