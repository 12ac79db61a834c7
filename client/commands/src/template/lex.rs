//! Text and actions, and the words in an action.

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    Text(String),
    /// The words between the braces.
    Action(Vec<Token>),
}

/// A word of an action.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// `.a.b`; `.` alone is an empty list.
    Field(Vec<String>),
    /// `$x.a`; the first part is the name without `$`.
    Variable(Vec<String>),
    Word(String),
    Text(String),
    Number(serde_json::Number),
    Pipe,
    Open,
    /// With the fields taken of the result: `(x).a`.
    Close(Vec<String>),
    Comma,
    Declare,
    Assign,
}

/// Splits a template into pieces.
pub(super) fn pieces(template: &str) -> Result<Vec<Piece>, String> {
    let mut out = Vec::new();
    let mut rest = template;
    let mut trim_next = false;
    while let Some(at) = rest.find("{{") {
        let mut text = &rest[..at];
        rest = &rest[at + 2..];
        if trim_next {
            text = text.trim_start();
        }
        if rest.starts_with("- ") || rest.starts_with("-\n") || rest.starts_with("-\t") {
            text = text.trim_end();
            rest = &rest[1..];
        }
        push_text(&mut out, text);
        let end = action_end(rest)?;
        let mut action = &rest[..end];
        rest = &rest[end + 2..];
        trim_next = action.ends_with(" -") || action.ends_with("\t-") || action.ends_with("\n-");
        if trim_next {
            action = &action[..action.len() - 1];
        }
        let action = action.trim();
        if !(action.starts_with("/*") && action.ends_with("*/")) {
            out.push(Piece::Action(tokens(action)?));
        }
    }
    push_text(&mut out, if trim_next { rest.trim_start() } else { rest });
    Ok(out)
}

fn push_text(out: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        out.push(Piece::Text(text.to_owned()));
    }
}

/// Where the closing braces are; not inside a quoted text.
fn action_end(rest: &str) -> Result<usize, String> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in rest.char_indices() {
        match quote {
            Some('"') if escaped => escaped = false,
            Some('"') if c == '\\' => escaped = true,
            Some(mark) if c == mark => quote = None,
            Some(_) => {}
            None if c == '"' || c == '`' => quote = Some(c),
            None if rest[at..].starts_with("}}") => return Ok(at),
            None => {}
        }
    }
    Err(if quote.is_some() { "unterminated quoted string" } else { "unclosed action" }.to_owned())
}

fn tokens(action: &str) -> Result<Vec<Token>, String> {
    let mut out = Vec::new();
    let mut rest = action.trim_start();
    while let Some(c) = rest.chars().next() {
        let (token, length) = match c {
            '|' => (Token::Pipe, 1),
            '(' => (Token::Open, 1),
            ')' => {
                let (fields, length) = fields(&rest[1..]);
                (Token::Close(fields), 1 + length)
            }
            ',' => (Token::Comma, 1),
            ':' if rest.starts_with(":=") => (Token::Declare, 2),
            '=' => (Token::Assign, 1),
            '"' => quoted(rest)?,
            '`' => {
                let end = rest[1..].find('`').ok_or("unterminated raw quoted string")?;
                (Token::Text(rest[1..=end].to_owned()), end + 2)
            }
            '.' if !rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                let (fields, length) = fields(rest);
                (Token::Field(fields), length.max(1))
            }
            '$' => {
                let name = word_length(&rest[1..]);
                let mut path = vec![rest[1..=name].to_owned()];
                let (fields, length) = fields(&rest[1 + name..]);
                path.extend(fields);
                (Token::Variable(path), 1 + name + length)
            }
            c if c.is_ascii_digit() || matches!(c, '-' | '+' | '.') => number(rest)?,
            c if c.is_alphabetic() || c == '_' => {
                let length = word_length(rest);
                (Token::Word(rest[..length].to_owned()), length)
            }
            c => return Err(format!("unexpected {c:?} in command")),
        };
        out.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(out)
}

fn word_length(text: &str) -> usize {
    text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len())
}

/// `.a.b` at the start of `text`, and how long it is.
fn fields(text: &str) -> (Vec<String>, usize) {
    let mut out = Vec::new();
    let mut length = 0;
    while let Some(rest) = text[length..].strip_prefix('.') {
        let name = word_length(rest);
        if name == 0 {
            break;
        }
        out.push(rest[..name].to_owned());
        length += 1 + name;
    }
    (out, length)
}

fn number(text: &str) -> Result<(Token, usize), String> {
    let end = text
        .char_indices()
        .find(|&(at, c)| at > 0 && !(c.is_alphanumeric() || c == '.'))
        .map_or(text.len(), |(at, _)| at);
    let word = text[..end].strip_prefix('+').unwrap_or(&text[..end]);
    let number = word
        .parse::<i64>()
        .map(serde_json::Number::from)
        .ok()
        .or_else(|| word.parse().ok().and_then(serde_json::Number::from_f64))
        .ok_or_else(|| format!("bad number syntax: {word:?}"))?;
    Ok((Token::Number(number), end))
}

fn quoted(text: &str) -> Result<(Token, usize), String> {
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((Token::Text(out), at + 1)),
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(c @ ('"' | '\\' | '\'')) => out.push(c),
                _ => return Err("invalid escape in quoted string".to_owned()),
            },
            c => out.push(c),
        }
    }
    Err("unterminated quoted string".to_owned())
}
