//! [`Observer`]: events to `tracing` and `metrics`, in one place.
//!
//! Handles of metrics are made once, those of combinations when they first occur; a further transition touches nothing
//! but them. Nothing here is labelled by component: such series are rendered from the snapshot.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use lifecycle_core::engine::{
    AttemptKey, AwaitedStop, Call, ComponentState, DrainState, Event, EventKind, Health, Intent,
    Limit, Operation, OrchestratorState, Reason, Verdict,
};
use lifecycle_core::{ComponentId, Failure, FailureKind, Nanos, Plan};
use metrics::{Counter, Gauge, Histogram};
use tracing::Level;
use tracing::level_filters::LevelFilter;

/// Tells the story to logs and metrics.
#[derive(Debug)]
pub(crate) struct Observer {
    plan: Arc<Plan>,
    meters: Meters,
    /// Whether the stop under way is a rollback; then failures are its failures.
    rolling_back: bool,
    /// Whose last stop attempt in it has failed, without another one to follow.
    failed_in_rollback: BTreeSet<ComponentId>,
}

impl Observer {
    pub(crate) fn new(plan: Arc<Plan>) -> Self {
        for warning in plan.warnings() {
            tracing::warn!(target: "lifecycle", event = "plan.warning", "{warning}");
        }
        Self {
            plan,
            meters: Meters::new(),
            rolling_back: false,
            failed_in_rollback: BTreeSet::new(),
        }
    }

    /// Whether names are looked up in `plan`.
    pub(crate) fn knows(&self, plan: &Arc<Plan>) -> bool {
        Arc::ptr_eq(&self.plan, plan)
    }

    /// Looks names up in `plan` from now on. Those of removed components stay in it until their place is used again.
    pub(crate) fn follow(&mut self, plan: &Arc<Plan>) {
        self.plan = Arc::clone(plan);
    }

