//! From profile to instructions.

mod instructions;
#[cfg(test)]
mod tests;

use super::Filter;
use super::machine::{Architecture, Machine};
use super::syscalls::Call;
use crate::Error;
use base_oci::runtime::{Action, Argument, Operator, Seccomp, SyscallRule};
use instructions::{Argument64, Code, Verdict, always};
use kernel_sys::seccomp::{FLAG_NEW_LISTENER, MAX_INSTRUCTIONS};

const KILL_THREAD: u32 = 0;
const ERRNO: u32 = 0x0005_0000;
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
/// What a tracer puts in the place of a call's number (`seccomp(2)`).
const SKIPPED: u32 = u32::MAX;

/// Compiles a profile for this program's machine.
///
/// # Errors
/// A value without meaning, a feature that is not offered, or a filter that is too long.
pub fn compile(profile: &Seccomp) -> Result<Filter, Error> {
    compile_for(&Machine::HOST, profile)
}

/// Compiles a profile for a machine. Architectures of other machines are left out; the machine's
/// own is always filtered, as libseccomp does.
///
/// # Errors
/// As those of [`compile`].
pub fn compile_for(machine: &Machine, profile: &Seccomp) -> Result<Filter, Error> {
    let default_action = profile.default_action.ok_or_else(|| missing("seccomp defaultAction"))?;
    let notifies = check_notification(profile)?;
    if let Some(name) = profile.architectures.iter().find(|name| !name.starts_with("SCMP_ARCH_")) {
        return Err(Error::Invalid { what: "seccomp architecture", value: name.clone() });
    }
    let is_listed =
        |architecture: &Architecture| profile.architectures.iter().any(|n| n == architecture.name);
    let default = return_value(default_action, profile.default_errno_ret);
    let rules = profile.syscalls.iter().map(Rule::read).collect::<Result<Vec<_>, _>>()?;
    // A tracer that is asked about everything knows new calls, too.
    let is_permissive = matches!(default_action, Action::Allow | Action::Log | Action::Trace);
    let tree = |code: &mut Code, architecture| {
        code.bisect(&ranges(&rules, architecture, default, is_permissive));
    };

    let mut code = Code::default();
    // An architecture that the profile does not list.
    code.ret(KILL_THREAD);
    for foreign in machine.foreign.iter().filter(|architecture| is_listed(architecture)) {
        code.when_equal(foreign.audit_value(), |code| {
            tree(code, foreign);
            code.load_number();
        });
    }
    code.when_equal(machine.native.audit_value(), |code| {
        let native = |code: &mut Code| tree(code, &machine.native);
        match &machine.marked {
            None => native(code),
            Some(marked) if is_listed(marked) => {
                code.branch(marked.mark, native, |code| tree(code, marked));
            }
            Some(marked) => code.branch(marked.mark, native, |code| {
                code.ret(KILL_THREAD);
                // -1 is none of its calls: a tracer's way to have a call skipped.
                code.when_equal(SKIPPED, |code| code.ret(default));
            }),
        }
        code.load_number();
    });
    code.load_architecture();
    let program = code.into_program();
    if program.len() > MAX_INSTRUCTIONS {
        return Err(Error::FilterTooLong(program.len()));
    }
    Ok(Filter { program, flags: flags(profile, notifies)? })
}

/// Whether a listener decides about some calls. It cannot about `write(2)`, with which the
/// process tells of the listener's descriptor, and so not by default either; runc's rules.
fn check_notification(profile: &Seccomp) -> Result<bool, Error> {
    let wrong =
        |value: &str| Err(Error::Invalid { what: "seccomp action", value: value.to_owned() });
    if profile.default_action == Some(Action::Notify) {
        return wrong("SCMP_ACT_NOTIFY as the default");
    }
    let mut notifying = profile.syscalls.iter().filter(|rule| rule.action == Some(Action::Notify));
    if notifying.clone().any(|rule| rule.names.iter().any(|name| name == "write")) {
        return wrong("SCMP_ACT_NOTIFY for write");
    }
    let notifies = notifying.next().is_some();
    if notifies && profile.listener_path.is_empty() {
        return wrong("SCMP_ACT_NOTIFY without listenerPath");
    }
    Ok(notifies)
}

fn missing(what: &'static str) -> Error {
    Error::Invalid { what, value: String::new() }
}

/// The flags of seccomp(2). Without any, speculation mitigation is left off as runc does: it
/// costs every program much and a container's programs do not defend against themselves.
fn flags(profile: &Seccomp, notifies: bool) -> Result<u32, Error> {
    const LOG: u32 = 1 << 1;
    const SPEC_ALLOW: u32 = 1 << 2;
    const WAIT_KILLABLE_RECV: u32 = 1 << 5;
    let own = if notifies { FLAG_NEW_LISTENER } else { 0 };
    if profile.flags.is_empty() {
        return Ok(own | SPEC_ALLOW);
    }
    profile.flags.iter().try_fold(own, |flags, name| match name.as_str() {
        // One thread only: there is nobody to synchronise with.
        "SECCOMP_FILTER_FLAG_TSYNC" => Ok(flags),
        "SECCOMP_FILTER_FLAG_LOG" => Ok(flags | LOG),
        "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => Ok(flags | SPEC_ALLOW),
        // About waiting for a listener; the kernel refuses it where there is none.
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" if !notifies => Ok(flags),
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => Ok(flags | WAIT_KILLABLE_RECV),
        _ => Err(Error::Invalid { what: "seccomp flag", value: name.clone() }),
    })
}

