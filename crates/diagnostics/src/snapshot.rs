//! `/control/lifecycle`: the snapshot as a document.
//!
//! Its entity tag is the sequence number of the last event it contains, with the process it was counted in and the issues
//! that no event tells of. It is weak: the document says when it was taken, durations go on, and what a component says of
//! its progress is no event. While such words matter, because something starts, drains or stops, no reader is told that it
//! has the document.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, ETAG, HeaderMap, IF_NONE_MATCH};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use lifecycle_core::engine::{
    Awaited, ComponentRow, ComponentState, DrainState, OrchestratorState, Snapshot,
};
use lifecycle_core::{ComponentId, EdgeKind, Failure, Nanos, Plan, Time};
use lifecycle_runtime::{Clock, Status};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::pieces::{List, Pieces, Rows, json};
use crate::readiness::{Issue, Readiness};
use crate::router::{Shared, Surface};

/// The schema of the document. It changes only when an old reader would be misled; a mere addition keeps it.
pub(crate) const SCHEMA: &str = "v1";

/// How many issues the document lists.
pub(crate) const LISTED: usize = 100;

/// The document, or 304 when the reader has it.
pub(crate) async fn show(State(surface): State<Shared>, headers: HeaderMap) -> Response {
    let (readiness, _) = surface.readiness(LISTED);
    let status = surface.status();
    let tag = entity_tag(&surface, status.sequence, &readiness);
    if is_quiet(&status) && knows(&headers, &tag) {
        return tagged(StatusCode::NOT_MODIFIED, &tag);
    }
    let snapshot = match surface.snapshot().await {
        Ok(snapshot) => snapshot,
        Err(problem) => return problem.into_response(),
    };
    // Asked again: the snapshot may be newer than what was compared.
    let tag = entity_tag(&surface, snapshot.sequence, &readiness);
    let document = pieces(&Arc::new(snapshot), surface.handle.clock(), &readiness);
    (tagged(StatusCode::OK, &tag).into_parts().0, json(document)).into_response()
}

fn pieces(
    snapshot: &Arc<Snapshot>,
    clock: Clock,
    readiness: &Readiness,
) -> serde_json::Result<Pieces> {
    let document = document(snapshot, clock, readiness);
    Pieces::of_json(&document, &["]}"], Components::new(snapshot, clock))
}

/// The components of a snapshot, by name.
pub(crate) struct Components {
    snapshot: Arc<Snapshot>,
    clock: Clock,
}

impl Components {
    pub(crate) fn new(snapshot: &Arc<Snapshot>, clock: Clock) -> Self {
        let snapshot = Arc::clone(snapshot);
        Self { snapshot, clock }
    }
}

impl Rows for Components {
    fn write(&self, list: usize, place: usize, text: &mut List<'_>) -> serde_json::Result<bool> {
        let ids = self.snapshot.plan.by_name();
        let Some(id) = ids.get(place).filter(|_| list == 0) else {
            return Ok(false);
        };
        let writer = Writer::new(&self.snapshot, self.clock);
        text.push(&writer.component(*id))?;
        Ok(true)
    }
}

fn tagged(status: StatusCode, tag: &str) -> Response {
    let mut response = status.into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(ETAG, tag);
    }
    response
}

/// Whether whatever happens is an event.
fn is_quiet(status: &Status) -> bool {
    let moves = match status.state {
        OrchestratorState::Starting | OrchestratorState::Stopping => true,
        OrchestratorState::Created | OrchestratorState::Running | OrchestratorState::Stopped => {
            status.count(ComponentState::Starting) + status.count(ComponentState::Stopping) > 0
        }
    };
    !moves && status.drain != DrainState::Draining
}

fn entity_tag(surface: &Surface, sequence: u64, readiness: &Readiness) -> String {
    let mut hasher = DefaultHasher::new();
    readiness.issues.hash(&mut hasher);
    let issues = hasher.finish();
    format!("W/\"{:x}-{sequence}-{issues:x}\"", surface.instance)
}

/// Whether the request names `tag` among those that it knows; compared weakly.
fn knows(headers: &HeaderMap, tag: &str) -> bool {
    let opaque = |it: &str| it.trim().trim_start_matches("W/").to_owned();
    let listed = headers.get_all(IF_NONE_MATCH).iter();
    let mut listed = listed.filter_map(|it| it.to_str().ok());
    listed.any(|it| it.trim() == "*" || it.split(',').any(|known| opaque(known) == opaque(tag)))
}

