//! A span around every gRPC call, with the trace that its headers carry on.

use base_telemetry::{TRACEPARENT, TraceContext};
use http::{HeaderValue, Request};
use std::task::{Context, Poll};
use tower::{Layer, Service};
use tracing::Instrument;
use tracing::instrument::Instrumented;

/// Adds the span, and a trace context to calls without one, so that all that follows from a call
/// has the same.
#[derive(Clone, Copy, Debug, Default)]
pub struct TraceLayer;

/// A service with the span.
#[derive(Clone, Debug)]
pub struct Traced<S>(S);

impl<S> Layer<S> for TraceLayer {
    type Service = Traced<S>;

    fn layer(&self, inner: S) -> Traced<S> {
        Traced(inner)
    }
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for Traced<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = Instrumented<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let told = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok());
        let trace = told.and_then(|text| text.parse::<TraceContext>().ok()).unwrap_or_else(|| {
            let trace = TraceContext::new();
            if let Ok(value) = HeaderValue::from_str(&trace.to_string()) {
                request.headers_mut().insert(TRACEPARENT, value);
            }
            trace
        });
        let method = request.uri().path().trim_start_matches('/');
        let span = tracing::debug_span!("call", method, trace_id = %trace.trace_id());
        span.in_scope(|| tracing::debug!("called"));
        self.0.call(request).instrument(span)
    }
}
