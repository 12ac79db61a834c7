//! Filters, run as the kernel would.

use super::instructions::{
    AND, Argument64, Code, JUMP, JUMP_EQUAL, JUMP_GREATER, JUMP_GREATER_OR_EQUAL, LOAD, RETURN,
    always,
};
use super::*;
use base_oci::runtime::Operator;
use kernel_sys::seccomp::Instruction;

/// Runs a filter as the kernel would.
fn verdict(filter: &Filter, architecture: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let mut data = [0_u8; 64];
    data[0..4].copy_from_slice(&number.to_le_bytes());
    data[4..8].copy_from_slice(&architecture.to_le_bytes());
    for (index, argument) in arguments.iter().enumerate() {
        data[16 + index * 8..24 + index * 8].copy_from_slice(&argument.to_le_bytes());
    }
    run(filter, |place| u32::from_le_bytes(data[place..place + 4].try_into().unwrap()))
}

/// As [`verdict`], given what a load of the data at a place gives.
fn run(filter: &Filter, data: impl Fn(usize) -> u32) -> u32 {
    let (mut at, mut accumulator) = (0_usize, 0_u32);
    loop {
        let Instruction { code, jt, jf, k } = filter.program[at];
        at += 1;
        let holds = match code {
            RETURN => return k,
            LOAD => {
                accumulator = data(k as usize);
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
const X32_BIT: u32 = 0x4000_0000;
const I386: u32 = 0x4000_0003;
const ALLOW: u32 = 0x7fff_0000;

fn profile(text: &str) -> Filter {
    compile_for(&Machine::X86_64, &serde_json::from_str(text).unwrap()).unwrap()
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
        for (value, expected) in
            [(5, less), (big - 1, less), (big, equal), (big + 1, greater), (0x2_0000_0000, greater)]
        {
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
fn alternatives_about_one_argument_look_at_its_high_word_each() {
    // Found by fuzzing: libseccomp 2.5.4 compares 247 with 0x51 here, and kills.
    let filter = profile(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mq_open"],"action":"SCMP_ACT_KILL_PROCESS",
            "args":[{"index":3,"value":69,"op":"SCMP_CMP_LE"},
                    {"index":1,"value":69,"valueTwo":4,"op":"SCMP_CMP_MASKED_EQ"},
                    {"index":3,"value":347892350976,"op":"SCMP_CMP_GE"}]}]}"#,
    );
    let of = |third| verdict(&filter, X86_64, 240, [0, 0, 0, third, 0, 0]);
    for matching in [0, 69, 0x51_0000_0000, 0x51_0000_0045, 0x52_0000_0000, u64::MAX] {
        assert_eq!(of(matching), 0x8000_0000, "{matching:#x}");
    }
    for other in [70, 247, 0x51, 0x1_0000_0000, 0x1_0000_0045, 0x50_ffff_ffff] {
        assert_eq!(of(other), ALLOW, "{other:#x}");
    }
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
fn what_is_too_far_for_a_conditional_jump_is_reached() {
    for values in 30..90 {
        jumps_of(values);
    }
}

/// Tries a filter of a thousand calls with so many different values, every third of which has a
/// condition: far more than the 255 instructions that a conditional jump can leap over.
fn jumps_of(values: u32) {
    let value = |number: u32| number % values;
    let verdict_of = |number| {
        let mut verdict = always(value(number));
        if number.is_multiple_of(3) {
            let first = Argument64::new(0, Operator::Equal, u64::from(number), 0);
            verdict.add(&[vec![first]], 1000 + number, &Machine::X86_64.native);
        }
        verdict
    };
    let ranges: Vec<_> = (0..1000).map(|number| (number, verdict_of(number))).collect();
    let mut code = Code::default();
    code.bisect(&ranges);
    code.load_number();
    let filter = Filter { program: code.into_program(), flags: 0 };
    for number in 0..1000 {
        let other = [u64::MAX, 0, 0, 0, 0, 0];
        assert_eq!(verdict(&filter, X86_64, number, other), value(number), "{number}");
        let own = [u64::from(number), 0, 0, 0, 0, 0];
        let wanted = if number.is_multiple_of(3) { 1000 + number } else { value(number) };
        assert_eq!(verdict(&filter, X86_64, number, own), wanted, "{number}");
    }
    // The last range has no end.
    assert_eq!(verdict(&filter, X86_64, u32::MAX, [999, 0, 0, 0, 0, 0]), 1999);
}

#[test]
fn a_filter_survives_its_bytes_and_other_bytes_are_refused() {
    let filter = profile(r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[]}"#);
    assert_eq!(Filter::from_bytes(&filter.to_bytes()), Some(filter.clone()));
    assert_eq!(Filter::from_bytes(&filter.to_bytes()[..9]), None);
}

#[test]
fn what_has_no_meaning_in_a_profile_is_refused() {
    for text in [
        r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_X"]}"#,
        r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["VAX"]}"#,
        r#"{"defaultAction":"SCMP_ACT_NOTIFY","listenerPath":"/a"}"#,
        r#"{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/a","syscalls":[
            {"names":["write"],"action":"SCMP_ACT_NOTIFY"}]}"#,
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
            {"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"}]}"#,
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir"]}]}"#,
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir"],
            "action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":0}]}]}"#,
    ] {
        assert!(compile(&serde_json::from_str(text).unwrap()).is_err(), "{text}");
    }
}

