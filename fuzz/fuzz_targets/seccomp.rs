//! The filter compiler against libseccomp: the same profile, made into two filters, must give the
//! same verdict on every call.
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
use rustix::fs::{MemfdFlags, SeekFrom, memfd_create, seek};
use std::fs::File;
use std::io::Read;
use std::sync::LazyLock;

const X86_64: u32 = 0xc000_003e;
const I386: u32 = 0x4000_0003;
const X32_BIT: u32 = 0x4000_0000;
const EPERM: u32 = 1;
const ENOSYS: u32 = 0x0005_0000 | 38;

#[derive(Debug, Arbitrary)]
struct Input {
    default: u8,
    default_errno: Option<u16>,
    has_i386: bool,
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

/// Every name that libseccomp knows on one of the architectures.
static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut names: Vec<String> = (0..500)
        .flat_map(|number| {
            [ScmpArch::X8664, ScmpArch::X86, ScmpArch::X32]
                .into_iter()
                .filter_map(move |arch| ScmpSyscall::from(number).get_name_by_arch(arch).ok())
        })
        .collect();
    names.sort();
    names.dedup();
    names.retain(|name| is_comparable(name));
    names
});

/// Whether libseccomp and we mean the same by a name. It also knows calls that no kernel has any more,
/// which are those that x32 never had; and i386 has some as parts of one call.
fn is_comparable(name: &str) -> bool {
    let exists =
        |arch| ScmpSyscall::from_name_by_arch(name, arch).is_ok_and(|call| i32::from(call) >= 0);
    let is_gone = exists(ScmpArch::X8664) && !exists(ScmpArch::X32);
    !is_gone && !MULTIPLEXED.contains(&name)
}

/// Parts of i386's `socketcall` and `ipc`.
const MULTIPLEXED: [&str; 32] = [
    "accept",
    "accept4",
    "bind",
    "connect",
    "getpeername",
    "getsockname",
    "getsockopt",
    "listen",
    "recv",
    "recvfrom",
    "recvmmsg",
    "recvmsg",
    "send",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "setsockopt",
    "shutdown",
    "socket",
    "socketpair",
    "msgctl",
    "msgget",
    "msgrcv",
    "msgsnd",
    "semctl",
    "semget",
    "semop",
    "semtimedop",
    "shmat",
    "shmctl",
    "shmdt",
    "shmget",
];

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
    let profile = profile(&input);
    let Some(theirs) = libseccomp(&profile) else { return };
    let ours = runtime_confine::seccomp::compile(&profile).expect("libseccomp takes it");
    let ours = instructions(&ours.to_bytes()[4..]);
    for call in &input.calls {
        let (data, number, architecture) = call.data(&profile);
        let mut expected = run(&theirs, &data);
        if is_stubbed(&profile, architecture, number) {
            expected = ENOSYS;
        }
        let verdict = run(&ours, &data);
        assert_eq!(
            verdict, expected,
            "ours {verdict:#x}, libseccomp's {expected:#x} for {number:#x} of {architecture:?}: {profile:#?}, {data:x?}"
        );
    }
});

/// The profile that the input stands for.
fn profile(input: &Input) -> Seccomp {
    // One rule a call: over several with conditions libseccomp 2.5.4 may loop for ever.
    let mut syscalls: Vec<SyscallRule> = Vec::new();
    for rule in input.rules.iter().take(8) {
        let name = &NAMES[usize::from(rule.name) % NAMES.len()];
        if syscalls.iter().any(|earlier| earlier.names[0] == *name) {
            continue;
        }
        syscalls.push(SyscallRule {
            names: vec![name.clone()],
            action: ACTIONS[usize::from(rule.action) % ACTIONS.len()],
            errno_ret: rule.errno.map(u32::from),
            args: rule.arguments.iter().take(3).map(argument).collect(),
        });
    }
    let mut architectures = vec!["SCMP_ARCH_X86_64".to_owned()];
    if input.has_i386 {
        architectures.push("SCMP_ARCH_X86".to_owned());
    }
    Seccomp {
        default_action: ACTIONS[usize::from(input.default) % ACTIONS.len()],
        default_errno_ret: input.default_errno.map(u32::from),
        architectures,
        syscalls,
        ..Seccomp::default()
    }
}

fn argument(condition: &Condition) -> Argument {
    let (operator, _) = OPERATORS[usize::from(condition.operator) % OPERATORS.len()];
    let mut argument = Argument {
        index: u32::from(condition.index % 6),
        value: condition.value.value(),
        value_two: Some(condition.value_two.value()),
        op: operator,
    };
    if operator == Operator::MaskedEqual {
        // A value with bits outside the mask can never be equal.
        argument.value_two = argument.value_two.map(|value| value & argument.value);
    }
    argument
}

