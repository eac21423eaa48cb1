//! TLS and mTLS for servers and clients, with certificates that are read again while they are in use.
//!
//! - [`ServerTls`] is what a server presents, and of whom it asks for a certificate: [`HttpServer::tls`](crate::HttpServer::tls), and
//!   [`ServerTls::acceptor`] for other servers.
//! - [`ClientTls`] is whom a client trusts, and what it presents: [`ClientTls::connector`].
//!
//! TLS 1.2 and 1.3 are spoken, by rustls with the one provider aws-lc-rs, and only with what rustls holds for safe. There is no
//! default of the process: each configuration names its provider. Nothing trusts the roots of the system unless they are named as
//! its CA, since a service is called by certificates of its operator, and a public authority can speak for any name.
//!
//! Until when certificates are good is a metric, `lifecycle_certificate_expiry_timestamp_seconds`, by the component and by what it is:
//! the `certificate` that is presented, or the `ca`. Nothing here refuses what is over: who checks it is the other side.
//!
//! What is wrong is a [`TlsError`] with all faults at once. Neither keys nor what is in files are part of one, of a log line, or of
//! what `Debug` shows.

mod acceptor;
mod client;
mod error;
mod expiry;
mod live;
mod pem;
mod reading;
mod server;

pub use acceptor::ServerAcceptor;
pub use client::{Alpn, ClientConnector, ClientTls};
pub use error::{TlsError, TlsFault, TlsFlaw, TlsPart, is_refusal};
pub use pem::Pem;
pub use server::{PeerCertificate, ServerTls};
/// The stream that a [`ClientConnector`] makes of another.
pub use tokio_rustls::client::TlsStream as ClientStream;
/// The stream that a [`ServerAcceptor`] makes of another.
pub use tokio_rustls::server::TlsStream as ServerStream;
