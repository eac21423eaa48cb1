//! `controlplane.v1.LeadershipService`.

use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use futures_core::Stream;
use futures_util::stream;
use mesh::leadership::{LeaderRow, LeadershipEvent, Notice, Observer, Snapshot, Subscription};
use prost_types::Timestamp;
use tonic::{Request, Response, Status, async_trait};

use crate::grpc::v1;
use crate::grpc::v1::leadership_service_server::LeadershipService;
use crate::grpc::v1::subscribe_response::Told;
use crate::grpc::v1::{SubscribeRequest, SubscribeResponse};
use crate::grpc::{Line, Stay, stopping};

/// Tells who leads.
#[derive(Debug)]
pub(super) struct Leaderships {
    /// `None` where nobody leads anything.
    observer: Option<Observer>,
    line: Arc<Line>,
}

impl Leaderships {
    pub(super) fn new(observer: Option<Observer>, line: Arc<Line>) -> Self {
        Self { observer, line }
    }
}

type Notices = Pin<Box<dyn Stream<Item = Result<SubscribeResponse, Status>> + Send>>;

#[async_trait]
impl LeadershipService for Leaderships {
    type SubscribeStream = Notices;

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Notices>, Status> {
        self.line.admit(&request).await?;
        let stay = self.line.begin(&self.line.watchers)?;
        let scope = request.into_inner().scope;
        let events = self.observer.as_ref().map(Observer::subscribe);
        let events = events.map(|it| match scope.trim() {
            "" => it,
            scope => it.only(scope),
        });
        let reader = Reader {
            nobody: events.is_none(),
            events,
            stay,
        };
        let told = stream::try_unfold(reader, async |mut reader| {
            let told = Some(reader.next().await?);
            Ok(Some((SubscribeResponse { told }, reader)))
        });
        Ok(Response::new(Box::pin(told)))
    }
}

/// One reader's stream.
struct Reader {
    events: Option<Subscription>,
    /// Whether it is still to be told that nobody leads anything.
    nobody: bool,
    stay: Stay,
}

impl Reader {
    /// What is told next; fails when the listener stops.
    async fn next(&mut self) -> Result<Told, Status> {
        if std::mem::take(&mut self.nobody) {
            return Ok(Told::Snapshot(v1::Leaders {
                at: Some(SystemTime::now().into()),
                ..v1::Leaders::default()
            }));
        }
        let events = &mut self.events;
        let notice = async {
            match events {
                Some(events) => events.next().await,
                None => std::future::pending().await,
            }
        };
        let notice = self.stay.run.run_until_cancelled(notice).await;
        notice.flatten().map(told).ok_or_else(stopping)
    }
}

fn told(notice: Notice) -> Told {
    match notice {
        Notice::Snapshot(snapshot) => Told::Snapshot(leaders(snapshot)),
        Notice::Event(event) => Told::Event(happened(event)),
        Notice::Missed(missed) => Told::Missed(missed),
    }
}

fn leaders(snapshot: Snapshot) -> v1::Leaders {
    v1::Leaders {
        at: Some(snapshot.generated_at.into()),
        local_node_id: Some(snapshot.local_node_id),
        leaders: snapshot.leaders.into_iter().map(leader).collect(),
    }
}

fn leader(row: LeaderRow) -> v1::Leader {
    v1::Leader {
        scope: row.scope.to_string(),
        scope_kind: row.scope_kind.as_str().to_owned(),
        labels: row.labels.into_iter().collect(),
        leader_id: row.leader_id,
        is_local: row.is_local,
        term: row.term,
        fence_token: row.fence_token.map(|it| it.get()),
        issued_at: row.issued_at.map(Timestamp::from),
        expires_at: row.expires_at.map(Timestamp::from),
        issue: row.issue,
    }
}

fn happened(event: LeadershipEvent) -> v1::LeadershipEvent {
    v1::LeadershipEvent {
        kind: event.kind.as_str().to_owned(),
        at: Some(event.occurred_at.into()),
        scope: event.scope.to_string(),
        scope_kind: event.scope_kind.as_str().to_owned(),
        leader_id: event.leader_id,
        term: event.term,
        fence_token: event.fence_token.map(|it| it.get()),
        expires_at: event.expires_at.map(Timestamp::from),
        reason: event.reason,
        correlation_id: event.correlation_id,
    }
}