    /// Takes in one event; `left` names what an event of abandoning leaves behind, and is empty otherwise.
    pub(crate) fn event(&mut self, event: &Event, left: &[Cow<'static, str>]) {
        self.follow_rollback(event);
        self.meters.event(event, left);
        let level = level(&event.kind);
        if level <= LevelFilter::current() {
            self.log(event, level, left);
        }
    }

    /// Keeps book of a rollback. It has failed for a component when that is down and faulted by its last stop attempt: an
    /// attempt that is followed by another one is none of its failures yet.
    fn follow_rollback(&mut self, event: &Event) {
        match &event.kind {
            EventKind::Orchestrator { to, .. } => {
                self.rolling_back =
                    *to == OrchestratorState::Stopping && event.reason == Reason::Rollback;
                self.failed_in_rollback.clear();
            }
            EventKind::AttemptFailed { call, key, .. }
                if *call == Call::Stop && self.rolling_back =>
            {
                self.failed_in_rollback.insert(key.component);
            }
            EventKind::RetryScheduled { call, key, .. } if *call == Call::Stop => {
                self.failed_in_rollback.remove(&key.component);
            }
            _ => {}
        }
    }

    /// Takes in the end of a turn of the driver.
    pub(crate) fn turned(&self, ready: bool, lag: Option<usize>) {
        self.meters.ready.set(f64::from(u8::from(ready)));
        if let Some(lag) = lag.and_then(|it| u32::try_from(it).ok()) {
            self.meters.lag.set(f64::from(lag));
        }
    }

    fn log(&self, event: &Event, level: Level, left: &[Cow<'static, str>]) {
        let detail = self.detail(&event.kind);
        let line = Line {
            run: event.run,
            cause: event.cause.map(|id| self.name(id)),
            reason: event.reason,
            subject: self.subject(event),
            detail: detail.as_deref(),
            ..self.line(&event.kind)
        };
        if matches!(event.kind, EventKind::Abandoned { .. }) {
            line.abandoned(&left.join(", "));
            return;
        }
        line.write(level);
    }

    /// The component that a line is about, and which generation and attempt of it, where there is one.
    fn subject<'a>(&'a self, event: &'a Event) -> Option<(&'a str, Option<AttemptKey>)> {
        match &event.kind {
            EventKind::Added { name, .. } | EventKind::Removed { name, .. } => {
                Some((name.as_str(), None))
            }
            EventKind::Operation { component, .. } => Some((self.name(*component), None)),
            _ => {
                let key = event.subject()?;
                Some((self.name(key.component), Some(key)))
            }
        }
    }

    /// What only some events have to say.
    fn detail(&self, kind: &EventKind) -> Option<String> {
        match kind {
            EventKind::Awaiting { awaited, left } => Some(awaited_text(awaited, *left)),
            EventKind::Lost { verdict, .. } => Some(verdict_text(*verdict)),
            EventKind::RestartRefused { budget, .. } => {
                Some(format!("its budget of {budget} restarts is exhausted"))
            }
            EventKind::DependencyLost { dependency, .. } => {
                Some(format!("goes on without {}", self.name(*dependency)))
            }
            EventKind::DependencyBack { dependency, .. } => {
                Some(format!("{} is back", self.name(*dependency)))
            }
            EventKind::HealthChanged { to, detail, .. } => Some(match detail {
                Some(detail) => format!("{}: {detail}", to.as_str()),
                None => to.as_str().to_owned(),
            }),
            EventKind::CheckFailed { misses, .. } => Some(format!("{misses} in a row")),
            EventKind::Node { intent, .. } | EventKind::Operation { intent, .. } => {
                intent_text(intent)
            }
            EventKind::Gate { gate, .. } => {
                let plan = &self.plan;
                Some(plan.gate_name(*gate).to_string())
            }
            _ => None,
        }
    }

    fn name(&self, id: ComponentId) -> &str {
        self.plan.name(id).as_str()
    }

    /// The line without what all events have in common.
    fn line<'a>(&self, kind: &'a EventKind) -> Line<'a> {
        match kind {
            EventKind::Orchestrator { to, failure, .. } => {
                Line::new(orchestrator_event(*to)).with_failure(failure.as_ref())
            }
            EventKind::StopEnded { report } => Line::new(match report.is_clean() {
                true => "orchestrator.stop_ended",
                false => "orchestrator.stop_unclean",
            })
            .with_duration(report.took),
            EventKind::Transition {
                key,
                to,
                lasted,
                failure,
                ..
            } => Line::new(self.entered_event(key.component, *to))
                .with_call(phase(*to))
                .with_duration(*lasted)
                .with_failure(failure.as_ref()),
            EventKind::AttemptFailed {
                call,
                worked,
                failure,
                ..
            } => Line::new(failed_event(*call, failure.kind))
                .with_call(Some(*call))
                .with_duration(*worked)
                .with_failure(Some(failure)),
            EventKind::RetryScheduled { call, delay, .. } => Line::new("component.retry_scheduled")
                .with_call(Some(*call))
                .with_duration(*delay),
            EventKind::Cancelled { call, limit, .. } => Line::new("component.cancelled")
                .with_call(Some(*call))
                .with_limit(*limit),
            EventKind::Aborted { call, limit, .. } => Line::new("component.aborted")
                .with_call(*call)
                .with_limit(Some(*limit)),
            EventKind::Abandoned { .. } => Line::new("component.abandoned"),
            EventKind::Held { .. } => Line::new("component.held"),
            EventKind::Awaiting { left, .. } => {
                Line::new("orchestrator.awaiting").with_duration(*left)
            }
            EventKind::Lost { failure, .. } => Line::new(match failure {
                Some(_) => "component.lost",
                None => "component.completed",
            })
            .with_failure(failure.as_ref()),
            EventKind::RestartRefused { .. } => Line::new("component.restart_refused"),
            EventKind::DependencyLost { .. } => Line::new("component.dependency_lost"),
            EventKind::DependencyBack { .. } => Line::new("component.dependency_back"),
            EventKind::HealthChanged { .. } => Line::new("component.health_changed"),
            EventKind::CheckFailed { failure, .. } => {
                Line::new("component.check_failed").with_failure(Some(failure))
            }
            EventKind::Node {
                cordoned, from, to, ..
            } => Line::new(node_event(*cordoned, *from, *to)),
            EventKind::Participant {
                from, to, failure, ..
            } => Line::new(participant_event(*from, *to)).with_failure(failure.as_ref()),
            EventKind::Operation { operation, .. } => Line::new(operation_event(*operation)),
            EventKind::Gate { open, .. } => {
                Line::new(if *open { "gate.opened" } else { "gate.closed" })
            }
            EventKind::GateBroken { .. } => Line::new("component.gate_broken"),
            EventKind::Added { .. } => Line::new("component.added"),
            EventKind::Removed { .. } => Line::new("component.removed"),
            EventKind::Disposed { failure, .. } => Line::new(match failure {
                None => "component.disposed",
                Some(_) => "component.dispose_failed",
            })
            .with_call(Some(Call::Dispose))
            .with_failure(failure.as_ref()),
        }
    }

    /// The event of a component that enters `to`.
    fn entered_event(&self, component: ComponentId, to: ComponentState) -> &'static str {
        let failed = self.failed_in_rollback.contains(&component);
        match to {
            ComponentState::Faulted if failed => "component.rollback_failed",
            _ => component_event(to),
        }
    }
}

