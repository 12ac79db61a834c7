//! The filter compiler against libseccomp: the same profile, made into two filters, must give the
//! same verdict on every call; and against what the rule says, where that is simple ([`meant`]).
//!
//! libseccomp 2.5.4 takes for granted what the accumulator holds where two branches meet. After the
//! high word of an argument that has two conditions, it compares the second one's high word with
//! whatever the first left loaded, which is the low word where the high ones were equal: `<= 69` or
//! `>= 0x51_0000_0000` matches 247, on every machine. Its own listing of the filter
//! (seccomp_export_pfc(3)) says otherwise. Where one comparison is reached with different words loaded
//! ([`is_confused`]), and where it returns what is no action ([`is_miswritten`]), the rule itself is the
//! only oracle.
//!
//! libseccomp gives no promise about rules for one call that have different actions and both match,
//! so profiles here have one rule a call. The answer to calls newer than the profile is not
//! libseccomp's but runc's, and is expected as runc makes it. Profiles with x32 are left out: beside
//! it, libseccomp 2.5.4 loses conditions on x86-64 (`vserver` with argument 4 below 184 does not match 0).

#![no_main]

use arbitrary::Arbitrary;
use base_oci::runtime::{Action, Argument, Operator, Seccomp, SyscallRule};
use libfuzzer_sys::fuzz_target;
use libseccomp::{
    ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall,
};
use runtime_confine::seccomp::{Machine, compile_for};
use rustix::fs::{MemfdFlags, SeekFrom, memfd_create, seek};
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::sync::LazyLock;

const X32_BIT: u32 = 0x4000_0000;
const EPERM: u32 = 1;
const ENOSYS: u32 = 0x0005_0000 | 38;

#[derive(Debug, Arbitrary)]
struct Input {
    default: u8,
    default_errno: Option<u16>,
    machine: u8,
    has_foreign: bool,
    rules: Vec<Rule>,
    calls: Vec<Call>,
}

#[derive(Debug, Arbitrary)]
struct Rule {
    name: u16,
    action: u8,
    errno: Option<u16>,
    arguments: Vec<Condition>,
}

#[derive(Debug, Arbitrary)]
struct Condition {
    index: u8,
    operator: u8,
    value: Number,
    value_two: Number,
}

/// Numbers that meet each other more often than by chance.
#[derive(Debug, Clone, Copy, Arbitrary)]
enum Number {
    Low(u8),
    High(u8, u8),
    Any(u64),
}

impl Number {
    fn value(self) -> u64 {
        match self {
            Self::Low(low) => low.into(),
            Self::High(high, low) => u64::from(high) << 32 | u64::from(low),
            Self::Any(value) => value,
        }
    }
}

#[derive(Debug, Arbitrary)]
struct Call {
    architecture: u8,
    /// Of a rule's call, or a number of its own.
    number: Result<u8, u32>,
    /// Values of a rule's conditions, moved by one or not, or values of its own.
    arguments: [Result<(u8, u8, u8), Number>; 6],
}

