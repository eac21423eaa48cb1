//! What a request says, and its messages.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http::{HeaderMap, Uri};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use tonic::codec::Streaming;

use super::{Terms, metadata, names, status, timeout};
use crate::call::Meta;
use crate::code::Code;
use crate::error::RpcError;
use crate::messages::Messages;
use crate::shape::Shape;

/// Reads what a request says of a call. Deadlines are counted from `now`, which is `clock` on the wall.
///
/// # Errors
///
/// [`Code::Unimplemented`] when the path is no `/service/procedure`, [`Code::InvalidArgument`] when a key of the protocol
/// cannot be read or contradicts the path.
pub(super) fn meta(
    uri: &Uri,
    headers: &HeaderMap,
    now: Instant,
    clock: Timestamp,
) -> Result<Meta, RpcError> {
    let (service, procedure) = target(uri.path())?;
    // Somebody on the way may have gone by the path, and somebody by the metadata.
    agree(headers, names::SERVICE, &service)?;
    agree(headers, names::PROCEDURE, &procedure)?;
    let text = |name| optional(headers, name);
    let mut meta = Meta {
        service: Some(service),
        procedure,
        caller: text(names::CALLER)?,
        encoding: text(names::ENCODING)?,
        shard_key: text(names::SHARD_KEY)?,
        routing_key: text(names::ROUTING_KEY)?,
        routing_delegate: text(names::ROUTING_DELEGATE)?,
        deadline: None,
        transport: Some("grpc"),
        route: None,
        headers: metadata::received(headers),
    };
    if let Some(left) = text(names::TIMEOUT)? {
        let left = timeout::parse(&left).ok_or_else(|| unreadable(names::TIMEOUT))?;
        meta.limit(now, left);
    }
    if let Some(left) = text(names::TTL)? {
        let millis = left.parse().map_err(|_| unreadable(names::TTL))?;
        meta.limit(now, Duration::from_millis(millis));
    }
    if let Some(deadline) = text(names::DEADLINE)? {
        let deadline: Timestamp = deadline.parse().map_err(|_| unreadable(names::DEADLINE))?;
        // One in the past leaves no time at all.
        let left = Duration::try_from(deadline.duration_since(clock)).unwrap_or_default();
        meta.limit(now, left);
    }
    Ok(meta)
}

/// The shape that the caller means, if it says so.
///
/// # Errors
///
/// [`Code::InvalidArgument`] when that is none.
pub(super) fn shape(headers: &HeaderMap) -> Result<Option<Shape>, RpcError> {
    let Some(wanted) = optional(headers, names::SHAPE)? else {
        return Ok(None);
    };
    let mut named = Shape::ALL.into_iter();
    let named = named.find(|it| it.as_str().eq_ignore_ascii_case(&wanted));
    named.map(Some).ok_or_else(|| unreadable(names::SHAPE))
}

/// Service and procedure; the procedure may have slashes.
fn target(path: &str) -> Result<(String, String), RpcError> {
    let parts = path.strip_prefix('/').and_then(|it| it.split_once('/'));
    let Some((service, procedure)) = parts else {
        let message = format!("the path \"{path}\" is no /service/procedure");
        return Err(RpcError::new(Code::Unimplemented, message));
    };
    let decoded = |it| percent_decode_str(it).decode_utf8().map(Cow::into_owned);
    match (decoded(service), decoded(procedure)) {
        (Ok(service), Ok(procedure)) => Ok((service, procedure)),
        _ => Err(unreadable(":path")),
    }
}

fn agree(headers: &HeaderMap, name: &str, expected: &str) -> Result<(), RpcError> {
    let said = optional(headers, name)?;
    if said.is_some_and(|it| !it.eq_ignore_ascii_case(expected.trim())) {
        let message = format!("the metadata {name} is not what the path says");
        return Err(invalid(message));
    }
    Ok(())
}

/// The value of a key that may be there once.
fn optional(headers: &HeaderMap, name: &str) -> Result<Option<String>, RpcError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| unreadable(name))?;
    if values.next().is_some() {
        return Err(unreadable(name));
    }
    let text = text.trim();
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

fn unreadable(name: &str) -> RpcError {
    invalid(format!(
        "the metadata {name} cannot be read, or is there twice"
    ))
}

fn invalid(message: String) -> RpcError {
    RpcError::new(Code::InvalidArgument, message).with_reason("dispatcher.grpc.metadata_invalid")
}

