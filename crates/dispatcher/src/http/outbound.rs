//! [`HttpOutbound`]: calls to another service over HTTP/1.1 or HTTP/2.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Uri;
use http::uri::Scheme;
use http_body_util::Full;
use lifecycle_adapters::tls::ClientTls;

use super::{outgoing, received, reply};
use crate::call::{Request, Response};
use crate::error::RpcError;
use crate::handler::handler_fn;
use crate::messages::Messages;
use crate::outbound::Outbound;
use crate::shape::Shape;
use crate::until::{Until, too_late, within};
use crate::upstream::{Links, Upstream};

/// The shapes that it carries.
const SHAPES: [Shape; 3] = [Shape::Unary, Shape::Oneway, Shape::ServerStream];

/// Calls to another service over HTTP/1.1 or HTTP/2, in clear text or [over TLS](Self::https): unary, one-way, and server
/// streams as server-sent events.
///
/// As a component it opens nothing at its start: connections come with calls, and are kept for the next ones. While the
/// upstream cannot be reached it is degraded, until a connection comes about again. Its stop lets no further call in, waits for
/// open ones, and cuts them off shortly before its time is up, or when it is forced.
///
/// A call has what is left of its deadline, which goes with it as `Rpc-Ttl-Ms`. An error is what the upstream names in
/// `Rpc-Status` or in its document, and only when it names none what its status stands for. Dropping a call gives it up at the
/// upstream too.
///
/// ```
/// use dispatcher::{Dispatcher, HttpOutbound, Outbound};
///
/// let billing = HttpOutbound::new("billing", "http://127.0.0.1:8081/")?;
/// let (dispatcher, registrations) = Dispatcher::builder("shop")
///     .outbound(Outbound::from(billing).key("eu"))
///     .build()?;
/// assert_eq!(registrations[0].name, "billing:eu:unary");
/// # let _ = dispatcher;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct HttpOutbound {
    service: String,
    target: Uri,
    tls: Option<ClientTls>,
    settings: Settings,
}

/// What holds for each call, and for the connections.
#[derive(Clone, Copy, Debug)]
struct Settings {
    links: Links,
    timeout: Duration,
    body_bytes: usize,
}

/// A text that is no URL of an upstream. The text itself is not shown: it may have a password in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpUrlError {
    /// It is no URL with scheme and host.
    #[error("the upstream is no URL with scheme and host, such as \"http://127.0.0.1:8080/\"")]
    Unreadable,
    /// It has another scheme than `http` and `https`.
    #[error("the upstream's scheme is \"{0}\"; only \"http\" and \"https\" can be called")]
    Scheme(String),
    /// It has the scheme `https`, without TLS: [`HttpOutbound::https`] says whom to trust.
    #[error(
        "the upstream's scheme is \"https\", and nothing says whom to trust; say so, or use \"http\""
    )]
    Untrusting,
    /// It has the scheme `http`, with TLS.
    #[error("the upstream's scheme is \"http\", over which no TLS is spoken; use \"https\"")]
    Clear,
    /// It has a user or a password, which would not be sent.
    #[error("the upstream's URL has a user or a password; drop it")]
    Credentials,
}

impl HttpOutbound {
    /// The way to `service` at `url`, `http://host:port/path`. Nothing is looked up or opened.
    ///
    /// # Errors
    ///
    /// [`HttpUrlError`].
    pub fn new(service: impl Into<String>, url: &str) -> Result<Self, HttpUrlError> {
        match target(url)? {
            target if is_https(&target) => Err(HttpUrlError::Untrusting),
            target => Ok(Self::to(service.into(), target, None)),
        }
    }

    /// The way to `service` at `url`, `https://host:port/path`, over TLS. Nothing is looked up or opened. Its start fails for good, with
    /// a [`TlsError`](lifecycle_adapters::tls::TlsError), when a file is not in order.
    ///
    /// # Errors
    ///
    /// [`HttpUrlError`].
    pub fn https(
        service: impl Into<String>,
        url: &str,
        tls: ClientTls,
    ) -> Result<Self, HttpUrlError> {
        match target(url)? {
            target if is_https(&target) => Ok(Self::to(service.into(), target, Some(tls))),
            _ => Err(HttpUrlError::Clear),
        }
    }

    fn to(service: String, target: Uri, tls: Option<ClientTls>) -> Self {
        Self {
            service,
            target,
            tls,
            settings: Settings {
                links: Links {
                    http2: false,
                    connect_timeout: Duration::from_secs(5),
                    // Less than servers wait for the next request, so that none is sent into a closing connection.
                    idle_timeout: Duration::from_secs(5),
                },
                timeout: Duration::from_secs(30),
                body_bytes: 1 << 20,
            },
        }
    }

    /// Speaks HTTP/2: in clear text without asking first whether the upstream does, over TLS if it agrees. Unset, it speaks HTTP/1.1.
    #[must_use]
    pub fn http2(mut self) -> Self {
        self.settings.links.http2 = true;
        self
    }

