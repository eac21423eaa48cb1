//! [`Link`]: the way to a collector.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time;
use tonic::transport::{Channel, Uri};
use tonic::{Code, Request, Status};
use tower_service::Service;

use super::headers::Headers;
use super::settings::{Endpoint, Settings};
use crate::tls::{Alpn, ClientConnector, ClientTls};

/// How often a connection is asked whether the other side is still there, and how long that may take.
const PING: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// The way to a collector: one connection, opened when it is first needed, and again when it is lost.
pub(super) struct Link {
    client: TraceServiceClient<Channel>,
    headers: Headers,
    timeout: Duration,
}

/// What became of a batch that has arrived: how many of its spans were not taken, and why.
pub(super) struct Receipt {
    pub(super) rejected: u64,
    pub(super) why: String,
}

impl Link {
    /// Opens nothing. Must be called in the runtime that is to have the connection.
    pub(super) fn new(settings: &Settings) -> Self {
        let tls = settings.tls.as_ref();
        let connector = Connector {
            endpoint: settings.endpoint.clone(),
            tls: tls.map(|it| Arc::new(Trust::new(it.clone()))),
        };
        let origin: Uri = settings.endpoint.to_string().parse().expect("it was one");
        // TLS is the connector's, of which a channel knows nothing: it would refuse to connect to `https` by itself.
        let near = Channel::from_static("http://collector").origin(origin);
        let channel = near
            .connect_timeout(settings.timeout)
            .http2_keep_alive_interval(PING)
            .keep_alive_timeout(PING_TIMEOUT)
            .connect_with_connector_lazy(connector);
        Self {
            client: TraceServiceClient::new(channel),
            headers: settings.headers.clone(),
            timeout: settings.timeout,
        }
    }

    /// Sends a batch, and waits for the answer.
    ///
    /// # Errors
    ///
    /// The collector's answer, or [`Code::Unavailable`] when there is none in time.
    pub(super) async fn send(
        &mut self,
        batch: ExportTraceServiceRequest,
    ) -> Result<Receipt, Status> {
        let mut request = Request::new(batch);
        self.headers.add_to(request.metadata_mut());
        let answer = time::timeout(self.timeout, self.client.export(request)).await;
        let answer = answer.map_err(|_| Status::unavailable("no answer in time"))??;
        let rejection = answer.into_inner().partial_success.unwrap_or_default();
        Ok(Receipt {
            rejected: u64::try_from(rejection.rejected_spans).unwrap_or_default(),
            why: rejection.error_message,
        })
    }
}

/// Whether the same batch may be taken another time, by the protocol's own table.
pub(super) fn is_passing(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
    )
}

/// Opens connections to the collector, whatever it is asked for.
struct Connector {
    endpoint: Endpoint,
    /// Unset, clear text is spoken.
    tls: Option<Arc<Trust>>,
}

/// Whom to trust, read when there is somebody to be trusted, and again at its interval from then on.
struct Trust {
    tls: ClientTls,
    opened: OnceCell<ClientConnector>,
}

impl Trust {
    const fn new(tls: ClientTls) -> Self {
        Self {
            tls,
            opened: OnceCell::const_new(),
        }
    }

    async fn connector(&self) -> io::Result<&ClientConnector> {
        let open = async || {
            let connector = self.tls.connector(Alpn::Http2, "traces", |_| {}).await;
            let connector = connector.map_err(io::Error::other)?;
            let watched = connector.clone();
            tokio::spawn(async move { watched.watch().await });
            Ok(connector)
        };
        self.opened.get_or_try_init(open).await
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

type Connected = TokioIo<Box<dyn Stream>>;

impl Service<Uri> for Connector {
    type Response = Connected;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Connected>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let (endpoint, tls) = (self.endpoint.clone(), self.tls.clone());
        Box::pin(async move { Ok(TokioIo::new(connect(&endpoint, tls).await?)) })
    }
}

async fn connect(endpoint: &Endpoint, tls: Option<Arc<Trust>>) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect((endpoint.bare_host(), endpoint.port)).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = tls else {
        return Ok(Box::new(stream));
    };
    let connector = tls.connector().await?;
    Ok(Box::new(connector.connect(&endpoint.host, stream).await?))
}