/// The filter's return value of an action.
fn return_value(action: Action, errno: Option<u32>) -> u32 {
    let data = errno.unwrap_or(EPERM) & 0xffff;
    match action {
        Action::Kill | Action::KillThread => KILL_THREAD,
        Action::KillProcess => 0x8000_0000,
        Action::Trap => 0x0003_0000,
        Action::Errno => ERRNO | data,
        Action::Notify => 0x7fc0_0000,
        Action::Trace => 0x7ff0_0000 | data,
        Action::Log => 0x7ffc_0000,
        Action::Allow => 0x7fff_0000,
    }
}

/// A rule with its names looked up.
struct Rule {
    value: u32,
    conditions: Vec<Vec<Argument64>>,
    calls: Vec<Call>,
}

impl Rule {
    /// Names that no architecture knows are left out: a profile may know newer calls.
    fn read(rule: &SyscallRule) -> Result<Self, Error> {
        let mut calls = Vec::with_capacity(rule.names.len());
        for name in &rule.names {
            calls.extend(Call::find(name, calls.last().copied()));
        }
        let action = rule.action.ok_or_else(|| missing("seccomp action"))?;
        let value = return_value(action, rule.errno_ret);
        Ok(Self { value, conditions: conditions(rule)?, calls })
    }
}

/// The calls of an architecture, cut into ranges of the same verdict, each with its first number.
fn ranges(
    rules: &[Rule],
    architecture: &Architecture,
    default: u32,
    is_permissive: bool,
) -> Vec<(u32, Verdict)> {
    let (verdicts, last) = verdicts(rules, architecture, default);
    let base = architecture.mark;
    let mut ranges: Vec<(u32, Verdict)> = Vec::with_capacity(verdicts.len() + 2);
    ranges.push((base, always(default)));
    let mut push = |start: u32, verdict: Verdict| match ranges.last_mut() {
        Some(last) if last.1 == verdict => {}
        Some(last) if last.0 == start => last.1 = verdict,
        _ => ranges.push((start, verdict)),
    };
    let mut next = base;
    for (number, mut verdict) in verdicts {
        if number > next {
            push(next, always(default));
        }
        verdict.otherwise.get_or_insert(default);
        push(number, verdict);
        next = number + 1;
    }
    push(next, always(default));
    // Calls newer than the newest that the profile knows do not exist for the program, so that it
    // falls back to older ones instead of failing (runc: "-ENOSYS stub").
    if let Some(last) = last
        && !is_permissive
    {
        // Later calls that the profile does name may be made as parts of others.
        ranges.retain(|(start, _)| *start <= last);
        ranges.push((last + 1, always(ERRNO | ENOSYS)));
    }
    ranges
}

/// What the rules say about each call of an architecture, in the order of their numbers, and the last
/// call that they know.
fn verdicts(
    rules: &[Rule],
    architecture: &Architecture,
    default: u32,
) -> (Vec<(u32, Verdict)>, Option<u32>) {
    // Call, rule, and of which part of the call it speaks.
    let mut said: Vec<(u32, &Rule, Option<u32>)> =
        Vec::with_capacity(rules.iter().map(|rule| rule.calls.len()).sum());
    let mut last = None;
    for rule in rules {
        for call in &rule.calls {
            let (number, part) = (architecture.number(*call), architecture.part(*call));
            // Where a call can be a part of another one, libseccomp tells runc no number.
            if part.is_none() {
                last = last.max(number);
            }
            // A rule that says what happens anyway is left out, as runc does.
            if rule.value == default {
                continue;
            }
            said.extend(number.map(|number| (number, rule, None)));
            said.extend(part.map(|(whole, part)| (whole, rule, Some(part))));
        }
    }
    // One call's stay in the order of the rules.
    said.sort_by_key(|(number, ..)| *number);
    let verdict = |said: &[(u32, &Rule, Option<u32>)]| {
        let mut verdict = Verdict::default();
        for (_, Rule { value, conditions, .. }, part) in said {
            match part {
                None => verdict.add(conditions, *value, architecture),
                Some(part) => verdict.add(&of_part(conditions, *part), *value, architecture),
            }
        }
        (said[0].0, verdict)
    };
    (said.chunk_by(|one, next| one.0 == next.0).map(verdict).collect(), last)
}

/// The conditions for a call that is made as part of another one: the first argument says which
/// part it is, so that what the rule says about its own first argument is lost, as with libseccomp.
fn of_part(conditions: &[Vec<Argument64>], part: u32) -> Vec<Vec<Argument64>> {
    let is_part = Argument64::new(0, Operator::Equal, part.into(), 0);
    let of = |condition: &Vec<Argument64>| {
        let others = condition.iter().copied().filter(|argument| argument.index != 0);
        std::iter::once(is_part).chain(others).collect()
    };
    match conditions {
        [] => vec![vec![is_part]],
        _ => conditions.iter().map(of).collect(),
    }
}

/// The alternatives of a rule, each a list of conditions that must all hold. libseccomp cannot
/// compare one argument twice in a rule, so runc makes alternatives of such conditions; profiles
/// count on it.
fn conditions(rule: &SyscallRule) -> Result<Vec<Vec<Argument64>>, Error> {
    let parse = |argument: &Argument| {
        if argument.index > 5 {
            let value = argument.index.to_string();
            return Err(Error::Invalid { what: "seccomp argument index", value });
        }
        let operator = argument.op.ok_or_else(|| missing("seccomp operator"))?;
        let value_two = argument.value_two.unwrap_or(0);
        Ok(Argument64::new(argument.index, operator, argument.value, value_two))
    };
    let arguments = rule.args.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    if arguments.is_empty() {
        return Ok(Vec::new());
    }
    let repeated = arguments
        .iter()
        .enumerate()
        .any(|(i, a)| arguments[..i].iter().any(|earlier| earlier.index == a.index));
    Ok(if repeated { arguments.into_iter().map(|a| vec![a]).collect() } else { vec![arguments] })
}
