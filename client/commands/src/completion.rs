//! `completion`: scripts for shells, which ask this program for candidates as they are typed.

use crate::arguments::Arguments;
use crate::command::{Command, Group, Operands};
use crate::failure::Failure;
use crate::output;
use crate::session::Session;

/// `completion`.
pub(crate) static COMMAND: Command = Command::new(
    "completion",
    "bash|zsh|fish",
    "Generate the autocompletion script for the specified shell",
    script,
)
.operands(Operands::Exactly(1));

/// What the scripts call: words so far, the last of them unfinished.
pub(crate) static CANDIDATES: Command =
    Command::new("__complete", "[WORD...]", "Print candidates for a word", candidates)
        .operands(Operands::Any)
        .passes_arguments_on()
        .group(Group::Hidden);

const BASH: &str = r#"_PROGRAM_complete() {
    local IFS=$'\n'
    COMPREPLY=($("${COMP_WORDS[0]}" __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
    [[ ${#COMPREPLY[@]} -gt 0 ]] || compopt -o default
}
complete -F _PROGRAM_complete PROGRAM
"#;

const ZSH: &str = r#"#compdef PROGRAM
_PROGRAM() {
    local -a found
    found=("${(@f)$("${words[1]}" __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    [[ -n "$found" ]] && compadd -a found || _files
}
compdef _PROGRAM PROGRAM
"#;

const FISH: &str = r#"complete -c PROGRAM -a '(PROGRAM __complete -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
"#;

fn script(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let script = match arguments.operand() {
        "bash" => BASH,
        "zsh" => ZSH,
        "fish" => FISH,
        other => {
            return Err(Failure::text(format!(
                "unknown shell: {other}: it is one of bash, zsh, fish"
            )));
        }
    };
    output::print(&script.replace("PROGRAM", &session.program))
}

fn candidates(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let words = match arguments.operands.split_first() {
        Some((first, rest)) if first == "--" => rest,
        _ => &arguments.operands[..],
    };
    for candidate in find(session.root, words) {
        output::line(candidate)?;
    }
    Ok(())
}

/// Names of commands, or of a command's flags.
fn find(root: &'static Command, words: &[String]) -> Vec<String> {
    let (unfinished, before) = match words.split_last() {
        Some((last, before)) => (last.as_str(), before),
        None => ("", words),
    };
    let mut command = root;
    for word in before {
        command = command.child(word).unwrap_or(command);
    }
    let mut found: Vec<String> = if unfinished.starts_with('-') {
        let flags = command.flags.iter().copied().flatten().filter(|flag| !flag.hidden);
        flags.map(|flag| format!("--{}", flag.long)).collect()
    } else {
        let listed = command.children.iter().filter(|child| child.group != Group::Hidden);
        listed.map(|child| child.name.to_owned()).collect()
    };
    found.retain(|name| name.starts_with(unfinished));
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(words: &[&str]) -> Vec<String> {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        find(&crate::root::ROOT, &words)
    }

    #[test]
    fn commands_and_flags_are_offered() {
        assert_eq!(found(&["rest"]), ["restart"]);
        assert_eq!(found(&["container", "ex"]), ["exec"]);
        assert_eq!(found(&["run", "--sig"]), ["--sig-proxy"]);
        assert!(found(&["__"]).is_empty());
    }
}
