//! [`Counted`]: the body of an answer, which is in flight as long as it lasts.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::server::intake::Ticket;

pin_project! {
    /// A body that gives its ticket back at its end.
    #[derive(Debug)]
    pub(crate) struct Counted<B> {
        #[pin]
        body: Option<B>,
        ticket: Option<Ticket>,
    }
}

impl<B> Counted<B> {
    pub(crate) fn new(body: B, ticket: Option<Ticket>) -> Self {
        Self {
            body: Some(body),
            ticket,
        }
    }

    /// No body at all, as a refusal has.
    pub(crate) fn none() -> Self {
        Self {
            body: None,
            ticket: None,
        }
    }
}

impl<B: Body> Body for Counted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let Some(body) = this.body.as_pin_mut() else {
            return Poll::Ready(None);
        };
        let frame = ready!(body.poll_frame(cx));
        if frame.is_none() {
            this.ticket.take();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let none = SizeHint::with_exact(0);
        self.body.as_ref().map_or(none, Body::size_hint)
    }
}
