//! The log of the programs that use `tracing`: on standard error, the same lines that shim and
//! runtime write with `base_telemetry::logger`, with the fields of the spans around them, so that one
//! `trace_id` finds a request in all programs' logs. Apart from `base-telemetry`, because shim and
//! runtime link no tracing crate.
//!
//! Entry point: [`start`].

#![forbid(unsafe_code)]

use base_telemetry::logger::{self, Format};
use std::fmt::Debug;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber, span};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Registry, reload};

/// The log, whose level can be changed while it is written.
pub struct Log(reload::Handle<Lines, Registry>);

/// Starts to log what is at least this important, as `program`; of crates whose names begin with
/// none of `ours` only warnings.
pub fn start(program: &'static str, ours: &'static [&'static str], level: LevelFilter) -> Log {
    let (lines, handle) = reload::Layer::new(Lines { program, ours, level });
    let subscriber = tracing_subscriber::registry().with(lines);
    // A second subscriber in one process is a test's mistake, and the first one stays.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Log(handle)
}

impl Log {
    /// Logs from now on what is at least this important.
    pub fn set(&self, level: LevelFilter) {
        // It fails only where the subscriber is gone, and with it the log.
        let _ = self.0.modify(|lines| lines.level = level);
    }
}

struct Lines {
    program: &'static str,
    ours: &'static [&'static str],
    level: LevelFilter,
}

/// Fields of a span or an event, the message apart.
#[derive(Default)]
struct Fields {
    message: String,
    named: Vec<(&'static str, String)>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.named.push((field.name(), text));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let ours = self.ours.iter().any(|ours| metadata.target().starts_with(ours));
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
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut own = Fields::default();
        event.record(&mut own);
        let mut named = vec![("program", self.program.to_owned())];
        named.append(&mut own.named);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<Fields>() {
                named.extend(fields.named.iter().cloned());
            }
        }
        let fields: Vec<(&str, &str)> = named.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let level = match *event.metadata().level() {
            Level::ERROR => logger::Level::Error,
            Level::WARN => logger::Level::Warning,
            Level::INFO => logger::Level::Info,
            Level::DEBUG | Level::TRACE => logger::Level::Debug,
        };
        logger::write(&mut std::io::stderr().lock(), Format::Text, level, &own.message, &fields);
    }
}