/// An architecture: in profiles, in libseccomp, and the kernel's value.
type Architecture = (&'static str, ScmpArch, u32);

/// A machine that libseccomp knows: the native architecture, the other one, and which half comes first.
struct Kind {
    machine: Machine,
    native: Architecture,
    foreign: Option<Architecture>,
    is_big_endian: bool,
}

const KINDS: [Kind; 5] = [
    Kind {
        machine: Machine::X86_64,
        native: ("SCMP_ARCH_X86_64", ScmpArch::X8664, 0xc000_003e),
        foreign: Some(("SCMP_ARCH_X86", ScmpArch::X86, 0x4000_0003)),
        is_big_endian: false,
    },
    Kind {
        machine: Machine::AARCH64,
        native: ("SCMP_ARCH_AARCH64", ScmpArch::Aarch64, 0xc000_00b7),
        foreign: Some(("SCMP_ARCH_ARM", ScmpArch::Arm, 0x4000_0028)),
        is_big_endian: false,
    },
    Kind {
        machine: Machine::RISCV64,
        native: ("SCMP_ARCH_RISCV64", ScmpArch::Riscv64, 0xc000_00f3),
        foreign: None,
        is_big_endian: false,
    },
    Kind {
        machine: Machine::PPC64LE,
        native: ("SCMP_ARCH_PPC64LE", ScmpArch::Ppc64Le, 0xc000_0015),
        foreign: None,
        is_big_endian: false,
    },
    Kind {
        machine: Machine::S390X,
        native: ("SCMP_ARCH_S390X", ScmpArch::S390X, 0x8000_0016),
        foreign: Some(("SCMP_ARCH_S390", ScmpArch::S390, 0x16)),
        is_big_endian: true,
    },
];

/// Some machine's value that is none of theirs.
const OTHER: u32 = 0x4000_0008;

/// libseccomp's numbers of the calls that it knows, by architecture and name.
static NUMBERS: LazyLock<HashMap<(u32, String), u32>> = LazyLock::new(|| {
    let mut numbers = HashMap::new();
    for (_, architecture, audit) in KINDS.iter().flat_map(|k| [Some(k.native), k.foreign]).flatten()
    {
        for number in (0..500).chain(ARM_OWN) {
            if let Ok(name) = ScmpSyscall::from(number).get_name_by_arch(architecture) {
                numbers.insert((audit, name), number.cast_unsigned());
            }
        }
    }
    numbers
});

/// Calls that only 32-bit ARM has.
const ARM_OWN: std::ops::Range<i32> = 0xf_0000..0xf_0010;

/// Every name that libseccomp knows on one of the architectures, but one that it does not know on all
/// that have it (`sync_file_range2`, on ARM), and one that it takes for another where it has to
/// translate it: 2.5.4 gives `sys_debug_setcontext`, of PowerPC, the number that `switch_endian` has on
/// machines without either.
static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut names: Vec<String> = NUMBERS.keys().map(|(_, name)| name.clone()).collect();
    names.sort();
    names.dedup();
    names.retain(|name| !["sync_file_range2", "sys_debug_setcontext"].contains(&name.as_str()));
    names
});

/// libseccomp's number of a call that can be a part of another: its name, and the part's number.
fn part(name: &str, architecture: ScmpArch) -> Option<(&'static str, u32)> {
    let number: i32 = ScmpSyscall::from_name_by_arch(name, architecture).ok()?.into();
    match number {
        -199..=-101 => Some(("socketcall", (-number - 100).cast_unsigned())),
        -299..=-201 => Some(("ipc", (-number - 200).cast_unsigned())),
        _ => None,
    }
}

const ACTIONS: [Action; 7] = [
    Action::Allow,
    Action::Errno,
    Action::Kill,
    Action::KillProcess,
    Action::Trap,
    Action::Trace,
    Action::Log,
];

const OPERATORS: [(Operator, ScmpCompareOp); 7] = [
    (Operator::NotEqual, ScmpCompareOp::NotEqual),
    (Operator::Less, ScmpCompareOp::Less),
    (Operator::LessOrEqual, ScmpCompareOp::LessOrEqual),
    (Operator::Equal, ScmpCompareOp::Equal),
    (Operator::GreaterOrEqual, ScmpCompareOp::GreaterEqual),
    (Operator::Greater, ScmpCompareOp::Greater),
    (Operator::MaskedEqual, ScmpCompareOp::MaskedEqual(0)),
];

fuzz_target!(|input: Input| {
    let kind = &KINDS[usize::from(input.machine) % KINDS.len()];
    let profile = profile(&input, kind);
    let Some(theirs) = libseccomp(&profile, kind) else { return };
    let ours = compile_for(&kind.machine, &profile).expect("libseccomp takes it");
    let ours = instructions(&ours.to_bytes()[4..], false);
    let is_confused = is_confused(&theirs) || is_miswritten(&theirs);
    for call in &input.calls {
        let (data, number, architecture) = call.data(&profile, kind);
        let mut expected = run(&theirs, &data);
        let mut meant = meant(&profile, kind, &data, architecture);
        if architecture.is_some_and(|known| is_stubbed(&profile, known, number)) {
            expected = ENOSYS;
            meant = meant.map(|_| ENOSYS);
        }
        let verdict = run(&ours, &data);
        let context = || {
            format!(
                "for {number:#x} of {architecture:?}: {profile:#?}, {data:x?}, confused: {is_confused}"
            )
        };
        if let Some(meant) = meant {
            assert_eq!(verdict, meant, "ours {verdict:#x}, meant {meant:#x} {}", context());
        }
        if meant.is_none() || !is_confused {
            assert_eq!(
                verdict,
                expected,
                "ours {verdict:#x}, libseccomp's {expected:#x} {}",
                context()
            );
        }
    }
});

