//! `/control/leaders` and `/control/events/leadership`: who leads, as this node knows, and what happens to that.

mod stream;

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use diagnostics::server::Line;
use diagnostics::{Described, Problem};
use jiff::Timestamp;
use lifecycle_runtime::StatusWatch;
use mesh::leadership::{LeaderRow, Observer, Snapshot};
use schemars::JsonSchema;
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

/// What the routes answer.
pub(crate) fn described() -> [Described; 2] {
    let scope = &[("scope", "the only scope to tell of, in any case of letters")];
    [
        Described::get("/control/leaders", "Who leads, as this node knows")
            .query(scope)
            .json::<Document>()
            .problems(&[UNKNOWN]),
        Described::get(
            "/control/events/leadership",
            "The same, and what happens to it, as server-sent events",
        )
        .query(scope)
        .events()
        .problems(&[UNKNOWN, (503, "all streams are taken")]),
    ]
}

const UNKNOWN: (u16, &str) = (400, "there is no such parameter");

/// Who leads.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Leaders")]
struct Document {
    schema_version: &'static str,
    generated_at: String,
    /// `null` when leadership is switched off, or is not to be shown.
    local_node_id: Option<String>,
    leaders: Vec<LeaderRow>,
}

impl From<Option<Snapshot>> for Document {
    fn from(snapshot: Option<Snapshot>) -> Self {
        let now = Timestamp::now();
        let (at, local_node_id, leaders) = match snapshot {
            // The moment that its rows are true of.
            Some(it) => {
                let at = Timestamp::try_from(it.generated_at).unwrap_or(now);
                (at, Some(it.local_node_id), it.leaders)
            }
            None => (now, None, Vec::new()),
        };
        Self {
            schema_version: SCHEMA,
            generated_at: format!("{at:.3}"),
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
    /// What the query says.
    fn of(query: Result<Query<Self>, QueryRejection>) -> Result<Self, Problem> {
        query.map(|Query(it)| it).map_err(|_| {
            let detail = "the only parameter is \"scope\", and it is given once";
            Problem::new(StatusCode::BAD_REQUEST, detail)
        })
    }

    /// The scope that alone is wanted, if there is one.
    fn scope(&self) -> Option<&str> {
        let scope = self.scope.as_deref().map(str::trim);
        scope.filter(|it| !it.is_empty())
    }
}

async fn list(
    State(leaders): State<Leaders>,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Document>, Problem> {
    let wanted = Wanted::of(query)?;
    let snapshot = leaders.observer.map(|it| it.snapshot());
    let snapshot = snapshot.map(|it| match wanted.scope() {
        Some(scope) => it.only(scope),
        None => it,
    });
    Ok(Json(snapshot.into()))
}

async fn open(
    State(leaders): State<Leaders>,
    query: Result<Query<Wanted>, QueryRejection>,
    line: Option<Extension<Line>>,
) -> Response {
    let wanted = match Wanted::of(query) {
        Ok(wanted) => wanted,
        Err(problem) => return problem.into_response(),
    };
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
