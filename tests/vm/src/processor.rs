//! The processors that qemu emulates, and what differs between their machines.

/// A kind of machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processor {
    /// A PC.
    X86_64,
    /// 64-bit ARM; its kernel runs programs of 32 bits, too.
    Aarch64,
    /// 64-bit RISC-V.
    Riscv64,
}

impl Processor {
    /// Rust's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
            Self::Riscv64 => "riscv64",
        }
    }

    /// Debian's name, and the release with its packages where it is not that of the machine that runs
    /// the tests; none for that one's own architecture.
    pub(crate) const fn foreign(self) -> Option<(&'static str, Option<&'static str>)> {
        match self {
            Self::X86_64 => None,
            Self::Aarch64 => Some(("arm64", None)),
            Self::Riscv64 => Some(("riscv64", Some("trixie"))),
        }
    }

    /// The emulator, and Debian's package with it.
    pub(crate) const fn emulator(self) -> (&'static str, &'static str) {
        match self {
            Self::X86_64 => ("qemu-system-x86_64", "qemu-system-x86"),
            Self::Aarch64 => ("qemu-system-aarch64", "qemu-system-arm"),
            Self::Riscv64 => ("qemu-system-riscv64", "qemu-system-misc"),
        }
    }

    /// Board and processor.
    pub(crate) const fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::X86_64 => &["-cpu", "max"],
            // The emulator's newest boots half as fast, for pointers that it signs.
            Self::Aarch64 => &["-machine", "virt", "-cpu", "cortex-a72"],
            Self::Riscv64 => &["-machine", "virt"],
        }
    }

    /// The kernel's name of the serial line.
    pub(crate) const fn console(self) -> &'static str {
        match self {
            Self::X86_64 | Self::Riscv64 => "ttyS0",
            Self::Aarch64 => "ttyAMA0",
        }
    }
}
