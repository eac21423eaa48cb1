//! [`TypedMessages`]: any number of values that go one way in a call.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_util::{StreamExt as _, stream};

use crate::code::Code;
use crate::codec::{self, Codec};
use crate::error::RpcError;
use crate::messages::Messages;

type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, RpcError>> + Send>>;

/// Any number of values that go one way in a call, as they come.
///
/// After an error nothing follows; that a message cannot be read is one. Dropping it drops the stream.
pub struct TypedMessages<T>(Option<BoxStream<T>>);

impl<T: 'static> TypedMessages<T> {
    /// The values of a stream.
    #[must_use]
    pub fn new(values: impl Stream<Item = Result<T, RpcError>> + Send + 'static) -> Self {
        Self(Some(Box::pin(values)))
    }

    /// Values that are there already.
    #[must_use]
    pub fn of<I>(values: I) -> Self
    where
        I: IntoIterator<Item = T>,
        I::IntoIter: Send + 'static,
    {
        Self::new(stream::iter(values.into_iter().map(Ok)))
    }

    /// The next value; `None` when there is no more.
    ///
    /// # Errors
    ///
    /// The error that came in place of it; nothing follows it.
    ///
    /// # Cancel safety
    ///
    /// Safe: no value is lost.
    pub async fn next(&mut self) -> Option<Result<T, RpcError>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<T> Stream for TypedMessages<T> {
    type Item = Result<T, RpcError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(values) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let polled = values.as_mut().poll_next(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.0 = None;
        }
        polled
    }
}

impl<T> fmt::Debug for TypedMessages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a stream of values")
    }
}

/// The values of `messages`. `blame` is what became of the call when one of them is none.
pub(crate) fn decoded<T: 'static>(
    codec: impl Codec<T>,
    messages: Messages,
    blame: Code,
) -> TypedMessages<T> {
    let read = move |it: Result<_, _>| it.and_then(|it| codec::read(&codec, it, blame));
    TypedMessages::new(messages.map(read))
}

/// The messages of `values`.
pub(crate) fn encoded<T>(
    codec: impl Codec<T>,
    values: impl Stream<Item = Result<T, RpcError>> + Send + 'static,
) -> Messages {
    let write = move |it: Result<_, _>| it.and_then(|it| codec::write(&codec, &it));
    Messages::stream(values.map(write))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::codec::Json;

    #[tokio::test]
    async fn a_message_that_cannot_be_read_is_an_error_and_the_last_one() {
        let held = Arc::new(());
        let inside = Arc::clone(&held);
        let texts = ["1", "\"hunter2\"", "3"].map(|it| Ok(it.into()));
        let texts = stream::iter(texts).inspect(move |_| drop(Arc::clone(&inside)));
        let mut values = decoded::<u8>(Json, Messages::stream(texts), Code::InvalidArgument);
        assert_eq!(values.next().await, Some(Ok(1)));
        let error = values.next().await.unwrap().unwrap_err();
        assert_eq!(error.code, Code::InvalidArgument);
        let reason = error.reason.as_deref();
        assert_eq!(reason, Some("dispatcher.codec.decode_failed"));
        assert_eq!(error.metadata["encoding"], "json");
        assert!(!format!("{error:?}").contains("hunter2"));
        assert_eq!(Arc::strong_count(&held), 1, "the stream is dropped");
        assert_eq!(values.next().await, None);
    }

    #[tokio::test]
    async fn a_value_that_cannot_be_written_is_an_error_and_the_last_one() {
        let fine = std::collections::BTreeMap::new();
        let broken = std::collections::BTreeMap::from([(vec![7_u8], 0)]);
        let values = TypedMessages::of([fine.clone(), broken, fine]);
        let mut messages = encoded(Json, values);
        assert_eq!(messages.next().await.unwrap().unwrap(), "{}");
        let error = messages.next().await.unwrap().unwrap_err();
        assert_eq!(error.code, Code::Internal);
        let reason = error.reason.as_deref();
        assert_eq!(reason, Some("dispatcher.codec.encode_failed"));
        assert_eq!(messages.next().await, None);
    }
}
