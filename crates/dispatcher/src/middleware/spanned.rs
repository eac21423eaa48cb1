//! What a call does, within a span: to the end of its answer, and where it is given up.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use tracing::{Instrument as _, Span};

use crate::call::Response;
use crate::error::RpcError;
use crate::messages::Messages;

/// What comes of `calling`, all of it within `span`: it itself, and the messages of a stream that it answers with.
pub(super) async fn within_span(
    span: Span,
    calling: impl Future<Output = Result<Response, RpcError>>,
) -> Result<Response, RpcError> {
    let mut response = calling.instrument(span.clone()).await?;
    if response.messages.is_stream() {
        response.messages = Messages::stream(Spanned {
            span,
            messages: response.messages,
        });
    }
    Ok(response)
}

struct Spanned {
    span: Span,
    messages: Messages,
}

impl Stream for Spanned {
    type Item = Result<Bytes, RpcError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { span, messages } = &mut *self;
        let _within = span.enter();
        Pin::new(messages).poll_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.messages.size_hint()
    }
}

impl Drop for Spanned {
    fn drop(&mut self) {
        // Whoever tells of a stream that is given up does so when it is dropped.
        let _within = self.span.enter();
        drop(std::mem::replace(&mut self.messages, Messages::none()));
    }
}
