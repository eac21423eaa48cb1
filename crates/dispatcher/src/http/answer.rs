//! Answers: what came of a call, as HTTP says it.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

use super::{names, passed};
use crate::call;
use crate::code::Code;
use crate::error::RpcError;
use crate::shape::Shape;

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
pub(super) async fn success(
    shape: Shape,
    response: call::Response,
) -> Result<Response<Full<Bytes>>, RpcError> {
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
    Ok(finish(status, headers, message))
}

/// An error with the status of its code. It says nothing that is not in the error.
pub(super) fn error(error: &RpcError) -> Response<Full<Bytes>> {
    let mut headers = HeaderMap::new();
    headers.insert(names::STATUS, HeaderValue::from_static(error.code.as_str()));
    headers.insert(names::ERROR_MESSAGE, text(&error.message));
    if let Some(reason) = &error.reason {
        headers.insert(names::ERROR_CODE, text(reason));
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let document = Document {
        message: &error.message,
        status: error.code.as_str(),
        code: error.reason.as_deref(),
        metadata: &error.metadata,
    };
    let document = serde_json::to_vec(&document).expect("texts can be written as JSON");
    let status = StatusCode::from_u16(error.code.http_status());
    let status = status.expect("the map has statuses of three digits");
    finish(status, headers, document.into())
}

/// 405: calls are posted.
pub(super) fn only_post() -> Response<Full<Bytes>> {
    let message = "calls are made with POST; streams are not served yet";
    let mut answer = error(&RpcError::new(Code::Unimplemented, message));
    *answer.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    answer
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static("POST"));
    answer
}

fn finish(status: StatusCode, mut headers: HeaderMap, body: Bytes) -> Response<Full<Bytes>> {
    headers.insert(names::TRANSPORT, HeaderValue::from_static("http"));
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    answer
}

/// What the body is, as far as the encoding says it.
pub(super) fn content_type(encoding: Option<&str>) -> HeaderValue {
    HeaderValue::from_static(match encoding {
        Some("json") => "application/json",
        Some("protobuf" | "proto") => "application/x-protobuf",
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
