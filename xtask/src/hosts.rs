//! Hosts as processes: which programs, how they are started and asked, and what the system says that they have.

mod accounts;
mod host;
mod http;
mod programs;
mod slope;

use std::time::Duration;

pub(crate) use accounts::Accounts;
pub(crate) use host::{Host, free_ports};
pub(crate) use http::{Answer, Failure, get, post};
pub(crate) use programs::Programs;
pub(crate) use slope::Slope;

/// Lets time pass between two looks at what tells nobody when it changes.
#[expect(clippy::disallowed_methods, reason = "there is no event to wait for")]
pub(crate) fn rest(length: Duration) {
    std::thread::sleep(length);
}

/// In whole milliseconds.
pub(crate) fn milliseconds(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
