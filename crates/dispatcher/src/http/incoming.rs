//! What a request says, and its message.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use http::header::ACCEPT;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body, Incoming};
use jiff::Timestamp;

use super::events::EVENT_STREAM;
use super::{Terms, names, passed};
use crate::call::Meta;
use crate::code::Code;
use crate::error::RpcError;

/// Reads what a request says of a call. Deadlines are counted from `now`, which is `clock` on the wall.
///
/// # Errors
///
/// [`Code::InvalidArgument`] when a header of the protocol cannot be read.
pub(super) fn meta(headers: &HeaderMap, now: Instant, clock: Timestamp) -> Result<Meta, RpcError> {
    let text = |name| optional(headers, name);
    let mut meta = Meta {
        service: None,
        procedure: text(names::PROCEDURE)?.unwrap_or_default(),
        caller: text(names::CALLER)?,
        encoding: text(names::ENCODING)?,
        shard_key: text(names::SHARD_KEY)?,
        routing_key: text(names::ROUTING_KEY)?,
        routing_delegate: text(names::ROUTING_DELEGATE)?,
        deadline: None,
        transport: Some("http"),
        route: None,
        headers: passed::received(headers),
    };
    if let Some(ttl) = text(names::TTL)? {
        let millis = ttl.parse().map_err(|_| unreadable(names::TTL))?;
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

/// Whether who asks says that it takes events.
pub(super) fn takes_events(headers: &HeaderMap) -> bool {
    let texts = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|it| it.to_str().ok());
    let ranges = texts.flat_map(|it| it.split(','));
    let mut types = ranges.map(|it| it.split(';').next().unwrap_or_default().trim());
    types.any(|it| it.eq_ignore_ascii_case(EVENT_STREAM))
}

/// The value of a header that may be there once.
fn optional(headers: &HeaderMap, name: &str) -> Result<Option<String>, RpcError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| unreadable(name))?;
    // With two of them nobody knows which one somebody on the way has checked.
    if values.next().is_some() {
        return Err(unreadable(name));
    }
    let text = text.trim();
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

fn unreadable(name: &str) -> RpcError {
    let message = format!("the header {name} cannot be read, or is there twice");
    RpcError::new(Code::InvalidArgument, message).with_reason("dispatcher.http.header_invalid")
}

/// The message of a request, whole.
///
/// # Errors
///
/// [`Code::ResourceExhausted`] when it is too large, [`Code::DeadlineExceeded`] when it takes too long, and
/// [`Code::Cancelled`] when the client does not send all of it.
pub(super) async fn message(body: Incoming, terms: Terms) -> Result<Bytes, RpcError> {
    let announced = body.size_hint().lower();
    if usize::try_from(announced).is_ok_and(|it| it > terms.body_bytes) {
        return Err(too_large(terms));
    }
    let whole = Limited::new(body, terms.body_bytes).collect();
    let whole = tokio::time::timeout(terms.body_timeout, whole).await;
    let whole = whole
        .map_err(|_| RpcError::new(Code::DeadlineExceeded, "the message took too long to come"))?;
    match whole {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(too_large(terms)),
        Err(_) => Err(RpcError::new(
            Code::Cancelled,
            "the message did not come to its end",
        )),
    }
}

fn too_large(terms: Terms) -> RpcError {
    let message = format!("the message is larger than {} bytes", terms.body_bytes);
    RpcError::new(Code::ResourceExhausted, message)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    const CLOCK: &str = "2026-01-01T00:00:00Z";

    fn read(headers: &[(&'static str, &'static str)]) -> (Result<Meta, RpcError>, Instant) {
        let headers = headers.iter().map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_bytes(value.as_bytes()).unwrap())
        });
        let mut map = HeaderMap::new();
        headers.for_each(|(name, value)| {
            map.append(name, value);
        });
        let now = Instant::now();
        (meta(&map, now, CLOCK.parse().unwrap()), now)
    }

    #[test]
    fn every_header_has_its_place_and_the_callers_own_are_passed() {
        let (meta, _) = read(&[
            ("rpc-procedure", " pets::list "),
            ("rpc-caller", "shop"),
            ("rpc-encoding", "json"),
            ("rpc-shard-key", "s"),
            ("rpc-routing-key", "r"),
            ("rpc-routing-delegate", "d"),
            ("rpc-unknown", "x"),
            ("host", "here"),
            ("x-tenant", "blau ü"),
        ]);
        let meta = meta.unwrap();
        assert_eq!(meta.procedure, "pets::list");
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
            [("x-tenant", "blau ü")]
        );
        assert_eq!(meta.deadline, None);
    }

    #[test]
    fn the_earlier_of_two_deadlines_counts_and_one_in_the_past_leaves_no_time() {
        for (ttl, deadline, left) in [
            ("5000", "2026-01-01T00:00:03Z", 3),
            ("2000", "2026-01-01T02:00:03+02:00", 2),
            ("2000", "2025-12-31T23:59:59Z", 0),
            ("0", "2027-01-01T00:00:00Z", 0),
        ] {
            let (meta, now) = read(&[("rpc-ttl-ms", ttl), ("rpc-deadline", deadline)]);
            let time = meta.unwrap().time_left(now);
            assert_eq!(time, Some(Duration::from_secs(left)), "{ttl} {deadline}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_by_name() {
        for headers in [
            &[("rpc-ttl-ms", "-1")][..],
            &[("rpc-ttl-ms", "5s")],
            &[("rpc-deadline", "tomorrow")],
            &[("rpc-procedure", "a"), ("rpc-procedure", "b")],
        ] {
            let error = read(headers).0.unwrap_err();
            assert_eq!(error.code, Code::InvalidArgument);
            assert!(error.message.contains(headers[0].0), "{error}");
        }
    }
}