#[test]
fn flags_reach_the_kernel_as_its_bits() {
    let flags = |names: &str, action: &str| {
        let text = format!(
            r#"{{"defaultAction":"SCMP_ACT_ALLOW","flags":[{names}],"listenerPath":"/a",
                "syscalls":[{{"names":["mkdir"],"action":"{action}"}}]}}"#
        );
        profile(&text).flags
    };
    for (names, bits) in [
        ("", 1 << 2),
        (r#""SECCOMP_FILTER_FLAG_TSYNC""#, 0),
        (r#""SECCOMP_FILTER_FLAG_LOG""#, 1 << 1),
        (r#""SECCOMP_FILTER_FLAG_SPEC_ALLOW""#, 1 << 2),
        (r#""SECCOMP_FILTER_FLAG_LOG","SECCOMP_FILTER_FLAG_SPEC_ALLOW""#, 1 << 1 | 1 << 2),
        (r#""SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV""#, 0),
    ] {
        assert_eq!(flags(names, "SCMP_ACT_ERRNO"), bits, "{names}");
    }
    let waiting = flags(r#""SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV""#, "SCMP_ACT_NOTIFY");
    assert_eq!(waiting, 1 << 3 | 1 << 5);
}

/// Calls that share one number, told apart by their first argument.
#[test]
fn a_rule_for_a_part_holds_for_the_whole_with_that_first_argument() {
    let filter = profile(
        r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86"],"syscalls":[
        {"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[
          {"index":0,"value":40,"op":"SCMP_CMP_NE"},{"index":2,"value":7,"op":"SCMP_CMP_EQ"}]},
        {"names":["connect","shmat","futex_waitv"],"action":"SCMP_ACT_ALLOW"}]}"#,
    );
    let allowed = |number, arguments: [u64; 3]| {
        let [a, b, c] = arguments;
        verdict(&filter, I386, number, [a, b, c, 0, 0, 0]) == ALLOW
    };
    let (socketcall, ipc) = (102, 117);
    assert!(allowed(socketcall, [1, 0, 7]) && !allowed(socketcall, [1, 0, 8]));
    assert!(allowed(socketcall, [3, 0, 8]) && !allowed(socketcall, [2, 0, 7]));
    assert!(allowed(ipc, [21, 0, 0]) && !allowed(ipc, [22, 0, 0]));
    // Their own numbers.
    assert!(allowed(359, [39, 0, 7]) && !allowed(359, [40, 0, 7]));
    assert!(allowed(362, [0; 3]) && allowed(397, [0; 3]));
}

#[test]
fn each_machine_filters_its_own_calls_and_those_of_its_relatives() {
    let text = r#"{"defaultAction":"SCMP_ACT_ERRNO",
        "architectures":["SCMP_ARCH_ARM","SCMP_ARCH_S390","SCMP_ARCH_X86"],"syscalls":[
        {"names":["openat"],"action":"SCMP_ACT_ALLOW"},
        {"names":["getpgid"],"action":"SCMP_ACT_ALLOW","args":[
          {"index":0,"value":4294967301,"op":"SCMP_CMP_EQ"}]}]}"#;
    let profile = serde_json::from_str(text).unwrap();
    // Architecture, openat, getpgid, whether it has 64 bits.
    let cases = [
        (Machine::X86_64, 0xc000_003e, 257, 121, true),
        (Machine::X86_64, 0x4000_0003, 295, 132, false),
        (Machine::AARCH64, 0xc000_00b7, 56, 155, true),
        (Machine::AARCH64, 0x4000_0028, 322, 132, false),
        (Machine::RISCV64, 0xc000_00f3, 56, 155, true),
        (Machine::LOONGARCH64, 0xc000_0102, 56, 155, true),
        (Machine::PPC64LE, 0xc000_0015, 286, 132, true),
        (Machine::S390X, 0x8000_0016, 288, 132, true),
        (Machine::S390X, 0x0000_0016, 288, 132, false),
    ];
    for (machine, architecture, openat, getpgid, is_wide) in cases {
        let filter = compile_for(&machine, &profile).unwrap();
        let is_big_endian = machine.native.is_big_endian;
        let verdict = |architecture, number, first: u64| {
            let words = if is_big_endian { first.to_be_bytes() } else { first.to_le_bytes() };
            run(&filter, |place| match place {
                0 => number,
                4 => architecture,
                16 | 20 => {
                    let word = words[place - 16..place - 12].try_into().unwrap();
                    if is_big_endian { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
                }
                _ => 0,
            })
        };
        assert_eq!(verdict(architecture, openat, 0), ALLOW, "{machine:?}");
        assert_eq!(verdict(architecture, openat - 1, 0), ERRNO | EPERM);
        assert_eq!(verdict(architecture, getpgid, 0x1_0000_0005), ALLOW);
        assert_eq!(verdict(architecture, getpgid, 5) == ALLOW, !is_wide);
        assert_eq!(verdict(0x4000_0008, openat, 0), KILL_THREAD);
    }
}

/// Every name that Docker's and containerd's profiles have (`archMap`, and all of libseccomp's).
const ARCHITECTURES: [&str; 20] = [
    "SCMP_ARCH_X86_64",
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
];

#[test]
fn architectures_of_other_machines_are_taken_and_add_nothing() {
    let profile = |architectures: &[&str]| Seccomp {
        default_action: Some(Action::Errno),
        architectures: architectures.iter().map(|name| (*name).to_owned()).collect(),
        syscalls: vec![SyscallRule {
            names: vec!["read".to_owned()],
            action: Some(Action::Allow),
            ..SyscallRule::default()
        }],
        ..Seccomp::default()
    };
    for machine in [
        Machine::X86_64,
        Machine::AARCH64,
        Machine::RISCV64,
        Machine::LOONGARCH64,
        Machine::PPC64LE,
        Machine::S390X,
    ] {
        let all = compile_for(&machine, &profile(&ARCHITECTURES)).unwrap();
        let own = compile_for(&machine, &profile(&machine.names())).unwrap();
        assert_eq!(all, own, "{:?}", machine.names());
        // One that this program has no table of is nobody's: what it calls is not let through.
        const MIPS: u32 = 8;
        assert_eq!(verdict(&all, MIPS, 0, [0; 6]), KILL_THREAD);
    }
    assert!(compile_for(&Machine::X86_64, &profile(&["mips"])).is_err());
}
