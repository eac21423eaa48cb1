//! [`BindError`].

use std::io;
use std::net::SocketAddr;

/// A port could not be opened: another process has it, or the address is not this machine's. Nothing is left open.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}/tcp")]
pub struct BindError {
    /// The address that was asked for.
    pub address: SocketAddr,
    /// What the system said.
    #[source]
    pub source: io::Error,
}
