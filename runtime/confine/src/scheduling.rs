//! Scheduling policy, I/O priority, memory policy, execution domain.

use crate::{Error, list_mask, refused};
use base_oci::runtime::{IoPriority, MemoryPolicy, Personality, Scheduler};
use kernel_sys::scheduling::{Attributes, ioprio_set, personality, sched_setattr, set_mempolicy};

/// What of all this the configuration asks for, with the kernel's numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scheduling {
    attributes: Option<Attributes>,
    io_priority: Option<(i32, i32)>,
    memory: Option<(i32, Vec<u64>)>,
    domain: Option<u32>,
}

impl Scheduling {
    /// Reads the configuration.
    ///
    /// # Errors
    /// A name without meaning.
    pub fn parse(
        scheduler: Option<&Scheduler>,
        io_priority: Option<&IoPriority>,
        memory: Option<&MemoryPolicy>,
        personality: Option<&Personality>,
    ) -> Result<Self, Error> {
        Ok(Self {
            attributes: scheduler.map(attributes).transpose()?,
            io_priority: io_priority.map(io_class).transpose()?,
            memory: memory.map(policy).transpose()?,
            domain: personality.map(domain).transpose()?,
        })
    }

    /// Sets it for the calling thread.
    ///
    /// # Errors
    /// The kernel's.
    pub fn apply(&self) -> Result<(), Error> {
        if let Some(attributes) = self.attributes {
            sched_setattr(attributes).map_err(refused("set scheduler"))?;
        }
        if let Some((class, priority)) = self.io_priority {
            ioprio_set(class, priority).map_err(refused("set I/O priority"))?;
        }
        if let Some((mode, nodes)) = &self.memory {
            set_mempolicy(*mode, nodes).map_err(refused("set memory policy"))?;
        }
        if let Some(domain) = self.domain {
            personality(domain).map_err(refused("set personality"))?;
        }
        Ok(())
    }
}

fn invalid(what: &'static str, value: &str) -> Error {
    Error::Invalid { what, value: value.to_owned() }
}

fn attributes(scheduler: &Scheduler) -> Result<Attributes, Error> {
    let name = scheduler.policy.as_str();
    let policy = match name {
        "SCHED_OTHER" => 0,
        "SCHED_FIFO" => 1,
        "SCHED_RR" => 2,
        "SCHED_BATCH" => 3,
        "SCHED_ISO" => 4,
        "SCHED_IDLE" => 5,
        "SCHED_DEADLINE" => 6,
        other => return Err(invalid("scheduler policy", other)),
    };
    let mut flags = 0;
    for flag in &scheduler.flags {
        flags |= match flag.as_str() {
            "SCHED_FLAG_RESET_ON_FORK" => 0x01,
            "SCHED_FLAG_RECLAIM" => 0x02,
            "SCHED_FLAG_DL_OVERRUN" => 0x04,
            "SCHED_FLAG_KEEP_POLICY" => 0x08,
            "SCHED_FLAG_KEEP_PARAMS" => 0x10,
            "SCHED_FLAG_UTIL_CLAMP_MIN" => 0x20,
            "SCHED_FLAG_UTIL_CLAMP_MAX" => 0x40,
            other => return Err(invalid("scheduler flag", other)),
        };
    }
    let priority = scheduler.priority.unwrap_or(0);
    let times =
        [scheduler.runtime, scheduler.deadline, scheduler.period].map(Option::unwrap_or_default);
    // The kernel would refuse the one without a word, and leave out the others.
    if priority != 0 && !matches!(name, "SCHED_FIFO" | "SCHED_RR") {
        let text = ".priority can only be specified for SchedFIFO or SchedRR policy";
        return Err(Error::SchedulerPolicy(text));
    }
    if times != [0; 3] && name != "SCHED_DEADLINE" {
        let text = " runtime/deadline/period can only be specified for SchedDeadline policy";
        return Err(Error::SchedulerPolicy(text));
    }
    let [runtime, deadline, period] = times;
    // The kernel would take the nearest.
    let nice = scheduler.nice.unwrap_or(0);
    if !(-20..=19).contains(&nice) {
        return Err(invalid("nice value", &nice.to_string()));
    }
    Ok(Attributes {
        policy,
        flags,
        nice,
        priority: u32::try_from(priority)
            .map_err(|_| invalid("scheduler priority", &priority.to_string()))?,
        runtime,
        deadline,
        period,
    })
}

