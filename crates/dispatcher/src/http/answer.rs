//! Answers: what came of a call, as HTTP says it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::{Either, Full};
use serde::Serialize;

use super::events::{EVENT_STREAM, Events};
use super::meters::Exchange;
use super::{names, passed};
use crate::call;
use crate::code::Code;
use crate::error::RpcError;
use crate::shape::Shape;

/// What answers a request.
pub(super) type Answer = Response<Body>;

/// Something whole, or events as they come.
pub(super) type Body = Either<Full<Bytes>, Events>;

/// The document of an error.
#[derive(Serialize)]
struct Document<'a> {
    message: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    metadata: &'a BTreeMap<String, String>,
}

/// 200 with the message of a unary call; 202 for a one-way call that has arrived.
///
/// # Errors
///
/// As [`call::Response::into_message`].
pub(super) async fn success(shape: Shape, response: call::Response) -> Result<Answer, RpcError> {
    let encoding = response.encoding.clone();
    let mut headers = passed::sent(&response.headers);
    let (status, message) = match shape {
        Shape::Oneway => (StatusCode::ACCEPTED, Bytes::new()),
        _ => (StatusCode::OK, response.into_message().await?),
    };
    if status == StatusCode::OK {
        headers.insert(CONTENT_TYPE, content_type(encoding.as_deref()));
    }
    if let Some(encoding) = encoding {
        headers.insert(names::ENCODING, text(&encoding));
    }
    Ok(finish(status, headers, whole(message)))
}

/// An error with the status of its code. It says nothing that is not in the error. What is long is cut short in headers, which clients
/// take only so much of; the document has it whole.
pub(super) fn error(error: &RpcError) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(names::STATUS, HeaderValue::from_static(error.code.as_str()));
    headers.insert(names::ERROR_MESSAGE, text(&error.short_message()));
    if let Some(reason) = error.short_reason() {
        headers.insert(names::ERROR_CODE, text(&reason));
    }
    if let Some(wait) = error.retry_after() {
        headers.insert(RETRY_AFTER, wait.as_secs().into());
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let status = StatusCode::from_u16(error.code.http_status());
    let status = status.expect("the map has statuses of three digits");
    finish(status, headers, whole(document(error)))
}

/// The document of an error, in one line.
pub(super) fn document(error: &RpcError) -> Vec<u8> {
    let document = Document {
        message: &error.message,
        status: error.code.as_str(),
        code: error.reason.as_deref(),
        metadata: &error.metadata,
    };
    serde_json::to_vec(&document).expect("texts can be written as JSON")
}

/// 200 with the messages of a server stream as events, as they come.
pub(super) fn stream(
    response: call::Response,
    deadline: Option<Instant>,
    keep_alive: Duration,
) -> Answer {
    let mut headers = passed::sent(&response.headers);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Some proxies collect an answer until it is whole, unless told otherwise.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    let encoding = response.encoding.as_deref();
    if let Some(encoding) = encoding {
        headers.insert(names::ENCODING, text(encoding));
    }
    let events = Events::new(response.messages, encoding, deadline, keep_alive);
    finish(StatusCode::OK, headers, Body::Right(events))
}

/// 405: what is neither posted nor got is no call.
pub(super) fn no_call() -> Answer {
    let message = "calls are made with POST, and with GET for streams";
    let mut answer = error(&RpcError::new(Code::Unimplemented, message));
    *answer.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    let allowed = HeaderValue::from_static("GET, POST");
    answer.headers_mut().insert(ALLOW, allowed);
    answer
}

/// 406: who gets a stream must take events.
pub(super) fn only_events() -> Answer {
    let message = "streams are answered with events; accept text/event-stream";
    let mut answer = error(&RpcError::new(Code::InvalidArgument, message));
    *answer.status_mut() = StatusCode::NOT_ACCEPTABLE;
    answer
}

/// The same body, of an exchange that lasts as long as events come.
pub(super) fn counted(body: Body, exchange: Exchange) -> Body {
    match body {
        Body::Left(whole) => Body::Left(whole),
        Body::Right(events) => Body::Right(events.counted(exchange)),
    }
}

/// A body that is there already.
pub(super) fn whole(body: impl Into<Bytes>) -> Body {
    Body::Left(Full::new(body.into()))
}

fn finish(status: StatusCode, mut headers: HeaderMap, body: Body) -> Answer {
    headers.insert(names::TRANSPORT, HeaderValue::from_static("http"));
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    answer
}

/// What the body is, as far as the encoding says it.
pub(super) fn content_type(encoding: Option<&str>) -> HeaderValue {
    HeaderValue::from_static(match encoding {
        Some("json" | "application/json") => "application/json",
        Some("protobuf" | "proto" | "application/x-protobuf" | "application/protobuf") => {
            "application/x-protobuf"
        }
        Some("text") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    })
}

/// A text as the value of a header: what would break a line becomes a blank. The document has it as it is.
fn text(text: &str) -> HeaderValue {
    let visible = |it: char| if it.is_control() { ' ' } else { it };
    let line: String = text.chars().map(visible).collect();
    HeaderValue::from_bytes(line.as_bytes()).expect("there is no control character left")
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    #[test]
    fn a_message_with_line_ends_stays_one_header() {
        let answer = error(&RpcError::new(Code::Internal, "a\r\nSet-Cookie: b\u{85}ü"));
        let message = answer.headers().get(names::ERROR_MESSAGE).unwrap();
        assert_eq!(message.as_bytes(), "a  Set-Cookie: b ü".as_bytes());
        assert_eq!(answer.headers().get("set-cookie"), None);
    }

    #[test]
    fn a_long_message_is_cut_short_in_the_header_and_whole_in_the_document() {
        let long = "ü".repeat(100_000);
        let told = RpcError::new(Code::Internal, &long).with_reason(&long);
        let answer = error(&told);
        for (name, letters) in [(names::ERROR_MESSAGE, 512), (names::ERROR_CODE, 128)] {
            let value = answer.headers().get(name).unwrap();
            let expected = format!("{}...", "ü".repeat(letters));
            assert_eq!(value.as_bytes(), expected.as_bytes(), "{name}");
        }
        let document = String::from_utf8(document(&told)).unwrap();
        assert!(document.contains(&format!("\"message\":\"{long}\"")));
    }

    #[tokio::test]
    async fn a_handler_has_no_say_in_the_headers_of_the_protocol() {
        let mut response = call::Response::message("x");
        for (name, value) in [
            ("x-own", "1"),
            ("Rpc-Status", "OK"),
            ("Transfer-Encoding", "y"),
        ] {
            response.headers.append(name, value).unwrap();
        }
        let answer = success(Shape::Unary, response).await.unwrap();
        let mut names: Vec<_> = answer.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-type", "rpc-transport", "x-own"]);
    }
}
