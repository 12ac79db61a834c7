//! Instructions of classic BPF for the parts of a filter.

use super::super::machine::Architecture;
use super::KILL_THREAD;
use base_oci::runtime::Operator;
use kernel_sys::seccomp::Instruction;

// Offsets in struct seccomp_data.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

// Operations of classic BPF: class | size or source | operation.
pub(super) const LOAD: u16 = 0x20;
pub(super) const AND: u16 = 0x54;
pub(super) const JUMP: u16 = 0x05;
pub(super) const JUMP_EQUAL: u16 = 0x15;
pub(super) const JUMP_GREATER: u16 = 0x25;
pub(super) const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
pub(super) const RETURN: u16 = 0x06;

/// What happens to one call number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Conditions with the return value for when all of them hold, tried in order.
    conditional: Vec<(Vec<Argument64>, u32)>,
    /// The return value otherwise, if the profile says one.
    pub(super) otherwise: Option<u32>,
}

/// A condition with its operands in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Argument64 {
    pub(super) index: u32,
    operator: Operator,
    value: u64,
    value_two: u64,
    /// Only the low half is compared: the other is no part of an argument.
    is_narrow: bool,
    /// The high half comes first.
    is_big_endian: bool,
}

impl Argument64 {
    /// A comparison of an argument with a value, or with two.
    pub(super) const fn new(index: u32, operator: Operator, value: u64, value_two: u64) -> Self {
        Self { index, operator, value, value_two, is_narrow: false, is_big_endian: false }
    }
}

impl Verdict {
    /// Adds a rule's alternatives; none are no condition.
    pub(super) fn add(
        &mut self,
        conditions: &[Vec<Argument64>],
        value: u32,
        architecture: &Architecture,
    ) {
        if conditions.is_empty() {
            self.otherwise.get_or_insert(value);
        }
        let (is_narrow, is_big_endian) = (architecture.is_narrow, architecture.is_big_endian);
        for condition in conditions {
            let placed =
                |argument: &Argument64| Argument64 { is_narrow, is_big_endian, ..*argument };
            self.conditional.push((condition.iter().map(placed).collect(), value));
        }
    }
}

/// A verdict that depends on nothing.
pub(super) fn always(value: u32) -> Verdict {
    Verdict { conditional: Vec::new(), otherwise: Some(value) }
}

/// Instructions from the last to the first: what a jump leaps over is there before the jump is, and
/// many jumps share one return.
///
/// A filter's length is most of what it costs to install: the kernel translates it twice.
#[derive(Debug, Default)]
pub(super) struct Code {
    instructions: Vec<Instruction>,
    /// The last return of each value.
    returns: Vec<(u32, Place)>,
}

/// How many instructions come after one.
type Place = usize;

/// Farthest that a conditional jump leaps, less the two instructions that may still come between.
const NEAR: usize = u8::MAX as usize - 2;

/// Where a branch goes on.
#[derive(Clone, Copy)]
enum Target {
    Return(u32),
    At(Place),
}

impl Code {
    /// The instructions in the order in which they are run.
    pub(super) fn into_program(mut self) -> Vec<Instruction> {
        self.instructions.reverse();
        self.instructions
    }

    /// Puts `return value` before the code.
    pub(super) fn ret(&mut self, value: u32) {
        let place = self.put(ret(value));
        self.returns.retain(|(other, _)| *other != value);
        self.returns.push((value, place));
    }

    /// Puts before the code what finds the range of the loaded number and returns its verdict.
    pub(super) fn bisect(&mut self, ranges: &[(u32, Verdict)]) {
        if let Target::Return(value) = self.find(ranges) {
            self.ret(value);
        }
    }

    /// `if number >= limit { high } else { low }`; both always return.
    pub(super) fn branch(
        &mut self,
        limit: u32,
        low: impl FnOnce(&mut Self),
        high: impl FnOnce(&mut Self),
    ) {
        high(self);
        let high = Target::At(self.first());
        low(self);
        let low = Target::At(self.first());
        self.jump(JUMP_GREATER_OR_EQUAL, limit, high, low);
    }

    /// `if accumulator == value { body }`; `body` always returns.
    pub(super) fn when_equal(&mut self, value: u32, body: impl FnOnce(&mut Self)) {
        let before = self.instructions.len();
        body(self);
        let length = self.instructions.len() - before;
        self.put(far_jump(length));
        self.put(jump(JUMP_EQUAL, value, 1, 0));
    }

    /// Puts before the code what loads the call's number.
    pub(super) fn load_number(&mut self) {
        self.put(load(NUMBER));
    }

    /// Puts before the code what loads the call's architecture.
    pub(super) fn load_architecture(&mut self) {
        self.put(load(ARCHITECTURE));
    }

    /// The same as [`Self::bisect`], but a return is left to whoever jumps to it.
    fn find(&mut self, ranges: &[(u32, Verdict)]) -> Target {
        match ranges {
            [(_, verdict)] => self.decide(verdict),
            // One number among others.
            [(_, around), (number, verdict), (next, after)]
                if around == after && *next == number + 1 =>
            {
                let otherwise = self.decide(around);
                let equal = self.decide(verdict);
                Target::At(self.jump(JUMP_EQUAL, *number, equal, otherwise))
            }
            _ => {
                let (low, high) = ranges.split_at(ranges.len() / 2);
                let limit = high[0].0;
                let high = self.find(high);
                let low = self.find(low);
                Target::At(self.jump(JUMP_GREATER_OR_EQUAL, limit, high, low))
            }
        }
    }

    /// Puts a verdict before the code, if it depends on anything.
    fn decide(&mut self, verdict: &Verdict) -> Target {
        let otherwise = verdict.otherwise.unwrap_or(KILL_THREAD);
        if verdict.conditional.is_empty() {
            return Target::Return(otherwise);
        }
        self.ret(otherwise);
        for (conditions, value) in verdict.conditional.iter().rev() {
            self.instructions.extend(alternative(conditions, *value).into_iter().rev());
        }
        Target::At(self.first())
    }

    /// `if accumulator <code> value { holds } else { fails }`.
    fn jump(&mut self, code: u16, value: u32, holds: Target, fails: Target) -> Place {
        let (holds, fails) = (self.near(holds), self.near(fails));
        let leap = |to: Place| u8::try_from(self.first() - to).unwrap_or(u8::MAX);
        self.put(jump(code, value, leap(holds), leap(fails)))
    }

    /// Where a conditional jump that is put before the code can go instead.
    fn near(&mut self, target: Target) -> Place {
        let is_near = |place: &Place| self.instructions.len() - place <= NEAR;
        match target {
            Target::At(place) if is_near(&place) => place,
            Target::At(place) => self.put(far_jump(self.first() - place)),
            Target::Return(value) => {
                let last = self.returns.iter().find(|(other, _)| *other == value);
                if let Some(place) = last.map(|(_, place)| *place).filter(is_near) {
                    return place;
                }
                self.ret(value);
                self.first()
            }
        }
    }

    /// The instruction that is run first so far.
    fn first(&self) -> Place {
        self.instructions.len() - 1
    }

    fn put(&mut self, instruction: Instruction) -> Place {
        self.instructions.push(instruction);
        self.first()
    }
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
    let place = ARGUMENTS + argument.index * 8;
    let (low_place, high_place) =
        if argument.is_big_endian { (place + 4, place) } else { (place, place + 4) };
    let load_high = (load(high_place), Next, Next);
    let load_low = (load(low_place), Next, Next);
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
