//! `/control/upgrade`: cordon and drain of the node.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use lifecycle_core::engine::{
    self, Event, EventKind, Intent, NodeCommand, NodeEffect, NodeReport, Snapshot,
};
use lifecycle_core::{ComponentId, Time};
use lifecycle_runtime::{Handle, NodeError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::audit::Entry;
use crate::mutation::{Mutation, REASON, REASON_LIMIT};
use crate::operations::{self, Done, Miss, Plea, Work};
use crate::problem::Problem;
use crate::router::{Shared, Surface};
use crate::snapshot::{SCHEMA, timestamp};

/// The longest that a drain may be told to take.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

pub(crate) fn table() -> [(&'static str, MethodRouter<Shared>); 7] {
    [
        ("/control/upgrade", get(show)),
        ("/control/upgrade/cordon", post(cordon)),
        ("/control/upgrade/uncordon", post(uncordon)),
        ("/control/upgrade/drain", post(drain)),
        ("/control/upgrade/resume", post(resume)),
        ("/control/upgrade/cancel", post(cancel)),
        ("/control/upgrade/force", post(force)),
    ]
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "NodeOrder")]
pub(crate) struct Wish {
    #[schemars(length(max = REASON_LIMIT), regex(pattern = REASON))]
    reason: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "DrainOrder")]
pub(crate) struct DrainWish {
    #[schemars(length(max = REASON_LIMIT), regex(pattern = REASON))]
    reason: Option<String>,
    #[schemars(range(min = 1, max = 604_800_000))]
    deadline_ms: Option<u64>,
    #[schemars(range(min = 1, max = 604_800_000))]
    force_after_ms: Option<u64>,
}

async fn cordon(State(surface): State<Shared>, mutation: Mutation) -> Response {
    command(&surface, NodeCommand::Cordon, &mutation).await
}

async fn uncordon(State(surface): State<Shared>, mutation: Mutation) -> Response {
    command(&surface, NodeCommand::Uncordon, &mutation).await
}

async fn resume(State(surface): State<Shared>, mutation: Mutation) -> Response {
    command(&surface, NodeCommand::Resume, &mutation).await
}

async fn cancel(State(surface): State<Shared>, mutation: Mutation) -> Response {
    command(&surface, NodeCommand::Cancel, &mutation).await
}

async fn force(State(surface): State<Shared>, mutation: Mutation) -> Response {
    command(&surface, NodeCommand::Force, &mutation).await
}

async fn command(surface: &Surface, command: NodeCommand, mutation: &Mutation) -> Response {
    let mut entry = mutation.entry(command.as_str());
    match intent(mutation, &mut entry) {
        Ok(intent) => {
            let work = work(surface.handle.clone(), command, intent.clone());
            begin(surface, command, intent, work, None, entry).await
        }
        Err(problem) => {
            entry.refused(&problem);
            problem.into_response()
        }
    }
}

fn intent(mutation: &Mutation, entry: &mut Entry) -> Result<Intent, Problem> {
    let wish: Wish = mutation.read()?;
    entry.reason.clone_from(&wish.reason);
    mutation.intent(wish.reason.as_deref())
}

fn work(handle: Handle, command: NodeCommand, intent: Intent) -> Work {
    Box::pin(async move {
        let done = handle.command(command, intent).await;
        done.map(|it| came_to(&it)).map_err(miss)
    })
}

/// A drain as it was asked for.
struct Drain {
    intent: Intent,
    deadline: Option<Time>,
    force_at: Option<Instant>,
}

async fn drain(State(surface): State<Shared>, mutation: Mutation) -> Response {
    let mut entry = mutation.entry("drain");
    let drain = match read_drain(&surface, &mutation, &mut entry) {
        Ok(drain) => drain,
        Err(problem) => {
            entry.refused(&problem);
            return problem.into_response();
        }
    };
    let Drain {
        intent,
        deadline,
        force_at,
    } = drain;
    let command = NodeCommand::Drain { deadline };
    let handle = surface.handle.clone();
    let Some(at) = force_at else {
        let work = work(handle, command, intent.clone());
        return begin(&surface, command, intent, work, None, entry).await;
    };
    let alarm = Arc::new(Notify::new());
    let mut forcing = entry.clone();
    forcing.what = "force".into();
    let patience = drain_then_force(handle, command, intent.clone(), Arc::clone(&alarm), forcing);
    let work = Box::pin(patience);
    begin(&surface, command, intent, work, Some((at, alarm)), entry).await
}

fn read_drain(surface: &Surface, mutation: &Mutation, entry: &mut Entry) -> Result<Drain, Problem> {
    let wish: DrainWish = mutation.read()?;
    entry.reason.clone_from(&wish.reason);
    let intent = mutation.intent(wish.reason.as_deref())?;
    let deadline = length("deadlineMs", wish.deadline_ms)?;
    let force_after = length("forceAfterMs", wish.force_after_ms)?;
    if let (Some(deadline), Some(force_after)) = (deadline, force_after)
        && force_after >= deadline
    {
        let detail =
            "forceAfterMs is to be less than deadlineMs: after its deadline a drain has failed";
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    let now = Instant::now();
    let clock = surface.handle.clock();
    Ok(Drain {
        intent,
        deadline: deadline.map(|it| clock.time(now + it)),
        force_at: force_after.map(|it| now + it),
    })
}

fn length(name: &str, millis: Option<u64>) -> Result<Option<Duration>, Problem> {
    let Some(length) = millis.map(Duration::from_millis) else {
        return Ok(None);
    };
    match !length.is_zero() && length <= LONGEST {
        true => Ok(Some(length)),
        false => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            format!("{name} is from 1 to {}, a week", LONGEST.as_millis()),
        )),
    }
}

