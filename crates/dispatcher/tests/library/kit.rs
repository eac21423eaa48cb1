//! Procedures and answers for tests.

use std::time::{Duration, Instant};

use bytes::Bytes;
use dispatcher::{Dispatcher, DispatcherBuilder, Messages, Procedure, Request, Response, RpcError};
use futures_core::Stream;
use lifecycle_core::Registration;

/// A unary procedure that answers with what it was given.
pub(crate) fn echo(name: &str) -> Procedure {
    Procedure::unary(name, async |request: Request| {
        Ok(Response::message(request.into_message().await?))
    })
}

/// A procedure that answers with what it knows of its call.
pub(crate) fn telling() -> Procedure {
    Procedure::unary("tell", async |request: Request| {
        let meta = request.meta;
        let left = meta.time_left(Instant::now()).expect("a deadline");
        let told = format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {}",
            meta.caller,
            meta.encoding,
            meta.shard_key,
            meta.routing_key,
            meta.routing_delegate,
            meta.headers.first("x-tenant"),
            left < Duration::from_secs(9) && left > Duration::from_secs(1),
        );
        let mut response = Response::message(told);
        response.headers.append("x-mood", "good").expect("a header");
        response.encoding = Some("text".to_owned());
        Ok(response)
    })
}

#[track_caller]
pub(crate) fn built(builder: DispatcherBuilder) -> (Dispatcher, Vec<Registration>) {
    builder.build().expect("a sound dispatcher")
}

/// The dispatcher of `pets` with these procedures.
#[track_caller]
pub(crate) fn offering(procedures: impl IntoIterator<Item = Procedure>) -> Dispatcher {
    let empty = Dispatcher::builder("pets");
    let builder = procedures
        .into_iter()
        .fold(empty, DispatcherBuilder::procedure);
    built(builder).0
}

/// A stream of these messages.
pub(crate) fn stream(texts: &[&str]) -> Messages {
    struct Texts(std::vec::IntoIter<Bytes>);
    impl Stream for Texts {
        type Item = Result<Bytes, RpcError>;

        fn poll_next(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Self::Item>> {
            std::task::Poll::Ready(self.0.next().map(Ok))
        }
    }
    let texts: Vec<_> = texts
        .iter()
        .map(|it| Bytes::from((*it).to_owned()))
        .collect();
    Messages::stream(Texts(texts.into_iter()))
}

/// All messages as texts, joined by blanks.
pub(crate) async fn texts(mut messages: Messages) -> Result<String, RpcError> {
    let mut texts = Vec::new();
    while let Some(message) = messages.next().await {
        texts.push(String::from_utf8_lossy(&message?).into_owned());
    }
    Ok(texts.join(" "))
}