    /// Sets how long it may take to open a connection (5 s), with the look-up of its name, and over TLS with the handshake.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.links.connect_timeout = timeout;
        self
    }

    /// Sets how long a connection is kept without a call (5 s). Less than the upstream waits for the next request: a call that
    /// meets its closing fails.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.settings.links.idle_timeout = timeout;
        self
    }

    /// Sets how long a call may take that has no deadline (30 s); a stream, until it begins.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// Sets how large a message of the upstream's may be (1 MiB), in bytes; in a stream each one.
    #[must_use]
    pub fn body_bytes(mut self, bytes: usize) -> Self {
        self.settings.body_bytes = bytes;
        self
    }
}

impl From<HttpOutbound> for Outbound {
    fn from(outbound: HttpOutbound) -> Self {
        let upstream = Arc::new(Upstream::new(outbound.settings.links, outbound.tls));
        let calls = Calls {
            target: outbound.target,
            settings: outbound.settings,
            upstream: Arc::clone(&upstream),
        };
        let calls = Arc::new(calls);
        Self::by_shape(outbound.service, SHAPES, upstream, |shape| {
            let calls = Arc::clone(&calls);
            handler_fn(move |request| Arc::clone(&calls).call(shape, request))
        })
    }
}

/// Carries calls to the upstream.
struct Calls {
    target: Uri,
    settings: Settings,
    upstream: Arc<Upstream<Full<Bytes>>>,
}

impl Calls {
    async fn call(
        self: Arc<Self>,
        shape: Shape,
        mut request: Request,
    ) -> Result<Response, RpcError> {
        let open = self.upstream.admit()?;
        let unlimited = Instant::now().checked_add(self.settings.timeout);
        let deadline = request.meta.deadline;
        let begun_by = deadline.or(unlimited);
        // A stream without a deadline may go on for ever.
        if !shape.streams_responses() {
            request.meta.deadline = begun_by;
        }
        let called = async {
            let message = request.messages.into_one().await?;
            let left = request.meta.time_left(Instant::now());
            // Less than a millisecond cannot be told.
            if left.is_some_and(|it| it < Duration::from_millis(1)) {
                return Err(too_late());
            }
            let request = outgoing::request(shape, &self.target, &request.meta, message, left)?;
            let response = open.send(request).await?;
            let bytes = self.settings.body_bytes;
            if shape.streams_responses() {
                let mut response = received::read(response, bytes, Arc::clone(&open)).await?;
                let until = Until::new(response.messages, deadline);
                response.messages = Messages::stream(until);
                return Ok(response);
            }
            reply::read(shape, response, bytes).await
        };
        within(begun_by, called).await
    }
}

fn target(url: &str) -> Result<Uri, HttpUrlError> {
    let target: Uri = url.trim().parse().map_err(|_| HttpUrlError::Unreadable)?;
    let (Some(scheme), Some(authority)) = (target.scheme_str(), target.authority()) else {
        return Err(HttpUrlError::Unreadable);
    };
    if !matches!(scheme, "http" | "https") {
        return Err(HttpUrlError::Scheme(scheme.to_owned()));
    }
    if authority.as_str().contains('@') {
        return Err(HttpUrlError::Credentials);
    }
    if authority.host().is_empty() {
        return Err(HttpUrlError::Unreadable);
    }
    Ok(target)
}

fn is_https(target: &Uri) -> bool {
    target.scheme() == Some(&Scheme::HTTPS)
}

#[cfg(test)]
mod tests {
    use lifecycle_adapters::tls::Pem;

    use super::*;

    #[test]
    fn what_is_no_url_of_an_upstream_is_refused_without_showing_it() {
        let scheme = |it: &str| HttpUrlError::Scheme(it.to_owned());
        for (url, expected) in [
            ("", HttpUrlError::Unreadable),
            ("/path", HttpUrlError::Unreadable),
            ("127.0.0.1:80", HttpUrlError::Unreadable),
            ("http://", HttpUrlError::Unreadable),
            ("http://:80/", HttpUrlError::Unreadable),
            ("https://host/", HttpUrlError::Untrusting),
            ("ftp://host/", scheme("ftp")),
            ("http://root:hunter2@host/", HttpUrlError::Credentials),
        ] {
            let error = HttpOutbound::new("billing", url).unwrap_err();
            assert_eq!(error, expected, "{url}");
            assert!(!error.to_string().contains("hunter2"));
        }
        let https = |url| {
            let tls = ClientTls::trusting(Pem::file("ca.pem"));
            HttpOutbound::https("billing", url, tls)
        };
        assert_eq!(https("http://host/").unwrap_err(), HttpUrlError::Clear);
        https("HTTPS://host/").expect("a URL");
        for url in [
            "http://host",
            " http://host:80/rpc?x=1 ",
            "HTTP://[::1]:80/",
        ] {
            HttpOutbound::new("billing", url).expect(url);
        }
    }
}
