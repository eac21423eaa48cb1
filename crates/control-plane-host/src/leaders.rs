//! `/control/leaders` and `/control/events/leadership`: who leads, as this node knows, and what happens to that.

mod stream;

use std::sync::Arc;

use axum::extract::{Extension, Query, State};
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use diagnostics::Problem;
use diagnostics::server::Line;
use jiff::Timestamp;
use lifecycle_runtime::StatusWatch;
use mesh::leadership::{LeaderRow, Observer, Snapshot};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::leaders::stream::{Ending, Stream};

/// The schema of the document; a mere addition keeps it.
const SCHEMA: &str = "v1";

/// How many streams are open at once, on both listeners together.
const STREAMS: usize = 32;

/// Where answers come from.
#[derive(Clone)]
pub(crate) struct Leaders {
    /// Nobody leads anything when leadership is switched off, or is not to be shown.
    observer: Option<Observer>,
    status: StatusWatch,
    /// One permit for each stream.
    streams: Arc<Semaphore>,
}

impl Leaders {
    pub(crate) fn new(observer: Option<Observer>, status: StatusWatch) -> Self {
        Self {
            observer,
            status,
            streams: Arc::new(Semaphore::new(STREAMS)),
        }
    }

    /// The routes, the same on each listener.
    pub(crate) fn routes(&self) -> Router {
        Router::new()
            .route("/control/leaders", get(list))
            .route("/control/events/leadership", get(open))
            .with_state(self.clone())
    }
}

/// Who leads.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: &'static str,
    generated_at: String,
    /// `null` when leadership is switched off, or is not to be shown.
    local_node_id: Option<String>,
    leaders: Vec<LeaderRow>,
}

impl From<Option<Snapshot>> for Document {
    fn from(snapshot: Option<Snapshot>) -> Self {
        let (local_node_id, leaders) = match snapshot {
            Some(it) => (Some(it.local_node_id), it.leaders),
            None => (None, Vec::new()),
        };
        Self {
            schema_version: SCHEMA,
            generated_at: format!("{:.3}", Timestamp::now()),
            local_node_id,
            leaders,
        }
    }
}

/// What a client wants to know.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    scope: Option<String>,
}

impl Wanted {
    /// The scope that alone is wanted, if there is one.
    fn scope(&self) -> Option<&str> {
        let scope = self.scope.as_deref().map(str::trim);
        scope.filter(|it| !it.is_empty())
    }
}

async fn list(State(leaders): State<Leaders>, Query(wanted): Query<Wanted>) -> Json<Document> {
    let snapshot = leaders.observer.map(|it| it.snapshot());
    let snapshot = snapshot.map(|it| match wanted.scope() {
        Some(scope) => it.only(scope),
        None => it,
    });
    Json(snapshot.into())
}

async fn open(
    State(leaders): State<Leaders>,
    Query(wanted): Query<Wanted>,
    line: Option<Extension<Line>>,
) -> Response {
    let Ok(permit) = leaders.streams.try_acquire_owned() else {
        let detail = "all event streams are taken; close one, or ask for /control/leaders";
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        return ([(RETRY_AFTER, "5")], problem).into_response();
    };
    let ending = match line {
        Some(Extension(line)) => Ending::of_line(line),
        None => Ending::of_drain(leaders.status),
    };
    let events = leaders.observer.map(|it| it.subscribe());
    let events = events.map(|it| match wanted.scope() {
        Some(scope) => it.only(scope),
        None => it,
    });
    Stream::new(events, ending, permit).into_response()
}
