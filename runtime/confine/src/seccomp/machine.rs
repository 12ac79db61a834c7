//! Machines and their architectures: whose system calls a filter can be about.

use super::syscalls::{self, Call, Numbers};

/// A kernel's architectures: its own and those of other programs that it runs.
#[derive(Debug)]
pub struct Machine {
    /// Its own, which is always filtered.
    pub(super) native: Architecture,
    /// The one that has the native one's value, and a mark on its calls' numbers.
    pub(super) marked: Option<Architecture>,
    /// One with a value of its own.
    pub(super) foreign: Option<Architecture>,
}

/// A set of system calls (`SCMP_ARCH_…`), and how the kernel shows a filter one of them.
#[derive(Debug)]
pub(super) struct Architecture {
    /// Its name in profiles.
    pub(super) name: &'static str,
    numbers: &'static Numbers,
    /// Set in all its calls' numbers.
    pub(super) mark: u32,
    /// Arguments have 32 bits; only their low half is compared.
    pub(super) is_narrow: bool,
    /// An argument's high half comes first.
    pub(super) is_big_endian: bool,
}

/// Marks a call of the x32 ABI (`__X32_SYSCALL_BIT`, asm/unistd.h).
const X32_BIT: u32 = 0x4000_0000;

impl Machine {
    /// 64-bit PCs.
    pub const X86_64: Self = Self {
        native: Architecture::new("SCMP_ARCH_X86_64", &syscalls::X86_64),
        marked: Some(Architecture {
            mark: X32_BIT,
            ..Architecture::new("SCMP_ARCH_X32", &syscalls::X32).narrow()
        }),
        foreign: Some(Architecture::new("SCMP_ARCH_X86", &syscalls::X86).narrow()),
    };
    /// 64-bit ARM.
    pub const AARCH64: Self = Self {
        native: Architecture::new("SCMP_ARCH_AARCH64", &syscalls::AARCH64),
        marked: None,
        foreign: Some(Architecture::new("SCMP_ARCH_ARM", &syscalls::ARM).narrow()),
    };
    /// 64-bit RISC-V.
    pub const RISCV64: Self =
        Self::alone(Architecture::new("SCMP_ARCH_RISCV64", &syscalls::RISCV64));
    /// 64-bit LoongArch.
    pub const LOONGARCH64: Self =
        Self::alone(Architecture::new("SCMP_ARCH_LOONGARCH64", &syscalls::LOONGARCH64));
    /// 64-bit PowerPC, little-endian.
    pub const PPC64LE: Self =
        Self::alone(Architecture::new("SCMP_ARCH_PPC64LE", &syscalls::PPC64LE));
    /// 64-bit System z.
    pub const S390X: Self = Self {
        native: Architecture::new("SCMP_ARCH_S390X", &syscalls::S390X).big_endian(),
        marked: None,
        foreign: Some(Architecture::new("SCMP_ARCH_S390", &syscalls::S390).narrow().big_endian()),
    };

    /// The one that this program was built for.
    pub const HOST: Self = if cfg!(target_arch = "x86_64") {
        Self::X86_64
    } else if cfg!(target_arch = "aarch64") {
        Self::AARCH64
    } else if cfg!(target_arch = "riscv64") {
        Self::RISCV64
    } else if cfg!(target_arch = "loongarch64") {
        Self::LOONGARCH64
    } else if cfg!(all(target_arch = "powerpc64", target_endian = "little")) {
        Self::PPC64LE
    } else if cfg!(target_arch = "s390x") {
        Self::S390X
    } else {
        panic!("no table of this architecture's system calls")
    };

    const fn alone(native: Architecture) -> Self {
        Self { native, marked: None, foreign: None }
    }

    /// Their names in profiles, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        let all = [Some(&self.native), self.marked.as_ref(), self.foreign.as_ref()];
        let mut names: Vec<&str> = all.into_iter().flatten().map(|a| a.name).collect();
        names.sort_unstable();
        names
    }
}

impl Architecture {
    const fn new(name: &'static str, numbers: &'static Numbers) -> Self {
        Self { name, numbers, mark: 0, is_narrow: false, is_big_endian: false }
    }

    const fn narrow(self) -> Self {
        Self { is_narrow: true, ..self }
    }

    const fn big_endian(self) -> Self {
        Self { is_big_endian: true, ..self }
    }

    /// The kernel's value (`AUDIT_ARCH_…`).
    pub(super) const fn audit_value(&self) -> u32 {
        self.numbers.audit
    }

    /// A call's number here, as the kernel shows it.
    pub(super) fn number(&self, call: Call) -> Option<u32> {
        Some(self.numbers.of(call)? | self.mark)
    }

    /// For a call that programs here may also make as part of another one: that one's number, and
    /// its first argument.
    pub(super) fn part(&self, call: Call) -> Option<(u32, u32)> {
        let (whole, part) = call.as_part()?;
        Some((self.number(whole)?, part))
    }
}
