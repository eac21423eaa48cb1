//! [`Limits`]: what a client may take of a server.

use std::time::Duration;

/// The least that hyper accepts as room for the head of a request.
const LEAST_HEAD_BYTES: u32 = 8 * 1024;

/// What a client may take of a server.
///
/// Not limited here is what only the service can know: how large a body may be, how long an answer may take, and how slowly
/// a body may be sent. Axum's own extractors stop at 2 MB; whoever reads bodies by hand, or streams, sets limits as
/// layers of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many connections are open at most; further ones wait in the system's queue. Default: 1 024.
    pub connections: usize,
    /// How long a connection may take to send the head of a request over HTTP/1.1, also between two requests, and to say
    /// that it speaks HTTP/2. Over TLS it has as long once more, before that, to shake hands. Default: 10 s.
    pub head: Duration,
    /// How large the head of a request may be, in bytes; less than 8 KiB counts as 8 KiB. It bounds what a connection
    /// buffers too. Default: 32 KiB.
    pub head_bytes: u32,
    /// How many requests one HTTP/2 connection may have open at the same time. Default: 256.
    pub streams: u32,
    /// How often an HTTP/2 connection is asked whether its client is still there. Default: 20 s.
    pub ping_interval: Duration,
    /// How long the client may take to answer that; then the connection is closed. Default: 20 s.
    pub ping_timeout: Duration,
    /// How long a client may read nothing of what is sent to it; within twice that the connection is closed. Who reads slowly is
    /// not affected. Default: 30 s.
    pub stall: Duration,
}

impl Limits {
    pub(crate) fn head_bytes(&self) -> u32 {
        self.head_bytes.max(LEAST_HEAD_BYTES)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1_024,
            head: Duration::from_secs(10),
            head_bytes: 32 * 1024,
            streams: 256,
            ping_interval: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(20),
            stall: Duration::from_secs(30),
        }
    }
}
