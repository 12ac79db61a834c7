//! From profile to instructions.

use super::Filter;
use super::syscalls::{Numbers, numbers};
use crate::Error;
use base_oci::runtime::{Action, Argument, Operator, Seccomp, SyscallRule};
use kernel_sys::seccomp::{FLAG_NEW_LISTENER, Instruction, MAX_INSTRUCTIONS};
use std::collections::BTreeMap;

// Offsets in struct seccomp_data.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

// Operations of classic BPF: class | size or source | operation.
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;

const KILL_THREAD: u32 = 0;
const ERRNO: u32 = 0x0005_0000;
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
/// Marks a call of the x32 ABI, which has x86-64's architecture value.
const X32_BIT: u32 = 0x4000_0000;
/// What a tracer puts in the place of a call's number (`seccomp(2)`).
const SKIPPED: u32 = u32::MAX;

/// An architecture of the profile; the value is its column in the table of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Architecture {
    X86_64 = 0,
    X86 = 1,
    X32 = 2,
}

impl Architecture {
    /// Those of them that this machine can have; `None` for another machine's.
    fn parse(name: &str) -> Result<Option<Self>, Error> {
        match name {
            "SCMP_ARCH_X86_64" => Ok(Some(Self::X86_64)),
            "SCMP_ARCH_X86" => Ok(Some(Self::X86)),
            "SCMP_ARCH_X32" => Ok(Some(Self::X32)),
            _ if name.starts_with("SCMP_ARCH_") => Ok(None),
            _ => Err(Error::Invalid { what: "seccomp architecture", value: name.to_owned() }),
        }
    }

    /// The kernel's value (`AUDIT_ARCH_…`).
    const fn audit_value(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
        }
    }
}

/// What happens to one call number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Verdict {
    /// Conditions with the return value for when all of them hold, tried in order.
    conditional: Vec<(Vec<Argument64>, u32)>,
    /// The return value otherwise, if the profile says one.
    otherwise: Option<u32>,
}

/// A condition with its operands in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Argument64 {
    index: u32,
    operator: Operator,
    value: u64,
    value_two: u64,
    /// Only the low half is compared: the other is no part of an argument of i386 or x32.
    is_narrow: bool,
}

/// Compiles a profile.
///
/// # Errors
/// A value without meaning, a feature that is not offered, or a filter that is too long.
pub fn compile(profile: &Seccomp) -> Result<Filter, Error> {
    let notifies = check_notification(profile)?;
    let mut architectures = Vec::with_capacity(3);
    for name in &profile.architectures {
        if let Some(architecture) = Architecture::parse(name)?
            && !architectures.contains(&architecture)
        {
            architectures.push(architecture);
        }
    }
    // The machine's own architecture is always filtered, as libseccomp does.
    if !architectures.contains(&Architecture::X86_64) {
        architectures.insert(0, Architecture::X86_64);
    }
    let default = return_value(profile.default_action, profile.default_errno_ret);
    let rules = profile.syscalls.iter().map(Rule::read).collect::<Result<Vec<_>, _>>()?;
    // A tracer that is asked about everything knows new calls, too.
    let is_permissive =
        matches!(profile.default_action, Action::Allow | Action::Log | Action::Trace);
    let tree = |architecture| tree(&rules, architecture, default, is_permissive);

    let mut native = tree(Architecture::X86_64);
    if architectures.contains(&Architecture::X32) {
        let x32 = tree(Architecture::X32);
        native = branch(X32_BIT, native, x32);
    } else {
        // -1 is no x32 call: a tracer's way to have a call skipped.
        let skipped = when_equal(SKIPPED, vec![ret(default)]);
        native = branch(X32_BIT, native, [skipped, vec![ret(KILL_THREAD)]].concat());
    }
    let mut program = vec![load(ARCHITECTURE)];
    program.extend(when_equal(Architecture::X86_64.audit_value(), with_number(native)));
    if architectures.contains(&Architecture::X86) {
        let body = with_number(tree(Architecture::X86));
        program.extend(when_equal(Architecture::X86.audit_value(), body));
    }
    program.push(ret(KILL_THREAD));
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
    if profile.default_action == Action::Notify {
        return wrong("SCMP_ACT_NOTIFY as the default");
    }
    let mut notifying = profile.syscalls.iter().filter(|rule| rule.action == Action::Notify);
    if notifying.clone().any(|rule| rule.names.iter().any(|name| name == "write")) {
        return wrong("SCMP_ACT_NOTIFY for write");
    }
    let notifies = notifying.next().is_some();
    if notifies && profile.listener_path.is_empty() {
        return wrong("SCMP_ACT_NOTIFY without listenerPath");
    }
    Ok(notifies)
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
    calls: Vec<&'static Numbers>,
}

