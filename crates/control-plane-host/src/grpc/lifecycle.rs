//! `controlplane.v1.LifecycleService`.

use std::pin::Pin;
use std::sync::Arc;

use futures_core::Stream;
use futures_util::stream;
use lifecycle_runtime::Handle;
use tonic::{Request, Response, Status, async_trait};

use crate::grpc::feed::{Feed, instance};
use crate::grpc::v1::lifecycle_service_server::LifecycleService;
use crate::grpc::v1::{WatchRequest, WatchResponse};
use crate::grpc::{Line, Stay, stopping};

/// Tells of one orchestrator.
#[derive(Debug)]
pub(super) struct Lifecycles {
    handle: Handle,
    instance: u64,
    line: Arc<Line>,
}

impl Lifecycles {
    pub(super) fn new(handle: Handle, line: Arc<Line>) -> Self {
        Self {
            handle,
            instance: instance(),
            line,
        }
    }
}

type Told = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

#[async_trait]
impl LifecycleService for Lifecycles {
    type WatchStream = Told;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Told>, Status> {
        self.line.admit(&request).await?;
        let stay = self.line.begin(&self.line.watchers)?;
        let after = request.into_inner().after;
        let feed = Feed::begin(self.handle.clone(), self.instance, after).await?;
        let told = stream::try_unfold((feed, stay), async |(mut feed, stay)| {
            let next = next(&mut feed, &stay).await?;
            Ok(Some((next, (feed, stay))))
        });
        Ok(Response::new(Box::pin(told)))
    }
}

/// The next thing that is told; fails when the listener stops.
async fn next(feed: &mut Feed, stay: &Stay) -> Result<WatchResponse, Status> {
    let next = stay.run.run_until_cancelled(feed.next()).await;
    next.unwrap_or_else(|| Err(stopping()))
}
