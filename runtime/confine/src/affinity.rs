//! CPUs of an exec'd process.

use crate::{Error, list_mask, refused};
use base_oci::runtime::CpuAffinity;
use rustix::thread::{CpuSet, sched_setaffinity};

/// The CPUs of a process before it is in the container's cgroup, and after (runtime-spec,
/// `execCPUAffinity`).
#[derive(Clone, Debug, Default)]
pub struct Affinity {
    initial: Option<CpuSet>,
    last: Option<CpuSet>,
}

impl Affinity {
    /// Reads the configuration.
    ///
    /// # Errors
    /// A list without meaning, or one that names no CPU.
    pub fn parse(affinity: Option<&CpuAffinity>) -> Result<Self, Error> {
        let Some(CpuAffinity { initial, r#final }) = affinity else { return Ok(Self::default()) };
        Ok(Self { initial: cpus(initial)?, last: cpus(r#final)? })
    }

    /// Sets the calling thread's CPUs for while it is made ready.
    ///
    /// # Errors
    /// The kernel's: none of the CPUs exists.
    pub fn apply_initial(&self) -> Result<(), Error> {
        let Some(cpus) = &self.initial else { return Ok(()) };
        sched_setaffinity(None, cpus).map_err(refused("set initial CPU affinity"))
    }

    /// Sets the calling thread's CPUs for its program; the thread is in the container's cgroup.
    /// Where the configuration says nothing, those of the cgroup: the caller's own are no business
    /// of the container's.
    ///
    /// # Errors
    /// The kernel's: the cgroup has none of the CPUs.
    pub fn apply_final(&self) -> Result<(), Error> {
        if let Some(cpus) = &self.last {
            return sched_setaffinity(None, cpus).map_err(refused("set final CPU affinity"));
        }
        if self.initial.is_none() {
            let mut all = CpuSet::new();
            (0..CpuSet::MAX_CPU).for_each(|cpu| all.set(cpu));
            // A wish at most: a profile of the host's may forbid it.
            let _ = sched_setaffinity(None, &all);
        }
        Ok(())
    }
}

fn cpus(list: &str) -> Result<Option<CpuSet>, Error> {
    if list.is_empty() {
        return Ok(None);
    }
    let mask = list_mask("CPU affinity", list, CpuSet::MAX_CPU - 1)?;
    let mut set = CpuSet::new();
    for cpu in (0..mask.len() * 64).filter(|cpu| mask[cpu / 64] & 1 << (cpu % 64) != 0) {
        set.set(cpu);
    }
    if set.count() == 0 {
        return Err(Error::Invalid { what: "CPU affinity", value: list.to_owned() });
    }
    Ok(Some(set))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_without_a_cpu_are_refused() {
        let affinity =
            |initial: &str| CpuAffinity { initial: initial.to_owned(), r#final: "1".to_owned() };
        let parsed = Affinity::parse(Some(&affinity("0-1"))).unwrap();
        assert_eq!((parsed.initial.unwrap().count(), parsed.last.unwrap().count()), (2, 1));
        for bad in [",", "x", "2000"] {
            assert!(Affinity::parse(Some(&affinity(bad))).is_err(), "{bad}");
        }
    }
}
