//! [`Raw`]: bytes as they are.

use bytes::Bytes;

use super::{Codec, CodecError, Encoding, is_one_of};

/// Bytes as they are: `raw`, also by the name `application/octet-stream`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Raw;

impl Encoding for Raw {
    fn name(&self) -> &'static str {
        "raw"
    }

    fn select(&self, encoding: &str) -> Option<Self> {
        is_one_of(encoding, &["raw", "application/octet-stream"]).then_some(Self)
    }
}

impl Codec<Bytes> for Raw {
    fn encode(&self, value: &Bytes) -> Result<Bytes, CodecError> {
        Ok(value.clone())
    }

    fn decode(&self, message: Bytes) -> Result<Bytes, CodecError> {
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_by_two_names_and_changes_nothing() {
        assert_eq!(Raw.select("RAW"), Some(Raw));
        assert_eq!(Raw.select("application/octet-stream"), Some(Raw));
        assert_eq!(Raw.select("json"), None);
        let bytes = Bytes::from_static(&[0, 255]);
        let written = Raw.encode(&bytes).unwrap();
        assert_eq!(written.as_ptr(), bytes.as_ptr(), "it is not copied");
        assert_eq!(Raw.decode(written), Ok(bytes));
    }
}
