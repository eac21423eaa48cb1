//! [`ConcurrencyLimit`]: how many calls there may be at the same time.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_core::Stream as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::{Layer, Service as _};

use crate::code::Code;
use crate::error::RpcError;
use crate::handler::{Handler, around};
use crate::messages::Messages;

/// When to try again: nobody knows when a call will end, so that it is the least that can be said.
const WAIT: Duration = Duration::from_secs(1);

/// How many calls there may be at the same time. A further one does not wait: it is refused with
/// [`Code::ResourceExhausted`](crate::Code::ResourceExhausted), the reason `dispatcher.limit.concurrency`, and `retry-after: 1`
/// in the metadata.
///
/// It counts all calls that it is around, and so do its clones: around a dispatcher it is one limit for all of its procedures.
/// A call that is answered with a stream counts to the end of that; one that is dropped counts no longer.
#[derive(Clone, Debug)]
pub struct ConcurrencyLimit(Arc<Semaphore>);

impl ConcurrencyLimit {
    /// At most `calls` at the same time; with 0 there are none.
    #[must_use]
    pub fn new(calls: usize) -> Self {
        let calls = calls.min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Semaphore::new(calls)))
    }
}

impl Layer<Handler> for ConcurrencyLimit {
    type Service = Handler;

    fn layer(&self, inner: Handler) -> Handler {
        let room = Arc::clone(&self.0);
        around(inner, move |inner, request| {
            let place = Arc::clone(&room).try_acquire_owned().map_err(|_| {
                let message = "there are too many calls at the same time";
                RpcError::new(Code::ResourceExhausted, message)
                    .with_reason("dispatcher.limit.concurrency")
                    .with_retry_after(WAIT)
            });
            let calling = place.map(|place| (place, inner.call(request)));
            async move {
                let (place, calling) = calling?;
                let mut response = calling.await?;
                response.messages = holding(place, response.messages);
                Ok(response)
            }
        })
    }
}

/// The same messages, which hold the place to the end of a stream.
fn holding(place: OwnedSemaphorePermit, mut messages: Messages) -> Messages {
    if !messages.is_stream() {
        return messages;
    }
    Messages::stream(futures_util::stream::poll_fn(move |cx| {
        let _held = &place;
        Pin::new(&mut messages).poll_next(cx)
    }))
}
