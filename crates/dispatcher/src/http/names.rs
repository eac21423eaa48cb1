//! The names of the headers that carry a call.

pub(super) const PREFIX: &str = "rpc-";
pub(super) const PROCEDURE: &str = "rpc-procedure";
pub(super) const CALLER: &str = "rpc-caller";
pub(super) const ENCODING: &str = "rpc-encoding";
pub(super) const SHARD_KEY: &str = "rpc-shard-key";
pub(super) const ROUTING_KEY: &str = "rpc-routing-key";
pub(super) const ROUTING_DELEGATE: &str = "rpc-routing-delegate";
pub(super) const TTL: &str = "rpc-ttl-ms";
pub(super) const DEADLINE: &str = "rpc-deadline";
pub(super) const TRANSPORT: &str = "rpc-transport";
pub(super) const PROTOCOL: &str = "rpc-protocol";
pub(super) const STATUS: &str = "rpc-status";
pub(super) const ERROR_CODE: &str = "rpc-error-code";
pub(super) const ERROR_MESSAGE: &str = "rpc-error-message";

/// Headers of the connection and of its messages, which neither a handler nor its answer has a say in.
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
    !name.starts_with(PREFIX) && !OF_THE_CONNECTION.contains(&&*name)
}
