//! Device rules as a BPF program (`BPF_PROG_TYPE_CGROUP_DEVICE`).
//!
//! The kernel calls it with `struct bpf_cgroup_dev_ctx` in r1: access (high half of the first
//! word), type (low half), major, minor. It returns 1 to allow. The last rule that matches counts,
//! so rules are tested from the last to the first.

use crate::devices::{Kind, Rule};
use kernel_sys::bpf::Instruction;

const LOAD_WORD: u8 = 0x61;
const MOVE_REGISTER: u8 = 0xbc;
const MOVE_IMMEDIATE: u8 = 0xb7;
const AND_IMMEDIATE: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const JUMP_NOT_EQUAL: u8 = 0x55;
const JUMP_NOT_EQUAL_REGISTER: u8 = 0x5d;
const EXIT: u8 = 0x95;

const TYPE_BLOCK: i32 = 1;
const TYPE_CHARACTER: i32 = 2;
const ACCESS_MKNOD: i32 = 1;
const ACCESS_READ: i32 = 2;
const ACCESS_WRITE: i32 = 4;

/// Compiles rules, given in the order in which they are applied.
pub(super) fn compile(everything: bool, rules: &[Rule]) -> Vec<Instruction> {
    let mut program = vec![
        // r2 = type, r3 = access, r4 = major, r5 = minor
        instruction(LOAD_WORD, 2, 1, 0, 0),
        instruction(AND_IMMEDIATE, 2, 0, 0, 0xffff),
        instruction(LOAD_WORD, 3, 1, 0, 0),
        instruction(SHIFT_RIGHT, 3, 0, 0, 16),
        instruction(LOAD_WORD, 4, 1, 4, 0),
        instruction(LOAD_WORD, 5, 1, 8, 0),
    ];
    for rule in rules.iter().rev() {
        program.extend(test(rule));
    }
    program.extend(answer(everything));
    program
}

/// `if the rule matches { return its verdict }`.
fn test(rule: &Rule) -> Vec<Instruction> {
    let mut tests = Vec::new();
    match rule.kind {
        Kind::All => {}
        Kind::Block => tests.push(instruction(JUMP_NOT_EQUAL, 2, 0, 0, TYPE_BLOCK)),
        Kind::Character => tests.push(instruction(JUMP_NOT_EQUAL, 2, 0, 0, TYPE_CHARACTER)),
    }
    let bit = |wanted, bit| if wanted { bit } else { 0 };
    let access = bit(rule.access.read, ACCESS_READ)
        | bit(rule.access.write, ACCESS_WRITE)
        | bit(rule.access.mknod, ACCESS_MKNOD);
    if access != ACCESS_READ | ACCESS_WRITE | ACCESS_MKNOD {
        // An allowing rule must cover all that is wanted; a denying one needs to touch some of it.
        tests.push(instruction(MOVE_REGISTER, 1, 3, 0, 0));
        tests.push(instruction(AND_IMMEDIATE, 1, 0, 0, access));
        if rule.allow {
            tests.push(instruction(JUMP_NOT_EQUAL_REGISTER, 1, 3, 0, 0));
        } else {
            const JUMP_EQUAL: u8 = 0x15;
            tests.push(instruction(JUMP_EQUAL, 1, 0, 0, 0));
        }
    }
    for (register, number) in [(4, rule.major), (5, rule.minor)] {
        if let Some(number) = number {
            tests.push(instruction(JUMP_NOT_EQUAL, register, 0, 0, number.cast_signed()));
        }
    }
    let answer = answer(rule.allow);
    let length = tests.len();
    for (index, instruction) in tests.iter_mut().enumerate() {
        if instruction.code & 0x07 == 0x05 {
            // To just after the answer.
            instruction.offset = i16::try_from(length - index - 1 + answer.len()).unwrap_or(0);
        }
    }
    tests.extend(answer);
    tests
}

fn answer(allow: bool) -> [Instruction; 2] {
    [instruction(MOVE_IMMEDIATE, 0, 0, 0, i32::from(allow)), instruction(EXIT, 0, 0, 0, 0)]
}

const fn instruction(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers: from << 4 | to, offset, immediate }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::Access;

    /// Runs a program as the kernel would.
    fn allowed(program: &[Instruction], kind: i32, access: i32, major: u32, minor: u32) -> bool {
        let context = [(access.cast_unsigned() << 16) | kind.cast_unsigned(), major, minor];
        let (mut registers, mut at) = ([0_u32; 11], 0_usize);
        loop {
            let Instruction { code, registers: pair, offset, immediate } = program[at];
            let (to, from) = (usize::from(pair & 15), usize::from(pair >> 4));
            let value = immediate.cast_unsigned();
            at += 1;
            let jump = match code {
                LOAD_WORD => {
                    registers[to] = context[usize::try_from(offset).unwrap() / 4];
                    false
                }
                MOVE_REGISTER => {
                    registers[to] = registers[from];
                    false
                }
                MOVE_IMMEDIATE => {
                    registers[to] = value;
                    false
                }
                AND_IMMEDIATE => {
                    registers[to] &= value;
                    false
                }
                SHIFT_RIGHT => {
                    registers[to] >>= value;
                    false
                }
                JUMP_NOT_EQUAL => registers[to] != value,
                JUMP_NOT_EQUAL_REGISTER => registers[to] != registers[from],
                0x15 => registers[to] == value,
                EXIT => return registers[0] == 1,
                _ => panic!("operation {code:#x}"),
            };
            if jump {
                at += usize::try_from(offset).unwrap();
            }
        }
    }

    fn rule(allow: bool, kind: Kind, major: Option<u32>, access: &str) -> Rule {
        let has = |letter| access.contains(letter);
        let access = Access { read: has('r'), write: has('w'), mknod: has('m') };
        Rule { allow, kind, major, minor: None, access }
    }

    #[test]
    fn only_what_a_rule_allows_is_allowed() {
        let program = compile(
            false,
            &[rule(true, Kind::Character, None, "m"), rule(true, Kind::Character, Some(1), "rwm")],
        );
        assert!(allowed(&program, TYPE_CHARACTER, ACCESS_READ, 1, 3));
        assert!(allowed(&program, TYPE_CHARACTER, ACCESS_MKNOD, 9, 9));
        assert!(!allowed(&program, TYPE_CHARACTER, ACCESS_READ | ACCESS_MKNOD, 9, 9));
        assert!(!allowed(&program, TYPE_BLOCK, ACCESS_READ, 1, 3));
    }

    #[test]
    fn a_later_denial_takes_back_an_earlier_permission() {
        let program = compile(true, &[rule(false, Kind::Block, Some(8), "w")]);
        assert!(allowed(&program, TYPE_BLOCK, ACCESS_READ, 8, 0));
        assert!(!allowed(&program, TYPE_BLOCK, ACCESS_READ | ACCESS_WRITE, 8, 0));
        assert!(allowed(&program, TYPE_CHARACTER, ACCESS_WRITE, 8, 0));
    }
}