fn io_class(priority: &IoPriority) -> Result<(i32, i32), Error> {
    let class = match priority.class.as_str() {
        "IOPRIO_CLASS_RT" => 1,
        "IOPRIO_CLASS_BE" => 2,
        "IOPRIO_CLASS_IDLE" => 3,
        other => return Err(invalid("I/O priority class", other)),
    };
    if !(0..=7).contains(&priority.priority) {
        return Err(invalid("I/O priority", &priority.priority.to_string()));
    }
    Ok((class, priority.priority))
}

/// The memory policies that are known, with the kernel's numbers.
pub const MEMORY_MODES: [(&str, i32); 7] = [
    ("MPOL_DEFAULT", 0),
    ("MPOL_PREFERRED", 1),
    ("MPOL_BIND", 2),
    ("MPOL_INTERLEAVE", 3),
    ("MPOL_LOCAL", 4),
    ("MPOL_PREFERRED_MANY", 5),
    ("MPOL_WEIGHTED_INTERLEAVE", 6),
];

/// The flags of memory policies that are known, with the kernel's bits.
pub const MEMORY_FLAGS: [(&str, i32); 3] = [
    ("MPOL_F_NUMA_BALANCING", 1 << 13),
    ("MPOL_F_RELATIVE_NODES", 1 << 14),
    ("MPOL_F_STATIC_NODES", 1 << 15),
];

fn policy(policy: &MemoryPolicy) -> Result<(i32, Vec<u64>), Error> {
    /// The kernel's own limit is 1024.
    const MAX_NODE: usize = 1023;
    let look_up = |table: &[(&str, i32)], what, name: &str| {
        let found = table.iter().find(|(known, _)| *known == name);
        found.map(|(_, number)| *number).ok_or_else(|| invalid(what, name))
    };
    let mut mode = look_up(&MEMORY_MODES, "memory policy", &policy.mode)?;
    for flag in &policy.flags {
        mode |= look_up(&MEMORY_FLAGS, "memory policy flag", flag)?;
    }
    Ok((mode, list_mask("memory policy nodes", &policy.nodes, MAX_NODE)?))
}

fn domain(personality: &Personality) -> Result<u32, Error> {
    if let Some(flag) = personality.flags.first() {
        return Err(invalid("personality flag", flag));
    }
    match personality.domain.as_str() {
        "LINUX" => Ok(0),
        "LINUX32" => Ok(8),
        other => Err(invalid("personality", other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_would_bend_to_its_ranges_is_refused() {
        let nice = |nice| {
            attributes(&Scheduler {
                policy: "SCHED_OTHER".to_owned(),
                nice: Some(nice),
                ..Scheduler::default()
            })
        };
        assert_eq!(nice(-20).unwrap().nice, -20);
        assert!(nice(20).is_err() && nice(-21).is_err());
        let io = |priority| io_class(&IoPriority { class: "IOPRIO_CLASS_BE".to_owned(), priority });
        assert_eq!(io(7).unwrap(), (2, 7));
        assert!(io(8).is_err() && io(-1).is_err());
    }

    #[test]
    fn each_policy_takes_its_own_values_only() {
        let of = |policy: &str| Scheduler { policy: policy.to_owned(), ..Scheduler::default() };
        for (policy, takes) in [("SCHED_FIFO", true), ("SCHED_RR", true), ("SCHED_BATCH", false)] {
            let scheduler = Scheduler { priority: Some(1), ..of(policy) };
            assert_eq!(attributes(&scheduler).is_ok(), takes, "{policy}");
        }
        for (policy, takes) in [("SCHED_DEADLINE", true), ("SCHED_FIFO", false)] {
            let scheduler = Scheduler { period: Some(1), ..of(policy) };
            assert_eq!(attributes(&scheduler).is_ok(), takes, "{policy}");
        }
        // A value that says nothing is no value.
        assert!(attributes(&Scheduler { priority: Some(0), ..of("SCHED_OTHER") }).is_ok());
    }
}