/// The profile that the input stands for.
fn profile(input: &Input, kind: &Kind) -> Seccomp {
    let default = ACTIONS[usize::from(input.default) % ACTIONS.len()];
    // Of a profile with nothing but parts of calls, libseccomp 2.5.4 makes a filter that never loads
    // the call's number.
    let exit = SyscallRule {
        names: vec!["exit".to_owned()],
        action: Some(if default == Action::Allow { Action::Errno } else { Action::Allow }),
        ..SyscallRule::default()
    };
    // One rule a call: over several with conditions libseccomp 2.5.4 may loop for ever.
    let mut syscalls = vec![exit];
    for rule in input.rules.iter().take(8) {
        let name = &NAMES[usize::from(rule.name) % NAMES.len()];
        if syscalls.iter().any(|earlier| are_one(&earlier.names[0], name)) {
            continue;
        }
        syscalls.push(SyscallRule {
            names: vec![name.clone()],
            action: Some(ACTIONS[usize::from(rule.action) % ACTIONS.len()]),
            errno_ret: rule.errno.map(u32::from),
            args: rule.arguments.iter().take(3).map(argument).collect(),
        });
    }
    let mut architectures = vec![kind.native.0.to_owned()];
    if let (true, Some((name, ..))) = (input.has_foreign, kind.foreign) {
        architectures.push(name.to_owned());
    }
    Seccomp {
        default_action: Some(default),
        default_errno_ret: input.default_errno.map(u32::from),
        architectures,
        syscalls,
        ..Seccomp::default()
    }
}

/// Whether two names may be about the same call: one is the other, or a part of it.
fn are_one(one: &str, other: &str) -> bool {
    let is_part = |name, whole| part(name, ScmpArch::X86).is_some_and(|(of, _)| of == whole);
    one == other || is_part(one, other) || is_part(other, one)
}

fn operator(argument: &Argument) -> Operator {
    argument.op.expect("every condition has one")
}

fn argument(condition: &Condition) -> Argument {
    let (operator, _) = OPERATORS[usize::from(condition.operator) % OPERATORS.len()];
    let mut argument = Argument {
        index: u32::from(condition.index % 6),
        value: condition.value.value(),
        value_two: Some(condition.value_two.value()),
        op: Some(operator),
    };
    if operator == Operator::MaskedEqual {
        // A value with bits outside the mask can never be equal.
        argument.value_two = argument.value_two.map(|value| value & argument.value);
    }
    argument
}

/// libseccomp's filter, made as runc makes it; nothing where it takes no such profile.
fn libseccomp(profile: &Seccomp, kind: &Kind) -> Option<Vec<Instruction>> {
    let default = action(profile.default_action, profile.default_errno_ret);
    let mut context = ScmpFilterContext::new(default).ok()?;
    context.remove_arch(ScmpArch::X8664).ok()?;
    context.add_arch(kind.native.1).ok()?;
    if let (2.., Some((_, foreign, _))) = (profile.architectures.len(), kind.foreign) {
        context.add_arch(foreign).ok()?;
    }
    for rule in &profile.syscalls {
        let verdict = action(rule.action, rule.errno_ret);
        if verdict == default {
            continue;
        }
        let call = ScmpSyscall::from_name(&rule.names[0]).ok()?;
        let comparisons: Vec<ScmpArgCompare> = rule.args.iter().map(comparison).collect();
        if comparisons.is_empty() {
            context.add_rule(verdict, call).ok()?;
        } else if is_repeated(&rule.args) {
            for one in comparisons {
                context.add_rule_conditional(verdict, call, &[one]).ok()?;
            }
        } else {
            context.add_rule_conditional(verdict, call, &comparisons).ok()?;
        }
    }
    let file = memfd_create("filter", MemfdFlags::CLOEXEC).ok()?;
    context.export_bpf(&file).ok()?;
    seek(&file, SeekFrom::Start(0)).ok()?;
    let mut bytes = Vec::new();
    File::from(file).read_to_end(&mut bytes).ok()?;
    Some(instructions(&bytes, kind.is_big_endian))
}

