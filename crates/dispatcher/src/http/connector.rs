//! [`Connector`]: connections to an upstream, in their time.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use lifecycle_core::{BoxError, Reporter};
use tower::Service;

/// How long a connection is silent until the system asks for a sign of life, and again until it gives up asking.
const PROBE: Duration = Duration::from_secs(20);

/// Opens connections, each within a time limit, and says when the upstream cannot be reached.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    http: HttpConnector,
    timeout: Duration,
    reach: Arc<Reach>,
}

/// Whether the last connection came about. Told at its changes alone: calls may be many.
#[derive(Debug)]
struct Reach {
    reporter: Reporter,
    is_lost: AtomicBool,
}

impl Connector {
    pub(super) fn new(timeout: Duration, reporter: Reporter) -> Self {
        let mut http = HttpConnector::new();
        // Requests are written whole: waiting for more to send would only delay them.
        http.set_nodelay(true);
        // An upstream that vanishes ends a stream over HTTP/1.1 in a minute or so.
        http.set_keepalive(Some(PROBE));
        http.set_keepalive_interval(Some(PROBE));
        http.set_keepalive_retries(Some(3));
        let is_lost = AtomicBool::new(false);
        Self {
            http,
            timeout,
            reach: Arc::new(Reach { reporter, is_lost }),
        }
    }
}

impl Service<Uri> for Connector {
    type Response = <HttpConnector as Service<Uri>>::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.http.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.http.call(uri);
        let (timeout, reach) = (self.timeout, Arc::clone(&self.reach));
        Box::pin(async move {
            // The limit is for the name's look-up too.
            let connected = match tokio::time::timeout(timeout, connecting).await {
                Ok(connected) => connected.map_err(BoxError::from),
                Err(_) => Err(format!("no connection within {timeout:?}").into()),
            };
            reach.note(connected.as_ref().err());
            connected
        })
    }
}

impl Reach {
    fn note(&self, error: Option<&BoxError>) {
        let was_lost = self.is_lost.swap(error.is_some(), Ordering::AcqRel);
        match error {
            Some(error) if !was_lost => {
                tracing::warn!(error, "the upstream cannot be reached");
                self.reporter.degraded("the upstream cannot be reached");
            }
            None if was_lost => {
                tracing::info!("the upstream can be reached again");
                self.reporter.healthy();
            }
            _ => {}
        }
    }
}
