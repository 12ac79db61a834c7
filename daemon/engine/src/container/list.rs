//! `GET /containers/json`.

use super::Container;
use super::inspect::{mount_point, networks, status};
use crate::error::{Error, Result};
use crate::record::{HealthStatus, MountKind, MountRecord, StateRecord};
use crate::requests::ContainerListOptions;
use crate::shared::Shared;
use base_ids::reference::Reference;
use contracts_engine_api::Filters;
use contracts_engine_api::container::{
    HealthSummary, MountPoint, PortSummary, Status, Summary, SummaryHostConfig,
    SummaryNetworkSettings,
};
use daemon_network::Sandbox;
use jiff::Timestamp;
use std::time::Duration;

const FILTERS: [&str; 17] = [
    "ancestor",
    "annotation",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
    "label!",
];

/// The health of a container without a check.
const NO_CHECK: &str = "none";
const HEALTHS: [&str; 4] = [NO_CHECK, "starting", "healthy", "unhealthy"];

impl Shared {
    /// `GET /containers/json`.
    pub(crate) async fn container_list(
        &self,
        options: ContainerListOptions,
    ) -> Result<Vec<Summary>> {
        let filters = &options.filters;
        let invalid =
            |error: contracts_engine_api::filters::InvalidFilter| Error::invalid(error.to_string());
        filters.accept_only(&FILTERS).map_err(invalid)?;
        for word in filters.get("status") {
            if Status::from_word(word).is_none() {
                let all = Status::ALL.map(Status::as_str).join(", ");
                return Err(Error::Invalid(format!(
                    "invalid filter 'status={word}': invalid value for state ({word}): must be one \
                     of {all}"
                )));
            }
        }
        for word in filters.get("health") {
            if !HEALTHS.contains(&word) {
                let all = HEALTHS.join(", ");
                return Err(Error::Invalid(format!(
                    "invalid filter 'health={word}': invalid value for health ({word}): must be \
                     one of {all}"
                )));
            }
        }
        let selection = Selection::new(self, filters)?;
        let everything = options.all
            || options.limit.is_some()
            || ["status", "exited", "before", "since"].iter().any(|key| filters.contains(key));
        let mut summaries = Vec::new();
        for container in &self.containers.all() {
            let view = container.view();
            if view.removed.is_some() || !(everything || view.running()) {
                continue;
            }
            if !selection.fits(container, &view.state) {
                continue;
            }
            let mut summary = summary(container, &view.state);
            if options.size {
                let (own, whole) = self.sizes(container).await;
                summary.size_rw = own.unwrap_or_default();
                summary.size_root_fs = whole.unwrap_or_default();
            }
            summaries.push(summary);
            if options.limit == Some(summaries.len()) {
                break;
            }
        }
        Ok(summaries)
    }
}

/// Filters, prepared.
struct Selection<'a> {
    filters: &'a Filters,
    names: Vec<regex_lite::Regex>,
    before: Option<String>,
    since: Option<String>,
}

impl<'a> Selection<'a> {
    fn new(shared: &Shared, filters: &'a Filters) -> Result<Self> {
        let pattern = |text: &str| {
            regex_lite::Regex::new(text)
                .map_err(|error| Error::Invalid(format!("error parsing regexp: {error}")))
        };
        let reference = |key: &str| {
            let name = filters.get(key).next();
            name.map(|name| shared.containers.find(name).map(|c| c.record.created.clone()))
                .transpose()
        };
        Ok(Self {
            filters,
            names: filters.get("name").map(pattern).collect::<Result<_>>()?,
            before: reference("before")?,
            since: reference("since")?,
        })
    }