/// What a profile says about a call of the machine's native architecture, read word for word.
fn meant(
    profile: &Seccomp,
    kind: &Kind,
    data: &[u32; 16],
    architecture: Option<Architecture>,
) -> Option<u32> {
    let (_, known, audit) = architecture.filter(|(.., audit)| *audit == kind.native.2)?;
    if known == ScmpArch::X8664 && data[0] >= X32_BIT {
        return None;
    }
    let argument = |index: u32| {
        let at = 4 + 2 * usize::try_from(index).expect("six arguments");
        let (low, high) = if kind.is_big_endian { (at + 1, at) } else { (at, at + 1) };
        u64::from(data[high]) << 32 | u64::from(data[low])
    };
    let holds = |condition: &Argument| {
        let (value, wanted) = (argument(condition.index), condition.value);
        match operator(condition) {
            Operator::NotEqual => value != wanted,
            Operator::Less => value < wanted,
            Operator::LessOrEqual => value <= wanted,
            Operator::Equal => value == wanted,
            Operator::GreaterOrEqual => value >= wanted,
            Operator::Greater => value > wanted,
            Operator::MaskedEqual => value & wanted == condition.value_two.unwrap_or(0),
        }
    };
    let is_number =
        |name: &str| NUMBERS.get(&(audit, name.to_owned())).is_some_and(|n| *n == data[0]);
    let applies = |rule: &&SyscallRule| {
        let name = &rule.names[0];
        let is_part = part(name, known)
            .is_some_and(|(whole, part)| is_number(whole) && argument(0) == u64::from(part));
        // The first argument of a part says which one it is; conditions about it are lost.
        let holds = |condition: &Argument| is_part && condition.index == 0 || holds(condition);
        let all_hold = match is_repeated(&rule.args) {
            true => rule.args.iter().any(holds),
            false => rule.args.iter().all(holds),
        };
        (is_part || is_number(name)) && all_hold
    };
    let verdict = match profile.syscalls.iter().find(applies) {
        Some(rule) => action(rule.action, rule.errno_ret),
        None => action(profile.default_action, profile.default_errno_ret),
    };
    Some(match verdict {
        ScmpAction::KillThread => 0,
        ScmpAction::KillProcess => 0x8000_0000,
        ScmpAction::Trap => 0x0003_0000,
        ScmpAction::Errno(data) => 0x0005_0000 | data.cast_unsigned(),
        ScmpAction::Trace(data) => 0x7ff0_0000 | u32::from(data),
        ScmpAction::Log => 0x7ffc_0000,
        ScmpAction::Allow => 0x7fff_0000,
        other => panic!("no profile here has {other:?}"),
    })
}

/// Whether conditions are alternatives: one argument has two of them.
fn is_repeated(conditions: &[Argument]) -> bool {
    (0..6).any(|index| conditions.iter().filter(|a| a.index == index).count() > 1)
}

