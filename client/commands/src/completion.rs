//! `completion`: scripts for shells, which ask this program for candidates as they are typed.
//!
//! The question is cobra's, so that the scripts that come with Docker's own client work with a
//! program called `docker` too: `__complete WORDS…` with the last word unfinished. The answer is a
//! line for each candidate, with a tab before what it means, then `:` and a directive in bits.

mod candidates;

use crate::arguments::Arguments;
use crate::command::{Command, Group, Operands};
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::output;
use crate::session::Session;
use candidates::Candidates;

static FLAGS: &[Flag] =
    &[Flag::new("no-descriptions", Kind::Switch, "Disable completion descriptions")
        .default("false")];

/// `completion`.
pub(crate) static COMMAND: Command = Command::parent(
    "completion",
    "Generate the autocompletion script for the specified shell",
    &[&BASH, &FISH, &ZSH],
)
.group(Group::Other);

static BASH: Command = Command::new(
    "bash",
    "",
    "Generate the autocompletion script for bash",
    |session, arguments| script(session, arguments, include_str!("completion/script.bash")),
)
.flags(&[FLAGS])
.without_daemon();

static FISH: Command = Command::new(
    "fish",
    "[flags]",
    "Generate the autocompletion script for fish",
    |session, arguments| script(session, arguments, include_str!("completion/script.fish")),
)
.flags(&[FLAGS])
.without_daemon();

static ZSH: Command = Command::new(
    "zsh",
    "[flags]",
    "Generate the autocompletion script for zsh",
    |session, arguments| script(session, arguments, include_str!("completion/script.zsh")),
)
.flags(&[FLAGS])
.without_daemon();

/// What scripts ask with: candidates and what they mean.
pub(crate) static COMPLETE: Command =
    Command::new("__complete", "WORD...", "Print candidates for a word", |session, arguments| {
        answer(session, arguments, true)
    })
    .operands(Operands::Any)
    .takes_every_word()
    .without_daemon()
    .group(Group::Hidden);

/// The same without what they mean.
pub(crate) static COMPLETE_PLAIN: Command = Command::new(
    "__completeNoDesc",
    "WORD...",
    "Print candidates for a word",
    |session, arguments| answer(session, arguments, false),
)
.operands(Operands::Any)
.takes_every_word()
.without_daemon()
.group(Group::Hidden);

fn script(session: &Session, arguments: &Arguments, text: &str) -> Result<(), Failure> {
    let plain = arguments.on("no-descriptions");
    let command = if plain { COMPLETE_PLAIN.name } else { COMPLETE.name };
    output::print(&text.replace("COMPLETE", command).replace("PROGRAM", &session.program))
}

fn answer(session: &Session, arguments: &Arguments, described: bool) -> Result<(), Failure> {
    let Candidates { found, directive } = candidates::find(session, &arguments.operands);
    let mut text = String::new();
    for (value, meaning) in found {
        text.push_str(&value);
        if described && !meaning.is_empty() {
            text.push('\t');
            text.push_str(meaning.lines().next().unwrap_or_default());
        }
        text.push('\n');
    }
    output::print(&format!("{text}:{directive}\n"))
}
