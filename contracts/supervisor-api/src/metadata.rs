//! Request headers that both ends know.

use base_telemetry::TraceContext;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::{Request, Status};

/// The namespace that a call works in; needed by nearly every call.
pub const NAMESPACE: &str = "containerd-namespace";
/// The namespace, over ttrpc.
pub const NAMESPACE_TTRPC: &str = "containerd-namespace-ttrpc";
/// The lease that new resources are added to.
pub const LEASE: &str = "containerd-lease";
/// The W3C trace context.
pub const TRACEPARENT: &str = base_telemetry::TRACEPARENT;
/// The largest message either way.
pub const MAX_MESSAGE: usize = 16 << 20;
/// The longest namespace, container id and the like (containerd's `identifiers`).
pub const MAX_IDENTIFIER: usize = 76;

/// What a client attaches to each of its calls.
#[derive(Clone, Debug)]
pub struct CallContext {
    namespace: MetadataValue<Ascii>,
    lease: Option<MetadataValue<Ascii>>,
    trace: Option<TraceContext>,
}

impl CallContext {
    /// Calls in this namespace; `None` where it is no identifier.
    #[must_use]
    pub fn new(namespace: &str) -> Option<Self> {
        let namespace = is_identifier(namespace).then(|| namespace.parse().ok()).flatten()?;
        Some(Self { namespace, lease: None, trace: None })
    }

    /// The same, adding what is made to a lease.
    #[must_use]
    pub fn with_lease(mut self, lease: &str) -> Self {
        self.lease = lease.parse().ok();
        self
    }

    /// The same, as part of a trace.
    #[must_use]
    pub fn with_trace(mut self, trace: TraceContext) -> Self {
        self.trace = Some(trace);
        self
    }

    /// Wraps a message with these headers.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let headers = request.metadata_mut();
        headers.insert(NAMESPACE, self.namespace.clone());
        if let Some(lease) = &self.lease {
            headers.insert(LEASE, lease.clone());
        }
        if let Some(trace) = self.trace.and_then(|trace| trace.to_string().parse().ok()) {
            headers.insert(TRACEPARENT, trace);
        }
        request
    }
}

/// The text of a header, when it is there and readable.
#[must_use]
pub fn text<'a>(headers: &'a MetadataMap, key: &str) -> Option<&'a str> {
    headers.get(key).and_then(|value| value.to_str().ok())
}

/// The namespace that a call works in.
///
/// # Errors
/// `FailedPrecondition` where it names none, as containerd answers; `InvalidArgument` where it is
/// no identifier.
pub fn namespace(headers: &MetadataMap) -> Result<&str, Status> {
    let namespace = text(headers, NAMESPACE)
        .filter(|namespace| !namespace.is_empty())
        .ok_or_else(|| Status::failed_precondition("namespace is required"))?;
    if !is_identifier(namespace) {
        return Err(Status::invalid_argument(format!("invalid namespace {namespace:?}")));
    }
    Ok(namespace)
}

/// The trace that a call belongs to; a new one where it says none.
#[must_use]
pub fn trace(headers: &MetadataMap) -> TraceContext {
    text(headers, TRACEPARENT).and_then(|value| value.parse().ok()).unwrap_or_default()
}

/// Tells whether a text is an identifier as containerd wants them: letters and digits, single
/// `.`, `_` and `-` between them, at most 76 bytes. Such a text is safe as a file name.
#[must_use]
pub fn is_identifier(text: &str) -> bool {
    if text.is_empty() || text.len() > MAX_IDENTIFIER {
        return false;
    }
    let mut separated = true;
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => separated = false,
            b'.' | b'_' | b'-' if !separated => separated = true,
            _ => return false,
        }
    }
    !separated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_safe_file_names() {
        for good in ["moby", "plugins.moby", "k8s.io", "a", "a-b_c.d", &"a".repeat(76)] {
            assert!(is_identifier(good), "{good}");
        }
        for bad in ["", ".", "..", "a..b", "-a", "a-", "a/b", "a b", "ä", &"a".repeat(77)] {
            assert!(!is_identifier(bad), "{bad}");
        }
    }

    #[test]
    fn a_call_carries_namespace_lease_and_trace() {
        let trace = TraceContext::new();
        let context = CallContext::new("moby").unwrap().with_lease("l").with_trace(trace);
        let request = context.request(());
        assert_eq!(text(request.metadata(), NAMESPACE), Some("moby"));
        assert_eq!(text(request.metadata(), LEASE), Some("l"));
        assert_eq!(super::trace(request.metadata()), trace);
    }
}