/// The messages of a call of `shape`: one that is there, or as they come.
///
/// # Errors
///
/// [`Code::InvalidArgument`] when there are none or several where one is needed, [`Code::ResourceExhausted`] when it is too
/// large, [`Code::DeadlineExceeded`] when it takes too long, and [`Code::Cancelled`] when the client does not send all of it.
pub(super) async fn messages(
    shape: Shape,
    received: Streaming<Bytes>,
    terms: Terms,
) -> Result<Messages, RpcError> {
    let messages = Messages::stream(received.map_err(|it| status::error(&it)));
    if shape.streams_requests() {
        return Ok(messages);
    }
    let one = tokio::time::timeout(terms.message_timeout, messages.into_one()).await;
    let late = |_| RpcError::new(Code::DeadlineExceeded, "the message took too long to come");
    Ok(Messages::one(one.map_err(late)??))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    const CLOCK: &str = "2026-01-01T00:00:00Z";

    fn read(
        path: &'static str,
        headers: &[(&'static str, &'static str)],
    ) -> (Result<Meta, RpcError>, Instant) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            map.append(HeaderName::from_static(name), value);
        }
        let now = Instant::now();
        let uri = Uri::from_static(path);
        (meta(&uri, &map, now, CLOCK.parse().unwrap()), now)
    }

    #[test]
    fn the_path_says_service_and_procedure() {
        for (path, service, procedure) in [
            ("/pets/list", "pets", "list"),
            ("/pets/pets::list", "pets", "pets::list"),
            ("/a.b.Pets/v1/list", "a.b.Pets", "v1/list"),
            ("/pets/f%C3%BCttern%2F1", "pets", "füttern/1"),
            ("/pets/", "pets", ""),
        ] {
            let meta = read(path, &[]).0.unwrap();
            assert_eq!(meta.service.as_deref(), Some(service));
            assert_eq!(meta.procedure, procedure);
        }
        let refused = |path| read(path, &[]).0.unwrap_err().code;
        assert_eq!(refused("/"), Code::Unimplemented);
        assert_eq!(refused("/pets"), Code::Unimplemented);
        assert_eq!(refused("/pets/%FF"), Code::InvalidArgument);
    }

    #[test]
    fn every_key_has_its_place_and_the_callers_own_are_passed() {
        let (meta, _) = read(
            "/pets/list",
            &[
                ("rpc-service", "Pets"),
                ("rpc-procedure", " list "),
                ("rpc-caller", "shop"),
                ("rpc-encoding", "json"),
                ("rpc-shard-key", "s"),
                ("rpc-routing-key", "r"),
                ("rpc-routing-delegate", "d"),
                ("user-agent", "test"),
                ("x-tenant", "blue"),
            ],
        );
        let meta = meta.unwrap();
        let told = [
            meta.caller,
            meta.encoding,
            meta.shard_key,
            meta.routing_key,
            meta.routing_delegate,
        ];
        assert_eq!(told.map(Option::unwrap), ["shop", "json", "s", "r", "d"]);
        assert_eq!(
            meta.headers.iter().collect::<Vec<_>>(),
            [("user-agent", "test"), ("x-tenant", "blue")]
        );
        assert_eq!(meta.deadline, None);
    }

    #[test]
    fn the_earliest_of_three_deadlines_counts() {
        for (timeout, ttl, deadline, left) in [
            ("2S", "5000", "2026-01-01T00:00:03Z", 2),
            ("1M", "5000", "2026-01-01T00:00:09Z", 5),
            ("1H", "5000", "2026-01-01T00:00:03Z", 3),
            ("1H", "5000", "2025-12-31T23:59:59Z", 0),
        ] {
            let (meta, now) = read(
                "/pets/list",
                &[
                    ("grpc-timeout", timeout),
                    ("rpc-ttl-ms", ttl),
                    ("rpc-deadline", deadline),
                ],
            );
            let time = meta.unwrap().time_left(now);
            assert_eq!(time, Some(Duration::from_secs(left)));
        }
    }

    #[test]
    fn what_cannot_be_read_or_contradicts_the_path_is_refused_by_name() {
        for headers in [
            &[("grpc-timeout", "5s")][..],
            &[("rpc-ttl-ms", "-1")],
            &[("rpc-deadline", "tomorrow")],
            &[("rpc-caller", "a"), ("rpc-caller", "b")],
            &[("rpc-procedure", "feed")],
            &[("rpc-service", "plants")],
        ] {
            let error = read("/pets/list", headers).0.unwrap_err();
            assert_eq!(error.code, Code::InvalidArgument);
            assert!(error.message.contains(headers[0].0), "{error}");
        }
    }

    #[test]
    fn a_shape_is_read_by_its_name() {
        let shaped = |name| {
            let mut headers = HeaderMap::new();
            headers.insert(names::SHAPE, HeaderValue::from_static(name));
            shape(&headers)
        };
        assert_eq!(shape(&HeaderMap::new()), Ok(None));
        assert_eq!(shaped("client-stream"), Ok(Some(Shape::ClientStream)));
        assert_eq!(shaped("Duplex"), Ok(Some(Shape::Duplex)));
        assert!(shaped("round").is_err());
    }
}