impl Rule {
    /// Names that no architecture knows are left out: a profile may know newer calls.
    fn read(rule: &SyscallRule) -> Result<Self, Error> {
        Ok(Self {
            value: return_value(rule.action, rule.errno_ret),
            conditions: conditions(rule)?,
            calls: rule.names.iter().filter_map(|name| numbers(name)).collect(),
        })
    }
}

/// The search tree of one architecture; the call's number is loaded.
fn tree(
    rules: &[Rule],
    architecture: Architecture,
    default: u32,
    is_permissive: bool,
) -> Vec<Instruction> {
    let mut verdicts: BTreeMap<u32, Verdict> = BTreeMap::new();
    let mut last = None;
    for Rule { value, conditions, calls } in rules {
        for numbers in calls {
            let Some(number) = number(numbers, architecture) else { continue };
            last = last.max(Some(number));
            // A rule that says what happens anyway is left out, as runc does.
            if *value == default {
                continue;
            }
            let verdict = verdicts.entry(number).or_default();
            if conditions.is_empty() {
                verdict.otherwise.get_or_insert(*value);
            }
            for condition in conditions {
                let mut condition = condition.clone();
                for argument in &mut condition {
                    argument.is_narrow = architecture != Architecture::X86_64;
                }
                verdict.conditional.push((condition, *value));
            }
        }
    }
    let base = if architecture == Architecture::X32 { X32_BIT } else { 0 };
    let mut ranges: Vec<(u32, Verdict)> = vec![(base, always(default))];
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
        push(last + 1, always(ERRNO | ENOSYS));
    }
    bisect(&ranges)
}

/// A verdict that depends on nothing.
fn always(value: u32) -> Verdict {
    Verdict { conditional: Vec::new(), otherwise: Some(value) }
}

