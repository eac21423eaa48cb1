//! Plays a trace, and writes down what is observed in the form that it is written in.

use std::sync::Arc;
use std::time::Duration;

use lifecycle_core::engine::{
    self, ComponentState, EventKind, OrchestratorState, StartReport, StopReport, StopTrouble,
};
use lifecycle_core::{Plan, Registration};
use lifecycle_runtime::{Notice, StartError, StopError, Subscription};
use lifecycle_testkit::{Hook, Moment, Note, Record, Scripted, simulate};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::log::{self, Line};
use crate::subject::Subject;
use crate::trace::{Ask, Asked, Phase, Sketch, Trace, describe};

/// Plays `trace` from its begin to its end.
pub(crate) fn play(trace: &Trace) -> String {
    log::capture();
    simulate(async {
        let components: Vec<_> = trace.components.iter().map(component).collect();
        let (registrations, records): (Vec<_>, Vec<_>) = components.into_iter().unzip();
        let (start, stop) = (trace.default_start.clone(), trace.default_stop.clone());
        let mut stage = Stage {
            subject: Subject::assemble(registrations, start, stop),
            records,
            seen: 0,
        };
        let mut text = String::new();
        for phase in &trace.phases {
            text.push_str(&stage.play(phase).await);
        }
        stage.check_disposal().await;
        text
    })
}

fn component(sketch: &Sketch) -> (Registration, Record) {
    let scripted = Scripted::new(&sketch.name)
        .starts(sketch.starts.iter().cloned())
        .stops(sketch.stops.iter().cloned());
    let record = scripted.record();
    let registration = scripted
        .registration()
        .depends_on(&sketch.needs)
        .start_retry(sketch.start_policy.clone())
        .stop_retry(sketch.stop_policy.clone());
    let aliases = sketch.aliases.iter();
    let registration = aliases.fold(registration, |it, alias| it.alias(alias));
    (registration, record)
}

struct Stage {
    subject: Subject,
    records: Vec<Record>,
    /// How many notes belong to phases that are over.
    seen: u64,
}

/// What happened at one moment, and by what it is ordered within that.
struct Entry {
    at: Duration,
    key: String,
    text: String,
}

impl Stage {
    async fn play(&mut self, phase: &Phase) -> String {
        let began = Instant::now();
        let mut events = self.subject.subscribe();
        let origin = self.subject.snapshot().await.at;
        let asked = phase.asks.iter().map(|ask| {
            let subject = self.subject.clone();
            tokio::spawn(answer(subject, *ask, began))
        });
        let mut results = Vec::new();
        for pending in asked.collect::<Vec<_>>() {
            results.push(pending.await.expect("a request does not panic"));
        }

        let snapshot = self.subject.snapshot().await;
        let plan = Arc::clone(&snapshot.plan);
        let since = |at: lifecycle_core::Time| Duration::from(at.since(origin));
        let (mut states, mut dispatcher) = (Vec::new(), Vec::new());
        for event in taken(&mut events) {
            let at = since(event.at);
            match event.kind {
                EventKind::Transition { key, to, .. } => {
                    states.push((at, key.component, to));
                }
                EventKind::Orchestrator { from, to, .. } if from != to => dispatcher.push(Entry {
                    at,
                    key: String::new(),
                    text: to.as_str().to_owned(),
                }),
                _ => {}
            }
        }
        let logs = log::take();
        let logs = logs.iter().filter_map(|it| log_entry(it, began));
        let blocks = [
            self.calls(began),
            by_moment(as_the_original(&plan, states)),
            by_moment(dispatcher),
            by_moment(logs.collect()),
            by_moment(results),
            if phase.tells_after() {
                after(&snapshot)
            } else {
                Vec::new()
            },
        ];
        describe(&phase.head, &blocks)
    }

    /// Starts and stops in the order in which they were made.
    fn calls(&mut self, began: Instant) -> Vec<String> {
        let notes = self.records.iter().flat_map(|record| {
            let name = record.name().to_owned();
            let notes = record.notes().into_iter();
            notes.map(move |note| (name.clone(), note))
        });
        let is_call = |note: &Note| {
            note.moment == Moment::Began && matches!(note.hook, Hook::Start | Hook::Stop)
        };
        let mut calls: Vec<_> = notes
            .filter(|(_, note)| is_call(note) && note.order >= self.seen)
            .collect();
        calls.sort_by_key(|(_, note)| note.order);
        self.seen = calls.last().map_or(self.seen, |(_, it)| it.order + 1);
        let entries = calls.into_iter().map(|(name, note)| Entry {
            at: note.at - began,
            key: String::new(),
            text: format!("{} {name} {}", note.hook, note.attempt),
        });
        by_moment(entries.collect())
    }

    /// Whoever was started and is down has released what it had, exactly once; and nothing of it is alive.
    async fn check_disposal(&self) {
        let snapshot = self.subject.snapshot().await;
        if !matches!(
            snapshot.state,
            OrchestratorState::Stopped | OrchestratorState::Created
        ) {
            panic!("a trace ends when everything is down");
        }
        for record in &self.records {
            record.assert_no_leak();
            assert_eq!(record.disposed_in_vain(), 0, "{}", record.name());
        }
    }
}

