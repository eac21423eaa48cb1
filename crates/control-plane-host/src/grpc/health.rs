//! `grpc.health.v1.Health`: whether this host is ready, by gRPC's own protocol.

use std::pin::Pin;
use std::sync::Arc;

use futures_core::Stream;
use futures_util::stream;
use lifecycle_runtime::StatusWatch;
use tonic::{Request, Response, Status, async_trait};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::grpc::{Line, QUESTION_BYTES, SERVICES, Stay, stopping};

pub(super) fn service(readiness: Readiness) -> HealthServer<Readiness> {
    HealthServer::new(readiness).max_decoding_message_size(QUESTION_BYTES)
}

/// Answers for the whole host: the empty name, and for what is served here.
#[derive(Debug)]
pub(super) struct Readiness {
    status: StatusWatch,
    line: Arc<Line>,
}

impl Readiness {
    pub(super) fn new(status: StatusWatch, line: Arc<Line>) -> Self {
        Self { status, line }
    }
}

fn is_known(service: &str) -> bool {
    service.is_empty() || SERVICES.contains(&service)
}

type Changes = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

#[async_trait]
impl Health for Readiness {
    type WatchStream = Changes;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !is_known(&request.get_ref().service) {
            return Err(Status::not_found("no such service is served here"));
        }
        let is_ready = self.status.clone().get().ready;
        Ok(Response::new(answer(serving(is_ready))))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Changes>, Status> {
        let stay = self.line.begin(&self.line.probes)?;
        let watcher = Watcher {
            status: self.status.clone(),
            stay,
            is_known: is_known(&request.get_ref().service),
            told: None,
        };
        let changes = stream::try_unfold(watcher, async |mut watcher| {
            let status = watcher.next().await?;
            Ok(Some((answer(status), watcher)))
        });
        Ok(Response::new(Box::pin(changes)))
    }
}

/// Says what holds, and each change of it.
struct Watcher {
    status: StatusWatch,
    stay: Stay,
    is_known: bool,
    told: Option<ServingStatus>,
}

impl Watcher {
    /// The next news; fails when the listener stops.
    async fn next(&mut self) -> Result<ServingStatus, Status> {
        let run = self.stay.run.clone();
        let news = run.run_until_cancelled(self.news()).await;
        let news = news.flatten().ok_or_else(stopping)?;
        self.told = Some(news);
        Ok(news)
    }

    /// `None` when nobody drives the orchestrator any more.
    async fn news(&mut self) -> Option<ServingStatus> {
        if !self.is_known {
            // The protocol wants it so: the service may be served later, for all that the client knows.
            return match self.told {
                None => Some(ServingStatus::ServiceUnknown),
                Some(_) => std::future::pending().await,
            };
        }
        let told = self.told;
        let changed = self.status.wait_for(|it| told != Some(serving(it.ready)));
        changed.await.ok().map(|it| serving(it.ready))
    }
}

fn serving(is_ready: bool) -> ServingStatus {
    match is_ready {
        true => ServingStatus::Serving,
        false => ServingStatus::NotServing,
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}