#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Snapshot")]
pub(crate) struct Document<'a> {
    schema_version: &'static str,
    captured_at: String,
    plan_id: String,
    orchestrator: Orchestrator,
    node: Node<'a>,
    readiness: Ready<'a>,
    counts: BTreeMap<&'static str, usize>,
    /// The last member: they are written one by one ([`Components`]).
    components: Vec<Component<'a>>,
}

#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct Orchestrator {
    state: &'static str,
    since: String,
    reason: &'static str,
    run: u64,
    sequence: u64,
    stop_deadline: Option<String>,
}

#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct Node<'a> {
    cordoned: bool,
    drain: &'static str,
    since: String,
    by: Option<&'a str>,
    reason: Option<&'a str>,
    /// When the drain under way no longer waits; null while there is none.
    deadline: Option<String>,
    forced: bool,
    /// Participants that a drain waits for, or has failed for.
    blocked_by: Vec<Blocking<'a>>,
}

#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct Blocking<'a> {
    component: &'a str,
    drain: &'static str,
    in_flight: Option<u64>,
    progress: Option<&'a str>,
    error: Option<LastError<'a>>,
}

#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "Readiness")]
struct Ready<'a> {
    ready: bool,
    degraded: bool,
    issues: Vec<IssueRow<'a>>,
}

#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "Issue")]
struct IssueRow<'a> {
    issue: &'a str,
    severity: &'static str,
    message: Option<&'a str>,
}

#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Component<'a> {
    name: &'a str,
    aliases: Vec<&'a str>,
    state: &'static str,
    since: String,
    reason: &'static str,
    criticality: &'static str,
    /// By its own account, while it runs.
    health: &'static str,
    /// What it says about that.
    degraded: Option<&'a str>,
    /// How its last health check failed, while it runs; null once one has passed.
    check_error: Option<LastError<'a>>,
    /// What it said last that it is doing.
    progress: Option<&'a str>,
    /// What it goes on without.
    missing: Vec<&'a str>,
    generation: u32,
    /// 0 when no attempt of the phase was made.
    attempt: u32,
    max_attempts: u32,
    retry_at: Option<String>,
    waiting_on: Vec<Waiting<'a>>,
    cause: Option<&'a str>,
    last_error: Option<LastError<'a>>,
    /// Whether it has failed for good, and stays down.
    r#final: bool,
    /// Whether an operator has stopped it.
    held: bool,
    /// The gate that it stands behind itself.
    gate: Option<&'a str>,
    /// Whether that gate, or the one of a hard dependency, is closed.
    gated: bool,
    /// Whether it is about to go down, and waits for its dependents to.
    leaving: bool,
    restarts: Restarts,
    drain: Drain<'a>,
    depth: u32,
    dependencies: Vec<Dependency<'a>>,
    labels: BTreeMap<&'a str, &'a str>,
    durations: Durations,
}

#[derive(Debug, JsonSchema, Serialize)]
struct Waiting<'a> {
    component: &'a str,
    /// The edge to a dependency; null for a dependent that must be down first.
    edge: Option<&'static str>,
    state: &'static str,
}

/// A failure in short.
#[derive(Debug, JsonSchema, Serialize)]
pub struct LastError<'a> {
    /// Its kind, as [`FailureKind::as_str`](lifecycle_core::FailureKind::as_str) names it.
    pub kind: &'static str,
    /// What it says of itself.
    pub message: &'a str,
}

#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependency<'a> {
    component: &'a str,
    edge: &'static str,
    /// What becomes of the dependent when the dependency goes down; null where the edge is not hard.
    on_loss: Option<&'static str>,
}

/// How often it was started again over all runs, and how much of its budget is used.
#[derive(Debug, JsonSchema)]
struct Restarts {
    #[schemars(flatten, with = "BTreeMap<String, u32>")]
    by_reason: [(&'static str, u32); 5],
    /// Own failures within the window, and how many of them are followed by a restart.
    charged: u32,
    budget: u32,
}

/// By hand: a derived one would put each component's reasons into a map first.
impl Serialize for Restarts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let counts = self.by_reason.into_iter();
        serializer.collect_map(counts.chain([("charged", self.charged), ("budget", self.budget)]))
    }
}

#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct Drain<'a> {
    /// Whether it takes part at all.
    participant: bool,
    state: &'static str,
    in_flight: Option<u64>,
    last_error: Option<LastError<'a>>,
}