/// At most so many are named in a line; the rest is counted.
const NAMED: usize = 8;

/// What a stop waits for, and how long it still will.
fn awaited_text(awaited: &[AwaitedStop], left: Nanos) -> String {
    let mut text = String::new();
    for it in awaited.iter().take(NAMED) {
        let what = it.call.map_or("tasks", Call::as_str);
        let joint = if text.is_empty() { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "{joint}{} ({what} for {} ms",
            it.component,
            it.since.as_millis()
        );
        if let Some(progress) = &it.progress {
            let _ = write!(text, ", {progress}");
        }
        text.push(')');
    }
    if awaited.len() > NAMED {
        let _ = write!(text, " and {} more", awaited.len() - NAMED);
    }
    let _ = write!(text, "; {} ms left", left.as_millis());
    text
}

fn verdict_text(verdict: Verdict) -> String {
    match verdict {
        Verdict::Restart { delay, restarts } => format!(
            "started again {} ms after the loss; restart {restarts} within the window",
            delay.as_millis()
        ),
        Verdict::Follow => "started again when its dependency runs".to_owned(),
        Verdict::Final => "not started again".to_owned(),
    }
}

fn intent_text(intent: &Intent) -> Option<String> {
    match (&intent.by, &intent.reason) {
        (Some(by), Some(reason)) => Some(format!("by {by}: {reason}")),
        (Some(by), None) => Some(format!("by {by}")),
        (None, Some(reason)) => Some(reason.to_string()),
        (None, None) => None,
    }
}

fn node_event(cordoned: bool, from: DrainState, to: DrainState) -> &'static str {
    match (from == to, to) {
        (true, _) if cordoned => "node.cordoned",
        (true, _) => "node.uncordoned",
        (false, DrainState::Active) => "node.resumed",
        (false, DrainState::Draining) => "node.draining",
        (false, DrainState::Drained) => "node.drained",
        (false, DrainState::Failed) => "node.drain_failed",
    }
}

fn participant_event(from: DrainState, to: DrainState) -> &'static str {
    match (from, to) {
        (_, DrainState::Active) => "component.resumed",
        (_, DrainState::Draining) => "component.draining",
        (_, DrainState::Drained) => "component.drained",
        (_, DrainState::Failed) => "component.drain_state_failed",
    }
}

fn operation_event(operation: Operation) -> &'static str {
    match operation {
        Operation::Start => "component.start_ordered",
        Operation::Stop => "component.stop_ordered",
        Operation::Restart => "component.restart_ordered",
        Operation::Add => "component.add_ordered",
        Operation::Remove => "component.remove_ordered",
    }
}

/// How loud an event is: the four normal transitions are information, what went wrong is a warning, and what is left
/// behind is an error.
fn level(kind: &EventKind) -> Level {
    match kind {
        EventKind::Orchestrator { failure, .. } => warn_if(failure.is_some(), Level::INFO),
        EventKind::StopEnded { report } => warn_if(!report.is_clean(), Level::DEBUG),
        // The failure behind it has a line of its own.
        EventKind::Transition { from, to, .. } => transition_level(*from, *to),
        EventKind::AttemptFailed { .. }
        | EventKind::Aborted { .. }
        | EventKind::Held { .. }
        | EventKind::RestartRefused { .. }
        | EventKind::DependencyLost { .. }
        | EventKind::CheckFailed { .. } => Level::WARN,
        EventKind::Lost { failure, .. } => warn_if(failure.is_some(), Level::INFO),
        EventKind::HealthChanged { to, .. } => warn_if(*to != Health::Healthy, Level::INFO),
        EventKind::Node { to, .. } | EventKind::Participant { to, .. } => {
            warn_if(*to == DrainState::Failed, Level::INFO)
        }
        EventKind::RetryScheduled { .. }
        | EventKind::Awaiting { .. }
        | EventKind::DependencyBack { .. }
        | EventKind::Operation { .. }
        | EventKind::Gate { .. }
        | EventKind::Added { .. }
        | EventKind::Removed { .. } => Level::INFO,
        EventKind::GateBroken { .. } => Level::ERROR,
        EventKind::Cancelled { limit, .. } => warn_if(limit.is_some(), Level::INFO),
        EventKind::Abandoned { .. } => Level::ERROR,
        EventKind::Disposed { failure, .. } => warn_if(failure.is_some(), Level::DEBUG),
    }
}

