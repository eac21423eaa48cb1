//! The names of the metadata that carry a call.

pub(super) const SERVICE: &str = "rpc-service";
pub(super) const PROCEDURE: &str = "rpc-procedure";
pub(super) const SHAPE: &str = "rpc-shape";
pub(super) const CALLER: &str = "rpc-caller";
pub(super) const ENCODING: &str = "rpc-encoding";
pub(super) const SHARD_KEY: &str = "rpc-shard-key";
pub(super) const ROUTING_KEY: &str = "rpc-routing-key";
pub(super) const ROUTING_DELEGATE: &str = "rpc-routing-delegate";
pub(super) const TTL: &str = "rpc-ttl-ms";
pub(super) const DEADLINE: &str = "rpc-deadline";
/// gRPC's own.
pub(super) const TIMEOUT: &str = "grpc-timeout";
pub(super) const COMPRESSION: &str = "grpc-encoding";
pub(super) const ACCEPTED_COMPRESSION: &str = "grpc-accept-encoding";
pub(super) const GZIP: &str = "gzip";

// What comes back in the trailers. The names are the original's.
pub(super) const STATUS: &str = "omnirelay-status";
pub(super) const ERROR_CODE: &str = "omnirelay-error-code";
pub(super) const ERROR_MESSAGE: &str = "omnirelay-error-message";
pub(super) const ANSWER_ENCODING: &str = "omnirelay-encoding";
pub(super) const TRANSPORT: &str = "omnirelay-transport";

/// Details of a status, which are passed on as they are, under a name of their own where they are no protocol's.
pub(super) const DETAILS: &str = "grpc-status-details-bin";
pub(super) const KEPT_DETAILS: &str = "status-details-bin";

/// What begins so belongs to a protocol, and neither a handler nor its answer has a say in it.
const PREFIXES: &[&str] = &["grpc-", "rpc-", "omnirelay-", ":"];

/// As HTTP's own headers of the connection and of its messages.
const OF_THE_CONNECTION: &[&str] = &[
    "connection",
    "content-length",
    "content-type",
    "date",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Whether `name` is passed between the protocol and the call's own headers.
pub(super) fn is_passed(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_reserved = PREFIXES.iter().any(|it| name.starts_with(it));
    !is_reserved && !OF_THE_CONNECTION.contains(&&*name)
}
