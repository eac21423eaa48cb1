//! [`Link`]: a connection, in clear text or over TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use lifecycle_adapters::tls::ClientStream;
use tower::Service;

/// What hyper's own connector opens.
pub(super) type Plain = <HttpConnector as Service<Uri>>::Response;

pub(super) enum Link {
    Plain(Plain),
    /// It holds what rustls has read and not yet given away: much more than a socket.
    Tls(Box<TokioIo<ClientStream<TokioIo<Plain>>>>),
}

/// Does the same to the stream of either kind.
macro_rules! either {
    ($link:expr, $stream:ident => $does:expr) => {
        match $link.get_mut() {
            Link::Plain(stream) => {
                let $stream = Pin::new(stream);
                $does
            }
            Link::Tls(stream) => {
                let $stream = Pin::new(&mut **stream);
                $does
            }
        }
    };
}

impl Connection for Link {
    /// That HTTP/2 was agreed on is known before: it was asked for, or it is not spoken.
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Link {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_read(cx, buffer))
    }
}

impl Write for Link {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_shutdown(cx))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write_vectored(cx, bytes))
    }
}
