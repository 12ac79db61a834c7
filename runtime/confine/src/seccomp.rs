//! OCI seccomp profiles, compiled to BPF and installed.
//!
//! libseccomp's meaning, with a search tree instead of a list: per architecture the call numbers
//! are cut into ranges of equal verdict, found by bisection. Docker's default profile is less than half as
//! long as libseccomp's filter and seven comparisons deep instead of hundreds; the kernel, which translates
//! it and runs it once per call number when it is installed, is done sooner.

mod compile;
mod machine;
mod syscalls;

pub use compile::{compile, compile_for};
pub use machine::Machine;

use crate::{Error, refused};
use kernel_sys::seccomp::{FLAG_NEW_LISTENER, Instruction};
use std::os::fd::OwnedFd;

/// A filter, ready to be installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    program: Vec<Instruction>,
    flags: u32,
}

impl Filter {
    /// Whether a listener decides about some calls.
    #[must_use]
    pub fn notifies(&self) -> bool {
        self.flags & FLAG_NEW_LISTENER != 0
    }

    /// Installs it on the calling thread, for good. The descriptor on which a listener hears of
    /// calls, if there is to be one.
    ///
    /// # Errors
    /// The kernel refuses: without `CAP_SYS_ADMIN` or no-new-privileges, or a flag is unknown.
    pub fn install(&self) -> Result<Option<OwnedFd>, Error> {
        kernel_sys::seccomp::install(&self.program, self.flags)
            .map_err(refused("install seccomp filter"))
    }

    /// A form to be kept in a file and read by [`Filter::from_bytes`].
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(4 + self.program.len() * 8);
        bytes.extend(self.flags.to_le_bytes());
        for instruction in &self.program {
            bytes.extend(instruction.code.to_le_bytes());
            bytes.extend([instruction.jt, instruction.jf]);
            bytes.extend(instruction.k.to_le_bytes());
        }
        bytes
    }

    /// Reads what [`Filter::to_bytes`] wrote; nothing when it is not that. What it does is for
    /// the kernel to check.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (flags, rest) = bytes.split_first_chunk::<4>()?;
        let (instructions, remainder) = rest.as_chunks::<8>();
        if !remainder.is_empty() || instructions.len() > kernel_sys::seccomp::MAX_INSTRUCTIONS {
            return None;
        }
        let program = instructions
            .iter()
            .map(|&[c0, c1, jt, jf, k0, k1, k2, k3]| Instruction {
                code: u16::from_le_bytes([c0, c1]),
                jt,
                jf,
                k: u32::from_le_bytes([k0, k1, k2, k3]),
            })
            .collect();
        Some(Self { program, flags: u32::from_le_bytes(*flags) })
    }
}
