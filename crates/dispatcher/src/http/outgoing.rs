//! What a request to an upstream says of a call.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body_util::Full;

use super::events::EVENT_STREAM;
use super::{answer, names, passed};
use crate::call::Meta;
use crate::code::Code;
use crate::error::RpcError;
use crate::shape::Shape;

/// A request with one message, whose caller waits for `left`. A stream is got when there is nothing in the message, as the
/// original does, and otherwise posted.
///
/// # Errors
///
/// [`Code::InvalidArgument`] without a procedure, and when something cannot be a header: nobody can smuggle in a line.
pub(super) fn request(
    shape: Shape,
    target: &Uri,
    meta: &Meta,
    message: Bytes,
    left: Option<Duration>,
) -> Result<Request<Full<Bytes>>, RpcError> {
    let mut headers = headers(meta, left)?;
    let mut method = Method::POST;
    if shape.streams_responses() {
        headers.insert(ACCEPT, HeaderValue::from_static(EVENT_STREAM));
        if message.is_empty() {
            headers.remove(CONTENT_TYPE);
            method = Method::GET;
        }
    }
    let mut request = Request::new(Full::new(message));
    *request.method_mut() = method;
    *request.uri_mut() = target.clone();
    *request.headers_mut() = headers;
    Ok(request)
}

fn headers(meta: &Meta, left: Option<Duration>) -> Result<HeaderMap, RpcError> {
    let procedure = meta.procedure.trim();
    if procedure.is_empty() {
        let error = RpcError::new(Code::InvalidArgument, "the call names no procedure");
        return Err(error.with_reason("dispatcher.procedure.missing"));
    }
    let mut headers = passed::sent(&meta.headers);
    // What is understood of an answer is for this client to say, not for the one before it.
    headers.remove(ACCEPT);
    headers.remove(ACCEPT_ENCODING);
    for (name, value) in [
        (names::PROCEDURE, Some(procedure)),
        (names::CALLER, meta.caller.as_deref()),
        (names::ENCODING, meta.encoding.as_deref()),
        (names::SHARD_KEY, meta.shard_key.as_deref()),
        (names::ROUTING_KEY, meta.routing_key.as_deref()),
        (names::ROUTING_DELEGATE, meta.routing_delegate.as_deref()),
    ] {
        if let Some(value) = value {
            headers.insert(name, checked(name, value)?);
        }
    }
    if let Some(left) = left {
        let millis = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        headers.insert(names::TTL, millis.into());
    }
    let content_type = answer::content_type(meta.encoding.as_deref());
    headers.insert(CONTENT_TYPE, content_type);
    Ok(headers)
}

fn checked(name: &str, value: &str) -> Result<HeaderValue, RpcError> {
    let is_one_line = !value.chars().any(char::is_control);
    let value = HeaderValue::from_bytes(value.as_bytes()).ok();
    value.filter(|_| is_one_line).ok_or_else(|| {
        let message = format!("what goes into {name} has control characters");
        RpcError::new(Code::InvalidArgument, message).with_reason("dispatcher.http.header_invalid")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_told_by_the_headers_of_the_protocol_and_its_own() {
        let mut meta = Meta::new(" pets::list ");
        meta.caller = Some("shop ü".to_owned());
        meta.encoding = Some("json".to_owned());
        meta.shard_key = Some("s".to_owned());
        meta.routing_key = Some("r".to_owned());
        meta.routing_delegate = Some("d".to_owned());
        for (name, value) in [
            ("x-tenant", "blue"),
            ("Accept", "text/event-stream"),
            ("accept-encoding", "gzip"),
            ("rpc-procedure", "other"),
            ("host", "elsewhere"),
        ] {
            meta.headers.append(name, value).unwrap();
        }
        let headers = headers(&meta, Some(Duration::from_micros(2_900))).unwrap();
        let text = |it: &HeaderValue| String::from_utf8(it.as_bytes().to_vec()).unwrap();
        let mut told: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", text(value)))
            .collect();
        told.sort_unstable();
        assert_eq!(
            told,
            [
                "content-type: application/json",
                "rpc-caller: shop ü",
                "rpc-encoding: json",
                "rpc-procedure: pets::list",
                "rpc-routing-delegate: d",
                "rpc-routing-key: r",
                "rpc-shard-key: s",
                "rpc-ttl-ms: 2",
                "x-tenant: blue",
            ]
        );
    }

    #[test]
    fn a_line_of_its_own_is_refused_wherever_it_is() {
        const EVIL: &str = "a\r\nSet-Cookie: b";
        let with = |set: fn(&mut Meta, Option<String>)| {
            let mut meta = Meta::new("pets::list");
            set(&mut meta, Some(EVIL.to_owned()));
            meta
        };
        for (name, meta) in [
            (names::PROCEDURE, Meta::new(EVIL)),
            (names::CALLER, with(|meta, it| meta.caller = it)),
            (names::ENCODING, with(|meta, it| meta.encoding = it)),
            (names::SHARD_KEY, with(|meta, it| meta.shard_key = it)),
            (names::ROUTING_KEY, with(|meta, it| meta.routing_key = it)),
            (
                names::ROUTING_DELEGATE,
                with(|meta, it| meta.routing_delegate = it),
            ),
        ] {
            let error = headers(&meta, None).unwrap_err();
            assert_eq!(error.code, Code::InvalidArgument);
            assert!(error.message.contains(name), "{error}");
        }
        let blank = headers(&Meta::new(" "), None).unwrap_err();
        assert_eq!(
            blank.reason.as_deref(),
            Some("dispatcher.procedure.missing")
        );
    }
}
