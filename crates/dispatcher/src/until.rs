//! Deadlines of calls, and of the messages that come after their beginning.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use futures_core::Stream;
use tokio::time::Sleep;

use crate::code::Code;
use crate::error::RpcError;
use crate::messages::Messages;

/// What comes of `called`, which is dropped at its deadline.
///
/// # Errors
///
/// [`Code::DeadlineExceeded`] when that has passed, and its own.
pub(crate) async fn within<T>(
    deadline: Option<Instant>,
    called: impl Future<Output = Result<T, RpcError>>,
) -> Result<T, RpcError> {
    let Some(deadline) = deadline else {
        return called.await;
    };
    let limited = tokio::time::timeout_at(deadline.into(), called).await;
    limited.unwrap_or_else(|_| Err(too_late()))
}

pub(crate) fn too_late() -> RpcError {
    let message = "the deadline of the call has passed";
    RpcError::new(Code::DeadlineExceeded, message)
}

/// Messages until a deadline, at which they are dropped and an error takes their place.
#[derive(Debug)]
pub(crate) struct Until {
    messages: Messages,
    end: Option<Pin<Box<Sleep>>>,
}

impl Until {
    pub(crate) fn new(messages: Messages, deadline: Option<Instant>) -> Self {
        // What is one message already does not take any time.
        let deadline = deadline.filter(|_| messages.is_stream());
        let end = deadline.map(|it| Box::pin(tokio::time::sleep_until(it.into())));
        Self { messages, end }
    }
}

impl Stream for Until {
    type Item = Result<Bytes, RpcError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let end = self.end.as_mut().map(|it| it.as_mut().poll(cx));
        if matches!(end, Some(Poll::Ready(()))) {
            self.end = None;
            self.messages = Messages::none();
            return Poll::Ready(Some(Err(too_late())));
        }
        Pin::new(&mut self.messages).poll_next(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::StreamExt as _;
    use futures_util::stream;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn at_its_deadline_a_stream_ends_with_an_error_and_is_dropped() {
        let held = std::sync::Arc::new(());
        let inside = std::sync::Arc::clone(&held);
        let first = stream::iter([Ok(Bytes::from("a"))]);
        let rest = stream::pending().map(move |it| {
            let _inside = &inside;
            it
        });
        let deadline = tokio::time::Instant::now() + Duration::from_secs(1);
        let messages = Messages::stream(first.chain(rest));
        let mut until = Until::new(messages, Some(deadline.into_std()));
        assert_eq!(until.next().await.unwrap().unwrap(), "a");
        let error = until.next().await.unwrap().unwrap_err();
        assert_eq!(error.code, Code::DeadlineExceeded);
        assert_eq!(tokio::time::Instant::now(), deadline);
        assert_eq!(until.next().await, None);
        assert_eq!(std::sync::Arc::strong_count(&held), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_deadline_nothing_is_cut_short() {
        let (message, none) = (Messages::one("a"), None);
        let mut until = Until::new(message, none);
        assert_eq!(until.next().await.unwrap().unwrap(), "a");
        assert_eq!(until.next().await, None);
        assert_eq!(within(None, async { Ok(7) }).await, Ok(7));
    }
}