/// Drains, and forces that when `alarm` rings before it has ended.
async fn drain_then_force(
    handle: Handle,
    command: NodeCommand,
    intent: Intent,
    alarm: Arc<Notify>,
    entry: Entry,
) -> Result<Done, Miss> {
    let mut draining = Box::pin(handle.command(command, intent.clone()));
    let ended = tokio::select! {
        biased;
        ended = &mut draining => Some(ended),
        () = alarm.notified() => None,
    };
    if let Some(ended) = ended {
        return ended.map(|it| came_to(&it)).map_err(miss);
    }
    entry.begun();
    // Whether it comes in time, or the drain has just ended or was cancelled: the drain tells what became of it.
    let _ = handle.command(NodeCommand::Force, intent).await;
    draining.await.map(|it| came_to(&it)).map_err(miss)
}

fn came_to(report: &NodeReport) -> Done {
    match report.effect {
        NodeEffect::Drain => Done::Worked,
        NodeEffect::Cordon | NodeEffect::Nothing => Done::AtOnce,
    }
}

async fn begin(
    surface: &Surface,
    command: NodeCommand,
    intent: Intent,
    work: Work,
    alarm: Option<(Instant, Arc<Notify>)>,
    entry: Entry,
) -> Response {
    let plea = Plea {
        operation: command.as_str(),
        component: None,
        intent,
        deadline: match command {
            NodeCommand::Drain { deadline } => deadline,
            NodeCommand::Cordon
            | NodeCommand::Uncordon
            | NodeCommand::Resume
            | NodeCommand::Cancel
            | NodeCommand::Force => None,
        },
        work,
        alarm,
        entry,
    };
    let record = match surface.operations.begin(plea).await {
        Ok(record) => record,
        Err(problem) => return problem.into_response(),
    };
    let Ok(snapshot) = surface.handle.snapshot().await else {
        return gone().into_response();
    };
    let upgrade = Document::of(surface, &snapshot);
    let ended = record.ended.as_ref();
    if ended.is_some_and(|it| it.done == Ok(Done::AtOnce)) {
        return Json(upgrade).into_response();
    }
    // Also what has ended by now: whoever follows it learns how long it took.
    let operation = operations::document(surface, &record, Some(&snapshot));
    let begun = Begun { operation, upgrade };
    let mut response = (StatusCode::ACCEPTED, Json(&begun)).into_response();
    operations::locate(&mut response, &begun.operation);
    response
}

fn miss(error: NodeError) -> Miss {
    use engine::NodeError as Engine;
    let text = error.to_string();
    let NodeError::Refused(refused) = error else {
        return Miss::Refused(Problem::new(StatusCode::SERVICE_UNAVAILABLE, text));
    };
    match &*refused {
        Engine::FailedPrecondition { .. } | Engine::Conflict { .. } => {
            Miss::Refused(Problem::new(StatusCode::CONFLICT, text))
        }
        // A participant has failed, or it was overtaken: it had begun.
        _ => Miss::Failed(text),
    }
}

fn gone() -> Problem {
    let detail = "the orchestrator is gone: nobody knows the state of this node";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
}

async fn show(State(surface): State<Shared>) -> Response {
    match surface.handle.snapshot().await {
        Ok(snapshot) => Json(Document::of(&surface, &snapshot)).into_response(),
        Err(_) => gone().into_response(),
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BegunUpgrade")]
pub(crate) struct Begun<'a> {
    operation: operations::Document<'a>,
    upgrade: Document<'a>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Upgrade")]
pub(crate) struct Document<'a> {
    schema_version: &'static str,
    state: &'static str,
    cordoned: bool,
    reason: Option<&'a str>,
    by: Option<&'a str>,
    updated_at: String,
    deadline: Option<String>,
    forced: bool,
    blocked_by: Vec<&'a str>,
    participants: Vec<Participant<'a>>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Participant<'a> {
    name: &'a str,
    state: &'static str,
    last_error: Option<&'a str>,
    updated_at: String,
    in_flight: Option<u64>,
    progress: Option<&'a str>,
}

impl<'a> Document<'a> {
    fn of(surface: &Surface, snapshot: &'a Snapshot) -> Self {
        let clock = surface.handle.clock();
        let history = surface.handle.history();
        let node = &snapshot.node;
        let plan = &snapshot.plan;
        let participants = plan.order().iter().filter(|id| plan.drains(**id));
        Self {
            schema_version: SCHEMA,
            state: node.drain.as_str(),
            cordoned: node.cordoned,
            reason: node.intent.reason.as_deref(),
            by: node.intent.by.as_deref(),
            updated_at: timestamp(clock, node.since),
            deadline: node.deadline.map(|it| timestamp(clock, it)),
            forced: node.forced,
            blocked_by: operations::draining(snapshot),
            participants: participants
                .map(|id| {
                    let row = snapshot.component(*id);
                    let updated = last_step(&history, *id).unwrap_or(row.since);
                    Participant {
                        name: snapshot.name(*id).as_str(),
                        state: row.drain.as_str(),
                        last_error: row.drain_failure.as_deref().map(|it| &*it.message),
                        updated_at: timestamp(clock, updated),
                        in_flight: row.in_flight,
                        progress: row.progress.as_deref(),
                    }
                })
                .collect(),
        }
    }
}

/// When the drain of `participant` changed last, as far back as events are kept; before that it did so with its state.
fn last_step(history: &[Event], participant: ComponentId) -> Option<Time> {
    let mut steps = history.iter().rev();
    let last = steps.find(
        |it| matches!(&it.kind, EventKind::Participant { key, .. } if key.component == participant),
    );
    last.map(|it| it.at)
}