/// A call's number on an architecture.
fn number(numbers: &Numbers, architecture: Architecture) -> Option<u32> {
    let number = u32::try_from(numbers[architecture as usize]).ok()?;
    Some(if architecture == Architecture::X32 { number | X32_BIT } else { number })
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
        Ok(Argument64 {
            index: argument.index,
            operator: argument.op,
            value: argument.value,
            value_two: argument.value_two.unwrap_or(0),
            is_narrow: false,
        })
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

/// Code that finds the range of the loaded number and returns its verdict.
fn bisect(ranges: &[(u32, Verdict)]) -> Vec<Instruction> {
    if let [(_, verdict)] = ranges {
        return decide(verdict);
    }
    let (low, high) = ranges.split_at(ranges.len() / 2);
    branch(high[0].0, bisect(low), bisect(high))
}

/// `if number >= limit { high } else { low }`.
fn branch(limit: u32, low: Vec<Instruction>, high: Vec<Instruction>) -> Vec<Instruction> {
    let mut code = Vec::with_capacity(low.len() + high.len() + 2);
    match u8::try_from(low.len()) {
        Ok(skip) => code.push(jump(JUMP_GREATER_OR_EQUAL, limit, skip, 0)),
        Err(_) => {
            code.push(jump(JUMP_GREATER_OR_EQUAL, limit, 0, 1));
            code.push(far_jump(low.len()));
        }
    }
    code.extend(low);
    code.extend(high);
    code
}

/// Code for one verdict.
fn decide(verdict: &Verdict) -> Vec<Instruction> {
    let mut code = Vec::new();
    for (conditions, value) in &verdict.conditional {
        code.extend(alternative(conditions, *value));
    }
    code.push(ret(verdict.otherwise.unwrap_or(KILL_THREAD)));
    code
}

/// Where a comparison goes on.
#[derive(Clone, Copy)]
enum To {
    /// The next instruction.
    Next,
    /// The instruction after this condition.
    Holds,
    /// The instruction after this alternative.
    Fails,
}

/// `if all conditions hold { return value }`, falling through otherwise.
fn alternative(conditions: &[Argument64], value: u32) -> Vec<Instruction> {
    let blocks: Vec<Vec<(Instruction, To, To)>> = conditions.iter().map(condition).collect();
    let total: usize = blocks.iter().map(Vec::len).sum::<usize>() + 1;
    let mut code = Vec::with_capacity(total);
    let mut end_of_block = 0;
    for block in blocks {
        end_of_block += block.len();
        for (mut instruction, on_true, on_false) in block {
            let here = code.len();
            let offset = |to| {
                let target = match to {
                    To::Next => here + 1,
                    To::Holds => end_of_block,
                    To::Fails => total,
                };
                // Six arguments of at most five instructions: far below 255.
                u8::try_from(target - here - 1).unwrap_or(u8::MAX)
            };
            if instruction.code & 0x07 == JUMP {
                instruction.jt = offset(on_true);
                instruction.jf = offset(on_false);
            }
            code.push(instruction);
        }
    }
    code.push(ret(value));
    code
}

/// Code for one comparison of an argument, high half first.
fn condition(argument: &Argument64) -> Vec<(Instruction, To, To)> {
    use To::{Fails, Holds, Next};
    let (high, low) = halves(argument.value);
    let load_high = (load(ARGUMENTS + argument.index * 8 + 4), Next, Next);
    let load_low = (load(ARGUMENTS + argument.index * 8), Next, Next);
    let compare = |code, value, on_true, on_false| (jump(code, value, 0, 0), on_true, on_false);
    let mut block = match argument.operator {
        Operator::Equal => vec![
            load_high,
            compare(JUMP_EQUAL, high, Next, Fails),
            load_low,
            compare(JUMP_EQUAL, low, Holds, Fails),
        ],
        Operator::NotEqual => vec![
            load_high,
            compare(JUMP_EQUAL, high, Next, Holds),
            load_low,
            compare(JUMP_EQUAL, low, Fails, Holds),
        ],
        Operator::Greater | Operator::GreaterOrEqual => vec![
            load_high,
            compare(JUMP_GREATER, high, Holds, Next),
            compare(JUMP_EQUAL, high, Next, Fails),
            load_low,
            compare(
                if argument.operator == Operator::Greater {
                    JUMP_GREATER
                } else {
                    JUMP_GREATER_OR_EQUAL
                },
                low,
                Holds,
                Fails,
            ),
        ],
        Operator::Less | Operator::LessOrEqual => vec![
            load_high,
            compare(JUMP_GREATER, high, Fails, Next),
            compare(JUMP_EQUAL, high, Next, Holds),
            load_low,
            compare(
                if argument.operator == Operator::Less {
                    JUMP_GREATER_OR_EQUAL
                } else {
                    JUMP_GREATER
                },
                low,
                Fails,
                Holds,
            ),
        ],
        Operator::MaskedEqual => {
            let (wanted_high, wanted_low) = halves(argument.value_two);
            let and = |mask| (Instruction { code: AND, jt: 0, jf: 0, k: mask }, Next, Next);
            vec![
                load_high,
                and(high),
                compare(JUMP_EQUAL, wanted_high, Next, Fails),
                load_low,
                and(low),
                compare(JUMP_EQUAL, wanted_low, Holds, Fails),
            ]
        }
    };
    if argument.is_narrow {
        // The low half is compared last.
        let from = block.iter().rposition(|(instruction, ..)| instruction.code == LOAD);
        block.drain(..from.unwrap_or(0));
    }
    block
}

/// The high and the low 32 bits.
#[expect(clippy::cast_possible_truncation, reason = "that is what halves are")]
const fn halves(value: u64) -> (u32, u32) {
    ((value >> 32) as u32, value as u32)
}

/// The call's number loaded before `body`.
fn with_number(body: Vec<Instruction>) -> Vec<Instruction> {
    let mut code = vec![load(NUMBER)];
    code.extend(body);
    code
}

/// `if accumulator == value { body }`; `body` always returns.
fn when_equal(value: u32, body: Vec<Instruction>) -> Vec<Instruction> {
    let mut code = vec![jump(JUMP_EQUAL, value, 1, 0), far_jump(body.len())];
    code.extend(body);
    code
}

const fn load(offset: u32) -> Instruction {
    Instruction { code: LOAD, jt: 0, jf: 0, k: offset }
}

const fn ret(value: u32) -> Instruction {
    Instruction { code: RETURN, jt: 0, jf: 0, k: value }
}

const fn jump(code: u16, value: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code, jt, jf, k: value }
}

