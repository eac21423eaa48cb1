//! What an upstream's answer says of a call.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::response::Parts;
use http::{HeaderMap, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use serde::Deserialize;

use super::{names, passed};
use crate::call;
use crate::code::Code;
use crate::error::{RETRY_AFTER, RpcError};
use crate::messages::Messages;
use crate::shape::Shape;
use crate::upstream::interrupted;

/// How large the document of an error may be, in bytes; a larger one is not read.
const DOCUMENT_BYTES: usize = 64 * 1024;

/// The document of an error, of which anything may be missing.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Document {
    message: Option<String>,
    status: Option<String>,
    code: Option<String>,
    metadata: BTreeMap<String, serde_json::Value>,
}

/// Reads an answer with one message, or none for one-way calls.
///
/// # Errors
///
/// What the upstream says, by name; [`Code::ResourceExhausted`] when the message is larger than `bytes`, and
/// [`Code::Unavailable`] when it does not come to its end.
pub(super) async fn read(
    shape: Shape,
    response: Response<Incoming>,
    bytes: usize,
) -> Result<call::Response, RpcError> {
    let (head, body) = response.into_parts();
    if !head.status.is_success() {
        return Err(error(&head, body).await);
    }
    let messages = match shape {
        Shape::Oneway => Messages::none(),
        _ => Messages::one(whole(body, bytes).await?),
    };
    Ok(success(&head, messages))
}

/// What the upstream's answer carries beside its messages, with these.
pub(super) fn success(head: &Parts, messages: Messages) -> call::Response {
    let mut response = call::Response::new(messages);
    response.encoding = text(&head.headers, names::ENCODING);
    response.headers = passed::received(&head.headers);
    response
}

/// An error: by the name in a header, or in the document; who names none is judged by the status.
pub(super) async fn error(head: &Parts, body: Incoming) -> RpcError {
    let headers = &head.headers;
    let document = match is_json(headers) {
        true => whole(body, DOCUMENT_BYTES).await.ok(),
        false => None,
    };
    let mut document = Document::read(document.as_deref().unwrap_or_default());
    let named = text(headers, names::STATUS).and_then(|it| it.parse().ok());
    let status = head.status.as_u16();
    let message = document.message.take();
    let message = message.or_else(|| text(headers, names::ERROR_MESSAGE));
    let mut error = RpcError {
        code: named
            .or_else(|| document.named())
            .unwrap_or_else(|| Code::from_http_status(status)),
        message: message.unwrap_or_else(|| format!("the upstream answered with status {status}")),
        reason: document.code.or_else(|| text(headers, names::ERROR_CODE)),
        metadata: texts(document.metadata),
    };
    // Who answers without a document, as who drains does, says it only here.
    if let Some(wait) = text(headers, RETRY_AFTER) {
        error.metadata.entry(RETRY_AFTER.to_owned()).or_insert(wait);
    }
    error
}

/// The error that the document at the end of a stream is.
pub(super) fn told(document: &[u8]) -> RpcError {
    let document = Document::read(document);
    let message = "the upstream has ended the stream";
    RpcError {
        code: document.named().unwrap_or_default(),
        message: document.message.unwrap_or_else(|| message.to_owned()),
        reason: document.code,
        metadata: texts(document.metadata),
    }
}

impl Document {
    /// What can be read of it; nothing if it is none.
    fn read(document: &[u8]) -> Self {
        serde_json::from_slice(document).unwrap_or_default()
    }

    fn named(&self) -> Option<Code> {
        self.status.as_ref()?.parse().ok()
    }
}

/// What of a stranger's metadata is text.
fn texts(metadata: BTreeMap<String, serde_json::Value>) -> BTreeMap<String, String> {
    let texts = metadata.into_iter().filter_map(|(key, value)| match value {
        serde_json::Value::String(text) => Some((key, text)),
        _ => None,
    });
    texts.collect()
}

/// The body of an answer, whole.
async fn whole(body: Incoming, bytes: usize) -> Result<Bytes, RpcError> {
    let announced = body.size_hint().lower();
    if usize::try_from(announced).map_or(true, |it| it > bytes) {
        return Err(too_large(bytes));
    }
    match Limited::new(body, bytes).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large(bytes)),
        Err(_) => Err(interrupted()),
    }
}

/// A message of the upstream's is larger than it may be.
pub(super) fn too_large(bytes: usize) -> RpcError {
    let message = format!("a message of the upstream is larger than {bytes} bytes");
    RpcError::new(Code::ResourceExhausted, message)
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    content_type.is_some_and(|it| it.starts_with(b"application/json"))
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = std::str::from_utf8(headers.get(name)?.as_bytes()).ok()?;
    let value = value.trim();
    (!value.is_empty()).then(|| value.to_owned())
}