/// libseccomp's filter, made as runc makes it; nothing where it takes no such profile.
fn libseccomp(profile: &Seccomp) -> Option<Vec<Instruction>> {
    let default = action(profile.default_action, profile.default_errno_ret);
    let mut context = ScmpFilterContext::new(default).ok()?;
    for architecture in &profile.architectures {
        match architecture.as_str() {
            "SCMP_ARCH_X86" => context.add_arch(ScmpArch::X86).ok()?,
            "SCMP_ARCH_X32" => context.add_arch(ScmpArch::X32).ok()?,
            _ => &mut context,
        };
    }
    for rule in &profile.syscalls {
        let verdict = action(rule.action, rule.errno_ret);
        if verdict == default {
            continue;
        }
        let call = ScmpSyscall::from_name(&rule.names[0]).ok()?;
        let comparisons: Vec<ScmpArgCompare> = rule.args.iter().map(comparison).collect();
        let repeated =
            (0..6).any(|index| rule.args.iter().filter(|a| a.index == index).count() > 1);
        if comparisons.is_empty() {
            context.add_rule(verdict, call).ok()?;
        } else if repeated {
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
    Some(instructions(&bytes))
}

fn comparison(argument: &Argument) -> ScmpArgCompare {
    let (_, operator) =
        OPERATORS.into_iter().find(|(op, _)| *op == argument.op).expect("all are there");
    let (operator, value) = match operator {
        ScmpCompareOp::MaskedEqual(_) => {
            (ScmpCompareOp::MaskedEqual(argument.value), argument.value_two.unwrap_or(0))
        }
        other => (other, argument.value),
    };
    ScmpArgCompare::new(argument.index, operator, value)
}

fn action(action: Action, errno: Option<u32>) -> ScmpAction {
    let data = errno.unwrap_or(EPERM);
    match action {
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Architecture {
    X86_64,
    X86,
    X32,
    Other,
}

impl Architecture {
    fn libseccomp(self) -> Option<ScmpArch> {
        match self {
            Self::X86_64 => Some(ScmpArch::X8664),
            Self::X86 => Some(ScmpArch::X86),
            Self::X32 => Some(ScmpArch::X32),
            Self::Other => None,
        }
    }

    /// The number of a call here, if it exists here.
    fn number(self, name: &str) -> Option<u32> {
        let call = ScmpSyscall::from_name_by_arch(name, self.libseccomp()?).ok()?;
        u32::try_from(i32::from(call)).ok()
    }
}

/// Whether runc answers "no such call" before libseccomp's filter is asked: the call is newer than
/// all that the profile names on its architecture, and the profile is not one that allows.
fn is_stubbed(profile: &Seccomp, architecture: Architecture, number: u32) -> bool {
    let name = match architecture {
        Architecture::X86_64 => "SCMP_ARCH_X86_64",
        Architecture::X86 => "SCMP_ARCH_X86",
        Architecture::X32 => "SCMP_ARCH_X32",
        Architecture::Other => return false,
    };
    let is_permissive =
        matches!(profile.default_action, Action::Allow | Action::Log | Action::Trace);
    if is_permissive || !profile.architectures.iter().any(|listed| listed == name) {
        return false;
    }
    let known = profile.syscalls.iter().filter_map(|rule| architecture.number(&rule.names[0]));
    known.max().is_some_and(|last| number > last)
}

impl Call {
    /// `struct seccomp_data`, with the call's number and architecture.
    fn data(&self, profile: &Seccomp) -> ([u8; 64], u32, Architecture) {
        let mut architecture =
            [Architecture::X86_64, Architecture::X86, Architecture::X32, Architecture::Other]
                [usize::from(self.architecture) % 4];
        let number = match self.number {
            Ok(rule) if !profile.syscalls.is_empty() => {
                let rule = &profile.syscalls[usize::from(rule) % profile.syscalls.len()];
                architecture.number(&rule.names[0]).unwrap_or(0)
            }
            Ok(number) => number.into(),
            Err(number) => number,
        };
        // x32 is a bit of x86-64's numbers, not an architecture of the kernel's.
        if matches!(architecture, Architecture::X86_64 | Architecture::X32) {
            architecture = if number < X32_BIT { Architecture::X86_64 } else { Architecture::X32 };
        }
        let audit = match architecture {
            Architecture::X86_64 | Architecture::X32 => X86_64,
            Architecture::X86 => I386,
            Architecture::Other => 0xc000_00b7,
        };
        let mut data = [0; 64];
        data[0..4].copy_from_slice(&number.to_le_bytes());
        data[4..8].copy_from_slice(&audit.to_le_bytes());
        for (index, argument) in self.arguments.iter().enumerate() {
            let value = argument_value(argument, profile);
            data[16 + index * 8..24 + index * 8].copy_from_slice(&value.to_le_bytes());
        }
        (data, number, architecture)
    }
}

fn argument_value(argument: &Result<(u8, u8, u8), Number>, profile: &Seccomp) -> u64 {
    let (rule, condition, change) = match argument {
        Ok(choice) => *choice,
        Err(number) => return number.value(),
    };
    let pick = |list: usize, choice: u8| if list == 0 { 0 } else { usize::from(choice) % list };
    let Some(rule) = profile.syscalls.get(pick(profile.syscalls.len(), rule)) else { return 0 };
    let Some(condition) = rule.args.get(pick(rule.args.len(), condition)) else { return 0 };
    let value = match condition.op {
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

fn instructions(bytes: &[u8]) -> Vec<Instruction> {
    let (list, rest) = bytes.as_chunks::<8>();
    assert!(rest.is_empty());
    list.iter()
        .map(|&[c0, c1, on_true, on_false, k0, k1, k2, k3]| Instruction {
            code: u16::from_le_bytes([c0, c1]),
            on_true,
            on_false,
            operand: u32::from_le_bytes([k0, k1, k2, k3]),
        })
        .collect()
}

/// What the kernel would make of a filter; it refuses a program that leaves its own end or its data.
fn run(program: &[Instruction], data: &[u8; 64]) -> u32 {
    let (mut at, mut accumulator) = (0, 0_u32);
    loop {
        let Instruction { code, on_true, on_false, operand } = program[at];
        at += 1;
        let holds = match code {
            0x06 => return operand,
            0x20 => {
                let offset = usize::try_from(operand).expect("offsets are small");
                accumulator =
                    u32::from_le_bytes(data[offset..offset + 4].try_into().expect("four"));
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
