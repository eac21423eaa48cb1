//! [`Messages`]: what goes one way in a call.

use std::any::Any;
use std::fmt;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt as _;

use crate::code::Code;
use crate::error::RpcError;

type BoxStream = Pin<Box<dyn Stream<Item = Result<Bytes, RpcError>> + Send>>;

/// What goes one way in a call: messages as byte strings, encoded as the call's metadata says.
///
/// One message that is there already costs no allocation. After an error nothing follows.
pub struct Messages(Kind);

enum Kind {
    None,
    One(Bytes),
    Stream(BoxStream),
}

impl Messages {
    /// No message at all.
    #[must_use]
    pub const fn none() -> Self {
        Self(Kind::None)
    }

    /// One message.
    #[must_use]
    pub fn one(message: impl Into<Bytes>) -> Self {
        Self(Kind::One(message.into()))
    }

    /// Any number of messages, as they come. Dropping them drops the stream.
    #[must_use]
    pub fn stream(messages: impl Stream<Item = Result<Bytes, RpcError>> + Send + 'static) -> Self {
        Self(Kind::Stream(Box::pin(messages)))
    }

    /// Whether they come one by one, however many that turn out to be.
    #[must_use]
    pub const fn is_stream(&self) -> bool {
        matches!(self.0, Kind::Stream(_))
    }

    /// Whether it is one message that is there already.
    pub(crate) const fn is_one(&self) -> bool {
        matches!(self.0, Kind::One(_))
    }

    /// The same once more, as long as nothing was taken; `None` of a stream, which comes once.
    pub(crate) fn repeated(&self) -> Option<Self> {
        match &self.0 {
            Kind::None => Some(Self::none()),
            Kind::One(message) => Some(Self::one(message.clone())),
            Kind::Stream(_) => None,
        }
    }

    /// The one message that this is.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidArgument`] when there are none or several, and the error that came in place of it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the messages.
    pub async fn into_one(self) -> Result<Bytes, RpcError> {
        self.only(Code::InvalidArgument).await
    }

    /// As [`into_one`](Self::into_one); `blame` is what became of the call when there are none or several.
    pub(crate) async fn only(mut self, blame: Code) -> Result<Bytes, RpcError> {
        let wrong = |what| RpcError::new(blame, what);
        let first = self.next().await;
        let first = first.ok_or_else(|| wrong("there is no message where one is needed"))??;
        match self.next().await {
            None => Ok(first),
            Some(Err(error)) => Err(error),
            Some(Ok(_)) => Err(wrong("there are several messages where one is needed")),
        }
    }

    /// The same messages, where a panic of their stream is the error that `tell` makes of it.
    pub(crate) fn catching(
        self,
        tell: impl Fn(Box<dyn Any + Send>) -> RpcError + Send + 'static,
    ) -> Self {
        let Kind::Stream(messages) = self.0 else {
            return self;
        };
        let caught = AssertUnwindSafe(messages).catch_unwind();
        Self::stream(caught.map(move |it| it.unwrap_or_else(|panic| Err(tell(panic)))))
    }

    /// The next message; `None` when there is no more.
    ///
    /// # Errors
    ///
    /// The error that came in place of it; nothing follows it.
    ///
    /// # Cancel safety
    ///
    /// Safe: no message is lost.
    pub async fn next(&mut self) -> Option<Result<Bytes, RpcError>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Messages {
    type Item = Result<Bytes, RpcError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = match std::mem::replace(&mut self.0, Kind::None) {
            Kind::None => None,
            Kind::One(message) => Some(Ok(message)),
            Kind::Stream(mut messages) => {
                let polled = messages.as_mut().poll_next(cx);
                // After its end, and after an error, it is not polled again.
                if matches!(polled, Poll::Pending | Poll::Ready(Some(Ok(_)))) {
                    self.0 = Kind::Stream(messages);
                }
                return polled;
            }
        };
        Poll::Ready(next)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            Kind::None => (0, Some(0)),
            Kind::One(_) => (1, Some(1)),
            Kind::Stream(messages) => messages.size_hint(),
        }
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::None => f.write_str("no message"),
            Kind::One(message) => write!(f, "a message of {} bytes", message.len()),
            Kind::Stream(_) => f.write_str("a stream of messages"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives what it has, one by one; panics when it is asked again after its end or an error.
    struct Items(Vec<Result<Bytes, RpcError>>, bool);

    impl Stream for Items {
        type Item = Result<Bytes, RpcError>;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            assert!(!self.1, "it has ended");
            let next = (!self.0.is_empty()).then(|| self.0.remove(0));
            self.1 = !matches!(next, Some(Ok(_)));
            Poll::Ready(next)
        }
    }

    fn stream(items: &[Result<&'static str, &str>]) -> Messages {
        let items = items.iter().map(|it| match it {
            Ok(text) => Ok(Bytes::from(*text)),
            Err(text) => Err(RpcError::new(Code::Internal, *text)),
        });
        Messages::stream(Items(items.collect(), false))
    }

    #[tokio::test]
    async fn one_message_is_taken_whichever_way_it_comes() {
        assert_eq!(Messages::one("a").into_one().await.unwrap(), "a");
        assert_eq!(stream(&[Ok("a")]).into_one().await.unwrap(), "a");
    }

    #[tokio::test]
    async fn none_and_several_are_not_one() {
        for messages in [Messages::none(), stream(&[]), stream(&[Ok("a"), Ok("b")])] {
            let error = messages.into_one().await.unwrap_err();
            assert_eq!(error.code, Code::InvalidArgument);
        }
        let error = stream(&[Ok("a"), Err("broken")]).into_one().await;
        assert_eq!(error.unwrap_err().message, "broken");
    }

    #[tokio::test]
    async fn nothing_follows_an_error_and_what_has_ended_is_not_asked_again() {
        let mut messages = stream(&[Ok("a"), Err("broken"), Ok("b")]);
        assert_eq!(messages.next().await.unwrap().unwrap(), "a");
        assert!(messages.next().await.unwrap().is_err());
        assert_eq!(messages.next().await, None);
        assert_eq!(messages.next().await, None);
    }
}
