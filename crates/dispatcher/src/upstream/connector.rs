//! [`Connector`]: connections, in their time.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use lifecycle_core::{BoxError, Reporter};
use tower::Service;

/// How long a connection is silent until the system asks for a sign of life, and again until it gives up asking.
const PROBE: Duration = Duration::from_secs(20);

/// Opens connections, each within a time limit, and says who cannot be reached.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    http: HttpConnector,
    timeout: Duration,
    reach: Arc<Reach>,
}

/// To whom the last connection did not come about. Told at its changes alone: calls may be many.
#[derive(Debug)]
pub(crate) struct Reach {
    reporter: Reporter,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    lost: BTreeSet<String>,
    /// Who counts, where they come and go.
    known: Option<BTreeSet<String>>,
}

impl Connector {
    pub(super) fn new(timeout: Duration, reporter: Reporter) -> Self {
        let mut http = HttpConnector::new();
        // Requests are written whole: waiting for more to send would only delay them.
        http.set_nodelay(true);
        // Where the other side vanishes, a stream over HTTP/1.1 ends in a minute or so.
        http.set_keepalive(Some(PROBE));
        http.set_keepalive_interval(Some(PROBE));
        http.set_keepalive_retries(Some(3));
        let seen = Mutex::default();
        Self {
            http,
            timeout,
            reach: Arc::new(Reach { reporter, seen }),
        }
    }

    /// Knows who cannot be reached.
    pub(super) fn reach(&self) -> Arc<Reach> {
        Arc::clone(&self.reach)
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
    /// From now on these places count and no others: of one that is gone nobody wants to know that it cannot be reached.
    pub(crate) fn count_only(&self, places: impl IntoIterator<Item = String>) {
        let mut seen = self.seen();
        let known: BTreeSet<_> = places.into_iter().collect();
        let was_empty = seen.known.as_ref().is_some_and(BTreeSet::is_empty);
        let before = seen.lost.len();
        seen.lost.retain(|it| known.contains(it));
        let is_news = known.is_empty() != was_empty || seen.lost.len() != before;
        seen.known = Some(known);
        if is_news {
            self.tell(&seen);
        }
    }

    fn note(&self, place: &str, error: Option<&BoxError>) {
        let mut seen = self.seen();
        if seen.known.as_ref().is_some_and(|it| !it.contains(place)) {
            return;
        }
        match error {
            Some(error) => {
                if !seen.lost.insert(place.to_owned()) {
                    return;
                }
                tracing::warn!(upstream = place, error, "the upstream cannot be reached");
            }
            None => {
                if !seen.lost.remove(place) {
                    return;
                }
                tracing::info!(upstream = place, "the upstream can be reached again");
            }
        }
        self.tell(&seen);
    }

    fn tell(&self, seen: &Seen) {
        if seen.known.as_ref().is_some_and(BTreeSet::is_empty) {
            return self.reporter.degraded("no peer is known");
        }
        if seen.lost.is_empty() {
            return self.reporter.healthy();
        }
        let places: Vec<_> = seen.lost.iter().map(String::as_str).collect();
        let reason = format!("cannot be reached: {}", places.join(", "));
        self.reporter.degraded(reason);
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