/// Whether a filter has a comparison that looks at one word of a call or at another, depending on the
/// way to it.
fn is_confused(program: &[Instruction]) -> bool {
    /// What the accumulator holds before an instruction: the word at an offset, under a mask.
    #[derive(Clone, Copy, PartialEq)]
    enum Loaded {
        Unreached,
        Word(u32, u32),
        OneOrAnother,
    }
    use Loaded::{OneOrAnother, Unreached, Word};
    let mut before = vec![Unreached; program.len()];
    before[0] = Word(u32::MAX, 0);
    for (at, instruction) in program.iter().enumerate() {
        let &Instruction { code, on_true, on_false, operand } = instruction;
        let loaded = before[at];
        // Jumps go forward only, so that all ways to here have been seen.
        let (after, targets) = match (code, loaded) {
            (_, Unreached) | (0x06, _) => continue,
            (0x20, _) => (Word(operand, u32::MAX), [0, 0]),
            (0x54, Word(word, mask)) => (Word(word, mask & operand), [0, 0]),
            (0x05, _) => (loaded, [usize::try_from(operand).expect("programs are short"); 2]),
            (_, OneOrAnother) => return true,
            _ => (loaded, [on_true.into(), on_false.into()]),
        };
        for target in targets {
            let there = &mut before[at + 1 + target];
            *there = if [Unreached, after].contains(there) { after } else { OneOrAnother };
        }
    }
    false
}

/// Whether a filter returns what is no action: libseccomp 2.5.4 writes some of s390x' in the other byte
/// order, so that `ALLOW` kills (0xff7f).
fn is_miswritten(program: &[Instruction]) -> bool {
    program.iter().filter(|instruction| instruction.code == 0x06).any(|instruction| {
        match (instruction.operand >> 16, instruction.operand & 0xffff) {
            (0x0005 | 0x7ff0, _) | (0 | 0x0003 | 0x7ffc | 0x7fff | 0x8000, 0) => false,
            _ => true,
        }
    })
}

fn comparison(argument: &Argument) -> ScmpArgCompare {
    let (_, operator) =
        OPERATORS.into_iter().find(|(op, _)| *op == operator(argument)).expect("all are there");
    let (operator, value) = match operator {
        ScmpCompareOp::MaskedEqual(_) => {
            (ScmpCompareOp::MaskedEqual(argument.value), argument.value_two.unwrap_or(0))
        }
        other => (other, argument.value),
    };
    ScmpArgCompare::new(argument.index, operator, value)
}

fn action(action: Option<Action>, errno: Option<u32>) -> ScmpAction {
    let data = errno.unwrap_or(EPERM);
    match action.expect("every profile says one") {
        Action::Allow => ScmpAction::Allow,
        Action::Errno => ScmpAction::Errno(data.cast_signed()),
        Action::Kill | Action::KillThread => ScmpAction::KillThread,
        Action::KillProcess => ScmpAction::KillProcess,
        Action::Trap => ScmpAction::Trap,
        Action::Trace => ScmpAction::Trace(u16::try_from(data).expect("errnos here have 16 bits")),
        Action::Log => ScmpAction::Log,
        Action::Notify => ScmpAction::Notify,
    }
}

/// Whether runc answers "no such call" before libseccomp's filter is asked: the call is newer than
/// all that the profile names on its architecture, and the profile is not one that allows.
fn is_stubbed(profile: &Seccomp, (name, architecture, _): Architecture, number: u32) -> bool {
    let is_permissive =
        matches!(profile.default_action, Some(Action::Allow | Action::Log | Action::Trace));
    if is_permissive || !profile.architectures.iter().any(|listed| listed == name) {
        return false;
    }
    let known = profile.syscalls.iter().filter_map(|rule| {
        let call = ScmpSyscall::from_name_by_arch(&rule.names[0], architecture).ok()?;
        u32::try_from(i32::from(call)).ok()
    });
    // Above that are x32's, which no profile here lists.
    let is_marked = architecture == ScmpArch::X8664 && number >= X32_BIT;
    !is_marked && known.max().is_some_and(|last| number > last)
}

