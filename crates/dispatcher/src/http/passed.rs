//! The headers that are the call's own, between the protocol and [`Headers`].

use http::header::CONNECTION;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::names;
use crate::headers::Headers;

/// What came with a request or an answer, but the headers of the protocol, of the connection, and those that `Connection` says
/// are the connection's (RFC 9110, 7.6.1). What is no text, or no header by our rule, is left out.
pub(super) fn received(headers: &HeaderMap) -> Headers {
    let mut received = Headers::new();
    for (name, value) in headers {
        let is_passed = names::is_passed(name.as_str()) && !is_of_the_connection(headers, name);
        if let (true, Ok(value)) = (is_passed, std::str::from_utf8(value.as_bytes())) {
            let _ = received.append(name.as_str(), value);
        }
    }
    received
}

/// What goes with a request or an answer, but the headers of the protocol and of the connection.
pub(super) fn sent(headers: &Headers) -> HeaderMap {
    let mut sent = HeaderMap::new();
    for (name, value) in headers.iter().filter(|(name, _)| names::is_passed(name)) {
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_bytes(value.as_bytes());
        if let (Ok(name), Ok(value)) = (name, value) {
            sent.append(name, value);
        }
    }
    sent
}

fn is_of_the_connection(headers: &HeaderMap, name: &HeaderName) -> bool {
    let options = headers.get_all(CONNECTION).iter();
    let mut options = options.filter_map(|it| it.to_str().ok()?.split(',').map(str::trim).into());
    options.any(|mut it| it.any(|option| option.eq_ignore_ascii_case(name.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_the_connection_is_not_passed_whoever_says_so() {
        let mut map = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Hop"),
            ("connection", "x-other"),
            ("x-hop", "1"),
            ("x-other", "2"),
            ("te", "trailers"),
            ("rpc-caller", "me"),
            ("x-end", "3"),
        ] {
            map.append(name, HeaderValue::from_static(value));
        }
        let received = received(&map);
        assert_eq!(received.iter().collect::<Vec<_>>(), [("x-end", "3")]);
        assert_eq!(sent(&received).len(), 1);
    }
}
