//! Operations on one component, and what became of them: `/control/lifecycle/components/{name}/restart` and the like, and
//! `/control/lifecycle/operations`.
//!
//! What is asked for goes on without who asked. A refusal has changed nothing, and is no operation: it has no number.

mod ledger;

use std::collections::HashSet;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use lifecycle_core::engine::{self, ComponentState, DrainState, Operation, Snapshot};
use lifecycle_runtime::{OperationError, Order};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use crate::operations::ledger::{Done, Ledger, Miss, Plea, Record, Work};

use crate::audit::Entry;
use crate::mutation::{Mutation, REASON, REASON_LIMIT};
use crate::problem::Problem;
use crate::router::{Shared, Surface};
use crate::snapshot::{SCHEMA, plan_id, timestamp};

/// The most bytes of a component's name in a path.
const NAME_LIMIT: usize = 128;

pub(crate) fn table() -> [(&'static str, MethodRouter<Shared>); 5] {
    [
        (
            "/control/lifecycle/components/{name}/restart",
            post(restart),
        ),
        ("/control/lifecycle/components/{name}/stop", post(stop)),
        ("/control/lifecycle/components/{name}/start", post(start)),
        ("/control/lifecycle/operations", get(list)),
        ("/control/lifecycle/operations/{id}", get(show)),
    ]
}

/// What a client says beside the path.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "ComponentOrder")]
pub(crate) struct Wish {
    #[schemars(length(max = REASON_LIMIT), regex(pattern = REASON))]
    reason: Option<String>,
    /// Whether a stop shall take down what is essential.
    force: bool,
    /// The plan that the client has looked at; another one is a conflict.
    plan_id: Option<String>,
}

type Name = Result<Path<String>, PathRejection>;

async fn restart(State(surface): State<Shared>, name: Name, mutation: Mutation) -> Response {
    act(&surface, Operation::Restart, name, &mutation).await
}

async fn stop(State(surface): State<Shared>, name: Name, mutation: Mutation) -> Response {
    act(&surface, Operation::Stop, name, &mutation).await
}

async fn start(State(surface): State<Shared>, name: Name, mutation: Mutation) -> Response {
    act(&surface, Operation::Start, name, &mutation).await
}

async fn act(surface: &Surface, operation: Operation, name: Name, mutation: &Mutation) -> Response {
    let mut entry = mutation.entry(operation.as_str());
    let order = order(surface, operation, name, mutation, &mut entry);
    match order {
        Ok(order) => begin(surface, order, entry).await,
        Err(problem) => {
            entry.refused(&problem);
            problem.into_response()
        }
    }
}

/// What is asked for, if it makes sense; what is known of it stands in `entry` in any case.
fn order(
    surface: &Surface,
    operation: Operation,
    name: Name,
    mutation: &Mutation,
    entry: &mut Entry,
) -> Result<Order, Problem> {
    let name = component_name(name)?;
    entry.component = Some(name.clone());
    let wish: Wish = mutation.read()?;
    entry.reason.clone_from(&wish.reason);
    let intent = mutation.intent(wish.reason.as_deref())?;
    check_plan(surface, wish.plan_id.as_deref())?;
    let mut order = Order::new(operation, name).with_intent(intent);
    order.forced = wish.force;
    Ok(order)
}

fn component_name(name: Name) -> Result<String, Problem> {
    let Path(name) = name.map_err(|it| Problem::new(StatusCode::BAD_REQUEST, it.body_text()))?;
    match name.len() <= NAME_LIMIT {
        true => Ok(name),
        false => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            format!("the name of a component has at most {NAME_LIMIT} bytes in a path"),
        )),
    }
}

/// The plan may still change between here and the operation: this is for who has looked at it some time ago.
fn check_plan(surface: &Surface, seen: Option<&str>) -> Result<(), Problem> {
    let (Some(seen), Some(plan)) = (seen, surface.handle.plan()) else {
        return Ok(());
    };
    let present = plan_id(&plan);
    match seen == present {
        true => Ok(()),
        false => Err(Problem::new(
            StatusCode::PRECONDITION_FAILED,
            format!(
                "components have come or gone since: the plan is {present:?} now; look again, then ask with that planId"
            ),
        )),
    }
}

async fn begin(surface: &Surface, order: Order, entry: Entry) -> Response {
    let component = canonical(surface, &order.component);
    let handle = surface.handle.clone();
    let plea = Plea {
        operation: order.operation.as_str(),
        component: Some(component),
        intent: order.intent.clone(),
        deadline: None,
        work: Box::pin(async move {
            let done = handle.operate(order).await;
            done.map(|_| Done::Worked).map_err(miss)
        }),
        alarm: None,
        entry,
    };
    match surface.operations.begin(plea).await {
        Ok(record) => accepted(surface, &record).await,
        Err(problem) => problem.into_response(),
    }
}

/// An alias is called by its component's name.
fn canonical(surface: &Surface, name: &str) -> String {
    let plan = surface.handle.plan();
    let found = plan.and_then(|plan| plan.find(name).map(|id| plan.name(id).to_string()));
    found.unwrap_or_else(|| name.to_owned())
}

async fn accepted(surface: &Surface, record: &Record) -> Response {
    let snapshot = surface.handle.snapshot().await.ok();
    let document = document(surface, record, snapshot.as_ref());
    let mut response = (StatusCode::ACCEPTED, Json(&document)).into_response();
    locate(&mut response, &document);
    response
}

