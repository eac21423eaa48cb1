//! `/control/lifecycle/plan`: what an operation would do, before anybody does it.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use lifecycle_core::engine::{Move, Operation, Rehearsal};
use lifecycle_runtime::{OperationError, Order};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::problem::Problem;
use crate::router::{Shared, Surface};
use crate::snapshot::{SCHEMA, plan_id};

/// What shall be tried.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Order")]
pub(crate) struct Wanted {
    operation: Kind,
    component: String,
    #[serde(default)]
    force: bool,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "OrderedOperation")]
enum Kind {
    Start,
    Stop,
    Restart,
}

impl From<Kind> for Operation {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Start => Self::Start,
            Kind::Stop => Self::Stop,
            Kind::Restart => Self::Restart,
        }
    }
}

/// Plays the operation through, and does nothing.
pub(crate) async fn plan(
    State(surface): State<Shared>,
    wanted: Result<Json<Wanted>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(wanted) = wanted.map_err(|it| Problem::new(refused(&it), it.body_text()))?;
    let operation = Operation::from(wanted.operation);
    let order = Order {
        forced: wanted.force,
        ..Order::new(operation, wanted.component)
    };
    let rehearsal = surface.handle.rehearse(order).await.map_err(unknown)?;
    Ok(Json(document(&surface, &rehearsal, operation)).into_response())
}

/// A body that is no order is the client's fault in one way, whatever is wrong with it; but for its size and its type.
fn refused(rejection: &JsonRejection) -> StatusCode {
    match rejection.status() {
        status @ (StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNSUPPORTED_MEDIA_TYPE) => status,
        _ => StatusCode::BAD_REQUEST,
    }
}

fn unknown(error: OperationError) -> Problem {
    match error {
        OperationError::Refused(refusal) => {
            Problem::new(StatusCode::NOT_FOUND, refusal.to_string())
        }
        gone => Problem::new(StatusCode::SERVICE_UNAVAILABLE, gone.to_string()),
    }
}

#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Plan")]
pub(crate) struct Document<'a> {
    schema_version: &'static str,
    plan_id: String,
    operation: &'static str,
    component: &'a str,
    /// Why it would be refused or come to nothing; null when it would not.
    refusal: Option<String>,
    /// In the order in which they are issued.
    stops: Vec<Row<'a>>,
    /// In the order in which they are issued.
    starts: Vec<Row<'a>>,
}

#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Move")]
struct Row<'a> {
    component: &'a str,
    /// For whose sake; null for its own.
    cause: Option<&'a str>,
    /// How long it took the last time; null when that was not seen.
    last_ms: Option<f64>,
}

fn document<'a>(surface: &Surface, rehearsal: &'a Rehearsal, operation: Operation) -> Document<'a> {
    let plan = &rehearsal.plan;
    let row = |it: &Move, last_ms| Row {
        component: plan.name(it.component).as_str(),
        cause: it.cause.map(|it| plan.name(it).as_str()),
        last_ms,
    };
    let lasted = |it: &Move| surface.timelines.lasted(it.component);
    let stops = rehearsal.stops.iter().map(|it| row(it, lasted(it).stop));
    let starts = rehearsal.starts.iter().map(|it| row(it, lasted(it).start));
    Document {
        schema_version: SCHEMA,
        plan_id: plan_id(plan),
        operation: operation.as_str(),
        component: plan.name(rehearsal.component).as_str(),
        refusal: rehearsal.refusal.as_ref().map(ToString::to_string),
        stops: stops.collect(),
        starts: starts.collect(),
    }
}
