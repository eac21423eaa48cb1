//! `/control/lifecycle/timeline`: how the time of the start and of the stop was spent.
//!
//! The history of the orchestrator is bounded, and the start of many components has more events than it keeps. So the events
//! are followed from before the start on, and summed up as they come; what was missed is made good from the history, and where
//! that is too short from a snapshot.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use lifecycle_core::engine::{Bar, EventKind, Step, Timeline, Way};
use lifecycle_core::{ComponentId, Time};
use lifecycle_runtime::{Clock, Handle, Notice, Subscription};
use schemars::JsonSchema;
use serde::Serialize;

use crate::pieces::{List, Pieces, Rows, json};
use crate::problem::Problem;
use crate::router::Shared;
use crate::snapshot::{SCHEMA, millis, timestamp};

/// How long the follower rests before it makes good what it has missed.
const CATCH_UP_PAUSE: Duration = Duration::from_millis(250);

/// The timeline of the present run, kept up to date while the component runs.
#[derive(Default)]
pub(crate) struct Timelines(Mutex<Option<Timeline>>);

impl Timelines {
    /// Follows the orchestrator for as long as it is polled.
    pub(crate) async fn follow(&self, handle: &Handle) {
        loop {
            let mut events = handle.subscribe();
            let Ok(snapshot) = handle.snapshot().await else {
                return std::future::pending().await;
            };
            // A quick start is over before anybody can follow it; then the history still has all of it.
            let history = handle.history();
            self.kept()
                .get_or_insert_with(|| Timeline::new(&snapshot.plan))
                .replay(&snapshot, &history);
            if !self.keep_up(&mut events, snapshot.sequence).await {
                return std::future::pending().await;
            }
            tokio::time::sleep(CATCH_UP_PAUSE).await;
        }
    }

    /// Takes in events until a snapshot is needed; `false` when there will be none.
    async fn keep_up(&self, events: &mut Subscription, sequence: u64) -> bool {
        loop {
            match events.next().await {
                Some(Notice::Event(event)) => {
                    if let Some(timeline) = &mut *self.kept() {
                        timeline.take(&event);
                    }
                    let comes_or_goes = matches!(
                        event.kind,
                        EventKind::Added { .. } | EventKind::Removed { .. }
                    );
                    if comes_or_goes && event.sequence > sequence {
                        return true;
                    }
                }
                Some(Notice::Missed(_)) => return true,
                None => return false,
            }
        }
    }

    /// How long the last start and the last stop of `id` took.
    pub(crate) fn lasted(&self, id: ComponentId) -> Lasted {
        let kept = self.kept();
        let timeline = kept.as_ref();
        Lasted {
            start: timeline.and_then(|it| it.last_start(id)).map(millis),
            stop: timeline.and_then(|it| it.last_stop(id)).map(millis),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Option<Timeline>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Timelines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let run = self.kept().as_ref().map(Timeline::run);
        f.debug_struct("Timelines").field("run", &run).finish()
    }
}

/// In milliseconds; `None` where that was not seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lasted {
    pub(crate) start: Option<f64>,
    pub(crate) stop: Option<f64>,
}

/// The timeline so far.
pub(crate) async fn show(State(surface): State<Shared>) -> Result<Response, Problem> {
    let clock = surface.handle.clock();
    // A copy, since it goes on while a reader takes its time.
    let Some(timeline) = surface.timelines.kept().clone() else {
        let detail = "diagnostics do not follow the orchestrator yet; ask again in a moment";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
    };
    let writer = Writer {
        timeline: Arc::new(timeline),
        clock,
        now: clock.now(),
    };
    let document = writer.document();
    Ok(json(Pieces::of_json(&document, &["]}"], writer.clone())))
}

#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Timeline")]
pub(crate) struct Document<'a> {
    schema_version: &'static str,
    captured_at: String,
    run: u64,
    /// Whether something of this run was missed: moments may be missing or estimated, sums are right.
    truncated: bool,
    start: Option<Phase<'a>>,
    stop: Option<Phase<'a>>,
    /// In plan order. The last member: they are written one by one ([`Writer`]).
    components: Vec<Row<'a>>,
}

#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct Phase<'a> {
    began_at: String,
    ended_at: Option<String>,
    /// Up to now while it is under way.
    duration_ms: f64,
    critical_path: Vec<PathStep<'a>>,
}

#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct PathStep<'a> {
    component: &'a str,
    waiting_ms: f64,
    working_ms: f64,
    backing_off_ms: f64,
}

#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "TimelineRow")]
struct Row<'a> {
    name: &'a str,
    start: Option<BarRow>,
    stop: Option<BarRow>,
}

/// Times since the phase began.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Bar")]
struct BarRow {
    /// When its first attempt began; null while there was none.
    began_ms: Option<f64>,
    ended_ms: Option<f64>,
    waiting_ms: f64,
    working_ms: f64,
    backing_off_ms: f64,
    attempts: u32,
}

#[derive(Clone)]
struct Writer {
    timeline: Arc<Timeline>,
    clock: Clock,
    now: Time,
}

impl Rows for Writer {
    fn write(&self, list: usize, place: usize, text: &mut List<'_>) -> serde_json::Result<bool> {
        let order = self.timeline.plan().order();
        let Some(id) = order.get(place).filter(|_| list == 0) else {
            return Ok(false);
        };
        text.push(&self.row(*id))?;
        Ok(true)
    }
}

impl Writer {
    /// All but the components, which are the end of it.
    fn document(&self) -> Document<'_> {
        Document {
            schema_version: SCHEMA,
            captured_at: timestamp(self.clock, self.now),
            run: self.timeline.run(),
            truncated: self.timeline.is_truncated(),
            start: self.phase(Way::Up),
            stop: self.phase(Way::Down),
            components: Vec::new(),
        }
    }

    fn phase(&self, way: Way) -> Option<Phase<'_>> {
        let span = self.timeline.span(way)?;
        let path = self.timeline.critical_path(way, self.now);
        let until = span.ended.unwrap_or(self.now);
        Some(Phase {
            began_at: timestamp(self.clock, span.began),
            ended_at: span.ended.map(|it| timestamp(self.clock, it)),
            duration_ms: millis(until.since(span.began)),
            critical_path: path.iter().map(|it| self.step(it)).collect(),
        })
    }

    fn step(&self, step: &Step) -> PathStep<'_> {
        PathStep {
            component: self.timeline.plan().name(step.component).as_str(),
            waiting_ms: millis(step.waiting),
            working_ms: millis(step.working),
            backing_off_ms: millis(step.backing_off),
        }
    }

    fn row(&self, id: ComponentId) -> Row<'_> {
        let bar = |way| self.timeline.bar(id, way, self.now).as_ref().map(bar_row);
        Row {
            name: self.timeline.plan().name(id).as_str(),
            start: bar(Way::Up),
            stop: bar(Way::Down),
        }
    }
}

fn bar_row(bar: &Bar) -> BarRow {
    let since = |it: Time| millis(it.since(bar.began));
    BarRow {
        began_ms: bar.worked_from.map(since),
        ended_ms: bar.ended.map(since),
        waiting_ms: millis(bar.waiting),
        working_ms: millis(bar.working),
        backing_off_ms: millis(bar.backing_off),
        attempts: bar.attempts,
    }
}
