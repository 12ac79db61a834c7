//! The live screen: a thread for each container's stream, one for containers that come, and a
//! screen that is drawn twice a second from what they found.

use super::figures::Figures;
use crate::failure::Failure;
use crate::output;
use crate::session::Session;
use crate::terminal;
use client_http::Client;
use contracts_engine_api::container::StatsResponse;
use contracts_engine_api::events::Message;
use contracts_engine_api::{Filters, decode};
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long the first drawing waits for everybody's first sample.
const FIRST_SAMPLES: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(20);
const REFRESH: Duration = Duration::from_millis(500);
/// The longest sample that is accepted.
const MAX_LINE: u64 = 1024 * 1024;
/// More containers than any screen could show.
const MAX_CONTAINERS: usize = 4096;

type Shown = (String, Option<Figures>);

#[derive(Debug, Default)]
struct State {
    containers: Vec<Shown>,
    /// No more will come.
    complete: bool,
}

/// What is watched.
pub(super) struct Watch {
    state: Arc<Mutex<State>>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    /// Watches some containers, and the ones that start later if `follow_all`.
    pub(super) fn begin(session: &Session, names: &[String], follow_all: bool) -> Self {
        let state = Arc::new(Mutex::new(State { complete: !follow_all, ..State::default() }));
        for name in names {
            add(&session.client, &state, name);
        }
        if follow_all {
            let (client, shared) = (Arc::clone(&session.client), Arc::clone(&state));
            std::thread::spawn(move || {
                let _ = follow_starts(&client, &shared);
                lock(&shared).complete = true;
            });
        }
        Self { state }
    }

    fn wait_for_first_samples(&self) {
        let begun = Instant::now();
        let missing = || lock(&self.state).containers.iter().any(|(_, figures)| figures.is_none());
        while begun.elapsed() < FIRST_SAMPLES && missing() {
            std::thread::sleep(POLL);
        }
    }

    /// Draws until there is nothing left to watch.
    pub(super) fn show(
        &self,
        render: impl Fn(&[Shown]) -> Result<String, Failure>,
    ) -> Result<(), Failure> {
        let screen = terminal::stdout_is_terminal();
        self.wait_for_first_samples();
        if screen {
            output::print("\x1b[2J")?;
        }
        loop {
            let (containers, complete) = {
                let state = lock(&self.state);
                (state.containers.clone(), state.complete)
            };
            let text = render(&containers)?;
            if screen {
                // Home, each line with what was right of it cleared, then all below.
                let lines = text.replace('\n', "\x1b[K\n");
                output::print(&format!("\x1b[H{lines}\x1b[J"))?;
            } else {
                output::print(&text)?;
            }
            if containers.is_empty() && complete {
                return Ok(());
            }
            std::thread::sleep(REFRESH);
        }
    }
}

fn add(client: &Arc<Client>, state: &Arc<Mutex<State>>, name: &str) {
    {
        let mut state = lock(state);
        let known = state.containers.iter().any(|(known, _)| known == name);
        if known || state.containers.len() >= MAX_CONTAINERS {
            return;
        }
        state.containers.push((name.to_owned(), None));
    }
    let (client, state, name) = (Arc::clone(client), Arc::clone(state), name.to_owned());
    std::thread::spawn(move || {
        let _ = follow(&client, &state, &name);
        lock(&state).containers.retain(|(known, _)| *known != name);
    });
}

fn follow(client: &Client, state: &Mutex<State>, name: &str) -> Result<(), Failure> {
    let response = client.get(format!("/containers/{name}/stats")).query("stream", "1").send()?;
    lines(response.into_body(), |line| {
        let Ok(stats) = decode::from_slice::<StatsResponse>(line) else { return };
        let mut state = lock(state);
        // The daemon sends empty samples for a container that does not run.
        if let Some((_, slot)) = state.containers.iter_mut().find(|(known, _)| known == name) {
            *slot = Some(Figures::of(&stats));
        }
    })
}

fn follow_starts(client: &Arc<Client>, state: &Arc<Mutex<State>>) -> Result<(), Failure> {
    let mut filters = Filters::default();
    filters.add("type", "container");
    filters.add("event", "start");
    let response = client.get("/events").query("filters", filters.to_json()).send()?;
    lines(response.into_body(), |line| {
        if let Ok(event) = decode::from_slice::<Message>(line) {
            add(client, state, &event.actor.id);
        }
    })
}

fn lines(body: impl Read, mut each: impl FnMut(&[u8])) -> Result<(), Failure> {
    let mut from = BufReader::new(body);
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut from).take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if !line.iter().all(u8::is_ascii_whitespace) {
            each(&line);
        }
    }
}
