//! [`Connector`]: connections, in their time.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use lifecycle_core::{BoxError, Reporter};
use tower::Service;

/// Opens connections, each within a time limit, and says who cannot be reached.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    http: HttpConnector,
    timeout: Duration,
    reach: Arc<Reach>,
}

/// To whom the last connection did not come about. Told at its changes alone: calls may be many.
#[derive(Debug)]
struct Reach {
    reporter: Reporter,
    lost: Mutex<BTreeSet<String>>,
}

impl Connector {
    pub(super) fn new(timeout: Duration, reporter: Reporter) -> Self {
        let mut http = HttpConnector::new();
        // Requests are written whole: waiting for more to send would only delay them.
        http.set_nodelay(true);
        let lost = Mutex::default();
        Self {
            http,
            timeout,
            reach: Arc::new(Reach { reporter, lost }),
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
        let place = uri.authority().map(ToString::to_string).unwrap_or_default();
        let connecting = self.http.call(uri);
        let (timeout, reach) = (self.timeout, Arc::clone(&self.reach));
        Box::pin(async move {
            // The limit is for the name's look-up too.
            let connected = match tokio::time::timeout(timeout, connecting).await {
                Ok(connected) => connected.map_err(BoxError::from),
                Err(_) => Err(format!("no connection within {timeout:?}").into()),
            };
            reach.note(&place, connected.as_ref().err());
            connected
        })
    }
}

impl Reach {
    fn note(&self, place: &str, error: Option<&BoxError>) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        match error {
            Some(error) => {
                if !lost.insert(place.to_owned()) {
                    return;
                }
                tracing::warn!(upstream = place, error, "the upstream cannot be reached");
            }
            None => {
                if !lost.remove(place) {
                    return;
                }
                tracing::info!(upstream = place, "the upstream can be reached again");
            }
        }
        if lost.is_empty() {
            return self.reporter.healthy();
        }
        let places: Vec<_> = lost.iter().map(String::as_str).collect();
        let reason = format!("cannot be reached: {}", places.join(", "));
        self.reporter.degraded(reason);
    }
}
