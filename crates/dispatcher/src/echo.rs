//! The procedures of the echo service.

use bytes::Bytes;
use dispatcher::{
    Code, DispatcherBuilder, Messages, Procedure, Request, Response, RpcError, Shape,
};
use futures_util::stream;

/// The most that `join` puts together, in bytes: no more than a message may have.
const JOINED_BYTES: usize = 4 << 20;

/// What is offered, by shape.
pub(crate) const NAMES: [(Shape, &str); 6] = [
    (Shape::Unary, "echo"),
    (Shape::Oneway, "swallow"),
    (Shape::ServerStream, "count"),
    (Shape::ServerStream, "split"),
    (Shape::ClientStream, "join"),
    (Shape::Duplex, "mirror"),
];

/// Adds them.
pub(crate) fn offer(builder: DispatcherBuilder) -> DispatcherBuilder {
    builder
        .procedure(Procedure::unary("echo", echo))
        .procedure(Procedure::oneway("swallow", async |_| Ok(())))
        .procedure(Procedure::server_stream("count", count).encoding("text"))
        .procedure(Procedure::server_stream("split", split))
        .procedure(Procedure::client_stream("join", join))
        .procedure(Procedure::duplex("mirror", echo))
}

async fn echo(request: Request) -> Result<Response, RpcError> {
    Ok(Response::new(request.messages))
}

/// A message for each word.
async fn split(request: Request) -> Result<Response, RpcError> {
    let text = request.into_message().await?;
    let words = text.split(u8::is_ascii_whitespace);
    let words = words.filter(|it| !it.is_empty());
    let words: Vec<_> = words.map(|it| Ok(text.slice_ref(it))).collect();
    Ok(Response::new(Messages::stream(stream::iter(words))))
}

/// One message of all, a blank between each two. A stream has no end by itself, so that there is a limit.
async fn join(mut request: Request) -> Result<Response, RpcError> {
    let mut all = Vec::new();
    while let Some(message) = request.messages.next().await {
        if !all.is_empty() {
            all.push(b' ');
        }
        all.extend_from_slice(&message?);
        if all.len() > JOINED_BYTES {
            let message = format!("all messages are larger than {JOINED_BYTES} bytes");
            return Err(RpcError::new(Code::ResourceExhausted, message));
        }
    }
    Ok(Response::message(all))
}

/// Counts from 1 to the number in the message, or to 10.
async fn count(request: Request) -> Result<Response, RpcError> {
    let message = request.into_message().await?;
    let text = String::from_utf8_lossy(&message);
    let last: u32 = match text.trim() {
        "" => 10,
        number => number.parse().map_err(|_| {
            let message = "the message is no number to count to";
            RpcError::new(Code::InvalidArgument, message)
        })?,
    };
    let numbers = (1..=last).map(|it| Ok(Bytes::from(it.to_string())));
    Ok(Response::new(Messages::stream(stream::iter(numbers))))
}