fn far_jump(instructions: usize) -> Instruction {
    jump(JUMP, u32::try_from(instructions).unwrap_or(u32::MAX), 0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a filter as the kernel would.
    fn verdict(filter: &Filter, architecture: u32, number: u32, arguments: [u64; 6]) -> u32 {
        let mut data = [0_u8; 64];
        data[0..4].copy_from_slice(&number.to_le_bytes());
        data[4..8].copy_from_slice(&architecture.to_le_bytes());
        for (index, argument) in arguments.iter().enumerate() {
            data[16 + index * 8..24 + index * 8].copy_from_slice(&argument.to_le_bytes());
        }
        let (mut at, mut accumulator) = (0_usize, 0_u32);
        loop {
            let Instruction { code, jt, jf, k } = filter.program[at];
            at += 1;
            let holds = match code {
                RETURN => return k,
                LOAD => {
                    let offset = k as usize;
                    accumulator = u32::from_le_bytes(data[offset..offset + 4].try_into().unwrap());
                    continue;
                }
                AND => {
                    accumulator &= k;
                    continue;
                }
                JUMP => {
                    at += k as usize;
                    continue;
                }
                JUMP_EQUAL => accumulator == k,
                JUMP_GREATER => accumulator > k,
                JUMP_GREATER_OR_EQUAL => accumulator >= k,
                _ => panic!("operation {code:#x}"),
            };
            at += usize::from(if holds { jt } else { jf });
        }
    }

    const X86_64: u32 = 0xc000_003e;
    const I386: u32 = 0x4000_0003;
    const ALLOW: u32 = 0x7fff_0000;

    fn profile(text: &str) -> Filter {
        compile(&serde_json::from_str(text).unwrap()).unwrap()
    }

    #[test]
    fn listed_calls_are_allowed_on_each_architecture_and_others_fail() {
        let filter = profile(
            r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86"],
            "syscalls":[{"names":["read","write","close","statx"],"action":"SCMP_ACT_ALLOW"}]}"#,
        );
        for (architecture, allowed, denied) in
            [(X86_64, [0, 1, 3, 332], [2, 4, 331]), (I386, [3, 4, 6, 383], [0, 1, 5])]
        {
            for number in allowed {
                assert_eq!(verdict(&filter, architecture, number, [0; 6]), ALLOW, "{number}");
            }
            for number in denied {
                assert_eq!(verdict(&filter, architecture, number, [0; 6]), ERRNO | EPERM);
            }
        }
        // Newer than anything in the profile; x32 without being listed; another machine.
        assert_eq!(verdict(&filter, X86_64, 400, [0; 6]), ERRNO | ENOSYS);
        assert_eq!(verdict(&filter, X86_64, X32_BIT, [0; 6]), KILL_THREAD);
        assert_eq!(verdict(&filter, 0xc000_00b7, 0, [0; 6]), KILL_THREAD);
    }

    #[test]
    fn each_operator_compares_all_64_bits() {
        let big = 0x1_0000_0005_u64;
        for (operator, less, equal, greater) in [
            ("NE", true, false, true),
            ("LT", true, false, false),
            ("LE", true, true, false),
            ("EQ", false, true, false),
            ("GE", false, true, true),
            ("GT", false, false, true),
        ] {
            let filter = profile(&format!(
                r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{{"names":["read"],
                "action":"SCMP_ACT_ALLOW","args":[{{"index":2,"value":{big},"op":"SCMP_CMP_{operator}"}}]}}]}}"#
            ));
            for (value, expected) in [
                (5, less),
                (big - 1, less),
                (big, equal),
                (big + 1, greater),
                (0x2_0000_0000, greater),
            ] {
                let allowed = verdict(&filter, X86_64, 0, [0, 0, value, 0, 0, 0]) == ALLOW;
                assert_eq!(allowed, expected, "{operator} {value:#x}");
            }
        }
    }

    #[test]
    fn of_a_32_bit_call_s_argument_the_low_half_counts() {
        let filter = profile(
            r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"syscalls":[
            {"names":["getpgid"],"action":"SCMP_ACT_ERRNO","args":[
              {"index":0,"value":18446744073709551615,"op":"SCMP_CMP_EQ"}]}]}"#,
        );
        let denied = |architecture, number, value| {
            verdict(&filter, architecture, number, [value, 0, 0, 0, 0, 0]) == ERRNO | EPERM
        };
        assert!(denied(I386, 132, 0xffff_ffff) && !denied(I386, 132, 1));
        assert!(denied(X86_64, 121, u64::MAX) && !denied(X86_64, 121, 0xffff_ffff));
    }

    #[test]
    fn a_call_that_a_tracer_skips_kills_nobody() {
        let filter = profile(r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[]}"#);
        assert_eq!(verdict(&filter, X86_64, SKIPPED, [0; 6]), ERRNO | EPERM);
        assert_eq!(verdict(&filter, X86_64, X32_BIT, [0; 6]), KILL_THREAD);
    }

    #[test]
    fn masks_conjunctions_and_repeated_arguments_mean_what_runc_makes_of_them() {
        let filter = profile(
            r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"syscalls":[
            {"names":["clone"],"action":"SCMP_ACT_ALLOW","args":[
              {"index":0,"value":2114060288,"valueTwo":0,"op":"SCMP_CMP_MASKED_EQ"}]},
            {"names":["personality"],"action":"SCMP_ACT_ALLOW","args":[
              {"index":0,"value":0,"op":"SCMP_CMP_EQ"},{"index":0,"value":8,"op":"SCMP_CMP_EQ"}]},
            {"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[
              {"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":1,"value":2,"op":"SCMP_CMP_GT"}]}]}"#,
        );
        let first = |number, value| verdict(&filter, X86_64, number, [value, 0, 0, 0, 0, 0]);
        assert_eq!(first(56, 0x11), ALLOW);
        assert_eq!(first(56, 0x1000_0000), ERRNO | ENOSYS);
        assert_eq!((first(135, 0), first(135, 8)), (ALLOW, ALLOW));
        assert_eq!(first(135, 1), ERRNO | ENOSYS);
        assert_eq!(verdict(&filter, X86_64, 41, [1, 3, 0, 0, 0, 0]), ALLOW);
        assert_eq!(verdict(&filter, X86_64, 41, [1, 2, 0, 0, 0, 0]), ERRNO | ENOSYS);
        assert_eq!(verdict(&filter, X86_64, 41, [2, 3, 0, 0, 0, 0]), ERRNO | ENOSYS);
    }

    #[test]
    fn a_profile_that_allows_by_default_denies_only_what_it_lists() {
        let filter = profile(
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
            {"names":["mkdir","unheard_of"],"action":"SCMP_ACT_ERRNO","errnoRet":13}]}"#,
        );
        assert_eq!(verdict(&filter, X86_64, 83, [0; 6]), ERRNO | 13);
        assert_eq!(verdict(&filter, X86_64, 82, [0; 6]), ALLOW);
        assert_eq!(verdict(&filter, X86_64, 9999, [0; 6]), ALLOW);
    }

    #[test]
    fn a_filter_survives_its_bytes_and_other_bytes_are_refused() {
        let filter = profile(r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[]}"#);
        assert_eq!(Filter::from_bytes(&filter.to_bytes()), Some(filter.clone()));
        assert_eq!(Filter::from_bytes(&filter.to_bytes()[..9]), None);
    }

    #[test]
    fn unknown_flags_and_architectures_and_impossible_listeners_are_refused() {
        for text in [
            r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_X"]}"#,
            r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["VAX"]}"#,
            r#"{"defaultAction":"SCMP_ACT_NOTIFY","listenerPath":"/a"}"#,
            r#"{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/a","syscalls":[
                {"names":["write"],"action":"SCMP_ACT_NOTIFY"}]}"#,
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
                {"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"}]}"#,
        ] {
            assert!(compile(&serde_json::from_str(text).unwrap()).is_err(), "{text}");
        }
    }
}
