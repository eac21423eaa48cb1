//! [`Proto`]: messages of protocol buffers.

use bytes::Bytes;
use prost::Message;

use super::{Codec, CodecError, Encoding, is_one_of};

/// Protocol buffers, for every type that prost has generated: `proto`, also by the names `protobuf`, `application/protobuf` and
/// `application/x-protobuf`.
///
/// A message is at most 100 messages deep. Fields that the type does not know are passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proto;

/// Every name that callers know it by.
const NAMES: &[&str] = &[
    "proto",
    "protobuf",
    "application/protobuf",
    "application/x-protobuf",
];

impl Encoding for Proto {
    fn name(&self) -> &'static str {
        "proto"
    }

    fn select(&self, encoding: &str) -> Option<Self> {
        is_one_of(encoding, NAMES).then_some(Self)
    }
}

impl<T: Message + Default> Codec<T> for Proto {
    fn encode(&self, value: &T) -> Result<Bytes, CodecError> {
        Ok(value.encode_to_vec().into())
    }

    fn decode(&self, message: Bytes) -> Result<T, CodecError> {
        // What prost says may have pieces of the message in it.
        T::decode(message).map_err(|_| CodecError::new("it is no message of that type"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, PartialEq, Message)]
    struct Node {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(message, optional, boxed, tag = "2")]
        inner: Option<Box<Self>>,
    }

    fn nested(depth: usize) -> Node {
        (0..depth).fold(Node::default(), |inner, _| Node {
            inner: Some(Box::new(inner)),
            ..Node::default()
        })
    }

    fn read(message: impl Into<Bytes>) -> Result<Node, CodecError> {
        Proto.decode(message.into())
    }

    #[test]
    fn it_goes_by_four_names() {
        for name in NAMES {
            assert_eq!(Proto.select(name), Some(Proto), "{name}");
        }
        assert_eq!(Proto.select("json"), None);
    }

    #[test]
    fn what_is_written_is_read_and_nothing_is_a_message_too() {
        let node = Node {
            name: "Blacky".to_owned(),
            ..nested(2)
        };
        let written = Proto.encode(&node).unwrap();
        assert_eq!(read(written), Ok(node));
        assert_eq!(read(Bytes::new()), Ok(Node::default()));
    }

    #[test]
    fn what_lies_about_its_length_is_refused_without_the_room_that_it_claims() {
        let claims = [0x0a, 0xff, 0xff, 0xff, 0xff, 0x07, b'h'];
        let error = read(claims.to_vec()).unwrap_err();
        assert_eq!(error, CodecError::new("it is no message of that type"));
        assert!(read(&b"\x0a\x02\xff\xfe"[..]).is_err(), "no UTF-8");
    }

    #[test]
    fn what_is_too_deep_is_refused_before_the_stack_ends() {
        let write = |depth| Proto.encode(&nested(depth)).unwrap();
        assert!(read(write(100)).is_ok());
        assert!(read(write(101)).is_err());
    }
}