/// How the time of this run was spent.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct Durations {
    waiting_ms: f64,
    working_ms: f64,
    backing_off_ms: f64,
}

/// All but the components, which are the end of it.
pub(crate) fn document<'a>(
    snapshot: &'a Snapshot,
    clock: Clock,
    readiness: &'a Readiness,
) -> Document<'a> {
    let writer = Writer::new(snapshot, clock);
    Document {
        schema_version: SCHEMA,
        captured_at: timestamp(clock, snapshot.at),
        plan_id: plan_id(&snapshot.plan),
        orchestrator: writer.orchestrator(),
        node: writer.node(),
        readiness: Ready {
            ready: readiness.ready,
            degraded: readiness.is_degraded(),
            issues: readiness.issues.iter().map(issue_row).collect(),
        },
        counts: counts(snapshot),
        components: Vec::new(),
    }
}

/// What tells this plan from others: it changes when components or edges come and go, and is the same in every process that
/// has the same.
pub(crate) fn plan_id(plan: &Plan) -> String {
    format!("{:016x}", plan.fingerprint())
}

fn issue_row(issue: &Issue) -> IssueRow<'_> {
    IssueRow {
        issue: &issue.name,
        severity: issue.severity.as_str(),
        message: issue.message.as_deref(),
    }
}

fn counts(snapshot: &Snapshot) -> BTreeMap<&'static str, usize> {
    let mut counts: BTreeMap<_, _> = ComponentState::ALL.map(|it| (it.as_str(), 0)).into();
    for id in snapshot.plan.ids() {
        let state = snapshot.component(id).state;
        *counts.entry(state.as_str()).or_default() += 1;
    }
    counts
}

/// Writes parts of a snapshot as documents.
pub(crate) struct Writer<'a> {
    snapshot: &'a Snapshot,
    clock: Clock,
}

impl<'a> Writer<'a> {
    pub(crate) const fn new(snapshot: &'a Snapshot, clock: Clock) -> Self {
        Self { snapshot, clock }
    }

    fn orchestrator(&self) -> Orchestrator {
        let snapshot = self.snapshot;
        Orchestrator {
            state: snapshot.state.as_str(),
            since: self.time(snapshot.since),
            reason: snapshot.reason.as_str(),
            run: snapshot.run,
            sequence: snapshot.sequence,
            stop_deadline: snapshot.stop_deadline.map(|it| self.time(it)),
        }
    }

