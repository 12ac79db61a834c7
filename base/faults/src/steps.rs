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
    /// `gantry-runtime`, or whoever calls its library.
    Runtime,
    /// A container's process until its program is executed: the runtime's child.
    Init,
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
    /// The runtime's `create`.
    Create,
    /// The runtime's `start`.
    Start,
    /// The runtime's `delete`.
    Delete,
    /// The runtime's `checkpoint`.
    Checkpoint,
    /// The runtime's `restore`.
    Restore,
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

use Operation::{Checkpoint, Create, Delete, Exec, Pull, Restore, Rm, Run, Start, Stop};
use Program::{Client, Daemon, Init, Runtime, Shim, Supervisor};

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
    of(Runtime, Create, "runtime.create.folder-made"),
    of(Runtime, Create, "runtime.create.record-written"),
    of(Runtime, Create, "runtime.create.listening"),
    of(Runtime, Create, "runtime.create.cloned"),
    of(Runtime, Create, "runtime.create.pid-recorded"),
    of(Runtime, Create, "runtime.create.cgroup-made"),
    of(Runtime, Create, "runtime.create.attached"),
    of(Runtime, Create, "runtime.create.told-attached"),
    of(Runtime, Create, "runtime.create.hooks-run"),
    of(Runtime, Create, "runtime.create.told-hooks"),
    of(Runtime, Create, "runtime.create.ready-heard"),
    of(Runtime, Create, "runtime.create.pid-file-written"),
    of(Runtime, Create, "runtime.create.made"),
    of(Init, Create, "init.create.born"),
    of(Init, Create, "init.create.begun"),
    of(Init, Create, "init.create.mounted"),
    of(Init, Create, "init.create.hooks-run"),
    of(Init, Create, "init.create.entered"),
    of(Init, Create, "init.create.settled"),
    of(Init, Create, "init.create.told-ready"),
    of(Runtime, Start, "runtime.start.connected"),
    of(Runtime, Start, "runtime.start.socket-removed"),
    of(Runtime, Start, "runtime.start.told-go"),
    of(Runtime, Start, "runtime.start.executed"),
    of(Init, Start, "init.start.connected"),
    of(Init, Start, "init.start.go-heard"),
    of(Init, Start, "init.start.hooks-run"),
    of(Init, Run, "init.run.told-ready"),
    of(Runtime, Run, "runtime.run.started"),
    of(Runtime, Run, "runtime.run.ended"),
    of(Runtime, Exec, "runtime.exec.found"),
    of(Runtime, Exec, "runtime.exec.cloned"),
    of(Runtime, Exec, "runtime.exec.attached"),
    of(Runtime, Exec, "runtime.exec.told-attached"),
    of(Runtime, Exec, "runtime.exec.ready-heard"),
    of(Runtime, Exec, "runtime.exec.pid-file-written"),
    of(Init, Exec, "init.exec.born"),
    of(Init, Exec, "init.exec.attached"),
    of(Init, Exec, "init.exec.joined"),
    of(Init, Exec, "init.exec.settled"),
    of(Init, Exec, "init.exec.told-ready"),
    of(Runtime, Delete, "runtime.delete.ended"),
    of(Runtime, Delete, "runtime.delete.cgroup-removed"),
    of(Runtime, Delete, "runtime.delete.folder-removed"),
    of(Runtime, Checkpoint, "runtime.checkpoint.criu-started"),
    of(Runtime, Checkpoint, "runtime.checkpoint.stopped"),
    of(Runtime, Checkpoint, "runtime.checkpoint.written"),
    of(Runtime, Checkpoint, "runtime.checkpoint.answered"),
    of(Runtime, Restore, "runtime.restore.folder-made"),
    of(Runtime, Restore, "runtime.restore.record-written"),
    of(Runtime, Restore, "runtime.restore.criu-started"),
    of(Runtime, Restore, "runtime.restore.cgroup-made"),
    of(Runtime, Restore, "runtime.restore.init-recorded"),
    of(Runtime, Restore, "runtime.restore.restored"),
    of(Runtime, Restore, "runtime.restore.answered"),
    of(Runtime, Restore, "runtime.restore.pid-file-written"),
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