fn warn_if(wrong: bool, otherwise: Level) -> Level {
    if wrong { Level::WARN } else { otherwise }
}

fn transition_level(from: ComponentState, to: ComponentState) -> Level {
    use ComponentState::{
        BackingOff, Created, Faulted, Running, Starting, Stopped, Stopping, Waiting,
    };
    match (from, to) {
        (_, Faulted) => Level::WARN,
        (_, Starting | Running | Stopping) | (Stopping, Stopped) => Level::INFO,
        (_, Created | Waiting | BackingOff | Stopped) => Level::DEBUG,
    }
}

/// The phase that a state belongs to.
fn phase(to: ComponentState) -> Option<Call> {
    match to {
        ComponentState::Starting | ComponentState::Running => Some(Call::Start),
        ComponentState::Stopping | ComponentState::Stopped => Some(Call::Stop),
        ComponentState::Created
        | ComponentState::Faulted
        | ComponentState::Waiting
        | ComponentState::BackingOff => None,
    }
}

fn failed_event(call: Call, kind: FailureKind) -> &'static str {
    match (call, kind) {
        (Call::Start, FailureKind::Timeout) => "component.start_timed_out",
        (Call::Start, _) => "component.start_failed",
        (Call::Stop, FailureKind::Timeout) => "component.stop_timed_out",
        (Call::Stop, _) => "component.stop_failed",
        (Call::Dispose, FailureKind::Timeout) => "component.dispose_timed_out",
        (Call::Dispose, _) => "component.dispose_failed",
        (Call::Drain, _) => "component.drain_failed",
        (Call::Resume, _) => "component.resume_failed",
    }
}

fn orchestrator_event(to: OrchestratorState) -> &'static str {
    match to {
        OrchestratorState::Created => "orchestrator.created",
        OrchestratorState::Starting => "orchestrator.starting",
        OrchestratorState::Running => "orchestrator.started",
        OrchestratorState::Stopping => "orchestrator.stopping",
        OrchestratorState::Stopped => "orchestrator.stopped",
    }
}

fn component_event(to: ComponentState) -> &'static str {
    match to {
        ComponentState::Created => "component.created",
        ComponentState::Starting => "component.starting",
        ComponentState::Running => "component.started",
        ComponentState::Stopping => "component.stopping",
        ComponentState::Stopped => "component.stopped",
        ComponentState::Faulted => "component.faulted",
        ComponentState::Waiting => "component.waiting",
        ComponentState::BackingOff => "component.backing_off",
    }
}

/// One log line.
struct Line<'a> {
    event: &'static str,
    run: u64,
    subject: Option<(&'a str, Option<AttemptKey>)>,
    detail: Option<&'a str>,
    call: Option<Call>,
    reason: Reason,
    cause: Option<&'a str>,
    limit: Option<Limit>,
    duration: Option<Nanos>,
    failure: Option<&'a Failure>,
}

/// Writes one event; a macro, since the level of a callsite is fixed.
macro_rules! write_line {
    ($macro:ident, $line:expr, $tasks:expr) => {{
        let line = $line;
        let key = line.subject.and_then(|(_, key)| key);
        tracing::$macro!(
            target: "lifecycle",
            event = line.event,
            run = line.run,
            component = line.subject.map(|(name, _)| name),
            generation = key.map(|it| it.generation),
            attempt = key.map(|it| it.attempt),
            phase = line.call.map(Call::as_str),
            reason = line.reason.as_str(),
            cause = line.cause,
            limit = line.limit.map(Limit::as_str),
            duration_ms = line.duration.map(Nanos::as_millis),
            error = line.failure.map(tracing::field::display),
            detail = line.detail,
            tasks = $tasks,
            "{}",
            Message(line),
        )
    }};
}