/// Asks when it is time, and says what was answered, and when.
async fn answer(subject: Subject, ask: Ask, began: Instant) -> Entry {
    tokio::time::sleep_until(began + ask.at).await;
    let text = match ask.what {
        Asked::Start { cancelled } => {
            let token = CancellationToken::new();
            let trigger = token.clone();
            let cancelling = async move {
                match cancelled {
                    Some(moment) => tokio::time::sleep_until(began + moment).await,
                    None => std::future::pending().await,
                }
                trigger.cancel();
                std::future::pending::<()>().await;
            };
            let started = tokio::select! {
                started = subject.start(token) => started,
                () = cancelling => unreachable!("it goes on for ever"),
            };
            format!("start {}", start_text(started))
        }
        Asked::Stop { deadline } => {
            let stopped = subject.stop(deadline.map(|it| began + it)).await;
            format!("stop {}", stop_text(stopped))
        }
    };
    Entry {
        at: began.elapsed(),
        key: text.clone(),
        text,
    }
}

fn start_text(started: Result<Arc<StartReport>, StartError>) -> String {
    let error = match started {
        Ok(report) if report.degraded.is_empty() => return "ok".to_owned(),
        Ok(report) => return format!("degraded {:?}", report.degraded),
        Err(StartError::Failed(error)) => error,
        Err(other) => return format!("lost: {other}"),
    };
    match &*error {
        engine::StartError::FailedPrecondition { state } => {
            format!("refused: it is {}", state.as_str())
        }
        engine::StartError::Failed {
            component,
            failure,
            rollback,
            ..
        } => format!(
            "failed: {component}: {failure}{}",
            troubles("rollback", rollback)
        ),
        engine::StartError::Cancelled { stop, .. } => {
            format!("cancelled{}", troubles("stop", stop))
        }
        other => format!("failed otherwise: {other}"),
    }
}

fn troubles(what: &str, report: &StopReport) -> String {
    let told = report.troubles.iter();
    told.map(|it| format!("; {what} of {}", trouble(it)))
        .collect()
}

fn trouble(it: &StopTrouble) -> String {
    let order = if it.order_violated {
        " out of order"
    } else {
        ""
    };
    let failure = it.failure.as_ref();
    let failure = failure.map_or(String::new(), |it| format!(": {}", it.message));
    format!("{} {}{order}{failure}", it.component, it.outcome.as_str())
}

/// One failure is the error itself, several are one error that has a line for each.
fn stop_text(stopped: Result<Arc<StopReport>, StopError>) -> String {
    let error = match stopped {
        Ok(_) => return "ok".to_owned(),
        Err(StopError::Unclean(error)) => error,
        Err(other) => return format!("lost: {other}"),
    };
    let told = error.to_string();
    let troubles: Vec<_> = error.report.troubles.iter().map(trouble).collect();
    for trouble in &error.report.troubles {
        assert!(told.contains(trouble.component.as_str()), "{told}");
    }
    let manner = if told.lines().count() > 1 {
        "together"
    } else {
        "itself"
    };
    format!("failed {manner}: {}", troubles.join("; "))
}

/// What is there already.
fn taken(events: &mut Subscription) -> Vec<engine::Event> {
    let mut found = Vec::new();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        let next = std::pin::pin!(tokio::task::unconstrained(events.next()));
        match next.poll(&mut context) {
            std::task::Poll::Ready(Some(Notice::Event(event))) => found.push(event),
            std::task::Poll::Ready(Some(Notice::Missed(_))) => panic!("events were missed"),
            std::task::Poll::Ready(None) | std::task::Poll::Pending => return found,
        }
    }
}

/// States as the original would show them: it has none for waiting and for the time between two attempts, in which a component
/// is still where it was.
fn as_the_original(
    plan: &Plan,
    states: Vec<(Duration, lifecycle_core::ComponentId, ComponentState)>,
) -> Vec<Entry> {
    let mut last = std::collections::BTreeMap::new();
    let mut shown = Vec::new();
    for (at, id, state) in states {
        if matches!(state, ComponentState::Waiting | ComponentState::BackingOff) {
            continue;
        }
        if last.insert(id.index(), state) == Some(state) {
            continue;
        }
        let name = plan.name(id).to_string();
        shown.push(Entry {
            at,
            text: format!("{name} {}", state.as_str()),
            key: name,
        });
    }
    shown
}

/// The original's five events; ours in addition are left out.
fn log_entry(line: &Line, began: Instant) -> Option<Entry> {
    let what = match &*line.event {
        "component.starting" => "starting",
        "component.started" => "started",
        "component.stopping" => "stopping",
        "component.stopped" => "stopped",
        "component.rollback_failed" => "rollback failed",
        _ => return None,
    };
    let level = line.level?.as_str().to_lowercase();
    let detail = match what {
        "starting" => format!(" {}", line.attempt),
        "rollback failed" => format!(": {}", line.error),
        _ => String::new(),
    };
    Some(Entry {
        at: line.at? - began,
        key: line.component.clone(),
        text: format!("{level} {what} {}{detail}", line.component),
    })
}

/// A line a moment.
fn by_moment(mut entries: Vec<Entry>) -> Vec<String> {
    entries.sort_by(|a, b| (a.at, &a.key).cmp(&(b.at, &b.key)));
    let moments = entries.chunk_by(|a, b| a.at == b.at);
    moments
        .map(|moment| {
            let texts: Vec<_> = moment.iter().map(|it| &*it.text).collect();
            format!("{}ms: {}", moment[0].at.as_millis(), texts.join(", "))
        })
        .collect()
}

/// The whole, and each component by name.
fn after(snapshot: &engine::Snapshot) -> Vec<String> {
    let mut rows: Vec<_> = snapshot
        .plan
        .order()
        .iter()
        .map(|id| {
            let row = snapshot.component(*id);
            let failure = row.failure.as_ref();
            let failure = failure.map_or(String::new(), |it| format!(": {it}"));
            format!("{} {}{failure}", snapshot.name(*id), row.state.as_str())
        })
        .collect();
    rows.sort_by_key(|it| it.to_lowercase());
    rows.insert(0, format!("dispatcher {}", snapshot.state.as_str()));
    rows
}
