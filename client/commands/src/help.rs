//! Help texts, in Docker's layout, from the commands' definitions.

use crate::command::{Called, Command, Group};
use crate::flag::{Flag, Kind};
use crate::terminal;

/// Help for one command.
#[must_use]
pub fn of_command(called: &Called) -> String {
    let command = called.command;
    let usage = format!("{} {}", called.path, command.usage);
    let mut out = format!("Usage:  {}\n\n{}\n", usage.trim_end(), command.about);
    let program = called.path.split(' ').next().unwrap_or_default();
    if !command.known_as.is_empty() {
        let names: Vec<String> =
            command.known_as.iter().map(|name| format!("{program} {name}")).collect();
        out.push_str(&format!("\nAliases:\n  {}\n", names.join(", ")));
    }
    children(&mut out, command);
    if command.flags.iter().any(|flags| !flags.is_empty()) {
        out.push_str("\nOptions:\n");
        options(&mut out, command.flags);
    }
    if !command.children.is_empty() {
        out.push_str(&format!(
            "\nRun '{} COMMAND --help' for more information on a command.\n",
            called.path
        ));
    }
    out
}

/// Help for the program.
#[must_use]
pub fn of_program(program: &str, root: &Command, global: &'static [Flag]) -> String {
    let mut out = format!("Usage:  {program} [OPTIONS] COMMAND\n\n{}\n", root.about);
    children(&mut out, root);
    out.push_str("\nGlobal Options:\n");
    options(&mut out, &[global]);
    out.push_str(&format!("\nRun '{program} COMMAND --help' for more information on a command.\n"));
    out
}

fn children(out: &mut String, command: &Command) {
    let listed = || command.children.iter().filter(|child| child.group != Group::Hidden);
    let width = listed().map(|child| child.name.len()).max().unwrap_or(0).max(9);
    let mut section = |heading: &str, mut members: Vec<&&Command>, sorted: bool| {
        if members.is_empty() {
            return;
        }
        if sorted {
            members.sort_by_key(|child| child.name);
        }
        out.push_str(&format!("\n{heading}:\n"));
        for child in members {
            out.push_str(&format!("  {:width$}   {}\n", child.name, child.about));
        }
    };
    let of = |group| listed().filter(|child| child.group == group).collect::<Vec<_>>();
    // Only the program itself has commands of commands, and so several headings.
    if of(Group::Management).is_empty() {
        section("Commands", listed().collect(), true);
        return;
    }
    section("Common Commands", of(Group::Common), false);
    section("Management Commands", of(Group::Management), true);
    section("Commands", of(Group::Other), true);
}

fn options(out: &mut String, flags: &[&'static [Flag]]) {
    let mut shown: Vec<&Flag> =
        flags.iter().copied().flatten().filter(|flag| !flag.hidden).collect();
    shown.sort_by_key(|flag| flag.long);
    let label = |flag: &Flag| {
        let letter = flag.short.map_or("    ".to_owned(), |letter| format!("-{letter}, "));
        format!("  {letter}--{} {}", flag.long, flag.kind.word()).trim_end().to_owned()
    };
    let column = shown.iter().map(|flag| label(flag).len()).max().unwrap_or(0) + 3;
    let width = terminal::stdout_size().map_or(80, |size| usize::from(size.columns)).max(40) - 1;
    for flag in shown {
        let mut help = flag.help.to_owned();
        if shows_default(flag) {
            let quoted = flag.kind == Kind::Text;
            let default = if quoted { format!("{:?}", flag.default) } else { flag.default.into() };
            help.push_str(&format!(" (default {default})"));
        }
        let lines = wrap(&help, width.saturating_sub(column).max(24));
        for (index, line) in lines.iter().enumerate() {
            let left = if index == 0 { label(flag) } else { String::new() };
            out.push_str(format!("{left:column$}{line}").trim_end());
            out.push('\n');
        }
    }
}

/// Go's flag library shows defaults that are not the type's zero.
fn shows_default(flag: &Flag) -> bool {
    !matches!(flag.default, "" | "false" | "0")
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split_inclusive(' ') {
            let fits = line.chars().count() + word.trim_end().chars().count() <= width;
            if !fits && !line.trim().is_empty() {
                lines.push(line.trim_end().to_owned());
                line.clear();
            }
            line.push_str(word);
        }
        lines.push(line.trim_end().to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_is_wrapped_at_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a\nb c", 10), ["a", "b c"]);
    }
}
