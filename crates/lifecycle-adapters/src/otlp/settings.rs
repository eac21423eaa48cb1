//! [`Settings`]: where spans go, and what that may cost.

use std::fmt;
use std::time::Duration;

use tonic::transport::Uri;

use super::finished::Finished;
use super::headers::Headers;
use crate::tls::ClientTls;

/// Says of a span what only its author knows: what it is called, its kind and its status. Called on the exporter's thread.
pub type Describe = fn(&mut Finished);

/// Where spans go, and what that may cost.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The collector.
    pub endpoint: Endpoint,
    /// Whom to trust, and what to present, where the endpoint is `https`. The files are read for each connection.
    pub tls: Option<ClientTls>,
    /// Shown with every request; none unless set.
    pub headers: Headers,
    /// What is said of the process as a whole, such as `service.name`; nothing unless set.
    pub resource: Vec<(String, String)>,
    /// How many of the traces that begin here are sampled (1: all), from 0 to 1. Those of the orchestrator always are, and for
    /// others whoever began them has decided.
    pub sample_ratio: f64,
    /// How long one attempt to send may take (10 s).
    pub timeout: Duration,
    /// How many spans may wait (2048); what is beyond is lost.
    pub queue: usize,
    /// How many spans are sent at once, at most (512).
    pub batch: usize,
    /// How long a span waits for others to be sent with (5 s).
    pub delay: Duration,
    /// How long the end of the host may wait for the last spans (1 s).
    pub flush_timeout: Duration,
    /// What is said of spans beyond their fields; nothing unless set.
    pub describe: Option<Describe>,
}

impl Settings {
    /// The defaults, to `endpoint`.
    #[must_use]
    pub fn to(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            tls: None,
            headers: Headers::default(),
            resource: Vec::new(),
            sample_ratio: 1.0,
            timeout: Duration::from_secs(10),
            queue: 2048,
            batch: 512,
            delay: Duration::from_secs(5),
            flush_timeout: Duration::from_secs(1),
            describe: None,
        }
    }
}

/// The port where collectors listen for OTLP over gRPC.
const PORT: u16 = 4317;

/// Where a collector listens: `http://host:port` or `https://host:port`, with the port 4317 unless it is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
    is_https: bool,
}

/// A text that is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no place of a collector; write it like \"http://127.0.0.1:4317\" or \"https://collector.example:4317\", without a path"
)]
pub struct EndpointError {
    text: String,
}

impl Endpoint {
    /// Reads an endpoint. Looks nothing up.
    ///
    /// # Errors
    ///
    /// [`EndpointError`] when it is no `http` or `https` URL, or has more than a host and a port.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        Self::read(text.trim()).ok_or_else(|| EndpointError {
            text: text.to_owned(),
        })
    }

    fn read(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let authority = uri.authority()?;
        let is_bare = uri.path() == "/" && uri.query().is_none();
        let is_plain = !authority.as_str().contains('@') && !authority.host().is_empty();
        let is_https = match uri.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let port = match authority.port() {
            Some(port) => port.as_str().parse().ok().filter(|it| *it > 0)?,
            None if authority.as_str() == authority.host() => PORT,
            // A colon, and no number behind it that a port can have.
            None => return None,
        };
        (is_bare && is_plain).then(|| Self {
            host: authority.host().to_owned(),
            port,
            is_https,
        })
    }

    /// Whether TLS is spoken there.
    #[must_use]
    pub const fn is_https(&self) -> bool {
        self.is_https
    }

    /// Whether it is an address of this machine alone.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.bare_host();
        let address = host.parse::<std::net::IpAddr>();
        address.map_or(host == "localhost", |it| it.to_canonical().is_loopback())
    }

    /// The host without the brackets around an address of IPv6.
    pub(super) fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_and_a_port() {
        for (text, whole, is_loopback) in [
            ("http://127.0.0.1:4317", "http://127.0.0.1:4317", true),
            ("http://localhost", "http://localhost:4317", true),
            ("https://[::1]:9/", "https://[::1]:9", true),
            ("https://otel.example", "https://otel.example:4317", false),
        ] {
            let endpoint = Endpoint::parse(text).expect(text);
            assert_eq!(endpoint.to_string(), whole);
            assert_eq!(endpoint.is_loopback(), is_loopback, "{text}");
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for text in [
            "",
            "127.0.0.1:4317",
            "otel.example",
            "grpc://otel.example",
            "unix:/run/otel",
            "http://",
            "http://a:0",
            "http://a:",
            "http://a:99999",
            "http://a/v1/traces",
            "http://a?b=c",
            "http://user:secret@a",
        ] {
            assert!(Endpoint::parse(text).is_err(), "{text}");
        }
    }
}
