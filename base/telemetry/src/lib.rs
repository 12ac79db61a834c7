//! Trace identity and the small logger of the programs that do without a tracing crate.
//!
//! One request carries one W3C trace context through all five programs: HTTP header, gRPC and
//! ttrpc metadata, and an environment variable for the runtime. [`TraceContext`] is that
//! identity; [`logger`] writes the log lines of shim and runtime with the same fields that the
//! other programs' tracing subscriber writes.

#![forbid(unsafe_code)]

pub mod logger;

use std::fmt;
use std::str::FromStr;

/// The HTTP header and the gRPC and ttrpc metadata key.
pub const TRACEPARENT: &str = "traceparent";
/// The environment variable in which the runtime's command line finds the context.
pub const TRACEPARENT_VARIABLE: &str = "TRACEPARENT";

/// A W3C trace context, version 00 (<https://www.w3.org/TR/trace-context/>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace: u128,
    span: u64,
    flags: u8,
}

/// A text that is no `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a W3C traceparent of version 00")]
pub struct InvalidTraceparent;

impl TraceContext {
    /// A new trace.
    #[must_use]
    pub fn new() -> Self {
        let mut bytes = [0_u8; 24];
        let _ = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty());
        let mut trace = [0; 16];
        let mut span = [0; 8];
        trace.copy_from_slice(&bytes[..16]);
        span.copy_from_slice(&bytes[16..]);
        Self { trace: u128::from_ne_bytes(trace) | 1, span: u64::from_ne_bytes(span) | 1, flags: 1 }
    }

    /// The 32 hexadecimal digits that all spans of one request share.
    #[must_use]
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace)
    }
}

impl Default for TraceContext {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

impl FromStr for TraceContext {
    type Err = InvalidTraceparent;
    fn from_str(text: &str) -> Result<Self, InvalidTraceparent> {
        let hex = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let parts: Vec<&str> = text.split('-').collect();
        let [version, trace, span, flags] = parts[..] else { return Err(InvalidTraceparent) };
        if version != "00"
            || (trace.len(), span.len(), flags.len()) != (32, 16, 2)
            || ![trace, span, flags].into_iter().all(hex)
        {
            return Err(InvalidTraceparent);
        }
        let trace = u128::from_str_radix(trace, 16).map_err(|_| InvalidTraceparent)?;
        let span = u64::from_str_radix(span, 16).map_err(|_| InvalidTraceparent)?;
        let flags = u8::from_str_radix(flags, 16).map_err(|_| InvalidTraceparent)?;
        if trace == 0 || span == 0 {
            return Err(InvalidTraceparent);
        }
        Ok(Self { trace, span, flags })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_survives_its_text_form() {
        let context = TraceContext::new();
        assert_eq!(context.to_string().parse::<TraceContext>(), Ok(context));
    }

    #[test]
    fn zero_ids_capitals_and_other_versions_are_refused() {
        for bad in [
            "",
            "00-00000000000000000000000000000000-0000000000000001-01",
            "00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert!(bad.parse::<TraceContext>().is_err(), "{bad}");
        }
    }
}
