//! Flags: one definition each, from which come parser, help and completion.

use crate::quantity;

/// What sort of value a flag takes. The names that help shows are Docker's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// On or off; `--flag=false` is possible.
    Switch,
    /// Any text.
    Text,
    /// A 64-bit number.
    Int,
    /// A 64-bit number that is not negative.
    Uint,
    /// A 16-bit number that is not negative.
    Uint16,
    /// A size: `10m`.
    Bytes,
    /// A time: `1m30s`.
    Duration,
    /// A decimal fraction, read later.
    Decimal,
    /// Text, repeatable.
    List,
    /// Comma-separated texts, repeatable.
    Texts,
    /// `key=value`, repeatable.
    Map,
    /// Comma-separated `key=value`s, repeatable.
    KeyValues,
    /// `key=value` for a list's filter, repeatable.
    Filter,
    /// A mount, repeatable.
    Mount,
    /// A network, repeatable.
    Network,
    /// A resource limit, repeatable.
    Ulimit,
    /// GPUs.
    GpuRequest,
    /// An address.
    Ip,
}

impl Kind {
    /// The word in help after the flag's name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Switch => "",
            Self::Text | Self::Ip => "string",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Uint16 => "uint16",
            Self::Bytes => "bytes",
            Self::Duration => "duration",
            Self::Decimal => "decimal",
            Self::List => "list",
            Self::Texts => "strings",
            Self::Map => "map",
            Self::KeyValues => "stringToString",
            Self::Filter => "filter",
            Self::Mount => "mount",
            Self::Network => "network",
            Self::Ulimit => "ulimit",
            Self::GpuRequest => "gpu-request",
        }
    }

    /// Checks a value in the words of Go's flag library.
    fn check(self, text: &str) -> Result<(), String> {
        match self {
            Self::Switch => parse_bool(text).map(drop),
            Self::Int => integer::<i64>(text, "ParseInt"),
            Self::Uint => integer::<u64>(text, "ParseUint"),
            Self::Uint16 => integer::<u16>(text, "ParseUint"),
            Self::Bytes => quantity::parse_bytes(text).map(drop),
            Self::Duration => quantity::parse_duration(text).map(drop),
            Self::Decimal => quantity::parse_cpus(text).map(drop),
            Self::Filter if !text.is_empty() && !text.contains('=') => {
                Err("bad format of filter (expected name=value)".to_owned())
            }
            _ => Ok(()),
        }
    }
}

fn integer<T: std::str::FromStr<Err = std::num::ParseIntError>>(
    text: &str,
    function: &str,
) -> Result<(), String> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    match text.parse::<T>() {
        Ok(_) => Ok(()),
        Err(error) => {
            let why = match error.kind() {
                PosOverflow | NegOverflow => "value out of range",
                _ => "invalid syntax",
            };
            Err(format!("strconv.{function}: parsing {text:?}: {why}"))
        }
    }
}

/// Reads a switch's value as Go's `strconv.ParseBool` does.
///
/// # Errors
///
/// In its words, when the text is neither.
pub fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {text:?}: invalid syntax")),
    }
}

/// Checks a value; the error is what is said about it.
pub type Check = fn(&str) -> Result<(), String>;

/// A flag's definition.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// The name after `--`.
    pub long: &'static str,
    /// The letter after `-`.
    pub short: Option<char>,
    /// What it takes.
    pub kind: Kind,
    /// The value when it is not given; help shows it where Docker's does.
    pub default: &'static str,
    /// One sentence for help.
    pub help: &'static str,
    /// Left out of help: deprecated.
    pub hidden: bool,
    check: Option<Check>,
}

impl Flag {
    /// A flag without letter or default.
    #[must_use]
    pub const fn new(long: &'static str, kind: Kind, help: &'static str) -> Self {
        Self { long, short: None, kind, default: "", help, hidden: false, check: None }
    }

    /// Gives it a letter.
    #[must_use]
    pub const fn short(mut self, letter: char) -> Self {
        self.short = Some(letter);
        self
    }

    /// Gives it a default.
    #[must_use]
    pub const fn default(mut self, text: &'static str) -> Self {
        self.default = text;
        self
    }

    /// Leaves it out of help.
    #[must_use]
    pub const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// Checks values as they are read.
    #[must_use]
    pub const fn checked(mut self, check: Check) -> Self {
        self.check = Some(check);
        self
    }

    /// `-m, --memory` or `--cpus`: as error texts name it.
    #[must_use]
    pub fn shown(&self) -> String {
        match self.short {
            Some(letter) => format!("-{letter}, --{}", self.long),
            None => format!("--{}", self.long),
        }
    }

    /// Checks a value.
    ///
    /// # Errors
    ///
    /// In Docker's words, naming flag and value.
    pub fn accept(&self, text: &str) -> Result<(), String> {
        let outcome = self.kind.check(text).and_then(|()| self.check.map_or(Ok(()), |c| c(text)));
        outcome.map_err(|why| {
            format!("invalid argument \"{text}\" for \"{}\" flag: {why}", self.shown())
        })
    }
}
