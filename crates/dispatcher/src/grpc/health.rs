//! `grpc.health.v1.Health`: whether calls are wanted here, by gRPC's own protocol.

use std::pin::Pin;

use futures_core::Stream;
use futures_util::stream;
use http::Uri;
use lifecycle_core::engine::OrchestratorState;
use lifecycle_runtime::StatusWatch;
use tonic::{Request, Response, Status, async_trait};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::dispatcher::Dispatcher;

const PREFIX: &str = "/grpc.health.v1.Health/";

/// The most that a question may have, in bytes: a name.
const QUESTION_BYTES: usize = 4096;

pub(super) type Probes = HealthServer<Readiness>;

/// Answers probes: serving while the host is ready, which it is not while it is drained. Which service is asked for makes no
/// difference.
pub(super) fn probes(dispatcher: Dispatcher) -> Probes {
    HealthServer::new(Readiness(dispatcher)).max_decoding_message_size(QUESTION_BYTES)
}

/// Whether a request to `uri` is one. It is answered while drained, too.
pub(super) fn is_probe(uri: &Uri) -> bool {
    uri.path().starts_with(PREFIX)
}

#[derive(Debug)]
pub(super) struct Readiness(Dispatcher);

type Changes = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

#[async_trait]
impl Health for Readiness {
    type WatchStream = Changes;

    async fn check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let is_ready = self.0.status_watch().is_some_and(|mut it| it.get().ready);
        Ok(Response::new(answer(is_ready)))
    }

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Changes>, Status> {
        let changes: Changes = match self.0.status_watch() {
            Some(watch) => Box::pin(changes(watch)),
            // Nobody has said whose state it would be.
            None => Box::pin(stream::iter([Ok(answer(false))])),
        };
        Ok(Response::new(changes))
    }
}

/// What holds now, and each change of it, until a stop: whoever watched longer would hold it up.
fn changes(watch: StatusWatch) -> impl Stream<Item = Result<HealthCheckResponse, Status>> + Send {
    stream::unfold((watch, None), |(mut watch, told)| async move {
        let is_news =
            |it: &lifecycle_runtime::Status| told != Some(it.ready) || is_ending(it.state);
        let status = watch.wait_for(is_news).await.ok()?;
        if told == Some(status.ready) {
            return None;
        }
        Some((Ok(answer(status.ready)), (watch, Some(status.ready))))
    })
}

fn is_ending(state: OrchestratorState) -> bool {
    matches!(
        state,
        OrchestratorState::Stopping | OrchestratorState::Stopped
    )
}

fn answer(is_ready: bool) -> HealthCheckResponse {
    let status = match is_ready {
        true => ServingStatus::Serving,
        false => ServingStatus::NotServing,
    };
    HealthCheckResponse {
        status: status.into(),
    }
}
