//! tonic's client, with messages as they are.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use futures_core::Stream;
use futures_util::stream;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder, Streaming};
use tonic::metadata::{AsciiMetadataKey, MetadataMap};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

/// No call of a test takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone)]
pub(super) struct Client(tonic::client::Grpc<Channel>);

/// What came of a call, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) metadata: MetadataMap,
    pub(super) messages: Vec<String>,
    pub(super) trailers: MetadataMap,
}

impl Client {
    pub(super) async fn connected(address: SocketAddr) -> Self {
        let endpoint = Endpoint::new(format!("http://{address}")).expect("an address");
        Self(tonic::client::Grpc::new(
            endpoint.connect().await.expect("it listens"),
        ))
    }

    /// The same, which compresses its messages, and takes such.
    pub(super) fn compressing(self) -> Self {
        let gzip = tonic::codec::CompressionEncoding::Gzip;
        Self(self.0.send_compressed(gzip).accept_compressed(gzip))
    }

    /// The same, which takes compressed messages.
    pub(super) fn accepting_compressed(self) -> Self {
        Self(
            self.0
                .accept_compressed(tonic::codec::CompressionEncoding::Gzip),
        )
    }

    /// Begins a call of any shape; the messages go out as they come.
    pub(super) async fn open(
        &self,
        path: &str,
        metadata: &[(&str, &str)],
        messages: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Result<Response<Streaming<Bytes>>, Status> {
        let mut request = Request::new(messages);
        for (name, value) in metadata {
            let name: AsciiMetadataKey = name.parse().expect("a key");
            let value = value.parse().expect("a value");
            request.metadata_mut().append(name, value);
        }
        let mut grpc = self.0.clone();
        grpc.ready().await.expect("it is connected");
        let path = path.parse().expect("a path");
        let answer = tokio::time::timeout(PATIENCE, grpc.streaming(request, path, Raw)).await;
        answer.expect("within the deadline")
    }

    /// Makes a call of any shape, and reads the answer to its end.
    pub(super) async fn call(
        &self,
        path: &str,
        metadata: &[(&str, &str)],
        messages: &[&str],
    ) -> Result<Answer, Status> {
        let messages = messages.iter().map(|it| Bytes::from((*it).to_owned()));
        let messages = stream::iter(messages.collect::<Vec<_>>());
        let answer = self.open(path, metadata, messages).await?;
        let read = tokio::time::timeout(PATIENCE, Answer::read(answer)).await;
        read.expect("within the deadline")
    }

    /// The one message that a call is answered with.
    pub(super) async fn unary(&self, path: &str, message: &str) -> Result<String, Status> {
        let answer = self.call(path, &[], &[message]).await?;
        assert_eq!(answer.messages.len(), 1);
        Ok(answer.messages.concat())
    }
}

impl Answer {
    async fn read(answer: Response<Streaming<Bytes>>) -> Result<Self, Status> {
        let (metadata, mut body, _) = answer.into_parts();
        let mut messages = Vec::new();
        while let Some(message) = body.message().await? {
            messages.push(String::from_utf8(message.to_vec()).expect("text"));
        }
        let trailers = body.trailers().await?.unwrap_or_default();
        Ok(Self {
            metadata,
            messages,
            trailers,
        })
    }
}

/// The text of a key that is there once.
#[track_caller]
pub(super) fn text<'a>(metadata: &'a MetadataMap, name: &str) -> Option<&'a str> {
    let mut values = metadata.get_all(name).iter();
    let first = values.next().map(|it| it.to_str().expect("text"));
    assert_eq!(values.next(), None, "{name} is there once");
    first
}

#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
