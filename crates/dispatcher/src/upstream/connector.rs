//! [`Connector`]: connections, in their time.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use lifecycle_adapters::tls::ClientConnector;
use lifecycle_core::BoxError;
use tower::Service;

use super::link::{Link, Plain};
use super::reach::Reach;

/// How long a connection is silent until the system asks for a sign of life, and again until it gives up asking.
const PROBE: Duration = Duration::from_secs(20);

/// Opens connections, each within a time limit, and says who cannot be reached.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    http: HttpConnector,
    tls: Option<ClientConnector>,
    timeout: Duration,
    reach: Arc<Reach>,
}

impl Connector {
    pub(super) fn new(timeout: Duration, reach: Arc<Reach>) -> Self {
        let mut http = HttpConnector::new();
        // Whether TLS is spoken is not for the scheme to say.
        http.enforce_http(false);
        // Requests are written whole: waiting for more to send would only delay them.
        http.set_nodelay(true);
        // Where the other side vanishes, a stream over HTTP/1.1 ends in a minute or so.
        http.set_keepalive(Some(PROBE));
        http.set_keepalive_interval(Some(PROBE));
        http.set_keepalive_retries(Some(3));
        Self {
            http,
            tls: None,
            timeout,
            reach,
        }
    }

    /// The same, over TLS.
    pub(super) fn over(mut self, tls: ClientConnector) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Knows who cannot be reached.
    pub(super) fn reach(&self) -> Arc<Reach> {
        Arc::clone(&self.reach)
    }
}

impl Service<Uri> for Connector {
    type Response = Link;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Link, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.http.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let place = uri.authority().map(ToString::to_string).unwrap_or_default();
        let host = uri.host().unwrap_or_default().to_owned();
        let (connecting, tls) = (self.http.call(uri), self.tls.clone());
        let linking = async move {
            let stream = connecting.await?;
            match tls {
                Some(tls) => shake_hands(&tls, &host, stream).await,
                None => Ok(Link::Plain(stream)),
            }
        };
        let (timeout, reach) = (self.timeout, Arc::clone(&self.reach));
        Box::pin(async move {
            // The limit is for the name's look-up and for the handshake too.
            let linked = match tokio::time::timeout(timeout, linking).await {
                Ok(linked) => linked,
                Err(_) => Err(format!("no connection within {timeout:?}").into()),
            };
            reach.note(&place, linked.as_ref().err());
            linked
        })
    }
}

async fn shake_hands(tls: &ClientConnector, host: &str, stream: Plain) -> Result<Link, BoxError> {
    let stream = tls.connect(host, TokioIo::new(stream)).await?;
    Ok(Link::Tls(Box::new(TokioIo::new(stream))))
}
