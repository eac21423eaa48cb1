//! One connection, from its first byte to its end.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::{Body, Incoming};
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use lifecycle_core::{BoxError, BoxFuture};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::limits::Limits;
use crate::server::Terms;
use crate::server::activity::{Activity, Order};
use crate::server::guarded::Guarded;
#[cfg(feature = "tls")]
use crate::server::handshake::handshake;
use crate::server::streams::Streams;

/// A service whose type is forgotten, once a connection instead of once a request.
pub(crate) trait Serve: Send + Sync {
    /// Serves one connection until it ends, or until `activity` is ordered to.
    fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        activity: Arc<Activity>,
        terms: Arc<Terms>,
    ) -> BoxFuture<'static, ()>;
}

/// A hyper service to be [`Serve`]d.
pub(crate) struct Hyper<S>(pub(crate) S);

impl<S, B> Serve for Hyper<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        activity: Arc<Activity>,
        terms: Arc<Terms>,
    ) -> BoxFuture<'static, ()> {
        let service = Guarded {
            service: self.0.clone(),
            peer,
            #[cfg(feature = "tls")]
            certificate: None,
            activity: Arc::clone(&activity),
            terms: Arc::clone(&terms),
        };
        Box::pin(serve(stream, service, activity, terms))
    }
}

/// Serves a connection, once it is clear what is spoken beneath HTTP.
async fn serve<S, B>(
    stream: TcpStream,
    service: Guarded<S>,
    activity: Arc<Activity>,
    terms: Arc<Terms>,
) where
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    // Answers are flushed whole: waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    #[cfg(feature = "tls")]
    if let Some(tls) = &terms.tls {
        let mut service = service;
        let wire = Wire::new(stream, &activity, BELOW_TLS);
        let shaken = handshake(tls, wire, service.peer, &activity, terms.limits.head).await;
        let Some((stream, certificate)) = shaken else {
            return;
        };
        service.certificate = certificate;
        let wire = Wire::new(stream, &activity, ABOVE_TLS);
        return speak(wire, service, activity, terms).await;
    }
    let wire = Wire::new(stream, &activity, BOTH);
    speak(wire, service, activity, terms).await;
}

/// Speaks HTTP over `wire` until it ends, or until `activity` is ordered to.
async fn speak<W, S, B>(
    wire: Wire<W>,
    service: Guarded<S>,
    activity: Arc<Activity>,
    terms: Arc<Terms>,
) where
    W: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let streams = Streams::default();
    let protocol = protocol(&terms.limits, streams.clone());
    {
        let serving = protocol.serve_connection_with_upgrades(TokioIo::new(wire), service);
        let mut serving = pin!(serving);
        let ended = tokio::select! {
            biased;
            ended = serving.as_mut() => Some(ended),
            () = activity.ordered(Order::Finish) => {
                serving.as_mut().graceful_shutdown();
                tokio::select! {
                    biased;
                    () = activity.ordered(Order::Cut) => None,
                    ended = serving => Some(ended),
                    () = activity.lingered() => None,
                    () = activity.stalled_for(terms.limits.stall) => None,
                }
            }
            () = activity.silent_for(terms.limits.head) => None,
            () = activity.stalled_for(terms.limits.stall) => None,
        };
        if let Some(Err(error)) = ended {
            tracing::debug!(error, "a connection ended early");
        }
    }
    streams.end().await;
}

/// HTTP/1.1, and HTTP/2 for clients that begin with its preface.
fn protocol(limits: &Limits, streams: Streams) -> auto::Builder<Streams> {
    let head_bytes = limits.head_bytes();
    let mut protocol = auto::Builder::new(streams);
    protocol
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(head_bytes as usize);
    protocol
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(head_bytes)
        .keep_alive_interval(limits.ping_interval)
        .keep_alive_timeout(limits.ping_timeout);
    protocol
}

/// What a [`Wire`] notes.
#[derive(Clone, Copy, Debug)]
struct Notes {
    /// In clear text, so above TLS: it tells whether the client has said what it speaks.
    received: bool,
    /// Through the socket, so below TLS: it tells whether the client reads.
    sent: bool,
}

const BOTH: Notes = Notes {
    received: true,
    sent: true,
};
#[cfg(feature = "tls")]
const ABOVE_TLS: Notes = Notes {
    sent: false,
    ..BOTH
};
#[cfg(feature = "tls")]
const BELOW_TLS: Notes = Notes {
    received: false,
    ..BOTH
};

/// A stream that notes what passes.
pub(super) struct Wire<S> {
    stream: S,
    activity: Arc<Activity>,
    notes: Notes,
}

impl<S> Wire<S> {
    fn new(stream: S, activity: &Arc<Activity>, notes: Notes) -> Self {
        Self {
            stream,
            activity: Arc::clone(activity),
            notes,
        }
    }

    fn sent(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if !self.notes.sent {
            return polled;
        }
        if let Poll::Ready(Ok(bytes)) = polled {
            self.activity.sent(bytes);
        }
        self.activity.set_sending(polled.is_pending());
        polled
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if self.notes.received {
            self.activity.received(buffer.filled().len() - before);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.sent(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.sent(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
