//! [`Received`]: the messages of an upstream's stream, as they come.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};

use super::event_reader::EventReader;
use super::events::EVENT_STREAM;
use super::reply;
use crate::call;
use crate::code::Code;
use crate::error::RpcError;
use crate::messages::Messages;
use crate::upstream::{Open, interrupted};

/// The messages of a stream. It ends with them or with the first error, and is a call in flight until then. Dropping it gives the call up.
struct Received {
    /// Gone after the end.
    body: Option<Incoming>,
    reader: EventReader,
    /// Says that a call is in flight.
    open: Option<Arc<Open<Full<Bytes>>>>,
}

/// Reads the head of a stream, and gives its messages as they come.
///
/// # Errors
///
/// What the upstream says, by name, and [`Code::Internal`] when it answers with something else than events.
pub(super) async fn read(
    response: Response<Incoming>,
    bytes: usize,
    open: Arc<Open<Full<Bytes>>>,
) -> Result<call::Response, RpcError> {
    let (head, body) = response.into_parts();
    if !head.status.is_success() {
        return Err(reply::error(&head, body).await);
    }
    if !has_events(&head.headers) {
        let error = RpcError::new(Code::Internal, "the upstream did not answer with a stream");
        return Err(error.with_reason("dispatcher.http.stream_expected"));
    }
    let received = Received {
        body: Some(body),
        reader: EventReader::new(bytes),
        open: Some(open),
    };
    Ok(reply::success(&head, Messages::stream(received)))
}

fn has_events(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let media_type = content_type.and_then(|it| it.split(';').next());
    media_type.is_some_and(|it| it.trim().eq_ignore_ascii_case(EVENT_STREAM))
}

impl Received {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, RpcError>>> {
        loop {
            if let Some(next) = self.reader.next() {
                return Poll::Ready(Some(next));
            }
            let Some(body) = &mut self.body else {
                return Poll::Ready(None);
            };
            let frame = match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                None if self.reader.is_between_events() => return Poll::Ready(None),
                None | Some(Err(_)) => return Poll::Ready(Some(Err(interrupted()))),
            };
            let read = frame.data_ref().map(|it| self.reader.read(it));
            if let Some(Err(error)) = read {
                // What was whole before comes first.
                self.reader.end_with(error);
                self.body = None;
            }
        }
    }
}

impl Stream for Received {
    type Item = Result<Bytes, RpcError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.poll(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
            self.open = None;
        }
        polled
    }
}