impl<'a> Line<'a> {
    fn new(event: &'static str) -> Self {
        Self {
            event,
            run: 0,
            subject: None,
            detail: None,
            call: None,
            reason: Reason::Settled,
            cause: None,
            limit: None,
            duration: None,
            failure: None,
        }
    }

    fn with_call(mut self, call: Option<Call>) -> Self {
        self.call = call;
        self
    }

    fn with_limit(mut self, limit: Option<Limit>) -> Self {
        self.limit = limit;
        self
    }

    fn with_duration(mut self, duration: Nanos) -> Self {
        self.duration = Some(duration);
        self
    }

    fn with_failure(mut self, failure: Option<&'a Arc<Failure>>) -> Self {
        self.failure = failure.map(|it| &**it);
        self
    }

    fn write(&self, level: Level) {
        let tasks = None::<&str>;
        match level {
            Level::ERROR => write_line!(error, self, tasks),
            Level::WARN => write_line!(warn, self, tasks),
            Level::INFO => write_line!(info, self, tasks),
            Level::DEBUG => write_line!(debug, self, tasks),
            Level::TRACE => write_line!(trace, self, tasks),
        }
    }

    /// Names what is left behind.
    fn abandoned(&self, tasks: &str) {
        write_line!(error, self, Some(tasks));
    }
}

/// The line for people: what, and of which component.
struct Message<'a>(&'a Line<'a>);

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, what) = self.0.event.split_once('.').unwrap_or(("", self.0.event));
        let what = Words(what);
        match self.0.subject {
            Some((name, _)) => write!(f, "{name} {what}")?,
            None => write!(f, "{kind} {what}")?,
        }
        match self.0.detail {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}

/// An event's name with blanks for underscores.
struct Words<'a>(&'a str);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, word) in self.0.split('_').enumerate() {
            if position > 0 {
                f.write_str(" ")?;
            }
            f.write_str(word)?;
        }
        Ok(())
    }
}

/// The cached handles of metrics.
struct Meters {
    transitions: Cache<(ComponentState, ComponentState, Reason), Counter>,
    phases: Cache<(Call, Option<FailureKind>), PhaseMeters>,
    backoff: Histogram,
    ready: Gauge,
    states: [Gauge; OrchestratorState::ALL.len()],
    abandoned: Counter,
    lag: Gauge,
}

/// Values by key, in the order of their first use. There are a dozen in a normal run, and the first are those of every
/// transition: looking through them is quicker than hashing.
struct Cache<K, V>(Vec<(K, V)>);

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: PartialEq, V> Cache<K, V> {
    fn entry(&mut self, key: K, make: impl FnOnce() -> V) -> &V {
        let found = self.0.iter().position(|(known, _)| *known == key);
        let position = found.unwrap_or_else(|| {
            self.0.push((key, make()));
            self.0.len() - 1
        });
        &self.0[position].1
    }
}

struct PhaseMeters {
    attempts: Counter,
    duration: Histogram,
}

impl Meters {
    fn new() -> Self {
        describe();
        let states = OrchestratorState::ALL
            .map(|it| metrics::gauge!("lifecycle_orchestrator_state", "state" => it.as_str()));
        let meters = Self {
            transitions: Cache::default(),
            phases: Cache::default(),
            backoff: metrics::histogram!("lifecycle_backoff_seconds"),
            ready: metrics::gauge!("lifecycle_ready"),
            states,
            abandoned: metrics::counter!("lifecycle_abandoned_tasks_total"),
            lag: metrics::gauge!("lifecycle_event_lag"),
        };
        meters.abandoned.absolute(0);
        meters.ready.set(0.0);
        meters.orchestrator_entered(OrchestratorState::Created);
        meters
    }

