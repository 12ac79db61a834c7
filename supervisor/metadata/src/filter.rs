//! containerd's filter expressions, as `ctr` and other clients write them.
//!
//! ```text
//! filters   any of several expressions                 labels."a.b/c"==x     name~="^docker.io/"
//! filter    selector , selector …   all must match     id==a,runtime.name!=b
//! selector  path [operator value]   alone: is present  labels.keep
//! path      word or "quoted", joined by dots; space may stand before anything
//! operator  ==  !=  ~= (regular expression)
//! value     word up to the next comma, "quoted", or after ~= also /quoted/ and |quoted|
//! ```
//! <https://github.com/containerd/containerd/blob/main/pkg/filters/filter.go> has the grammar.

mod fields;

pub use fields::Fields;

use base_errors::{Classify, Kind};
use regex_lite::{Regex, RegexBuilder};

/// Most expressions in one request.
const MAX_FILTERS: usize = 256;
/// Longest expression.
const MAX_LENGTH: usize = 4096;
/// Memory of one compiled regular expression.
const MAX_REGEX: usize = 1 << 20;

/// An expression that is none.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// More than [`MAX_FILTERS`] or one longer than [`MAX_LENGTH`].
    #[error("filters are limited to {MAX_FILTERS} of {MAX_LENGTH} bytes each")]
    TooLarge,
    /// It does not follow the grammar.
    #[error("parse filter {filter:?}: expected {expected} at byte {at}")]
    Syntax {
        /// The expression.
        filter: String,
        /// What should have been there.
        expected: &'static str,
        /// Where.
        at: usize,
    },
    /// Its regular expression is wrong or too large.
    #[error("parse filter {filter:?}")]
    Regex {
        /// The expression.
        filter: String,
        /// Why.
        #[source]
        source: regex_lite::Error,
    },
}

impl Classify for Error {
    fn kind(&self) -> Kind {
        Kind::InvalidArgument
    }
}

/// The filters of one request.
#[derive(Debug, Default)]
pub struct Filters(Vec<Vec<Selector>>);

#[derive(Debug)]
struct Selector {
    path: Vec<String>,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Present,
    Equal(String),
    NotEqual(String),
    Matches(Regex),
}

impl Filters {
    /// Parses the expressions; none at all, and an empty one, match everything.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn parse<S: AsRef<str>>(expressions: &[S]) -> Result<Self, Error> {
        if expressions.len() > MAX_FILTERS
            || expressions.iter().any(|expression| expression.as_ref().len() > MAX_LENGTH)
        {
            return Err(Error::TooLarge);
        }
        let parse = |expression: &S| Parser { text: expression.as_ref(), at: 0 }.filter();
        expressions.iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// Tells whether any of the filters selects this.
    #[must_use]
    pub fn matches(&self, item: &impl Fields) -> bool {
        self.0.is_empty()
            || self.0.iter().any(|filter| filter.iter().all(|selector| selector.matches(item)))
    }
}

