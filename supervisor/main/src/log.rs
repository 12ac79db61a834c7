//! The log on standard error: the same lines that shim and runtime write.

use base_telemetry::logger::{self, Format};
use std::fmt::Debug;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber, span};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// Starts to log what is at least this important. Of other people's crates only warnings.
pub(crate) fn start(level: LevelFilter) {
    let subscriber = tracing_subscriber::registry().with(Lines { level });
    // A second subscriber in one process is a mistake of a test's, and the first stays.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

struct Lines {
    level: LevelFilter,
}

/// A span's fields.
struct Fields(Vec<(&'static str, String)>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push((field.name(), format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name(), value.to_owned()));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let ours =
            metadata.target().starts_with("supervisor") || metadata.target().starts_with("gantry");
        *metadata.level() <= if ours { self.level } else { self.level.min(LevelFilter::WARN) }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn on_new_span(
        &self,
        attributes: &span::Attributes<'_>,
        id: &span::Id,
        context: Context<'_, S>,
    ) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields(Vec::new());
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields(Vec::new());
        event.record(&mut fields);
        let message = fields.0.iter().position(|(name, _)| *name == "message");
        let message = message.map(|at| fields.0.remove(at).1).unwrap_or_default();
        fields.0.insert(0, ("program", "supervisor".to_owned()));
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(Fields(of_span)) = span.extensions().get::<Fields>() {
                fields.0.extend(of_span.iter().cloned());
            }
        }
        let pairs: Vec<(&str, &str)> =
            fields.0.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let level = match *event.metadata().level() {
            Level::ERROR => logger::Level::Error,
            Level::WARN => logger::Level::Warning,
            Level::INFO => logger::Level::Info,
            _ => logger::Level::Debug,
        };
        logger::write(&mut std::io::stderr().lock(), Format::Text, level, &message, &pairs);
    }
}
