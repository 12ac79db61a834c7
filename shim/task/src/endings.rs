//! Processes end: reaping, the last output, the exit record, and who is told.

use crate::lifecycle::Then;
use crate::memory::Look;
use crate::process::{Exit, State};
use crate::reactor::Source;
use crate::server::Server;
use base_faults::{Step, reach, step};
use base_files::{Durability, replace};
use base_telemetry::logger::Level;
use contracts_shim_api::events::{TaskExit, TaskOom};
use contracts_shim_api::exit::{self, ExitRecord};
use contracts_shim_api::ttrpc::Response;
use rustix::process::WaitOptions;
use std::time::Duration;

const SIGKILL: i32 = rustix::process::Signal::KILL.as_raw();

const EXIT_RECORDED: &Step = step("shim.stop.exit-recorded");

/// How long the end of a terminal, or a fifo that nobody reads, is waited for.
const DRAIN: Duration = Duration::from_millis(200);
/// How long a full disk may keep an exit from being told. The log is written on after that.
const DRAIN_LOG: Duration = Duration::from_secs(10);
/// Pause before a shortage of memory is looked at again.
const SECOND_LOOK: Duration = Duration::from_millis(50);
/// Children of unknown workers that are remembered.
const MAX_EARLY: usize = 256;

impl Server {
    /// Collects every child that has ended.
    pub(crate) fn reap(&mut self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let (pid, exit) = (pid.as_raw_nonzero().get(), Exit::now(status));
            match self.awaited(pid) {
                Some(number) => self.on_exit(number, exit),
                // A worker may be about to tell that this was its container or exec. Workers
                // themselves and orphans from inside containers end here too.
                None if !self.workers.is_empty() && self.early.len() < MAX_EARLY => {
                    self.early.push((pid, exit));
                }
                None => {}
            }
        }
    }

    /// The process with this pid whose end has not been seen yet; an ended one may have had the
    /// same pid.
    pub(crate) fn awaited(&self, pid: i32) -> Option<u32> {
        let pid = u32::try_from(pid).ok()?;
        let found = self.processes.iter().find(|(_, one)| one.pid == pid && one.state.is_awaited());
        found.map(|(number, _)| *number)
    }

    /// A process has ended.
    pub(crate) fn on_exit(&mut self, number: u32, exit: Exit) {
        let Some(process) = self.processes.get_mut(&number) else { return };
        match process.state {
            State::Starting(None) => process.state = State::Starting(Some(exit)),
            State::Created { .. } | State::Running | State::Paused => {
                process.state = State::Draining(exit);
                process.stdio.process_ended(&mut self.reactor);
                self.reactor.after(DRAIN, Source::DrainDeadline(number));
                self.kill_leftovers(number);
                self.finish_if_drained(number);
            }
            _ => {}
        }
    }

    /// When init ends, so does everything else: the kernel sees to that in a pid namespace of the
    /// container's own, and we where there is none.
    fn kill_leftovers(&mut self, number: u32) {
        let container = self
            .containers
            .iter()
            .find(|(_, container)| container.init == number && container.shares_pids);
        let Some((id, container)) = container else { return };
        let (id, runtime) = (id.clone(), container.runtime.clone());
        let job = move || runtime.kill(&id, SIGKILL, true);
        if let Err(error) = self.launch(Vec::new(), Then::Nothing, job) {
            self.log(
                Level::Error,
                "kill what is left of a container",
                &[("error", &error.to_string())],
            );
        }
    }

    pub(crate) fn finish_if_drained(&mut self, number: u32) {
        let Some(process) = self.processes.get(&number) else { return };
        if let State::Draining(exit) = process.state
            && process.stdio.is_drained()
        {
            self.finish(number, exit);
        }
    }

    pub(crate) fn on_drain_deadline(&mut self, number: u32) {
        let Some(process) = self.processes.get_mut(&number) else { return };
        let State::Draining(exit) = process.state else { return };
        process.stdio.give_up_terminal(&mut self.reactor);
        if process.stdio.is_log_blocked() && exit.age() < DRAIN_LOG {
            self.reactor.after(DRAIN_LOG, Source::DrainDeadline(number));
        } else {
            self.finish(number, exit);
        }
    }

    /// Records an exit, and tells everybody.
    fn finish(&mut self, number: u32, exit: Exit) {
        let Some(process) = self.processes.get_mut(&number) else { return };
        process.state = State::Stopped(exit);
        process.pidfd = None;
        process.console = None;
        let waiters = std::mem::take(&mut process.waiters);
        let event = TaskExit {
            container_id: process.container.clone(),
            id: process.id().to_owned(),
            pid: process.pid,
            exit_status: exit.status,
            exited_at: Some(exit.at),
        };
        self.reactor.cancel(Source::DrainDeadline(number));
        // Engines learn why before they learn that.
        if let Some(init) = self.containers.get(&event.container_id).map(|one| one.init) {
            self.publish_kill(init);
        }
        if event.id == event.container_id
            && let Some(container) = self.containers.get(&event.container_id)
        {
            let record = ExitRecord::new(event.pid, exit.status, &exit.at).to_json();
            let path = container.bundle.join(exit::FILE);
            if let Err(error) = replace(&path, &record, 0o600, Durability::Processes) {
                self.log(Level::Error, "write the exit record", &[("error", &error.to_string())]);
            }
            reach(EXIT_RECORDED);
        }
        let response = Response::of(&exit.as_answer());
        for waiter in waiters {
            self.answer(waiter, &response);
        }
        self.publish(&event);
    }

    /// The kernel tells of a shortage before it has counted the kill that follows, so a look that
    /// finds none is followed by another.
    pub(crate) fn on_memory(&mut self, init: u32) {
        if !self.publish_kill(init) {
            self.reactor.within(SECOND_LOOK, Source::Memory(init));
        }
    }

    /// Tells of a kill for want of memory, if there was one since the last time; false when it is
    /// worth looking again.
    fn publish_kill(&mut self, init: u32) -> bool {
        let container = self.containers.iter_mut().find(|(_, container)| container.init == init);
        let Some((id, container)) = container else { return true };
        let Some(memory) = &mut container.memory else { return true };
        let event = TaskOom { container_id: id.clone() };
        match memory.look() {
            Look::Killed => self.publish(&event),
            Look::Nothing { again } => return !again,
        }
        true
    }
}
