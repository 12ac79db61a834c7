//! Commands: their tree, how one is found, and the complaints about how it was called.

use crate::arguments::{Arguments, FlagError};
use crate::failure::Failure;
use crate::flag::Flag;
use crate::help;
use crate::session::Session;

/// Help for whoever asks for it by the letter.
#[must_use]
pub fn by_the_letter(help: &str) -> String {
    format!("Flag shorthand -h has been deprecated, use --help\n{help}")
}

/// What a command does.
pub type Run = fn(&Session, &Arguments) -> Result<(), Failure>;

/// How many operands a command takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operands {
    /// None.
    None,
    /// So many.
    Exactly(usize),
    /// So many or more.
    AtLeast(usize),
    /// So many or fewer.
    AtMost(usize),
    /// Within bounds.
    Between(usize, usize),
    /// Any number.
    Any,
}

/// Under which heading help lists a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// The ones that are used most.
    Common,
    /// Commands that have commands.
    Management,
    /// The others.
    Other,
    /// Not listed.
    Hidden,
}

/// What a command's operands, or a flag's values, are names of: for completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Of nothing that is known.
    Nothing,
    /// Files here.
    Files,
    /// Variables of the environment.
    Variables,
    /// Some words.
    Words(&'static [&'static str]),
    /// Contexts.
    Contexts,
    /// Containers.
    Containers,
    /// Containers that run.
    Running,
    /// Containers that are paused.
    Paused,
    /// Containers that do not run.
    Stopped,
    /// Images.
    Images,
    /// Networks.
    Networks,
    /// Volumes.
    Volumes,
    /// Containers, images, networks and volumes.
    Objects,
}

/// A command's definition.
#[derive(Debug)]
pub struct Command {
    /// Its name.
    pub name: &'static str,
    /// Other names beside it.
    pub aliases: &'static [&'static str],
    /// All its full names, for help, without the program's; empty when there is one.
    pub known_as: &'static [&'static str],
    /// What follows its name in a call.
    pub usage: &'static str,
    /// One line.
    pub about: &'static str,
    /// Where help lists it.
    pub group: Group,
    /// Its flags.
    pub flags: &'static [&'static [Flag]],
    /// Its operands.
    pub operands: Operands,
    /// What its operands name.
    pub names: Names,
    /// Whether flags may follow operands; not where operands are another program's arguments.
    pub interspersed: bool,
    /// Whether every word is an operand, those that look like flags too.
    pub every_word: bool,
    /// Whether it can do without a daemon, and so without knowing where one is.
    pub offline: bool,
    /// What it does; `None` for a command that only has commands.
    pub run: Option<Run>,
    /// Its commands.
    pub children: &'static [&'static Command],
}

impl Command {
    /// A command that does something.
    #[must_use]
    pub const fn new(
        name: &'static str,
        usage: &'static str,
        about: &'static str,
        run: Run,
    ) -> Self {
        Self {
            name,
            aliases: &[],
            known_as: &[],
            usage,
            about,
            group: Group::Other,
            flags: &[],
            operands: Operands::None,
            names: Names::Nothing,
            interspersed: true,
            every_word: false,
            offline: false,
            run: Some(run),
            children: &[],
        }
    }

    /// A command that has commands.
    #[must_use]
    pub const fn parent(
        name: &'static str,
        about: &'static str,
        children: &'static [&'static Self],
    ) -> Self {
        Self {
            name,
            aliases: &[],
            known_as: &[],
            usage: "COMMAND",
            about,
            group: Group::Management,
            flags: &[],
            operands: Operands::Any,
            names: Names::Nothing,
            interspersed: true,
            every_word: false,
            offline: false,
            run: None,
            children,
        }
    }

    /// Sets its flags.
    #[must_use]
    pub const fn flags(mut self, flags: &'static [&'static [Flag]]) -> Self {
        self.flags = flags;
        self
    }

    /// Sets its operands.
    #[must_use]
    pub const fn operands(mut self, operands: Operands) -> Self {
        self.operands = operands;
        self
    }

    /// Sets its other names.
    #[must_use]
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Sets its full names.
    #[must_use]
    pub const fn known_as(mut self, names: &'static [&'static str]) -> Self {
        self.known_as = names;
        self
    }

    /// Sets where help lists it.
    #[must_use]
    pub const fn group(mut self, group: Group) -> Self {
        self.group = group;
        self
    }

    /// Says what its operands name.
    #[must_use]
    pub const fn names(mut self, names: Names) -> Self {
        self.names = names;
        self
    }

    /// Takes every word for an operand.
    #[must_use]
    pub const fn takes_every_word(mut self) -> Self {
        self.every_word = true;
        self
    }

    /// Runs where no daemon can be found, too.
    #[must_use]
    pub const fn without_daemon(mut self) -> Self {
        self.offline = true;
        self
    }

    /// Ends flags at the first operand.
    #[must_use]
    pub const fn passes_arguments_on(mut self) -> Self {
        self.interspersed = false;
        self
    }

    /// The child of that name.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&'static Self> {
        self.children
            .iter()
            .find(|child| child.name == name || child.aliases.contains(&name))
            .copied()
    }
}

