//! [`Watch`]: tells once how a call has ended, be it in the middle of a stream or because nobody waits any more.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use tokio::time::Instant;

use crate::call::{Meta, Response};
use crate::code::Code;
use crate::error::RpcError;
use crate::messages::Messages;
use crate::shape::Shape;

/// How a call has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// `None` is success.
    pub(super) code: Option<Code>,
    /// Which error of that code it was, if the error says so.
    pub(super) reason: Option<String>,
    /// How many messages a stream has brought; `None` when the answer was none.
    pub(super) messages: Option<u64>,
    /// From its beginning to the end of its answer.
    pub(super) lasted: Duration,
}

impl End {
    /// The name of what became of it, `OK` for success.
    pub(super) fn code(&self) -> &'static str {
        self.code.map_or("OK", Code::as_str)
    }
}

/// Watches one call, and tells once how it has ended: also when it panics, or when it is dropped.
pub(super) struct Watch<F: FnOnce(End)> {
    tell: Option<F>,
    begun: Instant,
    deadline: Option<std::time::Instant>,
    shape: Option<Shape>,
    messages: Option<u64>,
}

impl<F> Watch<F>
where
    F: FnOnce(End) + Send + Unpin + 'static,
{
    /// Watches a call that begins now.
    pub(super) fn new(meta: &Meta, tell: F) -> Self {
        Self {
            tell: Some(tell),
            begun: Instant::now(),
            deadline: meta.deadline,
            shape: meta.route.as_ref().map(|it| it.shape),
            messages: None,
        }
    }

    /// What comes of `calling`, watched to the end of its answer.
    pub(super) async fn over(
        mut self,
        calling: impl Future<Output = Result<Response, RpcError>>,
    ) -> Result<Response, RpcError> {
        let mut response = match calling.await {
            Ok(response) => response,
            Err(error) => {
                self.end(Some(error.code), error.reason.clone());
                return Err(error);
            }
        };
        let streams = self.shape.is_none_or(Shape::streams_responses);
        if streams && response.messages.is_stream() {
            self.messages = Some(0);
            let (messages, watch) = (response.messages, self);
            response.messages = Messages::stream(Watched {
                messages,
                watch,
                in_step: false,
            });
            return Ok(response);
        }
        // The dispatcher refuses an answer of another shape, outside of all layers.
        let needs_one = |it: Shape| it != Shape::Oneway && !it.streams_responses();
        let unfit = self.shape.is_some_and(needs_one) && !response.messages.is_one();
        self.end(unfit.then_some(Code::Internal), None);
        Ok(response)
    }
}

impl<F: FnOnce(End)> Watch<F> {
    fn end(&mut self, code: Option<Code>, reason: Option<String>) {
        let Some(tell) = self.tell.take() else {
            return;
        };
        tell(End {
            code,
            reason,
            messages: self.messages,
            lasted: self.begun.elapsed(),
        });
    }

    /// Why it was dropped before its end.
    fn given_up(&self, panicked: bool) -> Code {
        let now = Instant::now().into_std();
        if panicked || std::thread::panicking() {
            return Code::Internal;
        }
        match self.deadline.is_some_and(|it| it <= now) {
            true => Code::DeadlineExceeded,
            false => Code::Cancelled,
        }
    }
}

impl<F: FnOnce(End)> Drop for Watch<F> {
    fn drop(&mut self) {
        let code = self.given_up(false);
        self.end(Some(code), None);
    }
}

/// The messages of an answer that is watched.
struct Watched<F: FnOnce(End)> {
    messages: Messages,
    watch: Watch<F>,
    /// Whether it is being polled: a panic leaves that behind.
    in_step: bool,
}

impl<F: FnOnce(End) + Unpin> Stream for Watched<F> {
    type Item = Result<Bytes, RpcError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.in_step = true;
        let polled = Pin::new(&mut self.messages).poll_next(cx);
        self.in_step = false;
        match &polled {
            Poll::Pending => {}
            Poll::Ready(None) => self.watch.end(None, None),
            Poll::Ready(Some(Ok(_))) => {
                self.watch.messages = self.watch.messages.map(|it| it + 1);
            }
            Poll::Ready(Some(Err(error))) => {
                self.watch.end(Some(error.code), error.reason.clone());
            }
        }
        polled
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.messages.size_hint()
    }
}

impl<F: FnOnce(End)> Drop for Watched<F> {
    fn drop(&mut self) {
        if self.in_step {
            let code = self.watch.given_up(true);
            self.watch.end(Some(code), None);
        }
    }
}
