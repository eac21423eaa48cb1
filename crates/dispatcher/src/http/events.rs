//! [`Events`]: messages as server-sent events, as the body of an answer.
//!
//! A message is one event. Text goes as it is, with a line of data for each of its lines; all else goes as base64, with
//! `encoding: base64` beside it. An error is an event `error` with the document of the error as its data, and the last one. While there
//! is nothing to say, a comment says that somebody is still there.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_core::Stream as _;
use hyper::body::{Body, Frame};
use tokio::time::Sleep;

use super::answer;
use super::meters::Exchange;
use crate::error::RpcError;
use crate::messages::Messages;
use crate::until::Until;

/// The media type.
pub(super) const EVENT_STREAM: &str = "text/event-stream";

/// What is sent when there is nothing else.
const STILL_HERE: Bytes = Bytes::from_static(b": keep-alive\n\n");

/// A body that ends with its messages, with the first error, or at its deadline. Dropping it drops the messages, so that a client that
/// goes away gives the call up.
pub(super) struct Events {
    /// Gone after the last event.
    messages: Option<Until>,
    is_text: bool,
    silence: Silence,
    /// Gone with them.
    exchange: Option<Exchange>,
}

/// The time since something was sent.
struct Silence {
    limit: Duration,
    over: Pin<Box<Sleep>>,
}

impl Events {
    pub(super) fn new(
        messages: Messages,
        encoding: Option<&str>,
        deadline: Option<Instant>,
        keep_alive: Duration,
    ) -> Self {
        Self {
            messages: Some(Until::new(messages, deadline)),
            is_text: encoding.is_some_and(is_text),
            silence: Silence {
                limit: keep_alive,
                over: Box::pin(tokio::time::sleep(keep_alive)),
            },
            exchange: None,
        }
    }

    /// The same, as a part of `exchange`, which is over with them.
    pub(super) fn counted(mut self, exchange: Exchange) -> Self {
        self.exchange = Some(exchange);
        self
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(messages) = &mut self.messages else {
            return Poll::Ready(None);
        };
        match Pin::new(messages).poll_next(cx) {
            Poll::Ready(Some(Ok(next))) => {
                if let Some(exchange) = &self.exchange {
                    exchange.message();
                }
                Poll::Ready(Some(message(&next, self.is_text)))
            }
            Poll::Ready(Some(Err(last))) => {
                self.end();
                Poll::Ready(Some(error(&last)))
            }
            Poll::Ready(None) => {
                self.end();
                Poll::Ready(None)
            }
            Poll::Pending => self.silence.poll(cx).map(|()| Some(STILL_HERE)),
        }
    }

    fn end(&mut self) {
        self.messages = None;
        self.exchange = None;
    }
}

impl Silence {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.over.as_mut().poll(cx)
    }

    fn begin(&mut self) {
        let end = tokio::time::Instant::now() + self.limit;
        self.over.as_mut().reset(end);
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let polled = self.poll_event(cx);
        if matches!(polled, Poll::Ready(Some(_))) {
            self.silence.begin();
        }
        polled.map(|it| it.map(|event| Ok(Frame::data(event))))
    }

    fn is_end_stream(&self) -> bool {
        self.messages.is_none()
    }
}

/// Whether messages of this encoding are texts.
fn is_text(encoding: &str) -> bool {
    let encoding = encoding.to_ascii_lowercase();
    matches!(&*encoding, "text" | "json" | "application/json")
        || encoding.starts_with("text/")
        || encoding.ends_with("+json")
}

fn message(message: &Bytes, is_text: bool) -> Bytes {
    // A carriage return would come back as the end of a line.
    let text = std::str::from_utf8(message).ok();
    match text.filter(|it| is_text && !it.contains('\r')) {
        Some(text) => event("", text.split('\n'), ""),
        None => event("", [&*STANDARD.encode(message)], "encoding: base64\n"),
    }
}

fn error(error: &RpcError) -> Bytes {
    let document = answer::document(error);
    let document = String::from_utf8(document).expect("JSON is text");
    event("event: error\n", [&*document], "")
}

fn event<'a>(before: &str, lines: impl IntoIterator<Item = &'a str>, after: &str) -> Bytes {
    let mut event = before.to_owned();
    for line in lines {
        event.extend(["data: ", line, "\n"]);
    }
    event.extend([after, "\n"]);
    event.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_by_line_and_all_else_as_base64() {
        for (given, expected) in [
            ("", "data: \n\n"),
            ("a", "data: a\n\n"),
            (" a: ü\n\nb\n", "data:  a: ü\ndata: \ndata: b\ndata: \n\n"),
            ("a\rb", "data: YQ1i\nencoding: base64\n\n"),
        ] {
            assert_eq!(message(&given.into(), true), expected, "{given:?}");
        }
        let binary = message(&Bytes::from_static(b"\xff\0"), true);
        assert_eq!(binary, "data: /wA=\nencoding: base64\n\n");
        assert_eq!(
            message(&"a".into(), false),
            "data: YQ==\nencoding: base64\n\n"
        );
    }

    #[test]
    fn what_is_text_is_known_by_its_encoding() {
        for encoding in [
            "json",
            "TEXT",
            "text/plain; charset=utf-8",
            "application/ld+json",
        ] {
            assert!(is_text(encoding), "{encoding}");
        }
        for encoding in ["", "protobuf", "raw", "application/octet-stream"] {
            assert!(!is_text(encoding), "{encoding}");
        }
    }
}
