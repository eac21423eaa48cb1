//! A call as a request.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use http::header::{CONTENT_TYPE, HeaderValue, TE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Uri, Version};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tonic::body::Body;
use tonic::codec::{CompressionEncoding, EncodeBody};

use super::codec::Raw;
use super::{metadata, names, status, timeout};
use crate::call::Meta;
use crate::code::Code;
use crate::error::RpcError;
use crate::messages::Messages;
use crate::shape::Shape;
use crate::until::too_late;

/// What a segment of a path may have as it is (RFC 3986, 3.3): servers compare the bytes.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

const SEGMENTS: &AsciiSet = &SEGMENT.remove(b'/');

/// Why the messages of a call ended early, if they did: what comes back of it says less.
#[derive(Clone, Debug, Default)]
pub(super) struct Broken(Arc<Mutex<Option<RpcError>>>);

impl Broken {
    fn set(&self, error: RpcError) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    /// What was set, or else `error`.
    pub(super) fn or(&self, error: RpcError) -> RpcError {
        let mut broken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        broken.take().unwrap_or(error)
    }
}

/// Messages as the body of a request. An error among them breaks it off and is noted in `broken`.
pub(super) fn body(
    messages: Messages,
    compression: Option<CompressionEncoding>,
    broken: &Broken,
) -> Body {
    let broken = broken.clone();
    let messages = messages.map_err(move |error| {
        let status = status::of(&error);
        broken.set(error);
        status
    });
    Body::new(EncodeBody::new_client(Raw, messages, compression, None))
}

/// Says how messages are compressed, and how those that come back may be.
pub(super) fn announce(compression: Option<CompressionEncoding>, headers: &mut HeaderMap) {
    if let Some(CompressionEncoding::Gzip) = compression {
        for name in [names::COMPRESSION, names::ACCEPTED_COMPRESSION] {
            headers.insert(name, HeaderValue::from_static(names::GZIP));
        }
    }
}

/// The request to `service` at `authority`, which is called by `scheme`.
///
/// # Errors
///
/// [`Code::InvalidArgument`] when something that must be said cannot be said in gRPC, and [`Code::DeadlineExceeded`] when there is no
/// time left.
pub(super) fn request(
    scheme: &Scheme,
    authority: &Authority,
    service: &str,
    shape: Shape,
    meta: &Meta,
    body: Body,
) -> Result<Request<Body>, RpcError> {
    let headers = headers(service, shape, meta)?;
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = uri(scheme, authority, service, &meta.procedure)?;
    *request.headers_mut() = headers;
    Ok(request)
}

fn uri(
    scheme: &Scheme,
    authority: &Authority,
    service: &str,
    procedure: &str,
) -> Result<Uri, RpcError> {
    let service = utf8_percent_encode(service, SEGMENT);
    let procedure = utf8_percent_encode(procedure.trim(), SEGMENTS);
    let path: Result<PathAndQuery, _> = format!("/{service}/{procedure}").parse();
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(scheme.clone());
    parts.authority = Some(authority.clone());
    parts.path_and_query = Some(path.map_err(|_| unspeakable("the procedure"))?);
    Uri::from_parts(parts).map_err(|_| unspeakable("the procedure"))
}

fn headers(service: &str, shape: Shape, meta: &Meta) -> Result<HeaderMap, RpcError> {
    let mut headers = HeaderMap::new();
    metadata::send(meta.headers.iter(), &mut headers);
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(names::SHAPE, HeaderValue::from_static(shape.as_str()));
    // The path says these two, and whatever they are made of.
    for (name, text) in [
        (names::SERVICE, service),
        (names::PROCEDURE, meta.procedure.trim()),
    ] {
        let _ = say(&mut headers, name, text);
    }
    for (name, text) in [
        (names::CALLER, &meta.caller),
        (names::ENCODING, &meta.encoding),
        (names::SHARD_KEY, &meta.shard_key),
        (names::ROUTING_KEY, &meta.routing_key),
        (names::ROUTING_DELEGATE, &meta.routing_delegate),
    ] {
        if let Some(text) = text {
            say(&mut headers, name, text)?;
        }
    }
    if let Some(left) = meta.time_left(Instant::now()) {
        if left.is_zero() {
            return Err(too_late());
        }
        say(&mut headers, names::TIMEOUT, &timeout::format(left))?;
        // For whoever reads the original's keys alone, rounded up as well.
        let millis = left
            .as_nanos()
            .div_ceil(Duration::from_millis(1).as_nanos());
        say(&mut headers, names::TTL, &millis.to_string())?;
    }
    Ok(headers)
}

fn say(headers: &mut HeaderMap, name: &'static str, text: &str) -> Result<(), RpcError> {
    let value = metadata::value(text).ok_or_else(|| unspeakable(name))?;
    headers.insert(name, value);
    Ok(())
}

fn unspeakable(what: &str) -> RpcError {
    let message = format!("gRPC has no way to say {what}: it is not printable ASCII");
    RpcError::new(Code::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(meta: &Meta) -> Result<Request<Body>, RpcError> {
        let authority = Authority::from_static("127.0.0.1:1");
        let (scheme, none) = (Scheme::HTTP, Body::empty());
        request(&scheme, &authority, "pets", Shape::Unary, meta, none)
    }

    #[test]
    fn whatever_a_procedure_is_called_the_path_can_say_it() {
        for (procedure, path) in [
            ("pets::list", "/pets/pets::list"),
            ("v1/list(all)", "/pets/v1/list(all)"),
            (" füttern? 100%", "/pets/f%C3%BCttern%3F%20100%25"),
            ("", "/pets/"),
        ] {
            let request = sent(&Meta::new(procedure)).unwrap();
            assert_eq!(request.uri().path(), path);
            let meta = super::super::incoming::meta(
                request.uri(),
                request.headers(),
                Instant::now(),
                jiff::Timestamp::UNIX_EPOCH,
            );
            assert_eq!(meta.unwrap().procedure, procedure.trim());
        }
    }

    #[test]
    fn what_is_said_is_read_again_and_what_cannot_be_said_is_refused() {
        let mut meta = Meta::new("list");
        meta.caller = Some("shop".to_owned());
        meta.routing_key = Some("eu".to_owned());
        meta.headers.append("x-tenant", "blue").unwrap();
        let now = Instant::now();
        meta.limit(now, Duration::from_secs(60));
        let request = sent(&meta).unwrap();
        let read = super::super::incoming::meta(
            request.uri(),
            request.headers(),
            now,
            jiff::Timestamp::UNIX_EPOCH,
        );
        let read = read.unwrap();
        assert_eq!(
            (&read.caller, &read.routing_key),
            (&meta.caller, &meta.routing_key)
        );
        assert_eq!(read.headers, meta.headers);
        let left = read.time_left(now).unwrap();
        assert!(left <= Duration::from_secs(60) && left > Duration::from_secs(50));

        meta.routing_key = Some("süd".to_owned());
        let refused = sent(&meta).unwrap_err();
        assert_eq!(refused.code, Code::InvalidArgument);
        assert!(refused.message.contains("rpc-routing-key"), "{refused}");
        let mut late = Meta::new("list");
        late.limit(now, Duration::ZERO);
        assert_eq!(sent(&late).unwrap_err().code, Code::DeadlineExceeded);
    }
}
