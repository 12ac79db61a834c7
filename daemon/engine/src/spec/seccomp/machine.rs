//! Machines: which architectures' calls a container's filter is about, and what profiles call them.
//!
//! dockerd's map has MIPS, too, whose kernels run programs of three ABIs. It has no place here: nobody
//! publishes Docker for it, and the runtime has no table of its calls. Nor has a machine of 32 bits.

/// A machine, as Docker's profiles speak of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    /// In the conditions of rules (`arches`).
    pub(super) name: &'static str,
    /// In `archMap`.
    pub(super) native: &'static str,
    /// What the default policy names beside it: architectures whose programs its kernel runs too.
    pub(super) also: &'static [&'static str],
    /// Which argument of `clone` has the flags.
    pub(super) clone_flags: u32,
}

const fn machine(
    name: &'static str,
    native: &'static str,
    also: &'static [&'static str],
) -> Machine {
    Machine { name, native, also, clone_flags: 0 }
}

/// All that there are.
pub(super) const MACHINES: [Machine; 6] = [
    machine("amd64", "SCMP_ARCH_X86_64", &["SCMP_ARCH_X86", "SCMP_ARCH_X32"]),
    machine("arm64", "SCMP_ARCH_AARCH64", &["SCMP_ARCH_ARM"]),
    machine("riscv64", "SCMP_ARCH_RISCV64", &[]),
    machine("loongarch64", "SCMP_ARCH_LOONGARCH64", &[]),
    // dockerd's map lacks it and its filter has no list, which means the same.
    machine("ppc64le", "SCMP_ARCH_PPC64LE", &[]),
    Machine { clone_flags: 1, ..machine("s390x", "SCMP_ARCH_S390X", &["SCMP_ARCH_S390"]) },
];

/// The one that this program was built for.
pub(super) const HOST: Machine = MACHINES[if cfg!(target_arch = "x86_64") {
    0
} else if cfg!(target_arch = "aarch64") {
    1
} else if cfg!(target_arch = "riscv64") {
    2
} else if cfg!(target_arch = "loongarch64") {
    3
} else if cfg!(all(target_arch = "powerpc64", target_endian = "little")) {
    4
} else if cfg!(target_arch = "s390x") {
    5
} else {
    panic!("Docker's default policy has nothing about this architecture")
}];