    fn fits(&self, container: &Container, state: &StateRecord) -> bool {
        let (record, filters) = (&container.record, self.filters);
        let any = |key: &str, fits: &dyn Fn(&str) -> bool| {
            let mut values = filters.get(key).peekable();
            values.peek().is_none() || values.any(fits)
        };
        let slashed = format!("/{}", record.name);
        let created = &record.created;
        let port = |wanted: &str, key: &str| {
            let whole = |text: &str| {
                if text.contains('/') { text.to_owned() } else { format!("{text}/tcp") }
            };
            whole(wanted) == whole(key)
        };
        (self.names.is_empty()
            || self.names.iter().any(|n| n.is_match(&slashed) || n.is_match(&record.name)))
            && self.before.as_ref().is_none_or(|before| created < before)
            && self.since.as_ref().is_none_or(|since| created > since)
            && any("id", &|id| container.id().as_str().starts_with(id))
            && any("status", &|word| word == status(state).as_str())
            && any("exited", &|code| {
                status(state) == Status::Exited && code.parse() == Ok(state.exit_code)
            })
            && filters.matches_pairs("label", record.config.labels.as_ref())
            && filters.matches_pairs("annotation", record.host_config.annotations.as_ref())
            && any("ancestor", &|image| is_ancestor(container, image))
            && any("network", &|wanted| {
                networks(container, state)
                    .iter()
                    .any(|(name, settings)| name == wanted || settings.network_id == wanted)
            })
            && any("volume", &|wanted| {
                record.mounts.iter().any(|mount| {
                    mount.destination == wanted
                        || matches!(&mount.kind, MountKind::Volume { name, .. } if name == wanted)
                })
            })
            && any("expose", &|wanted| {
                record.config.exposed_ports.iter().flatten().any(|(key, _)| port(wanted, key))
            })
            && any("publish", &|wanted| {
                let published = state.sandbox.iter().flat_map(|sandbox| &sandbox.ports);
                published
                    .into_iter()
                    .any(|one| port(wanted, &format!("{}/{}", one.container_port, one.protocol)))
            })
            && any("health", &|word| word == health(state).0)
            && any("is-task", &|value| value == "false")
    }
}

fn is_ancestor(container: &Container, image: &str) -> bool {
    let record = &container.record;
    let id = record.image.id.as_str();
    if id == image
        || id.strip_prefix("sha256:").is_some_and(|hex| image.len() >= 4 && hex.starts_with(image))
    {
        return true;
    }
    let full = |text: &str| Reference::parse(text).map(|reference| reference.to_string()).ok();
    full(image).is_some_and(|wanted| full(&record.config.image) == Some(wanted))
}

fn summary(container: &Container, state: &StateRecord) -> Summary {
    let record = &container.record;
    let sandbox = state.sandbox.as_ref();
    let created = record.created.parse::<Timestamp>().map_or(0, Timestamp::as_second);
    Summary {
        id: container.id().to_string(),
        names: vec![format!("/{}", record.name)],
        image: record.config.image.clone(),
        image_id: record.image.id.as_str().to_owned(),
        image_manifest_descriptor: Some(record.image.manifest.clone()),
        command: command_text(&crate::spec::command(record)),
        created,
        ports: port_list(container, sandbox),
        labels: record.config.labels.clone().unwrap_or_default(),
        state: status(state).as_str().to_owned(),
        status: status_text(state, Timestamp::now()),
        host_config: SummaryHostConfig {
            network_mode: record.host_config.network_mode.clone(),
            annotations: record.host_config.annotations.clone(),
        },
        network_settings: SummaryNetworkSettings { networks: networks(container, state) },
        mounts: record.mounts.iter().filter_map(listed_mount).collect(),
        health: {
            let (status, failing_streak) = health(state);
            Some(HealthSummary { status: status.to_owned(), failing_streak })
        },
        ..Summary::default()
    }
}

/// The word for a container's health, and its failures in a row.
fn health(state: &StateRecord) -> (&'static str, i64) {
    let health = state.health.as_ref();
    health.map_or((NO_CHECK, 0), |health| (health.status.as_str(), health.failing_streak))
}

/// A list does not tell where a volume without a name has its content.
fn listed_mount(mount: &MountRecord) -> Option<MountPoint> {
    let mut point = mount_point(mount)?;
    if matches!(mount.kind, MountKind::Volume { anonymous: true, .. }) {
        point.source.clear();
    }
    Some(point)
}