/// Says where `operation` can be seen.
pub(crate) fn locate(response: &mut Response, operation: &Document<'_>) {
    let place = format!("/control/lifecycle/operations/{}", operation.id);
    if let Ok(place) = HeaderValue::from_str(&place) {
        response.headers_mut().insert(LOCATION, place);
    }
}

fn miss(error: OperationError) -> Miss {
    use engine::OperationError as Engine;
    let text = error.to_string();
    let OperationError::Refused(refused) = error else {
        return Miss::Refused(Problem::new(StatusCode::SERVICE_UNAVAILABLE, text));
    };
    match &*refused {
        Engine::NotFound { .. } => Miss::Refused(Problem::new(StatusCode::NOT_FOUND, text)),
        Engine::FailedPrecondition { .. }
        | Engine::Essential { .. }
        | Engine::DependencyDown { .. }
        | Engine::HasDependents { .. }
        | Engine::StillUp { .. } => Miss::Refused(Problem::new(StatusCode::CONFLICT, text)),
        // Failed or overtaken: it had begun.
        _ => Miss::Failed(text),
    }
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Operations")]
pub(crate) struct Listing<'a> {
    schema_version: &'static str,
    operations: Vec<Document<'a>>,
}

async fn list(State(surface): State<Shared>) -> Response {
    let records = surface.operations.all();
    let runs = records.iter().any(|it| it.ended.is_none());
    let snapshot = match runs {
        true => surface.handle.snapshot().await.ok(),
        false => None,
    };
    let rows = records.iter();
    let operations = rows.map(|it| document(&surface, it, snapshot.as_ref()));
    Json(Listing {
        schema_version: SCHEMA,
        operations: operations.collect(),
    })
    .into_response()
}

async fn show(State(surface): State<Shared>, id: Name) -> Response {
    let number = id.ok().and_then(|Path(id)| number(&surface, &id));
    let Some(record) = number.and_then(|it| surface.operations.find(it)) else {
        let detail =
            "there is no such operation (any more): the last 100 are kept, until the process ends";
        return Problem::new(StatusCode::NOT_FOUND, detail).into_response();
    };
    let snapshot = match record.ended {
        None => surface.handle.snapshot().await.ok(),
        Some(_) => None,
    };
    Json(document(&surface, &record, snapshot.as_ref())).into_response()
}

/// An operation as its own document, and as a part of others.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Operation")]
pub(crate) struct Document<'a> {
    id: String,
    operation: &'static str,
    component: Option<&'a str>,
    state: &'static str,
    by: Option<&'a str>,
    reason: Option<&'a str>,
    started_at: String,
    ended_at: Option<String>,
    deadline: Option<String>,
    error: Option<&'a str>,
    blocked_by: Vec<&'a str>,
}

/// `record`, with what holds it up in `snapshot`.
pub(crate) fn document<'a>(
    surface: &Surface,
    record: &'a Record,
    snapshot: Option<&'a Snapshot>,
) -> Document<'a> {
    let clock = surface.handle.clock();
    let ended = record.ended.as_ref();
    let running = snapshot.filter(|_| ended.is_none());
    let of_node = running.filter(|_| record.component.is_none());
    let deadline = record.deadline.or_else(|| of_node?.node.deadline);
    Document {
        id: identity(surface, record.number),
        operation: record.operation,
        component: record.component.as_deref(),
        state: match ended {
            None => "running",
            Some(ended) if ended.done.is_err() => "failed",
            Some(_) => "succeeded",
        },
        by: record.intent.by.as_deref(),
        reason: record.intent.reason.as_deref(),
        started_at: timestamp(clock, record.started),
        ended_at: ended.map(|it| timestamp(clock, it.at)),
        deadline: deadline.map(|it| timestamp(clock, it)),
        error: ended.and_then(|it| it.done.as_ref().err().map(String::as_str)),
        blocked_by: match (running, record.component.as_deref()) {
            (Some(snapshot), Some(component)) => holding_up(snapshot, component),
            (Some(snapshot), None) => draining(snapshot),
            (None, _) => Vec::new(),
        },
    }
}

/// Names the process too: who asks after a restart of it must not be told of another operation.
fn identity(surface: &Surface, number: u64) -> String {
    format!("{:x}-{number}", surface.instance)
}

fn number(surface: &Surface, id: &str) -> Option<u64> {
    let (instance, number) = id.split_once('-')?;
    let ours = instance == format!("{:x}", surface.instance);
    number.parse().ok().filter(|_| ours)
}

/// Participants that a drain waits for, or has failed for, in plan order.
pub(crate) fn draining(snapshot: &Snapshot) -> Vec<&str> {
    let order = snapshot.plan.order().iter().copied();
    let blocking = order.filter(|id| {
        let drain = snapshot.component(*id).drain;
        matches!(drain, DrainState::Draining | DrainState::Failed)
    });
    blocking.map(|id| snapshot.name(id).as_str()).collect()
}

/// What `component` waits for in the end: itself, while it is at work.
fn holding_up<'a>(snapshot: &'a Snapshot, component: &str) -> Vec<&'a str> {
    let Some(id) = snapshot.plan.find(component) else {
        return Vec::new();
    };
    let mut known = HashSet::from([id]);
    let mut open = vec![id];
    let mut at_work = Vec::new();
    while let Some(id) = open.pop() {
        let awaited = snapshot.awaited(id);
        let state = snapshot.component(id).state;
        if awaited.is_empty() && state != ComponentState::Running {
            at_work.push(snapshot.name(id).as_str());
        }
        let further = awaited.into_iter().map(|it| it.component);
        open.extend(further.filter(|it| known.insert(*it)));
    }
    at_work.sort_unstable();
    at_work
}
