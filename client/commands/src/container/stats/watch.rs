//! The live screen: a thread for each container's stream, one for containers that come, and a
//! screen that is drawn twice a second from what they found.

use super::figures::Figures;
use crate::failure::Failure;
use crate::output;
use crate::session::Session;
use crate::show;
use crate::terminal;
use client_http::Client;
use contracts_engine_api::container::StatsResponse;
use contracts_engine_api::events::Message;
use contracts_engine_api::{Filters, decode};
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the first drawing waits for everybody's first sample.
const FIRST_SAMPLES: Duration = Duration::from_secs(2);
const REFRESH: Duration = Duration::from_millis(500);
/// The longest sample that is accepted.
const MAX_LINE: u64 = 1024 * 1024;
/// More containers than any screen could show.
const MAX_CONTAINERS: usize = 4096;

/// A container as it is shown: the name by which it was asked for, and its newest sample.
type Shown = (String, Option<Figures>);

#[derive(Debug, Default)]
struct State {
    containers: Vec<Watched>,
    /// How many streams there were.
    streams: u64,
    /// No more will come.
    complete: bool,
}

#[derive(Debug)]
struct Watched {
    name: String,
    /// The stream that its samples come from: one of an earlier life says nothing here.
    stream: u64,
    figures: Option<Figures>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Waits while something holds, but no longer than this.
    fn wait_while(&self, limit: Duration, holds: impl Fn(&State) -> bool) {
        let state = self.lock();
        let waited = self.changed.wait_timeout_while(state, limit, |state| holds(state));
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl State {
    fn ended(&self) -> bool {
        self.complete && self.containers.is_empty()
    }
}

/// What is watched.
pub(super) struct Watch {
    shared: Arc<Shared>,
}

/// Which containers are watched beside those that are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follow {
    /// None.
    Named,
    /// All that run.
    Running,
    /// All that there are.
    All,
}

impl Watch {
    /// Watches these containers, and what comes later.
    pub(super) fn begin(session: &Session, names: &[String], follow: Follow) -> Self {
        let shared = Arc::<Shared>::default();
        shared.lock().complete = follow == Follow::Named;
        for name in names {
            add(&session.client, &shared, name);
        }
        if follow != Follow::Named {
            let (client, shared) = (Arc::clone(&session.client), Arc::clone(&shared));
            std::thread::spawn(move || {
                let _ = follow_lives(&client, &shared, follow);
                shared.change(|state| state.complete = true);
            });
        }
        Self { shared }
    }

    /// Draws until there is nothing left to watch.
    pub(super) fn show(
        &self,
        render: impl Fn(&[Shown]) -> Result<String, Failure>,
    ) -> Result<(), Failure> {
        let screen = terminal::stdout_is_terminal();
        self.shared.wait_while(FIRST_SAMPLES, |state| {
            state.containers.iter().any(|container| container.figures.is_none())
        });
        if screen {
            output::print("\x1b[2J")?;
        }
        loop {
            let (containers, ended) = {
                let state = self.shared.lock();
                let shown = state.containers.iter().map(|c| (c.name.clone(), c.figures.clone()));
                (shown.collect::<Vec<Shown>>(), state.ended())
            };
            let text = render(&containers)?;
            if screen {
                // Home, each line with what was right of it cleared, then all below.
                let lines = text.replace('\n', "\x1b[K\n");
                output::print(&format!("\x1b[H{lines}\x1b[J"))?;
            } else {
                output::print(&text)?;
            }
            if ended {
                return Ok(());
            }
            self.shared.wait_while(REFRESH, |state| !state.ended());
        }
    }
}

fn add(client: &Arc<Client>, shared: &Arc<Shared>, name: &str) {
    let stream = {
        let mut state = shared.lock();
        let known = state.containers.iter().any(|known| known.name == name);
        if known || state.containers.len() >= MAX_CONTAINERS {
            return;
        }
        state.streams += 1;
        let stream = state.streams;
        state.containers.push(Watched { name: name.to_owned(), stream, figures: None });
        stream
    };
    let (client, shared, name) = (Arc::clone(client), Arc::clone(shared), name.to_owned());
    std::thread::spawn(move || {
        let _ = follow(&client, &shared, &name, stream);
        shared.change(|state| state.containers.retain(|known| known.stream != stream));
    });
}

fn follow(client: &Client, shared: &Shared, name: &str, stream: u64) -> Result<(), Failure> {
    let response = client.get(format!("/containers/{name}/stats")).query("stream", "1").send()?;
    lines(response.into_body(), |line| {
        let Ok(stats) = decode::from_slice::<StatsResponse>(line) else { return Some(()) };
        let mut state = shared.lock();
        let own = state.containers.iter_mut().find(|known| known.stream == stream)?;
        own.figures = Some(Figures::of(&stats));
        drop(state);
        shared.changed.notify_all();
        Some(())
    })
}

/// Adds containers as they begin and takes them away as they end.
fn follow_lives(client: &Arc<Client>, shared: &Arc<Shared>, of: Follow) -> Result<(), Failure> {
    let (begin, end) = if of == Follow::All { ("create", "destroy") } else { ("start", "die") };
    let mut filters = Filters::default();
    filters.add("type", "container");
    filters.add("event", begin);
    filters.add("event", end);
    let response = client.get("/events").query("filters", filters.to_json()).send()?;
    lines(response.into_body(), |line| {
        let Ok(event) = decode::from_slice::<Message>(line) else { return Some(()) };
        // As the list names them.
        let id = show::id(&event.actor.id, false);
        if event.action == begin {
            add(client, shared, id);
        } else {
            shared.change(|state| state.containers.retain(|known| known.name != id));
        }
        Some(())
    })
}

/// Reads lines until they end, or `each` wants no more.
fn lines(body: impl Read, mut each: impl FnMut(&[u8]) -> Option<()>) -> Result<(), Failure> {
    let mut from = BufReader::new(body);
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut from).take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if !line.iter().all(u8::is_ascii_whitespace) && each(&line).is_none() {
            return Ok(());
        }
    }
}