/// The command as one text; words with spaces are quoted as dockerd does.
fn command_text(command: &[String]) -> String {
    let Some((path, args)) = command.split_first() else { return String::new() };
    let mut text = path.clone();
    for arg in args {
        text.push(' ');
        if arg.contains(' ') {
            text.push('\'');
            text.push_str(arg);
            text.push('\'');
        } else {
            text.push_str(arg);
        }
    }
    text
}

fn port_list(container: &Container, sandbox: Option<&Sandbox>) -> Vec<PortSummary> {
    let Some(sandbox) = sandbox else { return Vec::new() };
    let mut list: Vec<PortSummary> = sandbox
        .ports
        .iter()
        .map(|port| PortSummary {
            ip: port.host_ip.to_string(),
            private_port: port.container_port,
            public_port: port.host_port,
            protocol: port.protocol.to_string(),
        })
        .collect();
    for key in container.record.config.exposed_ports.iter().flatten().map(|(key, _)| key) {
        let Some((private_port, protocol)) = super::request::parse_port(key) else { continue };
        let protocol = protocol.to_string();
        if !list.iter().any(|p| p.private_port == private_port && p.protocol == protocol) {
            list.push(PortSummary { private_port, protocol, ..PortSummary::default() });
        }
    }
    list
}

/// `Up 5 minutes`, `Exited (0) 2 hours ago` and so on.
fn status_text(state: &StateRecord, now: Timestamp) -> String {
    let since = |time: Option<crate::record::Timestamp3339>| {
        let elapsed = time.map(|time| now.duration_since(time.0));
        human(elapsed.and_then(|e| Duration::try_from(e).ok()).unwrap_or_default())
    };
    let code = state.exit_code;
    match status(state) {
        Status::Created => "Created".to_owned(),
        Status::Running => {
            let up = format!("Up {}", since(state.started_at));
            match state.health.as_ref().map(|health| health.status) {
                None => up,
                Some(HealthStatus::Starting) => format!("{up} (health: starting)"),
                Some(decided) => format!("{up} ({})", decided.as_str()),
            }
        }
        Status::Paused => format!("Up {} (Paused)", since(state.started_at)),
        Status::Restarting => format!("Restarting ({code}) {} ago", since(state.finished_at)),
        Status::Removing => "Removal In Progress".to_owned(),
        Status::Exited => format!("Exited ({code}) {} ago", since(state.finished_at)),
        Status::Dead => "Dead".to_owned(),
    }
}

/// A duration for people (docker/go-units `HumanDuration`).
fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 14 => format!("{} days", hours / 24),
        () if hours < 24 * 60 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 730 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", hours / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_as_docker_tells_them() {
        for (seconds, text) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (300, "5 minutes"),
            (3600, "About an hour"),
            (7_200, "2 hours"),
            (3 * 86_400, "3 days"),
            (21 * 86_400, "3 weeks"),
            (90 * 86_400, "3 months"),
            (800 * 86_400, "2 years"),
        ] {
            assert_eq!(human(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_running_containers_health_stands_behind_its_age() {
        use crate::record::{HealthRecord, Phase, Timestamp3339};
        let text = |status| {
            let now = Timestamp::now();
            let health = HealthRecord { status, failing_streak: 0, log: Vec::new() };
            let state = StateRecord {
                phase: Phase::Running,
                started_at: Some(Timestamp3339(now)),
                health: Some(health),
                ..StateRecord::created()
            };
            status_text(&state, now)
        };
        assert_eq!(text(HealthStatus::Starting), "Up Less than a second (health: starting)");
        assert_eq!(text(HealthStatus::Unhealthy), "Up Less than a second (unhealthy)");
    }

    #[test]
    fn commands_are_one_line_with_quotes_where_needed() {
        let words: Vec<String> = ["sh", "-c", "echo hi"].iter().map(|w| (*w).to_owned()).collect();
        assert_eq!(command_text(&words), "sh -c 'echo hi'");
    }
}