impl Call {
    /// `struct seccomp_data` as 32-bit words, the call's number, and its architecture if that is one
    /// of the machine's.
    fn data(&self, profile: &Seccomp, kind: &Kind) -> ([u32; 16], u32, Option<Architecture>) {
        let architecture = match self.architecture % 4 {
            0 | 1 => Some(kind.native),
            2 => kind.foreign,
            _ => None,
        };
        let audit = architecture.map_or(OTHER, |(.., audit)| audit);
        let mut arguments = [0; 6];
        for (value, argument) in arguments.iter_mut().zip(&self.arguments) {
            *value = argument_value(argument, profile);
        }
        let number = match self.number {
            Ok(rule) if !profile.syscalls.is_empty() => {
                let rule = &profile.syscalls[usize::from(rule) % profile.syscalls.len()];
                let number_of = |name: &str| NUMBERS.get(&(audit, name.to_owned())).copied();
                let name = &rule.names[0];
                let part = architecture.and_then(|(_, known, _)| part(name, known));
                match part {
                    Some((whole, part)) if self.architecture & 0x40 != 0 => {
                        arguments[0] = part.into();
                        number_of(whole).unwrap_or(0)
                    }
                    _ => number_of(name).unwrap_or(0),
                }
            }
            Ok(number) => number.into(),
            Err(number) => number,
        };
        let mut data = [0; 16];
        (data[0], data[1]) = (number, audit);
        for (words, value) in data[4..].chunks_exact_mut(2).zip(arguments) {
            let [low, high] = halves(value);
            words.copy_from_slice(&if kind.is_big_endian { [high, low] } else { [low, high] });
        }
        (data, number, architecture)
    }
}

fn halves(value: u64) -> [u32; 2] {
    [0, 32].map(|shift| u32::try_from(value >> shift & 0xffff_ffff).expect("32 bits"))
}

fn argument_value(argument: &Result<(u8, u8, u8), Number>, profile: &Seccomp) -> u64 {
    let (rule, condition, change) = match argument {
        Ok(choice) => *choice,
        Err(number) => return number.value(),
    };
    let pick = |list: usize, choice: u8| if list == 0 { 0 } else { usize::from(choice) % list };
    let Some(rule) = profile.syscalls.get(pick(profile.syscalls.len(), rule)) else { return 0 };
    let Some(condition) = rule.args.get(pick(rule.args.len(), condition)) else { return 0 };
    let value = match operator(condition) {
        Operator::MaskedEqual => condition.value_two.unwrap_or(0),
        _ => condition.value,
    };
    match change % 6 {
        0 => value,
        1 => value.wrapping_add(1),
        2 => value.wrapping_sub(1),
        3 => value.wrapping_add(1 << 32),
        4 => value.rotate_left(32),
        _ => value | !condition.value,
    }
}

/// `struct sock_filter`.
#[derive(Debug, Clone, Copy)]
struct Instruction {
    code: u16,
    on_true: u8,
    on_false: u8,
    operand: u32,
}

/// libseccomp writes a filter for the machine that it is for.
fn instructions(bytes: &[u8], is_big_endian: bool) -> Vec<Instruction> {
    let (list, rest) = bytes.as_chunks::<8>();
    assert!(rest.is_empty());
    let u16_of = if is_big_endian { u16::from_be_bytes } else { u16::from_le_bytes };
    let u32_of = if is_big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
    list.iter()
        .map(|&[c0, c1, on_true, on_false, k0, k1, k2, k3]| Instruction {
            code: u16_of([c0, c1]),
            on_true,
            on_false,
            operand: u32_of([k0, k1, k2, k3]),
        })
        .collect()
}

/// What the kernel would make of a filter; it refuses a program that leaves its own end or its data.
fn run(program: &[Instruction], data: &[u32; 16]) -> u32 {
    let (mut at, mut accumulator) = (0, 0_u32);
    loop {
        let Instruction { code, on_true, on_false, operand } = program[at];
        at += 1;
        let holds = match code {
            0x06 => return operand,
            0x20 => {
                let offset = usize::try_from(operand).expect("offsets are small");
                assert_eq!(offset % 4, 0);
                accumulator = data[offset / 4];
                continue;
            }
            0x54 => {
                accumulator &= operand;
                continue;
            }
            0x05 => {
                at += usize::try_from(operand).expect("programs are short");
                continue;
            }
            0x15 => accumulator == operand,
            0x25 => accumulator > operand,
            0x35 => accumulator >= operand,
            0x45 => accumulator & operand != 0,
            _ => panic!("operation {code:#x}"),
        };
        at += usize::from(if holds { on_true } else { on_false });
    }
}
