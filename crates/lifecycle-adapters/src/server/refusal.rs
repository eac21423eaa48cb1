//! How a drained server refuses: as the protocol of the request says *not now, and not here*.

use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Request, Response, StatusCode};

/// After how many seconds a refused client may try again; elsewhere it may at once.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// The number of gRPC's status `Unavailable`.
const GRPC_UNAVAILABLE: HeaderValue = HeaderValue::from_static("14");

/// What the original's clients are told, whether it is drained for a stop or not.
const GRPC_MESSAGE: HeaderValue = HeaderValue::from_static("server shutting down");

/// The answer to a request that is not taken in: 503, or for a gRPC call the status `Unavailable`, with nothing but
/// trailers.
pub(crate) fn refusal(request: &Request<Incoming>) -> Response<()> {
    let mut answer = Response::new(());
    match grpc_content_type(request) {
        Some(content_type) => {
            let headers = answer.headers_mut();
            headers.insert(CONTENT_TYPE, content_type.clone());
            headers.insert("grpc-status", GRPC_UNAVAILABLE);
            headers.insert("grpc-message", GRPC_MESSAGE);
        }
        None => *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE,
    }
    answer
        .headers_mut()
        .insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
    answer
}

/// The content type of `request`, if it is a gRPC call of any kind.
fn grpc_content_type(request: &Request<Incoming>) -> Option<&HeaderValue> {
    let content_type = request.headers().get(CONTENT_TYPE)?;
    content_type
        .as_bytes()
        .starts_with(b"application/grpc")
        .then_some(content_type)
}
