//! [`Either`]: one of two encodings, by what the message says.

use bytes::Bytes;

use super::{Codec, CodecError, Encoding};

/// One of two encodings, chosen by what came with a message; [`Encoding::or`] makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Either<A, B> {
    first: A,
    second: B,
    chosen: Chosen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chosen {
    First,
    Second,
}

impl<A, B> Either<A, B> {
    pub(super) const fn new(first: A, second: B) -> Self {
        let chosen = Chosen::First;
        Self {
            first,
            second,
            chosen,
        }
    }
}

impl<A: Encoding, B: Encoding> Encoding for Either<A, B> {
    fn name(&self) -> &'static str {
        match self.chosen {
            Chosen::First => self.first.name(),
            Chosen::Second => self.second.name(),
        }
    }

    fn select(&self, encoding: &str) -> Option<Self> {
        let mut selected = self.clone();
        if let Some(first) = self.first.select(encoding) {
            (selected.first, selected.chosen) = (first, Chosen::First);
            return Some(selected);
        }
        let second = self.second.select(encoding)?;
        (selected.second, selected.chosen) = (second, Chosen::Second);
        Some(selected)
    }
}

impl<T, A: Codec<T>, B: Codec<T>> Codec<T> for Either<A, B> {
    fn encode(&self, value: &T) -> Result<Bytes, CodecError> {
        match self.chosen {
            Chosen::First => self.first.encode(value),
            Chosen::Second => self.second.encode(value),
        }
    }

    fn decode(&self, message: Bytes) -> Result<T, CodecError> {
        match self.chosen {
            Chosen::First => self.first.decode(message),
            Chosen::Second => self.second.decode(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Json, Proto, Raw};
    use super::*;

    #[test]
    fn the_name_of_the_message_chooses_and_without_one_it_is_the_first() {
        let codec = Json.or(Proto);
        let named = |encoding| codec.select(encoding).map(|it| it.name());
        assert_eq!(codec.name(), "json");
        assert_eq!(named("JSON"), Some("json"));
        assert_eq!(named("proto"), Some("proto"));
        assert_eq!(named("raw"), None);
        let three = codec.or(Raw);
        assert_eq!(three.select("proto").unwrap().name(), "proto");
        assert_eq!(three.select("raw").unwrap().name(), "raw");
    }

    #[test]
    fn what_was_chosen_writes_and_reads() {
        let codec = Json.or(Proto);
        let value = "pet".to_owned();
        let json = codec.encode(&value).unwrap();
        assert_eq!(json, "\"pet\"");
        let proto = codec.select("proto").unwrap();
        let written = proto.encode(&value).unwrap();
        assert_eq!(written, "\n\x03pet");
        assert_eq!(proto.decode(written), Ok(value.clone()));
        assert_eq!(proto.select("json").unwrap().decode(json), Ok(value));
    }
}
