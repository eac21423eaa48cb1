//! Calls as others know them: the conventions of OpenTelemetry for remote procedure calls.

use std::sync::Arc;

use lifecycle_adapters::otlp::{Exporter, Finished, Kind, Settings, Value};
use lifecycle_runtime::Traces;

/// What the errors of a server are: those that are not the caller's own doing.
const OF_SERVERS: [&str; 6] = [
    "UNKNOWN",
    "DEADLINE_EXCEEDED",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
];

/// Where the spans of the program go.
pub(super) fn exporter(settings: Settings) -> Arc<dyn Traces> {
    Arc::new(Exporter::new(Settings {
        describe: Some(describe),
        ..settings
    }))
}

/// Describes a hop: a call that came in, or one attempt at a call that went out.
fn describe(span: &mut Finished) {
    if (span.target, &*span.name) != ("rpc", "hop") {
        return;
    }
    let outbound = text(span, "outbound");
    let (kind, peer) = match &outbound {
        None => (Kind::Server, None),
        Some(outbound) => (Kind::Client, outbound.split(':').next()),
    };
    span.kind = kind;
    if let Some(method) = text(span, "procedure") {
        span.add("rpc.method", &*method);
        span.name = method.into();
    }
    let system = text(span, "transport");
    span.add("rpc.system.name", system.as_deref().unwrap_or("omnirelay"));
    if let Some(peer) = peer {
        span.add("peer.service", peer);
    }
    // It is that of the process.
    let _ = span.take("service");
    let reason = text(span, "reason");
    if let Some(code) = text(span, "code") {
        span.add("rpc.response.status_code", &*code);
        let is_error = match kind {
            Kind::Server => OF_SERVERS.contains(&&*code),
            Kind::Client | Kind::Internal => code != "OK",
        };
        if is_error {
            span.fail(&code, reason.as_deref().unwrap_or(&code));
        }
    }
    if let Some(shape) = text(span, "shape") {
        span.add("omnirelay.shape", &*shape);
    }
    if let Some(reason) = reason {
        span.add("omnirelay.reason", &*reason);
    }
    if let Some(outbound) = outbound {
        span.add("omnirelay.outbound", &*outbound);
    }
}

fn text(span: &mut Finished, key: &str) -> Option<String> {
    match span.take(key)? {
        Value::Text(text) => Some(text),
        Value::Whole(_) | Value::Real(_) | Value::Flag(_) => None,
    }
}
