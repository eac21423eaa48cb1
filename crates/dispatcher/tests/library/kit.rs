//! Procedures and answers for tests.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dispatcher::{Dispatcher, DispatcherBuilder, Messages, Procedure, Request, Response, RpcError};
use futures_core::Stream;
use lifecycle_core::Registration;
use tokio::sync::mpsc;

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

/// What a procedure streams: sent from outside, message by message.
pub(crate) struct Source {
    sender: mpsc::UnboundedSender<Said>,
    receiver: Arc<Mutex<Option<mpsc::UnboundedReceiver<Said>>>>,
}

/// A message, an error, or that there is no more.
type Said = Option<Result<Bytes, RpcError>>;

impl Source {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        Self {
            sender,
            receiver: Arc::new(Mutex::new(Some(receiver))),
        }
    }

    /// A procedure that can be called once. Its first message is the one that it was called with, unless that is empty.
    pub(crate) fn procedure(&self, name: &str) -> Procedure {
        let (sender, receiver) = (self.sender.clone(), Arc::clone(&self.receiver));
        Procedure::server_stream(name, move |request: Request| {
            let (sender, receiver) = (sender.clone(), Arc::clone(&receiver));
            async move {
                let encoding = request.meta.encoding.clone();
                let message = request.into_message().await?;
                if !message.is_empty() {
                    let _ = sender.send(Some(Ok(message)));
                }
                let mut receiver = receiver.lock().unwrap().take().expect("called once");
                let messages = futures_util::stream::poll_fn(move |cx| {
                    receiver.poll_recv(cx).map(Option::flatten)
                });
                let mut response = Response::new(Messages::stream(messages));
                response.encoding = encoding;
                response.headers.append("x-mood", "good").unwrap();
                Ok(response)
            }
        })
    }

    pub(crate) fn send(&self, message: &'static str) {
        self.say(Some(Ok(message.into())));
    }

    pub(crate) fn fail(&self, error: RpcError) {
        self.say(Some(Err(error)));
    }

    pub(crate) fn end(&self) {
        self.say(None);
    }

    fn say(&self, said: Said) {
        self.sender.send(said).expect("somebody listens");
    }

    /// Waits until nobody listens any more.
    pub(crate) async fn dropped(&self) {
        self.sender.closed().await;
    }
}