    fn node(&self) -> Node<'a> {
        let node = &self.snapshot.node;
        Node {
            cordoned: node.cordoned,
            drain: node.drain.as_str(),
            since: self.time(node.since),
            by: node.intent.by.as_deref(),
            reason: node.intent.reason.as_deref(),
            deadline: node.deadline.map(|it| self.time(it)),
            forced: node.forced,
            blocked_by: self.blocked_by(),
        }
    }

    fn blocked_by(&self) -> Vec<Blocking<'a>> {
        let order = self.snapshot.plan.order().iter().copied();
        let rows = order.map(|id| (id, self.snapshot.component(id)));
        let blocking =
            rows.filter(|(_, it)| matches!(it.drain, DrainState::Draining | DrainState::Failed));
        blocking
            .map(|(id, row)| Blocking {
                component: self.name(id),
                drain: row.drain.as_str(),
                in_flight: row.in_flight,
                progress: row.progress.as_deref(),
                error: row.drain_failure.as_deref().map(last_error),
            })
            .collect()
    }

    pub(crate) fn component(&self, id: ComponentId) -> Component<'a> {
        let plan = &self.snapshot.plan;
        let row = self.snapshot.component(id);
        let labels = plan.labels(id).iter();
        Component {
            name: self.name(id),
            aliases: plan.aliases(id).map(|it| it.as_str()).collect(),
            state: row.state.as_str(),
            since: self.time(row.since),
            reason: row.reason.as_str(),
            criticality: plan.criticality(id).as_str(),
            health: row.health.as_str(),
            degraded: row.degraded.as_deref(),
            check_error: row.check_failure.as_deref().map(last_error),
            progress: row.progress.as_deref(),
            missing: self.missing(id, row),
            generation: row.generation,
            attempt: row.attempt,
            max_attempts: self.max_attempts(id, row.state),
            retry_at: row.retry_at.map(|it| self.time(it)),
            waiting_on: self.waiting_on(id),
            cause: row.cause.map(|it| self.name(it)),
            last_error: row.failure.as_deref().map(last_error),
            r#final: row.final_failure,
            held: row.held,
            gate: plan.gate(id).map(|it| plan.gate_name(it).as_str()),
            gated: row.gated,
            leaving: row.leaving,
            restarts: self.restarts(id, row),
            drain: Drain {
                participant: plan.drains(id),
                state: row.drain.as_str(),
                in_flight: row.in_flight,
                last_error: row.drain_failure.as_deref().map(last_error),
            },
            depth: plan.depth(id),
            dependencies: self.dependencies(id),
            labels: labels.map(|(key, value)| (&**key, &**value)).collect(),
            durations: Durations {
                waiting_ms: millis(row.waited),
                working_ms: millis(row.worked),
                backing_off_ms: millis(row.backed_off),
            },
        }
    }

    /// Only what runs goes on without something; what waits says so by what it waits for.
    fn missing(&self, id: ComponentId, row: &ComponentRow) -> Vec<&'a str> {
        if row.state != ComponentState::Running {
            return Vec::new();
        }
        let missing = self.snapshot.missing(id);
        missing.map(|it| self.name(it)).collect()
    }

    fn restarts(&self, id: ComponentId, row: &ComponentRow) -> Restarts {
        Restarts {
            by_reason: row.restarts.by_reason(),
            charged: row.charges,
            budget: self.snapshot.plan.policies(id).restart.budget,
        }
    }

    /// That of the phase in which the component is or was last.
    fn max_attempts(&self, id: ComponentId, state: ComponentState) -> u32 {
        let policies = self.snapshot.plan.policies(id);
        let policy = match state {
            ComponentState::Stopping | ComponentState::Stopped => &policies.stop,
            ComponentState::Created
            | ComponentState::Starting
            | ComponentState::Running
            | ComponentState::Faulted
            | ComponentState::Waiting
            | ComponentState::BackingOff => &policies.start,
        };
        policy.max_attempts.get()
    }

    fn waiting_on(&self, id: ComponentId) -> Vec<Waiting<'a>> {
        let awaited = self.snapshot.awaited(id);
        let row = |it: Awaited| Waiting {
            component: self.name(it.component),
            edge: it.edge.map(|edge| edge.as_str()),
            state: it.state.as_str(),
        };
        awaited.into_iter().map(row).collect()
    }

    fn dependencies(&self, id: ComponentId) -> Vec<Dependency<'a>> {
        let edges = self.snapshot.plan.dependencies(id).iter();
        edges
            .map(|edge| Dependency {
                component: self.name(edge.component),
                edge: edge.kind.as_str(),
                on_loss: (edge.kind == EdgeKind::Hard).then(|| edge.on_loss.as_str()),
            })
            .collect()
    }

    fn name(&self, id: ComponentId) -> &'a str {
        self.snapshot.name(id).as_str()
    }

    fn time(&self, time: Time) -> String {
        timestamp(self.clock, time)
    }
}

pub(crate) fn last_error(failure: &Failure) -> LastError<'_> {
    LastError {
        kind: failure.kind.as_str(),
        message: &failure.message,
    }
}

pub(crate) fn millis(length: Nanos) -> f64 {
    // To the microsecond: more would only be noise.
    (length.as_secs_f64() * 1e6).round() / 1e3
}

pub(crate) fn timestamp(clock: Clock, time: Time) -> String {
    rfc3339(clock.system_time(time))
}

/// Never fails: a time that the calendar cannot hold is written as the last one that it can.
fn rfc3339(time: SystemTime) -> String {
    let timestamp = jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::MAX);
    format!("{timestamp:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_utc_with_milliseconds() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(1_500_700);
        assert_eq!(rfc3339(time), "1970-01-01T00:00:01.500Z");
    }

    #[test]
    fn a_tag_is_known_weakly_in_a_list_and_by_a_star() {
        let tag = "W/\"1-2-3\"";
        for known in ["W/\"1-2-3\"", "\"1-2-3\"", "\"x\", W/\"1-2-3\"", "*"] {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, known.parse().unwrap());
            assert!(knows(&headers, tag), "{known}");
        }
        let mut headers = HeaderMap::new();
        assert!(!knows(&headers, tag));
        headers.insert(IF_NONE_MATCH, HeaderValue::from_static("W/\"1-2-4\""));
        assert!(!knows(&headers, tag));
    }
}
