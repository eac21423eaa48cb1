//! What fuzzing reaches into this crate by; it is in no build but fuzzing's.

pub use crate::grpc::fuzzing::metadata;
pub use crate::http::fuzzing::{events, headers};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::call::Meta;
use crate::headers::Headers;

/// The lines `name: value` of `text` that a server could have taken for headers.
pub(crate) fn map(text: &[u8]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for line in text.split(|it| *it == b'\n') {
        let Some(colon) = line.iter().position(|it| *it == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            map.append(name, value);
        }
    }
    map
}

/// What travels of `meta` as it is, beside its headers and by whatever is called.
pub(crate) fn told(meta: &Meta) -> [Option<String>; 5] {
    let texts = [
        &meta.caller,
        &meta.encoding,
        &meta.shard_key,
        &meta.routing_key,
        &meta.routing_delegate,
    ];
    texts.map(Clone::clone)
}

/// What travels of `headers`, but for those of `left_out`, in an order that says nothing.
pub(crate) fn passed(headers: &Headers, left_out: &[&str]) -> Vec<(String, String)> {
    let passed = headers.iter().filter(|(name, _)| !left_out.contains(name));
    let mut passed: Vec<_> = passed
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    // Not by value: of a name the order counts.
    passed.sort_by(|a, b| a.0.cmp(&b.0));
    passed
}
