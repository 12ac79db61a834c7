//! Where messages go: `--log` in `--log-format`, and stderr for people.

use crate::arguments::Flags;
use crate::failure::Failure;
use base_telemetry::logger::{Format, Level, write};
use base_telemetry::{TRACEPARENT_VARIABLE, TraceContext};
use runtime_container::io_reason;
use std::fs::File;

/// The log of one run.
#[derive(Debug)]
pub(crate) struct Log {
    file: Option<File>,
    format: Format,
    debug: bool,
    trace_id: Option<String>,
}

impl Log {
    /// Opens what the flags name.
    pub(crate) fn open(flags: &Flags) -> Result<Self, Failure> {
        let format = match flags.value("log-format").unwrap_or("text") {
            "text" => Format::Text,
            "json" => Format::Json,
            other => return Err(Failure::Usage(format!("invalid log-format: {other}"))),
        };
        let file = match flags.value("log") {
            None | Some("") => None,
            Some(path) => {
                let opened = File::options().append(true).create(true).open(path);
                Some(opened.map_err(|error| {
                    Failure::Other(format!("open log {path}: {}", io_reason(&error)))
                })?)
            }
        };
        let trace = std::env::var(TRACEPARENT_VARIABLE).ok();
        let trace = trace.and_then(|text| text.parse::<TraceContext>().ok());
        Ok(Self {
            file,
            format,
            debug: flags.has("debug"),
            trace_id: trace.map(|trace| trace.trace_id()),
        })
    }

    /// Something that was asked for did not happen. containerd's shim takes the last such line of
    /// the log for the reason.
    pub(crate) fn error(&self, message: &str) {
        self.entry(Level::Error, message);
        if self.file.is_some() {
            eprintln!("{message}");
        }
    }

    /// Something is done otherwise than it was asked for.
    pub(crate) fn warning(&self, message: &str) {
        self.entry(Level::Warning, message);
    }

    /// For whoever follows one request.
    pub(crate) fn debug(&self, message: &str) {
        if self.debug {
            self.entry(Level::Debug, message);
        }
    }

    fn entry(&self, level: Level, message: &str) {
        let trace: Vec<_> = self.trace_id.iter().map(|id| ("trace_id", id.as_str())).collect();
        match &self.file {
            Some(file) => write(&mut &*file, self.format, level, message, &trace),
            None => write(&mut std::io::stderr(), self.format, level, message, &trace),
        }
    }
}