    fn event(&mut self, event: &Event, left: &[Cow<'static, str>]) {
        match &event.kind {
            EventKind::Orchestrator { to, .. } => self.orchestrator_entered(*to),
            EventKind::Transition {
                from, to, lasted, ..
            } => {
                self.transition(*from, *to, event.reason);
                self.success(*from, *to, *lasted);
            }
            EventKind::AttemptFailed {
                call,
                worked,
                failure,
                ..
            } => self.attempt(*call, Some(failure.kind), Some(*worked)),
            EventKind::RetryScheduled { delay, .. } => self.backoff.record(delay.as_secs_f64()),
            EventKind::Abandoned { .. } => self.abandoned.increment(left.len() as u64),
            EventKind::Disposed { failure, .. } => {
                let outcome = failure.as_ref().map(|it| it.kind);
                self.attempt(Call::Dispose, outcome, None);
            }
            EventKind::StopEnded { .. }
            | EventKind::Cancelled { .. }
            | EventKind::Aborted { .. }
            | EventKind::Held { .. }
            | EventKind::Awaiting { .. }
            | EventKind::RestartRefused { .. }
            | EventKind::DependencyLost { .. }
            | EventKind::DependencyBack { .. }
            | EventKind::HealthChanged { .. }
            | EventKind::CheckFailed { .. }
            | EventKind::Node { .. }
            | EventKind::Operation { .. }
            | EventKind::Gate { .. }
            | EventKind::GateBroken { .. }
            | EventKind::Added { .. }
            | EventKind::Removed { .. } => {}
            EventKind::Lost { verdict, .. } => {
                if let Verdict::Restart { delay, .. } = verdict {
                    self.backoff.record(delay.as_secs_f64());
                }
            }
            EventKind::Participant { to, worked, .. } => self.node_call(*to, *worked),
        }
    }

    fn orchestrator_entered(&self, state: OrchestratorState) {
        for (other, gauge) in OrchestratorState::ALL.iter().zip(&self.states) {
            gauge.set(f64::from(u8::from(*other == state)));
        }
    }

    fn transition(&mut self, from: ComponentState, to: ComponentState, reason: Reason) {
        let counter = self.transitions.entry((from, to, reason), || {
            metrics::counter!(
                "lifecycle_transitions_total",
                "from" => from.as_str(), "to" => to.as_str(), "reason" => reason.as_str()
            )
        });
        counter.increment(1);
    }

    /// A start or stop that succeeded is told by the transition that follows from it.
    fn success(&mut self, from: ComponentState, to: ComponentState, lasted: Nanos) {
        let call = match to {
            ComponentState::Running => Call::Start,
            ComponentState::Stopped if from == ComponentState::Stopping => Call::Stop,
            _ => return,
        };
        self.attempt(call, None, Some(lasted));
    }

    /// A drain or resume that succeeded; what was not asked because it does not run has made no attempt.
    fn node_call(&mut self, to: DrainState, worked: Option<Nanos>) {
        let call = match to {
            DrainState::Drained => Call::Drain,
            DrainState::Active => Call::Resume,
            DrainState::Draining | DrainState::Failed => return,
        };
        if worked.is_some() {
            self.attempt(call, None, worked);
        }
    }

    fn attempt(&mut self, call: Call, failed: Option<FailureKind>, worked: Option<Nanos>) {
        let meters = self
            .phases
            .entry((call, failed), || PhaseMeters::new(call, failed));
        meters.attempts.increment(1);
        if let Some(worked) = worked {
            meters.duration.record(worked.as_secs_f64());
        }
    }
}

impl PhaseMeters {
    fn new(call: Call, failed: Option<FailureKind>) -> Self {
        let phase = call.as_str();
        let outcome = failed.map_or("succeeded", FailureKind::as_str);
        Self {
            attempts: metrics::counter!(
                "lifecycle_attempts_total", "phase" => phase, "outcome" => outcome
            ),
            duration: metrics::histogram!(
                "lifecycle_phase_duration_seconds", "phase" => phase, "outcome" => outcome
            ),
        }
    }
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meters").finish_non_exhaustive()
    }
}

fn describe() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_counter!(
        "lifecycle_transitions_total",
        "Transitions of components by state before, state after and reason."
    );
    describe_counter!(
        "lifecycle_attempts_total",
        "Calls of components that have ended, by phase and outcome."
    );
    describe_histogram!(
        "lifecycle_phase_duration_seconds",
        Unit::Seconds,
        "How long starts, stops, drains and resumes took, by phase and outcome."
    );
    describe_histogram!(
        "lifecycle_backoff_seconds",
        Unit::Seconds,
        "Delays before further attempts."
    );
    describe_gauge!(
        "lifecycle_ready",
        "1 while the orchestrator and every essential component run."
    );
    describe_gauge!(
        "lifecycle_orchestrator_state",
        "1 for the state that the orchestrator is in."
    );
    describe_counter!(
        "lifecycle_abandoned_tasks_total",
        "Calls and tasks that were left behind because they block a thread."
    );
    describe_gauge!(
        "lifecycle_event_lag",
        "Events that the slowest subscriber has not read yet, as far as they are kept."
    );
}