/// A command as it was called: the definition and the full name, with the program's.
#[derive(Clone, Debug)]
pub struct Called {
    /// The definition.
    pub command: &'static Command,
    /// `docker container run`.
    pub path: String,
}

impl Called {
    /// `docker run [OPTIONS] IMAGE [COMMAND] [ARG...]`.
    #[must_use]
    pub fn usage(&self) -> String {
        let usage = match (self.command.run, self.command.flags.is_empty()) {
            // Docker shows a command of commands without them here.
            (None, true) => "",
            _ => self.command.usage,
        };
        format!("{} {usage}", self.path).trim_end().to_owned()
    }

    /// Does what the command does.
    ///
    /// # Errors
    ///
    /// When it fails.
    pub fn execute(&self, session: &Session, arguments: &Arguments) -> Result<(), Failure> {
        match self.command.run {
            Some(run) => run(session, arguments),
            None => Ok(()),
        }
    }

    /// Reads the command's arguments.
    ///
    /// # Errors
    ///
    /// When they are wrong; a request for help is answered with the help.
    pub fn read(&self, arguments: &[String]) -> Result<Arguments, Failure> {
        if self.command.every_word {
            return Ok(Arguments::of_operands(arguments));
        }
        let interspersed = self.command.interspersed;
        let arguments = Arguments::read(self.command.flags, arguments, interspersed)
            .map_err(|error| self.complaint(&error))?;
        self.check(arguments.operands.len())?;
        Ok(arguments)
    }

    /// What is said about a wrong flag.
    #[must_use]
    pub fn complaint(&self, error: &FlagError) -> Failure {
        match error {
            FlagError::Help { by_letter } => {
                let help = help::of_command(self);
                Failure::Help(if *by_letter { by_the_letter(&help) } else { help })
            }
            FlagError::Wrong(text) => Failure::message(
                125,
                format!(
                    "{text}\n\nUsage:  {}\n\nRun '{} --help' for more information",
                    self.usage(),
                    self.path
                ),
            ),
        }
    }

    fn check(&self, count: usize) -> Result<(), Failure> {
        let arguments =
            |n: usize| if n == 1 { "1 argument".into() } else { format!("{n} arguments") };
        // Docker says "See" where more would have been right, and "Run" elsewhere.
        let (wrong, lead) = match self.command.operands {
            Operands::Any => return Ok(()),
            Operands::None if count == 0 => return Ok(()),
            Operands::None => ("accepts no arguments".to_owned(), "Run"),
            Operands::Exactly(n) if count == n => return Ok(()),
            Operands::Exactly(n) => (format!("requires {}", arguments(n)), "Run"),
            Operands::AtLeast(n) if count >= n => return Ok(()),
            Operands::AtLeast(n) => (format!("requires at least {}", arguments(n)), "See"),
            Operands::AtMost(n) if count <= n => return Ok(()),
            Operands::AtMost(n) => (format!("requires at most {}", arguments(n)), "Run"),
            Operands::Between(low, high) if (low..=high).contains(&count) => return Ok(()),
            Operands::Between(low, high) => {
                (format!("requires at least {low} and at most {}", arguments(high)), "Run")
            }
        };
        let program = self.path.split(' ').next().unwrap_or_default();
        Err(Failure::message(
            1,
            format!(
                "{program}: '{}' {wrong}\n\nUsage:  {}\n\n{lead} '{} --help' for more information",
                self.path,
                self.usage(),
                self.path
            ),
        ))
    }
}

/// Follows the names in `words` down from `root`; returns the command and the words left.
///
/// # Errors
///
/// When a name is unknown.
pub fn find<'w>(
    program: &str,
    root: &'static Command,
    words: &'w [String],
) -> Result<(Called, &'w [String]), Failure> {
    let mut called = Called { command: root, path: program.to_owned() };
    let mut rest = words;
    while called.command.run.is_none() {
        let Some(word) = rest.first() else { break };
        if word.starts_with('-') {
            break;
        }
        let Some(child) = called.command.child(word) else {
            return Err(unknown(program, &called, word));
        };
        called = Called { command: child, path: format!("{} {}", called.path, child.name) };
        rest = &rest[1..];
    }
    Ok((called, rest))
}

fn unknown(program: &str, within: &Called, word: &str) -> Failure {
    let mut text = format!("{program}: unknown command: {} {word}\n\n", within.path);
    if within.path != program {
        text.push_str(&format!("Usage:  {}\n\n", within.path));
    }
    text.push_str(&format!("Run '{} --help' for more information", within.path));
    Failure::message(1, text)
}
