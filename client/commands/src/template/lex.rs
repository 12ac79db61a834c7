//! Text and actions, and the words in an action.

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    Text(String),
    /// The words between the braces, and where these begin.
    Action(Vec<Token>, usize),
}

/// A word of an action, where it stands in the template, and how it is written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: usize,
    pub(super) text: String,
}

/// What a word is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
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
        let begin = template.len() - rest.len();
        let end = action_end(rest)?;
        let mut action = &rest[..end];
        rest = &rest[end + 2..];
        trim_next = action.ends_with(" -") || action.ends_with("\t-") || action.ends_with("\n-");
        if trim_next {
            action = &action[..action.len() - 1];
        }
        let trimmed = action.trim();
        if !(trimmed.starts_with("/*") && trimmed.ends_with("*/")) {
            out.push(Piece::Action(tokens(action, begin)?, begin));
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
    if rest.trim_start().starts_with("/*") {
        let end = rest.find("*/").ok_or("unclosed comment")?;
        return rest[end..].find("}}").map(|at| end + at).ok_or("unclosed action".to_owned());
    }
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in rest.char_indices() {
        match quote {
            Some('"' | '\'') if escaped => escaped = false,
            Some('"' | '\'') if c == '\\' => escaped = true,
            Some(mark) if c == mark => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '`' | '\'') => quote = Some(c),
            None if rest[at..].starts_with("}}") => return Ok(at),
            None => {}
        }
    }
    Err(if quote.is_some() { "unterminated quoted string" } else { "unclosed action" }.to_owned())
}

/// The words of an action that begins at `begin`.
fn tokens(action: &str, begin: usize) -> Result<Vec<Token>, String> {
    let mut out = Vec::new();
    let mut rest = action.trim_start();
    while let Some(c) = rest.chars().next() {
        let (kind, length) = match c {
            '|' => (Kind::Pipe, 1),
            '(' => (Kind::Open, 1),
            ')' => {
                let (fields, length) = fields(&rest[1..]);
                (Kind::Close(fields), 1 + length)
            }
            ',' => (Kind::Comma, 1),
            ':' if rest.starts_with(":=") => (Kind::Declare, 2),
            '=' => (Kind::Assign, 1),
            '"' => quoted(rest)?,
            '\'' => character(rest)?,
            '`' => {
                let end = rest[1..].find('`').ok_or("unterminated raw quoted string")?;
                (Kind::Text(rest[1..=end].to_owned()), end + 2)
            }
            '.' if !rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                let (fields, length) = fields(rest);
                (Kind::Field(fields), length.max(1))
            }
            '$' => {
                let name = word_length(&rest[1..]);
                let mut path = vec![rest[1..=name].to_owned()];
                let (fields, length) = fields(&rest[1 + name..]);
                path.extend(fields);
                (Kind::Variable(path), 1 + name + length)
            }
            c if c.is_ascii_digit() || matches!(c, '-' | '+' | '.') => number(rest)?,
            c if c.is_alphabetic() || c == '_' => {
                let length = word_length(rest);
                (Kind::Word(rest[..length].to_owned()), length)
            }
            c => return Err(format!("unexpected {c:?} in command")),
        };
        let at = begin + action.len() - rest.len();
        out.push(Token { kind, at, text: rest[..length].to_owned() });
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

fn number(text: &str) -> Result<(Kind, usize), String> {
    let end = text
        .char_indices()
        .find(|&(at, c)| {
            let sign = matches!(c, '+' | '-') && text[..at].ends_with(['e', 'E']);
            at > 0 && !(c.is_alphanumeric() || c == '.' || c == '_' || sign)
        })
        .map_or(text.len(), |(at, _)| at);
    let word = text[..end].replace('_', "");
    let bare = word.trim_start_matches(['+', '-']);
    let radix = |prefixes: [&str; 2], radix| {
        let digits = prefixes.iter().find_map(|prefix| bare.strip_prefix(prefix))?;
        let number = i64::from_str_radix(digits, radix).ok()?;
        Some(if word.starts_with('-') { -number } else { number })
    };
    let whole = radix(["0x", "0X"], 16)
        .or_else(|| radix(["0o", "0O"], 8))
        .or_else(|| radix(["0b", "0B"], 2))
        .or_else(|| word.strip_prefix('+').unwrap_or(&word).parse().ok())
        .or_else(|| {
            // Go takes `1e3` for a whole number.
            let number: f64 = word.parse().ok().filter(|n: &f64| n.fract() == 0.0)?;
            #[expect(clippy::cast_possible_truncation, reason = "checked by its text")]
            let whole = number as i64;
            (word.contains(['e', 'E']) && number.abs() < 9e15).then_some(whole)
        })
        .map(serde_json::Number::from);
    let decimal = || {
        let digits = bare.starts_with(|c: char| c.is_ascii_digit() || c == '.');
        word.parse().ok().filter(|_| digits).and_then(serde_json::Number::from_f64)
    };
    let number = whole.or_else(decimal).ok_or_else(|| format!("bad number syntax: {word:?}"))?;
    Ok((Kind::Number(number), end))
}

/// `'a'`, which Go takes for a number.
fn character(text: &str) -> Result<(Kind, usize), String> {
    let unterminated = || "unterminated character constant".to_owned();
    let mut chars = text.char_indices().skip(1).peekable();
    let c = match chars.next() {
        Some((_, '\\')) => escape(&mut chars)?,
        Some((_, c)) if c != '\'' => c,
        _ => return Err(unterminated()),
    };
    match chars.next() {
        Some((at, '\'')) => Ok((Kind::Number(u32::from(c).into()), at + 1)),
        _ => Err(unterminated()),
    }
}

type Chars<'t> = std::iter::Peekable<std::iter::Skip<std::str::CharIndices<'t>>>;

/// What follows a backslash, by Go's rules.
fn escape(chars: &mut Chars<'_>) -> Result<char, String> {
    let invalid = || "invalid syntax".to_owned();
    let digits = match chars.next().ok_or_else(invalid)?.1 {
        'a' => return Ok('\x07'),
        'b' => return Ok('\x08'),
        'f' => return Ok('\x0c'),
        'n' => return Ok('\n'),
        'r' => return Ok('\r'),
        't' => return Ok('\t'),
        'v' => return Ok('\x0b'),
        c @ ('"' | '\\' | '\'') => return Ok(c),
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => return Err(invalid()),
    };
    let mut code = 0;
    for _ in 0..digits {
        let digit = chars.next().and_then(|(_, c)| c.to_digit(16)).ok_or_else(invalid)?;
        code = code * 16 + digit;
    }
    char::from_u32(code).ok_or_else(invalid)
}

fn quoted(text: &str) -> Result<(Kind, usize), String> {
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((Kind::Text(out), at + 1)),
            '\\' => out.push(escape(&mut chars)?),
            c => out.push(c),
        }
    }
    Err("unterminated quoted string".to_owned())
}
