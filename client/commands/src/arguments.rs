//! Reading a command's arguments by the rules of Docker's flag library (pflag): `--name value`,
//! `--name=value`, `-n value`, `-nvalue`, `-n=value`, `-it`, `--switch=false`, `--`.

use crate::flag::{Flag, Kind, parse_bool};

/// What was given to a command.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    given: Vec<(&'static Flag, String)>,
    flags: Vec<&'static [Flag]>,
    /// What is not a flag.
    pub operands: Vec<String>,
}

/// A wrong flag. The text is Docker's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// `--help` was given, or `-h`, which Docker wants no longer.
    #[error("help requested")]
    Help {
        /// Whether it was the letter.
        by_letter: bool,
    },
    /// Anything else.
    #[error("{0}")]
    Wrong(String),
}

const HELP: Flag = Flag::new("help", Kind::Switch, "Print usage");
static HELP_FLAG: Flag = HELP;

struct Reader<'a> {
    flags: &'a [&'static [Flag]],
    rest: std::slice::Iter<'a, String>,
    given: Vec<(&'static Flag, String)>,
}

impl Reader<'_> {
    fn find_long(&self, name: &str) -> Option<&'static Flag> {
        let found = self.flags.iter().copied().flatten().find(|flag| flag.long == name);
        found.or_else(|| (name == HELP_FLAG.long).then_some(&HELP_FLAG))
    }

    fn find_short(&self, letter: char) -> Option<&'static Flag> {
        let found = self.flags.iter().copied().flatten().find(|f| f.short == Some(letter));
        // `-h` is help where the command has no other use for it, as `run` has.
        found.or_else(|| (letter == 'h').then_some(&HELP_FLAG))
    }

    fn take(&mut self, flag: &'static Flag, value: String) -> Result<(), FlagError> {
        flag.accept(&value).map_err(FlagError::Wrong)?;
        if std::ptr::eq(flag, &raw const HELP_FLAG) && value == "true" {
            return Err(FlagError::Help { by_letter: false });
        }
        self.given.push((flag, value));
        Ok(())
    }

    fn long(&mut self, text: &str) -> Result<(), FlagError> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        if name.is_empty() || name.starts_with('-') {
            return Err(FlagError::Wrong(format!("bad flag syntax: --{text}")));
        }
        let Some(flag) = self.find_long(name) else {
            return Err(FlagError::Wrong(format!("unknown flag: --{name}")));
        };
        let value = match value {
            Some(value) => value,
            None if flag.kind == Kind::Switch => "true".to_owned(),
            None => self
                .rest
                .next()
                .cloned()
                .ok_or_else(|| FlagError::Wrong(format!("flag needs an argument: --{name}")))?,
        };
        self.take(flag, value)
    }

    fn shorts(&mut self, letters: &str) -> Result<(), FlagError> {
        let mut rest = letters;
        while let Some(letter) = rest.chars().next() {
            let after = &rest[letter.len_utf8()..];
            let Some(flag) = self.find_short(letter) else {
                let text = format!("unknown shorthand flag: '{letter}' in -{rest}");
                return Err(FlagError::Wrong(text));
            };
            if std::ptr::eq(flag, &raw const HELP_FLAG) {
                return Err(FlagError::Help { by_letter: true });
            }
            if let Some(value) = after.strip_prefix('=') {
                return self.take(flag, value.to_owned());
            }
            if flag.kind == Kind::Switch {
                self.take(flag, "true".to_owned())?;
                rest = after;
                continue;
            }
            let value = if after.is_empty() {
                self.rest.next().cloned().ok_or_else(|| {
                    FlagError::Wrong(format!("flag needs an argument: '{letter}' in -{rest}"))
                })?
            } else {
                after.to_owned()
            };
            return self.take(flag, value);
        }
        Ok(())
    }
}

impl Arguments {
    /// Operands and no flags.
    #[must_use]
    pub fn of_operands(operands: &[String]) -> Self {
        Self { operands: operands.to_vec(), ..Self::default() }
    }

