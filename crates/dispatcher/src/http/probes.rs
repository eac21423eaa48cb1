//! What is answered beside calls: health and introspection, while the inbound is drained too.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use lifecycle_adapters::HttpServer;
use serde::Serialize;

use crate::dispatcher::Dispatcher;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    Live,
    Ready,
    Introspection,
}

/// The document of health.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Health {
    status: &'static str,
    mode: &'static str,
    issues: Vec<String>,
    active_requests: u64,
    draining: bool,
}

impl Probe {
    /// What `request` asks for, if it is no call.
    pub(super) fn asked<B>(request: &Request<B>) -> Option<Self> {
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        match request.uri().path() {
            "/healthz" if reads => Some(Self::Live),
            "/readyz" if reads => Some(Self::Ready),
            "/omnirelay/introspect" if reads => Some(Self::Introspection),
            _ => None,
        }
    }

    pub(super) fn answer(self, dispatcher: &Dispatcher, server: &HttpServer) -> Response<Bytes> {
        let draining = server.is_draining();
        let (mode, issues) = match self {
            Self::Live => ("live", Vec::new()),
            Self::Ready => {
                let drain = draining.then(|| "http-inbound:draining".to_owned());
                (
                    "ready",
                    dispatcher.issues().into_iter().chain(drain).collect(),
                )
            }
            Self::Introspection => return document(StatusCode::OK, &dispatcher.introspect()),
        };
        let (status, word) = match issues.is_empty() {
            true => (StatusCode::OK, "ok"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        };
        let health = Health {
            status: word,
            mode,
            issues,
            active_requests: server.in_flight(),
            draining,
        };
        document(status, &health)
    }
}

fn document(status: StatusCode, document: &impl Serialize) -> Response<Bytes> {
    let body =
        serde_json::to_vec_pretty(document).expect("texts and numbers can be written as JSON");
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
