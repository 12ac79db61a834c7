//! The list of steps, in the order in which an operation passes them.

/// The program that passes a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Program {
    /// `gantry`.
    Client,
    /// `gantryd`.
    Daemon,
    /// `gantry-supervisor`.
    Supervisor,
    /// `containerd-shim-gantry-v2`, its worker processes included.
    Shim,
}

/// The operation that a step belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Create and start a container.
    Run,
    /// Run a further process in a container.
    Exec,
    /// Stop a container, or see it end.
    Stop,
    /// Remove a container.
    Rm,
    /// Pull an image.
    Pull,
}

/// One step: after it, a crash leaves a state of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    /// `program.operation.what-was-just-done`; unique.
    pub name: &'static str,
    /// Who passes it.
    pub program: Program,
    /// What it is part of.
    pub operation: Operation,
}

/// Finds a step by name; a misspelt name does not compile where the result is a constant:
/// `const CREATED: &Step = faults::step("daemon.run.record-written");`.
#[must_use]
pub const fn step(name: &str) -> &'static Step {
    let mut index = 0;
    while index < STEPS.len() {
        if same(STEPS[index].name.as_bytes(), name.as_bytes()) {
            return &STEPS[index];
        }
        index += 1;
    }
    panic!("no step of this name in base/faults/src/steps.rs")
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut index = 0;
    while index < a.len() {
        if a[index] != b[index] {
            return false;
        }
        index += 1;
    }
    true
}

const fn of(program: Program, operation: Operation, name: &'static str) -> Step {
    Step { name, program, operation }
}

use Operation::{Exec, Pull, Rm, Run, Stop};
use Program::{Client, Daemon, Shim, Supervisor};

/// Every step there is.
pub const STEPS: &[Step] = &[
    of(Client, Run, "client.run.created"),
    of(Client, Run, "client.run.attached"),
    of(Client, Run, "client.run.started"),
    of(Daemon, Run, "daemon.run.snapshot-prepared"),
    of(Daemon, Run, "daemon.run.record-written"),
    of(Daemon, Run, "daemon.run.sandbox-created"),
    of(Daemon, Run, "daemon.run.task-created"),
    of(Daemon, Run, "daemon.run.task-started"),
    of(Supervisor, Run, "supervisor.run.bundle-written"),
    of(Supervisor, Run, "supervisor.run.shim-launched"),
    of(Supervisor, Run, "supervisor.run.task-created"),
    of(Supervisor, Run, "supervisor.run.task-started"),
    of(Shim, Run, "shim.run.listening"),
    of(Shim, Run, "shim.run.stdio-opened"),
    of(Shim, Run, "shim.run.container-created"),
    of(Shim, Run, "shim.run.container-started"),
    of(Client, Exec, "client.exec.created"),
    of(Client, Exec, "client.exec.started"),
    of(Daemon, Exec, "daemon.exec.process-added"),
    of(Daemon, Exec, "daemon.exec.process-started"),
    of(Supervisor, Exec, "supervisor.exec.process-added"),
    of(Supervisor, Exec, "supervisor.exec.process-started"),
    of(Shim, Exec, "shim.exec.process-added"),
    of(Shim, Exec, "shim.exec.process-started"),
    of(Client, Stop, "client.stop.requested"),
    of(Daemon, Stop, "daemon.stop.signalled"),
    of(Daemon, Stop, "daemon.stop.exit-seen"),
    of(Daemon, Stop, "daemon.stop.task-deleted"),
    of(Daemon, Stop, "daemon.stop.sandbox-removed"),
    of(Supervisor, Stop, "supervisor.stop.signalled"),
    of(Supervisor, Stop, "supervisor.stop.exit-seen"),
    of(Supervisor, Stop, "supervisor.stop.shim-deleted"),
    of(Shim, Stop, "shim.stop.signalled"),
    of(Shim, Stop, "shim.stop.exit-recorded"),
    of(Client, Rm, "client.rm.requested"),
    of(Daemon, Rm, "daemon.rm.marked"),
    of(Daemon, Rm, "daemon.rm.snapshot-removed"),
    of(Daemon, Rm, "daemon.rm.record-removed"),
    of(Supervisor, Rm, "supervisor.rm.snapshot-unlisted"),
    of(Supervisor, Pull, "supervisor.pull.resolved"),
    of(Supervisor, Pull, "supervisor.pull.blob-begun"),
    of(Supervisor, Pull, "supervisor.pull.blob-synced"),
    of(Supervisor, Pull, "supervisor.pull.blob-published"),
    of(Supervisor, Pull, "supervisor.pull.blob-listed"),
    of(Supervisor, Pull, "supervisor.pull.layer-unpacked"),
    of(Supervisor, Pull, "supervisor.pull.layer-synced"),
    of(Supervisor, Pull, "supervisor.pull.layer-listed"),
    of(Supervisor, Pull, "supervisor.pull.whole"),
    of(Supervisor, Pull, "supervisor.pull.named"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_say_their_program_and_operation() {
        for (index, step) in STEPS.iter().enumerate() {
            let prefix = format!("{:?}.{:?}.", step.program, step.operation).to_lowercase();
            assert!(step.name.starts_with(&prefix), "{}", step.name);
            assert!(STEPS[..index].iter().all(|other| other.name != step.name), "{}", step.name);
        }
    }
}
