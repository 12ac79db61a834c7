//! Times, by step.

use std::fmt::Write as _;
use std::time::Duration;

/// The steps in the order of a run; those of [`FRESH_NETWORK`] and [`AFTERWARDS`] are not in the
/// total.
const ORDER: [&str; 12] = [
    "new network namespace",
    "veth, address, route",
    "overlay",
    "cgroups made",
    "clone into namespaces",
    "cgroups attached",
    "network and cgroup namespace joined",
    "mounts",
    "pivot",
    "exec to exit",
    "cgroups removed",
    "namespaces dropped",
];
/// What a pool of ready networks takes off the way.
const FRESH_NETWORK: [&str; 2] = [ORDER[0], ORDER[1]];
/// What nobody waits for.
const AFTERWARDS: [&str; 2] = [ORDER[10], ORDER[11]];

/// The times of every step, run by run.
#[derive(Debug, Default)]
pub(crate) struct Steps(Vec<(&'static str, Vec<Duration>)>);

impl Steps {
    pub(crate) fn add(&mut self, step: &'static str, time: Duration) {
        debug_assert!(ORDER.contains(&step), "{step}");
        match self.0.iter_mut().find(|(name, _)| *name == step) {
            Some((_, times)) => times.push(time),
            None => self.0.push((step, vec![time])),
        }
    }

    /// Adds up the steps of each run that `counts`.
    fn totals(&self, counts: impl Fn(&str) -> bool) -> Vec<Duration> {
        let runs = self.0.iter().map(|(_, times)| times.len()).min().unwrap_or(0);
        let counted = || self.0.iter().filter(|(name, _)| counts(name));
        (0..runs).map(|run| counted().map(|(_, times)| times[run]).sum()).collect()
    }

    fn rows(&self) -> Vec<(&'static str, Vec<Duration>)> {
        let mut rows = self.0.clone();
        rows.sort_by_key(|(name, _)| ORDER.iter().position(|step| step == name));
        let afterwards = |name: &str| AFTERWARDS.contains(&name);
        let fresh = |name: &str| FRESH_NETWORK.contains(&name);
        rows.push(("total, network ready", self.totals(|step| !afterwards(step) && !fresh(step))));
        rows.push(("total, network made", self.totals(|step| !afterwards(step))));
        rows
    }

    pub(crate) fn to_table(&self) -> String {
        let mut text = format!("{:<38}{:>10}{:>10}{:>10}\n", "ms", "minimum", "median", "p99");
        for (name, mut times) in self.rows() {
            times.sort_unstable();
            let at = |part: f64| milliseconds(&times, part);
            let _ =
                writeln!(text, "{name:<38}{:>10.3}{:>10.3}{:>10.3}", at(0.0), at(0.5), at(0.99));
        }
        text
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        let row = |(name, times): (&str, Vec<Duration>)| {
            let times: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
            (name.to_owned(), serde_json::json!(times))
        };
        serde_json::Value::Object(self.rows().into_iter().map(row).collect())
    }
}

/// The time below which this part of the sorted times is.
fn milliseconds(sorted: &[Duration], part: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    // Few enough to be exact.
    let index = (last as f64 * part).round() as usize;
    sorted.get(index).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}
