//! Containers without a cgroup: their user may not make one, or the host has none mounted.

use crate::{Below, Cgroup, Error, Hierarchy, Record, reopen};
use base_oci::runtime::{BlockIo, Cpu, Memory, Resources};
use contracts_runtime_api::Stats;
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// Makes a container's cgroup as far as the calling user may, and gives what was made, with whether
/// it is new. A hierarchy without permission is left out: whether anything is asked of it shows when
/// limits are [applied](Cgroup::apply). Where `is_named` (the configuration says where the cgroup
/// is to be) nothing is left out, as under runc.
///
/// # Errors
/// Anything but a missing permission; then nothing new is left.
pub fn create_permitted(
    cgroup: &dyn Cgroup,
    is_named: bool,
) -> Result<(Box<dyn Cgroup>, bool), Error> {
    let Record { unified, hierarchies, scope } = cgroup.record();
    if is_named || scope.is_some() {
        let is_new = cgroup.create(None)?;
        return Ok((reopen(cgroup.record()), is_new));
    }
    let of = |hierarchies| reopen(Record { unified, hierarchies, scope: None });
    let (mut made, mut new): (Vec<Hierarchy>, Vec<Hierarchy>) = (Vec::new(), Vec::new());
    for hierarchy in hierarchies {
        match of(vec![hierarchy.clone()]).create(None) {
            Ok(is_new) => {
                if is_new {
                    new.push(hierarchy.clone());
                }
                made.push(hierarchy);
            }
            Err(error) if is_forbidden(&error) => {}
            Err(error) => {
                let _ = of(new).remove();
                return Err(error);
            }
        }
    }
    Ok((of(made), !new.is_empty()))
}

/// Whether an error is for want of permission.
#[must_use]
pub fn is_forbidden(error: &Error) -> bool {
    matches!(error.errno(), Some(Errno::ACCESS | Errno::PERM | Errno::ROFS))
}

/// No cgroup at all.
pub(crate) struct Absent(Record);

impl Absent {
    pub(crate) fn new(record: Record) -> Self {
        Self(record)
    }
}

impl Cgroup for Absent {
    fn create(&self, _: Option<i32>) -> Result<bool, Error> {
        Ok(false)
    }

    fn apply(&self, resources: &Resources) -> Result<(), Error> {
        first_limit(resources).map_or(Ok(()), |what| Err(Error::NoController(what)))
    }

    fn apply_devices(&self, _: &Resources) -> Result<(), Error> {
        Ok(())
    }

    fn attach(&self, _: i32) -> Result<(), Error> {
        Ok(())
    }

    fn attach_further(&self, _: i32, below: &Below, _: i32) -> Result<(), Error> {
        if below.is_empty() { Ok(()) } else { Err(Error::NoCgroup) }
    }

    fn clone_target(&self) -> Option<OwnedFd> {
        None
    }

    fn freeze(&self, _: bool) -> Result<(), Error> {
        Err(Error::NoCgroup)
    }

    fn is_frozen(&self) -> bool {
        false
    }

    fn processes(&self) -> Result<Vec<i32>, Error> {
        Err(Error::NoCgroup)
    }

    fn kill(&self) -> bool {
        false
    }

    fn stats(&self) -> Result<Stats, Error> {
        Err(Error::NoCgroup)
    }

    fn oom_kills(&self) -> Option<u64> {
        None
    }

    fn memory_events(&self) -> Option<OwnedFd> {
        None
    }

    fn remove(&self) -> Result<(), Error> {
        Ok(())
    }

    fn record(&self) -> Record {
        self.0.clone()
    }
}

/// What is limited, if anything is. Devices are no limit here: whoever may not make a cgroup cannot
/// make device files either.
fn first_limit(resources: &Resources) -> Option<&'static str> {
    let Resources { memory, cpu, pids, block_io, .. } = resources;
    let limits = [
        ("memory", memory.as_ref().is_some_and(|memory| *memory != Memory::default())),
        ("cpu", cpu.as_ref().is_some_and(|cpu| *cpu != Cpu::default())),
        ("pids", pids.as_ref().and_then(|pids| pids.limit).is_some_and(|limit| limit != 0)),
        ("block I/O", block_io.as_ref().is_some_and(|io| *io != BlockIo::default())),
        ("hugetlb", !resources.hugepage_limits.is_empty()),
        ("RDMA", !resources.rdma.is_empty()),
        ("network", resources.network.is_some()),
        ("unified", !resources.unified.is_empty()),
    ];
    limits.into_iter().find(|(_, is_limited)| *is_limited).map(|(what, _)| what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base_oci::runtime::Pids;

    fn absent() -> Box<dyn Cgroup> {
        reopen(Record { unified: true, ..Record::default() })
    }

    #[test]
    fn without_a_cgroup_everything_but_a_limit_is_done() {
        let cgroup = absent();
        assert!(!cgroup.create(None).unwrap());
        cgroup.apply(&Resources::default()).unwrap();
        let nothing = Resources {
            pids: Some(Pids { limit: None }),
            memory: Some(Memory::default()),
            ..Resources::default()
        };
        cgroup.apply(&nothing).unwrap();
        cgroup.attach(1).unwrap();
        cgroup.remove().unwrap();
        let limited = Resources { pids: Some(Pids { limit: Some(3) }), ..Resources::default() };
        assert!(cgroup.apply(&limited).unwrap_err().to_string().starts_with("cannot limit pids"));
        assert!(matches!(cgroup.freeze(true), Err(Error::NoCgroup)));
        assert!(!cgroup.kill());
    }

    #[test]
    fn what_may_not_be_made_is_left_out_unless_it_was_named() {
        let folder = tempfile::tempdir().unwrap();
        // Nobody, root neither, makes folders there.
        let [one, other] = [folder.path().join("one"), "/sys/kernel/other".into()];
        let of = |path| Hierarchy { name: "x".into(), controllers: "x".into(), path };
        let locate = || {
            let hierarchies = vec![of(one.clone()), of(other.clone())];
            reopen(Record { hierarchies, ..Record::default() })
        };
        let (made, is_new) = create_permitted(&*locate(), false).unwrap();
        assert!(is_new && made.record().hierarchies == [of(one.clone())]);
        assert!(create_permitted(&*locate(), true).is_err());
    }
}