    /// Reads `arguments`; without `interspersed`, flags end at the first operand.
    ///
    /// # Errors
    ///
    /// When a flag is unknown or its value wrong; and when help is asked for.
    pub fn read(
        flags: &[&'static [Flag]],
        arguments: &[String],
        interspersed: bool,
    ) -> Result<Self, FlagError> {
        let mut reader = Reader { flags, rest: arguments.iter(), given: Vec::new() };
        let mut operands = Vec::new();
        while let Some(argument) = reader.rest.next() {
            if argument == "--" {
                operands.extend(reader.rest.by_ref().cloned());
            } else if let Some(long) = argument.strip_prefix("--") {
                reader.long(long)?;
            } else if argument.len() > 1 && argument.starts_with('-') {
                reader.shorts(&argument[1..])?;
            } else {
                operands.push(argument.clone());
                if !interspersed {
                    operands.extend(reader.rest.by_ref().cloned());
                }
            }
        }
        Ok(Self { given: reader.given, flags: flags.to_vec(), operands })
    }

    /// A flag's values, in the order in which they were given.
    pub fn list(&self, long: &'static str) -> impl Iterator<Item = &str> {
        self.given
            .iter()
            .filter(move |(flag, _)| flag.long == long)
            .map(|(_, value)| value.as_str())
    }

    /// As [`Arguments::list`], owned.
    #[must_use]
    pub fn texts(&self, long: &'static str) -> Vec<String> {
        self.list(long).map(str::to_owned).collect()
    }

    /// As [`Arguments::texts`], `None` when not given.
    #[must_use]
    pub fn texts_if_given(&self, long: &'static str) -> Option<Vec<String>> {
        self.given(long).then(|| self.texts(long))
    }

    /// The parts of comma-separated values, `None` when not given.
    #[must_use]
    pub fn parts_if_given(&self, long: &'static str) -> Option<Vec<String>> {
        let parts = || self.list(long).flat_map(|text| text.split(',')).map(str::to_owned);
        self.given(long).then(|| parts().collect())
    }

    /// The last value given, else the default.
    #[must_use]
    pub fn text(&self, long: &'static str) -> &str {
        self.list(long).last().unwrap_or_else(|| self.definition(long).default)
    }

    /// The last value given.
    #[must_use]
    pub fn text_if_given(&self, long: &'static str) -> Option<&str> {
        self.list(long).last()
    }

    /// Whether a switch is on.
    #[must_use]
    pub fn on(&self, long: &'static str) -> bool {
        parse_bool(self.text(long)).unwrap_or(false)
    }

    /// Whether a flag was given.
    #[must_use]
    pub fn given(&self, long: &'static str) -> bool {
        self.list(long).next().is_some()
    }

    /// A number.
    #[must_use]
    pub fn int(&self, long: &'static str) -> i64 {
        self.text(long).parse().unwrap_or(0)
    }

    /// A number, if given.
    #[must_use]
    pub fn int_if_given(&self, long: &'static str) -> Option<i64> {
        self.text_if_given(long).and_then(|text| text.parse().ok())
    }

    /// The first operand; commands that use it demand one.
    #[must_use]
    pub fn operand(&self) -> &str {
        self.operands.first().map_or("", String::as_str)
    }

    fn definition(&self, long: &'static str) -> &'static Flag {
        let found = self.flags.iter().copied().flatten().find(|flag| flag.long == long);
        found.expect("commands ask only for flags that they define")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static FLAGS: &[Flag] = &[
        Flag::new("interactive", Kind::Switch, "").short('i'),
        Flag::new("tty", Kind::Switch, "").short('t'),
        Flag::new("env", Kind::List, "").short('e'),
        Flag::new("hostname", Kind::Text, "").short('h'),
        Flag::new("sig-proxy", Kind::Switch, "").default("true"),
        Flag::new("memory", Kind::Bytes, "").short('m'),
    ];

    fn read(arguments: &[&str], interspersed: bool) -> Result<Arguments, FlagError> {
        let arguments: Vec<String> = arguments.iter().map(|&a| a.to_owned()).collect();
        Arguments::read(&[FLAGS], &arguments, interspersed)
    }

    fn wrong(arguments: &[&str]) -> String {
        read(arguments, true).unwrap_err().to_string()
    }

    #[test]
    fn every_way_to_give_a_value_works() {
        let given = read(&["-it", "-eA=1", "-e", "B", "-e=C=3", "--env=D", "--env", "E"], true);
        let given = given.unwrap();
        assert!(given.on("interactive") && given.on("tty") && given.on("sig-proxy"));
        assert_eq!(given.texts("env"), ["A=1", "B", "C=3", "D", "E"]);
        assert!(!read(&["--sig-proxy=false"], true).unwrap().on("sig-proxy"));
    }

    #[test]
    fn flags_after_the_image_belong_to_the_container() {
        let given = read(&["-t", "image", "-i", "--", "-x"], false).unwrap();
        assert_eq!(given.operands, ["image", "-i", "--", "-x"]);
        let given = read(&["x", "-i", "--", "-t"], true).unwrap();
        assert_eq!(given.operands, ["x", "-t"]);
        assert!(given.on("interactive") && !given.on("tty"));
    }

    #[test]
    fn a_command_may_take_the_letter_of_help() {
        assert_eq!(read(&["-h", "box"], true).unwrap().text("hostname"), "box");
        let help = |by_letter| FlagError::Help { by_letter };
        assert_eq!(read(&["--help"], true).unwrap_err(), help(false));
        let plain = [FLAGS.split_at(3).0];
        let given = Arguments::read(&plain, &["-h".to_owned()], true);
        assert_eq!(given.unwrap_err(), help(true));
    }

    #[test]
    fn wrong_flags_are_told_in_dockers_words() {
        assert_eq!(wrong(&["--foo"]), "unknown flag: --foo");
        assert_eq!(wrong(&["-iz"]), "unknown shorthand flag: 'z' in -z");
        assert_eq!(wrong(&["-e"]), "flag needs an argument: 'e' in -e");
        assert_eq!(wrong(&["--env"]), "flag needs an argument: --env");
        assert_eq!(
            wrong(&["-m", "1x"]),
            "invalid argument \"1x\" for \"-m, --memory\" flag: invalid suffix: 'x'"
        );
    }
}
