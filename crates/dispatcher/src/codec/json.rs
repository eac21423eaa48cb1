//! [`Json`]: values that serde knows.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::{Codec, CodecError, Encoding, is_one_of};

/// JSON, for every type that serde can write and read: `json`, also by the name `application/json`.
///
/// A message is one document, with nothing but white space around it, and at most 127 arrays and objects deep. An empty message is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json;

impl Encoding for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn select(&self, encoding: &str) -> Option<Self> {
        is_one_of(encoding, &["json", "application/json"]).then_some(Self)
    }
}

impl<T: Serialize + DeserializeOwned> Codec<T> for Json {
    fn encode(&self, value: &T) -> Result<Bytes, CodecError> {
        // What serde says may quote the value.
        let written = serde_json::to_vec(value);
        written
            .map(Bytes::from)
            .map_err(|_| CodecError::new("the value has no form in it"))
    }

    fn decode(&self, message: Bytes) -> Result<T, CodecError> {
        serde_json::from_slice(&message).map_err(|it| unreadable(&it))
    }
}

/// What is wrong and where. What serde says itself quotes the message.
fn unreadable(error: &serde_json::Error) -> CodecError {
    let what = match error.classify() {
        Category::Eof => "it ends too early",
        Category::Data => "it has another form than is expected",
        Category::Syntax | Category::Io => "it is no such document, or too deep",
    };
    let (line, column) = (error.line(), error.column());
    CodecError::new(format!("{what}, at line {line}, column {column}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;

    fn refusal<T: Serialize + DeserializeOwned>(message: &str) -> String {
        let message = Bytes::copy_from_slice(message.as_bytes());
        let read = Codec::<T>::decode(&Json, message);
        read.err().expect("it is refused").to_string()
    }

    #[test]
    fn it_goes_by_two_names() {
        for name in ["json", "Json", "application/json; charset=utf-8"] {
            assert_eq!(Json.select(name), Some(Json), "{name}");
        }
        for name in ["", "text", "application/jsonl", "proto"] {
            assert_eq!(Json.select(name), None, "{name}");
        }
    }

    #[test]
    fn a_refusal_says_what_and_where_and_quotes_nothing() {
        let form = "it has another form than is expected, at line 1";
        assert_eq!(refusal::<u8>("\"hunter2\""), format!("{form}, column 9"));
        assert_eq!(refusal::<u8>("70000"), format!("{form}, column 5"));
        let cut = refusal::<Vec<u8>>("[1,\n2");
        assert_eq!(cut, "it ends too early, at line 2, column 1");
        let twice = refusal::<u8>("1 2");
        assert_eq!(
            twice,
            "it is no such document, or too deep, at line 1, column 3"
        );
        assert_eq!(
            refusal::<Value>(""),
            "it ends too early, at line 1, column 0"
        );
    }

    #[test]
    fn what_is_too_deep_is_refused_before_the_stack_ends() {
        let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
        let read = |text: String| Codec::<Value>::decode(&Json, text.into());
        assert!(read(nested(127)).is_ok());
        assert!(read(nested(128)).is_err());
        assert!(read("[".repeat(1_000_000)).is_err());
    }

    #[test]
    fn a_value_without_a_form_is_not_written_and_not_quoted() {
        let value = BTreeMap::from([(vec![1], 2)]);
        let error = Json.encode(&value).unwrap_err();
        assert_eq!(error, CodecError::new("the value has no form in it"));
    }
}