impl Selector {
    fn matches(&self, item: &impl Fields) -> bool {
        let value = item.field(&self.path);
        match &self.test {
            Test::Present => value.is_some(),
            Test::Equal(wanted) => value.is_some_and(|value| value == wanted.as_str()),
            // As in containerd, an absent field is an empty one here.
            Test::NotEqual(wanted) => value.unwrap_or_default() != wanted.as_str(),
            Test::Matches(regex) => regex.is_match(&value.unwrap_or_default()),
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn filter(mut self) -> Result<Vec<Selector>, Error> {
        let mut selectors = Vec::new();
        while !self.is_at_end() {
            selectors.push(self.selector()?);
            if !self.is_at_end() {
                self.expect(",", "a comma or the end")?;
                if self.is_at_end() {
                    return Err(self.wrong("a field after the comma"));
                }
            }
        }
        Ok(selectors)
    }

    fn selector(&mut self) -> Result<Selector, Error> {
        let mut path = vec![self.field()?];
        while self.take(".") {
            path.push(self.field()?);
        }
        let test = if self.take("==") {
            Test::Equal(self.value(&['"'])?)
        } else if self.take("!=") {
            Test::NotEqual(self.value(&['"'])?)
        } else if self.take("~=") {
            let pattern = self.value(&['"', '/', '|'])?;
            let regex = RegexBuilder::new(&pattern).size_limit(MAX_REGEX).build();
            Test::Matches(
                regex.map_err(|source| Error::Regex { filter: self.text.to_owned(), source })?,
            )
        } else {
            Test::Present
        };
        Ok(Selector { path, test })
    }

    fn field(&mut self) -> Result<String, Error> {
        self.skip_space();
        if self.rest().starts_with('"') {
            return self.quoted('"');
        }
        let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        let field = self.up_to(|c| !word(c));
        if field.is_empty() { Err(self.wrong("a field")) } else { Ok(field.to_owned()) }
    }

    fn value(&mut self, quotes: &[char]) -> Result<String, Error> {
        self.skip_space();
        match self.rest().chars().next() {
            Some(quote) if quotes.contains(&quote) => self.quoted(quote),
            _ => match self.up_to(|c| c == ',' || c.is_whitespace()) {
                "" => Err(self.wrong("a value")),
                value => Ok(value.to_owned()),
            },
        }
    }

    /// Text between quotes. A backslash makes the quote or another backslash plain; before
    /// anything else it stays, so that regular expressions need not double theirs.
    fn quoted(&mut self, quote: char) -> Result<String, Error> {
        self.at += quote.len_utf8();
        let mut out = String::new();
        let mut chars = self.rest().char_indices();
        while let Some((offset, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.at += offset + c.len_utf8();
                    return Ok(out);
                }
                '\\' => match chars.next() {
                    Some((_, c)) if c == quote || c == '\\' => out.push(c),
                    Some((_, c)) => out.extend(['\\', c]),
                    None => break,
                },
                c => out.push(c),
            }
        }
        Err(self.wrong("a closing quote"))
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn up_to(&mut self, end: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let taken = &rest[..rest.find(end).unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    /// Space may stand before anything: `ctr` writes `type==T, id==I`.
    fn skip_space(&mut self) {
        self.up_to(|c| !c.is_whitespace());
    }

    fn is_at_end(&mut self) -> bool {
        self.skip_space();
        self.rest().is_empty()
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip_space();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn expect(&mut self, token: &str, expected: &'static str) -> Result<(), Error> {
        if self.take(token) { Ok(()) } else { Err(self.wrong(expected)) }
    }

    fn wrong(&self, expected: &'static str) -> Error {
        Error::Syntax { filter: self.text.to_owned(), expected, at: self.at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts_supervisor_api::services::containers::{Container, container::Runtime};
    use proptest::prelude::*;

    fn container() -> Container {
        let mut container = Container {
            id: "web".into(),
            image: "docker.io/library/nginx:1".into(),
            runtime: Some(Runtime { name: "io.containerd.gantry.v2".into(), options: None }),
            ..Container::default()
        };
        container.labels.insert("a.b/c".into(), "x y".into());
        container.labels.insert("keep".into(), String::new());
        container
    }

    fn selects(expressions: &[&str]) -> bool {
        Filters::parse(expressions).unwrap().matches(&container())
    }

    #[test]
    fn each_operator_selects_as_in_containerd() {
        for yes in [
            "id==web",
            "id",
            r#"labels."a.b/c"=="x y""#,
            "labels.keep",
            "labels.other!=1",
            "id!=db,image~=nginx",
            "runtime.name==io.containerd.gantry.v2",
            r"image~=/^docker\.io\/library\//",
            "image~=|:1$|",
            "id==web, image~=nginx",
            " id == web ,labels . keep ",
            "",
        ] {
            assert!(selects(&[yes]), "{yes}");
        }
        for no in ["id==db", "labels.other", "id==web,labels.other", "image~=^nginx", "none"] {
            assert!(!selects(&[no]), "{no}");
        }
    }

    #[test]
    fn several_filters_select_what_any_of_them_does() {
        assert!(selects(&[]));
        assert!(selects(&["id==db", "id==web"]));
        assert!(!selects(&["id==db", "id==api"]));
    }

    #[test]
    fn what_is_no_filter_is_refused_with_its_place() {
        for bad in ["==x", "id==", "id==\"x", "id,", "id x", "a..b", "id~=(", ",", "id=x"] {
            assert!(Filters::parse(&[bad]).is_err(), "{bad}");
        }
        let error = Filters::parse(&["id=="]).unwrap_err().to_string();
        assert_eq!(error, "parse filter \"id==\": expected a value at byte 4");
        assert!(Filters::parse(&["a".repeat(MAX_LENGTH + 1)]).is_err());
        assert!(Filters::parse(&vec!["a"; MAX_FILTERS + 1]).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC*|[a-z.\"=!~/|,\\\\]{0,40}") {
            if let Ok(filters) = Filters::parse(&[text]) {
                let _ = filters.matches(&container());
            }
        }
    }
}
