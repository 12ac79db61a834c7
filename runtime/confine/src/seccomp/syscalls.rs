//! System calls by name, with each architecture's numbers.
//!
//! The table lists the calls of all architectures; of its columns a program has only those that it
//! uses, and the names as one text, which needs no work of the dynamic linker.

mod table;

use table::{AUDIT, COLUMNS, PARTS, ROWS};

const CALLS: usize = ROWS.len();

/// No such call on this architecture.
const NONE: i32 = -1;

/// A call, by its place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call(usize);

impl Call {
    /// The call of this name, if any architecture has it. Most profiles list calls in the table's
    /// order, so the one after `previous` is tried first.
    pub(super) fn find(name: &str, previous: Option<Self>) -> Option<Self> {
        let after = Self(previous.map_or(0, |call| call.0 + 1));
        if after.0 < CALLS && after.name() == name.as_bytes() {
            return Some(after);
        }
        let (mut low, mut high) = (0, CALLS);
        while low < high {
            let middle = low.midpoint(high);
            match Self(middle).name().cmp(name.as_bytes()) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(Self(middle)),
            }
        }
        None
    }

    fn name(self) -> &'static [u8] {
        let start = self.0.checked_sub(1).map_or(0, |before| ENDS[before]);
        &NAMES[usize::from(start)..usize::from(ENDS[self.0])]
    }

    /// The call of which this one is a part where the architecture has that, and the first argument
    /// that stands for the part: `socket` is `socketcall` with 1.
    pub(super) fn as_part(self) -> Option<(Self, u32)> {
        let (whole, number) = WHOLES[self.0]?;
        Some((Self(usize::from(whole)), u32::from(number)))
    }
}

/// Of which call, by its place, each one is a part, and its number there.
static WHOLES: [Option<(u16, u8)>; CALLS] = {
    let mut wholes = [None; CALLS];
    let mut part = 0;
    while part < PARTS.len() {
        let (name, whole, number) = PARTS[part];
        assert!(number <= u8::MAX as u32 && CALLS <= u16::MAX as usize);
        #[expect(clippy::cast_possible_truncation, reason = "checked above")]
        {
            wholes[place(name)] = Some((place(whole) as u16, number as u8));
        }
        part += 1;
    }
    wholes
};

/// Where the table has a call.
const fn place(name: &str) -> usize {
    let mut call = 0;
    while !is_same(ROWS[call].0.as_bytes(), name.as_bytes()) {
        call += 1;
    }
    call
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut byte = 0;
    while byte < one.len() && one[byte] == other[byte] {
        byte += 1;
    }
    byte == one.len()
}

/// The numbers that an architecture's calls have, and its own.
#[derive(Debug)]
pub(super) struct Numbers {
    column: [i32; CALLS],
    /// The kernel's value of the architecture (`AUDIT_ARCH_…`).
    pub(super) audit: u32,
}

impl Numbers {
    /// A call's number, if the architecture has it.
    pub(super) fn of(&self, call: Call) -> Option<u32> {
        u32::try_from(self.column[call.0]).ok()
    }
}

pub(super) static X86_64: Numbers = numbers(0);
pub(super) static X86: Numbers = numbers(1);
pub(super) static X32: Numbers = numbers(2);
pub(super) static AARCH64: Numbers = numbers(3);
pub(super) static ARM: Numbers = numbers(4);
pub(super) static RISCV64: Numbers = numbers(5);
pub(super) static LOONGARCH64: Numbers = numbers(6);
pub(super) static PPC64LE: Numbers = numbers(7);
pub(super) static S390X: Numbers = numbers(8);
pub(super) static S390: Numbers = numbers(9);

const fn numbers(architecture: usize) -> Numbers {
    assert!(architecture < COLUMNS);
    let mut column = [NONE; CALLS];
    let mut call = 0;
    while call < CALLS {
        column[call] = ROWS[call].1[architecture];
        call += 1;
    }
    Numbers { column, audit: AUDIT[architecture] }
}

/// All names, one after another.
static NAMES: [u8; LENGTH] = {
    let mut names = [0; LENGTH];
    let (mut call, mut at) = (0, 0);
    while call < CALLS {
        let name = ROWS[call].0.as_bytes();
        let mut byte = 0;
        while byte < name.len() {
            names[at] = name[byte];
            (at, byte) = (at + 1, byte + 1);
        }
        call += 1;
    }
    names
};

/// Where each of them ends.
static ENDS: [u16; CALLS] = {
    let mut ends = [0; CALLS];
    let (mut call, mut end) = (0, 0);
    while call < CALLS {
        end += ROWS[call].0.len();
        assert!(end <= u16::MAX as usize);
        #[expect(clippy::cast_possible_truncation, reason = "checked above")]
        {
            ends[call] = end as u16;
        }
        call += 1;
    }
    ends
};

const LENGTH: usize = {
    let (mut call, mut length) = (0, 0);
    while call < CALLS {
        length += ROWS[call].0.len();
        call += 1;
    }
    length
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_it_can_be_searched() {
        assert!(ROWS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for (name, _) in ROWS {
            assert_eq!(Call::find(name, None).map(Call::name), Some(name.as_bytes()));
        }
        let all = |previous: &mut Option<Call>, (name, _): &(&str, _)| {
            *previous = Call::find(name, *previous);
            Some(*previous)
        };
        let found = ROWS.iter().scan(None, all);
        assert!(found.eq((0..CALLS).map(|place| Some(Call(place)))));
        assert_eq!(Call::find("no_such_call", None), None);
        assert_eq!(Call::find("", None), None);
    }

    #[test]
    fn known_calls_have_their_numbers() {
        let of = |name, numbers: &Numbers| numbers.of(Call::find(name, None).unwrap());
        let everywhere = [&X86_64, &X86, &X32, &AARCH64, &ARM, &RISCV64, &LOONGARCH64, &PPC64LE];
        let numbers = |name| everywhere.map(|architecture| of(name, architecture));
        assert_eq!(numbers("clone3"), [Some(435); 8]);
        assert_eq!(numbers("execve"), [59, 11, 520, 221, 11, 221, 221, 11].map(Some));
        assert_eq!(of("mkdir", &AARCH64), None);
        assert_eq!((of("setuid32", &S390), of("setuid32", &S390X)), (Some(213), None));
        assert_eq!((of("setuid", &S390), of("setuid", &S390X)), (Some(23), Some(213)));
    }

    #[test]
    fn parts_are_known_by_their_whole() {
        let find = |name| Call::find(name, None).unwrap();
        let part = |name| find(name).as_part();
        assert_eq!(part("socket"), Some((find("socketcall"), 1)));
        assert_eq!(part("shmctl"), Some((find("ipc"), 24)));
        assert_eq!(part("read"), None);
    }
}
