//! [`Headers`]: what is shown to the collector with every request.

use std::fmt;

use percent_encoding::percent_decode_str;
use tonic::metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue};

/// What is shown to the collector with every request, such as a token. `Debug` shows the names alone.
#[derive(Clone, Default)]
pub struct Headers(Vec<(MetadataKey<Ascii>, MetadataValue<Ascii>)>);

/// A text of headers that cannot be read. What it says names no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadersError {
    /// Something is no header.
    #[error(
        "header {position} has no name, or no `=` behind it; write headers as `name=value`, one a line or with commas between"
    )]
    Shape {
        /// Which one, counted from 1.
        position: usize,
    },
    /// A name cannot be that of a header.
    #[error(
        "the name of header {position} is none, or is kept for gRPC; use letters, digits, `-`, `_` and `.`"
    )]
    Name {
        /// Which one, counted from 1.
        position: usize,
    },
    /// A value cannot be sent.
    #[error(
        "the value of header {name:?} has what cannot be sent; write it as printable ASCII, other characters as `%` and two digits"
    )]
    Value {
        /// Of which one.
        name: String,
    },
    /// There is none.
    #[error(
        "there is no header in it; write headers as `name=value`, one a line or with commas between"
    )]
    Empty,
}

impl Headers {
    /// Reads headers as `name=value`, one a line or with commas between, as in the variable `OTEL_EXPORTER_OTLP_HEADERS`: in a value
    /// `%2C` is a comma, and so on. Lines that begin with `#` say nothing.
    ///
    /// # Errors
    ///
    /// [`HeadersError`] for the first that cannot be sent.
    pub fn parse(text: &str) -> Result<Self, HeadersError> {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|it| !it.starts_with('#'));
        let parts = lines.flat_map(|it| it.split(',')).map(str::trim);
        let mut headers = Vec::new();
        for (place, part) in parts.filter(|it| !it.is_empty()).enumerate() {
            headers.push(header(place + 1, part)?);
        }
        match headers.is_empty() {
            true => Err(HeadersError::Empty),
            false => Ok(Self(headers)),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add_to(&self, metadata: &mut MetadataMap) {
        for (name, value) in &self.0 {
            metadata.insert(name.clone(), value.clone());
        }
    }
}

fn header(
    position: usize,
    text: &str,
) -> Result<(MetadataKey<Ascii>, MetadataValue<Ascii>), HeadersError> {
    let (name, value) = text
        .split_once('=')
        .ok_or(HeadersError::Shape { position })?;
    let name = name.trim().to_lowercase();
    if name.is_empty() {
        return Err(HeadersError::Shape { position });
    }
    let is_ours =
        name.starts_with("grpc-") || ["content-type", "te", "user-agent"].contains(&&*name);
    let key = MetadataKey::from_bytes(name.as_bytes()).ok();
    let key = key
        .filter(|_| !is_ours)
        .ok_or(HeadersError::Name { position })?;
    let decoded = percent_decode_str(value.trim()).decode_utf8().ok();
    let value = decoded.and_then(|it| MetadataValue::try_from(&*it).ok());
    let mut value = value.ok_or(HeadersError::Value { name })?;
    // Neither compressed with what others have sent, nor shown by `Debug`.
    value.set_sensitive(true);
    Ok((key, value))
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|(name, _)| name.as_str());
        f.debug_tuple("Headers")
            .field(&names.collect::<Vec<_>>())
            .finish()
    }
}

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(text: &str) -> Vec<(String, String)> {
        let headers = Headers::parse(text).expect("headers");
        let mut metadata = MetadataMap::new();
        headers.add_to(&mut metadata);
        let mut all: Vec<_> = headers
            .0
            .iter()
            .map(|(name, _)| {
                let value = metadata.get(name).expect("it was added");
                (name.to_string(), value.to_str().expect("ASCII").to_owned())
            })
            .collect();
        all.sort();
        all
    }

    #[test]
    fn headers_are_read_from_lines_and_between_commas() {
        let all = sent("# of the vendor\nApi-Key=abc=,x-team = blue\n\nx-more=a%2Cb\n");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            all,
            [
                pair("api-key", "abc="),
                pair("x-more", "a,b"),
                pair("x-team", "blue")
            ]
        );
    }

    #[test]
    fn what_cannot_be_sent_is_refused_and_no_value_is_named() {
        for (text, expected) in [
            ("", HeadersError::Empty),
            ("# nothing", HeadersError::Empty),
            ("a=1,secret", HeadersError::Shape { position: 2 }),
            ("=secret", HeadersError::Shape { position: 1 }),
            ("a b=secret", HeadersError::Name { position: 1 }),
            ("grpc-timeout=secret", HeadersError::Name { position: 1 }),
            ("blob-bin=secret", HeadersError::Name { position: 1 }),
            ("a=secret%0A", HeadersError::Value { name: "a".into() }),
            ("a=secret%FF", HeadersError::Value { name: "a".into() }),
        ] {
            let error = Headers::parse(text).expect_err(text);
            assert_eq!(error, expected, "{text}");
            assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
        }
    }

    #[test]
    fn no_value_is_shown() {
        let headers = Headers::parse("authorization=Bearer abc").expect("headers");
        assert_eq!(format!("{headers:?}"), r#"Headers(["authorization"])"#);
    }
}
