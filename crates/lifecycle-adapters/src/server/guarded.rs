//! [`Guarded`]: a service behind its door.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::service::Service;
use hyper::{Request, Response, Version};
use pin_project_lite::pin_project;

use crate::server::Terms;
use crate::server::activity::{Activity, Order};
use crate::server::counted::Counted;
use crate::server::intake::Ticket;
use crate::server::refusal::refusal;
#[cfg(feature = "tls")]
use crate::tls::PeerCertificate;

/// Where a request came from; an extension of each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(
    /// The other end of the connection: the client, or what stands in between.
    pub SocketAddr,
);

/// Counts each request in and out, or refuses it.
pub(crate) struct Guarded<S> {
    pub(crate) service: S,
    pub(crate) peer: SocketAddr,
    /// Of a client that was asked for one.
    #[cfg(feature = "tls")]
    pub(crate) certificate: Option<PeerCertificate>,
    pub(crate) activity: Arc<Activity>,
    pub(crate) terms: Arc<Terms>,
}

impl<S, B> Service<Request<Incoming>> for Guarded<S>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
{
    type Response = Response<Counted<B>>;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        self.activity.asked();
        let is_exempt = (self.terms.exempt)(&request);
        let ticket = match is_exempt {
            true => None,
            false => match self.terms.intake.admit(&self.activity) {
                Some(ticket) => Some(ticket),
                None => return self.refuse(&request),
            },
        };
        self.introduce(&mut request);
        Answering::Served {
            version: request.version(),
            answer: self.service.call(request),
            activity: Arc::clone(&self.activity),
            ticket,
        }
    }
}

impl<S> Guarded<S> {
    fn refuse<F>(&self, request: &Request<Incoming>) -> Answering<F> {
        let mut answer = refusal(request);
        mark_last(&mut answer, request.version(), &self.activity);
        Answering::Refused {
            answer: Some(answer),
        }
    }

    fn introduce(&self, request: &mut Request<Incoming>) {
        let extensions = request.extensions_mut();
        extensions.insert(Peer(self.peer));
        #[cfg(feature = "tls")]
        if let Some(certificate) = &self.certificate {
            extensions.insert(certificate.clone());
        }
        #[cfg(feature = "axum")]
        extensions.insert(axum::extract::ConnectInfo(self.peer));
    }
}

pin_project! {
    /// An answer to be.
    #[project = AnsweringProjection]
    pub(crate) enum Answering<F> {
        Served {
            #[pin]
            answer: F,
            activity: Arc<Activity>,
            ticket: Option<Ticket>,
            version: Version,
        },
        Refused {
            answer: Option<Response<()>>,
        },
    }
}

impl<F, B, E> Future for Answering<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Counted<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            AnsweringProjection::Served {
                answer,
                activity,
                ticket,
                version,
            } => {
                let mut answer = ready!(answer.poll(cx))?;
                let ticket = ticket.take();
                // Let in before the door was closed: the next request would not be.
                if ticket.as_ref().is_some_and(Ticket::is_last) {
                    mark_last(&mut answer, *version, activity);
                }
                Poll::Ready(Ok(answer.map(|body| Counted::new(body, ticket))))
            }
            AnsweringProjection::Refused { answer } => {
                let answer = answer.take().expect("a future is polled until it is ready");
                Poll::Ready(Ok(answer.map(|()| Counted::none())))
            }
        }
    }
}

/// Tells the client that this is the last answer on its connection: over HTTP/1.1 the answer says so, over HTTP/2 the
/// connection does.
fn mark_last<B>(answer: &mut Response<B>, version: Version, activity: &Activity) {
    if version < Version::HTTP_2 {
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(CONNECTION, close);
    }
    activity.order(Order::Finish);
}
