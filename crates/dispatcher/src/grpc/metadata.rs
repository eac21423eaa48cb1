//! Headers of a call as metadata, and back.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::names;
use crate::headers::Headers;

/// What is the other side's own. What is no text is left out; the values of keys that end in `-bin` stay as they came, in base64.
pub(super) fn received(metadata: &HeaderMap) -> Headers {
    let mut received = Headers::new();
    for (name, value) in own(metadata) {
        // No header by our rule is none to pass on.
        let _ = received.append(name, value);
    }
    received
}

/// The names and values of what is no protocol's.
pub(super) fn own(metadata: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let named = metadata.iter().map(|(name, value)| (name.as_str(), value));
    named
        .filter(|(name, _)| names::is_passed(name))
        .filter_map(|(name, value)| Some((name, std::str::from_utf8(value.as_bytes()).ok()?)))
}

/// Adds what is ours to say. gRPC carries printable ASCII in lower-case keys: what cannot be written so is left out.
pub(super) fn send<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a str)>,
    metadata: &mut HeaderMap,
) {
    for (name, text) in headers {
        let key = HeaderName::from_bytes(name.as_bytes());
        if let (true, Ok(key), Some(value)) = (names::is_passed(name), key, value(text)) {
            metadata.append(key, value);
        }
    }
}

/// `text` as a value, if it is printable ASCII.
pub(super) fn value(text: &str) -> Option<HeaderValue> {
    let is_printable = text.bytes().all(|it| matches!(it, b' '..=b'~'));
    let value = is_printable.then(|| HeaderValue::from_str(text));
    value?.ok()
}

/// Sets a key of the protocol. What is not printable ASCII is a question mark: where it matters it is elsewhere too.
pub(super) fn set(metadata: &mut HeaderMap, name: &'static str, text: &str) {
    let printable = |it: char| if matches!(it, ' '..='~') { it } else { '?' };
    let line: String = text.chars().map(printable).collect();
    let value = HeaderValue::from_str(&line).expect("printable ASCII is a value");
    metadata.insert(name, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_protocols_own_is_neither_taken_in_nor_let_out() {
        let mut metadata = HeaderMap::new();
        let sent = [
            ("X-Tenant", "a"),
            ("x-tenant", "b"),
            ("rpc-caller", "me"),
            ("grpc-status", "0"),
            ("omnirelay-status", "OK"),
            ("te", "trailers"),
            ("x-name", "blau ü"),
        ];
        send(sent, &mut metadata);
        assert_eq!(metadata.len(), 2);
        metadata.insert("rpc-caller", HeaderValue::from_static("me"));
        metadata.insert("x-opaque", HeaderValue::from_bytes(b"\xff").unwrap());
        metadata.insert("trace-bin", HeaderValue::from_static("AAE"));
        let received = received(&metadata);
        assert_eq!(
            received.iter().collect::<Vec<_>>(),
            [("x-tenant", "a"), ("x-tenant", "b"), ("trace-bin", "AAE")]
        );
    }

    #[test]
    fn a_text_with_line_ends_stays_one_value() {
        let mut metadata = HeaderMap::new();
        set(&mut metadata, names::ERROR_MESSAGE, "a\r\ngrpc-status: 0 ü");
        let value = metadata.get(names::ERROR_MESSAGE).unwrap();
        assert_eq!(value, "a??grpc-status: 0 ?");
    }
}
