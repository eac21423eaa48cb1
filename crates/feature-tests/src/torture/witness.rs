//! [`Witness`]: takes in every event of a host, from before its start to its end.

use std::sync::Arc;
use std::time::Duration;

use lifecycle_core::engine::{
    Call, ComponentState as State, Event, EventKind, OrchestratorState, Snapshot, StopReport,
    Verdict,
};
use lifecycle_core::{Nanos, Plan, Time};
use lifecycle_runtime::{Handle, Notice, Subscription};
use lifecycle_testkit::Oracle;

use crate::report::{Report, Start, Stop};
use crate::scene::Stage;
use crate::spread::Spread;

/// How many violations are told in words.
const TOLD: usize = 24;

/// How often a snapshot is held against the events.
const LOOK: Duration = Duration::from_secs(2);

/// How much later than its deadline a stop may be told of on a machine that has other work.
const LATE: Nanos = Nanos::from_secs(1);

/// An oracle, and a book of what happened.
pub(crate) struct Witness {
    handle: Handle,
    events: Subscription,
}

/// What is known once there is a plan.
struct Case {
    plan: Arc<Plan>,
    oracle: Oracle,
    spread: Spread,
    whole: OrchestratorState,
    /// To be compared once its last event was taken in.
    snapshot: Option<Snapshot>,
    began: Time,
    running: usize,
    all_run_after: Option<u64>,
    most_running: usize,
    report: Report,
}

impl Witness {
    /// Of a host that is about to be built: nothing that it does is missed.
    pub(crate) fn of(stage: &Stage) -> Self {
        Self {
            events: stage.handle.subscribe(),
            handle: stage.handle.clone(),
        }
    }

    /// Follows it until nobody drives it any more.
    pub(crate) async fn follow(mut self) -> Report {
        let Some(first) = self.events.next().await else {
            return Report::default();
        };
        let plan = self
            .handle
            .plan()
            .expect("what happens is driven, so it was built");
        let mut case = Case::of(plan);
        self.take(&mut case, first).await;
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                biased;
                notice = self.events.next() => match notice {
                    Some(notice) => self.take(&mut case, notice).await,
                    None => break,
                },
                _ = look.tick() => case.snapshot = self.handle.snapshot().await.ok(),
            }
        }
        case.conclude()
    }

    async fn take(&self, case: &mut Case, notice: Notice) {
        match notice {
            Notice::Event(event) => {
                let of_the_whole = matches!(event.kind, EventKind::Orchestrator { .. });
                case.observe(&event);
                if of_the_whole {
                    case.snapshot = self.handle.snapshot().await.ok();
                }
                case.compare();
            }
            Notice::Missed(missed) => {
                case.report.events.missed += missed;
                if let Ok(snapshot) = self.handle.snapshot().await {
                    case.oracle.resynchronise(&snapshot);
                    case.whole = snapshot.state;
                }
            }
        }
    }
}

impl Case {
    fn of(plan: Arc<Plan>) -> Self {
        let longest = plan.defaults().shutdown_timeout.saturating_add(LATE);
        let mut report = Report {
            components: plan.len(),
            edges: plan.edge_count(),
            ..Report::default()
        };
        let budgets = plan.ids().map(|it| plan.policies(it).restart.budget);
        report.faults.budget = budgets.max().unwrap_or_default();
        Self {
            oracle: Oracle::new(Arc::clone(&plan)).stops_within(longest),
            plan,
            spread: Spread::default(),
            whole: OrchestratorState::Created,
            snapshot: None,
            began: Time::ZERO,
            running: 0,
            all_run_after: None,
            most_running: 0,
            report,
        }
    }

    fn observe(&mut self, event: &Event) {
        self.report.events.seen += 1;
        self.oracle.observe(event);
        if self.whole == OrchestratorState::Running {
            let broken = self.spread.check(&self.plan, event);
            broken.into_iter().for_each(|it| self.tell(it));
        }
        if let EventKind::Transition { from, to, .. } = &event.kind {
            self.count_running(event.at, *from, *to);
        }
        self.count(event);
    }

    fn count_running(&mut self, at: Time, from: State, to: State) {
        match (from, to) {
            (_, State::Running) => self.running += 1,
            (State::Running, _) => self.running = self.running.saturating_sub(1),
            _ => {}
        }
        self.most_running = self.running.max(self.most_running);
        if self.running == self.plan.len() {
            let after = at.since(self.began).as_millis();
            self.all_run_after.get_or_insert(after);
        }
    }

    fn count(&mut self, event: &Event) {
        let faults = &mut self.report.faults;
        match &event.kind {
            EventKind::Orchestrator { to, .. } => self.step(event.at, *to),
            EventKind::StopEnded { report } => self.close(report),
            EventKind::Transition {
                to: State::Starting,
                ..
            } => faults.start_attempts += 1,
            EventKind::AttemptFailed {
                call: Call::Start | Call::Stop,
                ..
            } => faults.failed_attempts += 1,
            EventKind::Lost { key, verdict, .. } => {
                faults.lost += 1;
                match *verdict {
                    Verdict::Restart { restarts, .. } => {
                        faults.restarted += 1;
                        faults.most_restarts = faults.most_restarts.max(restarts);
                        let budget = self.plan.policies(key.component).restart.budget;
                        if restarts > budget {
                            let name = self.plan.name(key.component);
                            self.tell(format!(
                                "\"{name}\" is restarted {restarts} times; its budget is {budget}"
                            ));
                        }
                    }
                    Verdict::Final => faults.given_up += 1,
                    Verdict::Follow => {}
                }
            }
            EventKind::Aborted { .. } => faults.aborted += 1,
            EventKind::Abandoned { .. } => faults.abandoned += 1,
            _ => {}
        }
    }

    fn step(&mut self, at: Time, to: OrchestratorState) {
        self.whole = to;
        match to {
            OrchestratorState::Starting => self.began = at,
            OrchestratorState::Running => {
                let took = at.since(self.began).as_millis();
                self.report.start = Some(Start {
                    took,
                    all_run_after: None,
                    most_running: 0,
                });
            }
            OrchestratorState::Created
            | OrchestratorState::Stopping
            | OrchestratorState::Stopped => {}
        }
    }

    /// Only the last stop counts: what a further one is asked to do was left by the first.
    fn close(&mut self, stop: &StopReport) {
        let mut troubles = std::collections::BTreeMap::new();
        for it in &stop.troubles {
            *troubles.entry(it.outcome.as_str()).or_default() += 1;
        }
        self.report.stop.get_or_insert(Stop {
            took: stop.took.as_millis(),
            deadline: self.plan.defaults().shutdown_timeout.as_millis(),
            clean: stop.stopped,
            troubles,
            left: stop.incomplete.len(),
        });
    }

    /// Compares once the events have come to where the snapshot is.
    fn compare(&mut self) {
        let sequence = self.oracle.sequence();
        let Some(snapshot) = self.snapshot.take_if(|it| it.sequence <= sequence) else {
            return;
        };
        self.oracle.compare(&snapshot);
    }

    fn tell(&mut self, violation: String) {
        self.report.violation_count += 1;
        if self.report.violations.len() < TOLD {
            self.report.violations.push(violation);
        }
    }

    fn conclude(mut self) -> Report {
        self.report.faults.taken_down = self.spread.taken_down;
        if let Some(start) = &mut self.report.start {
            start.all_run_after = self.all_run_after;
            start.most_running = self.most_running;
        }
        let oracle = std::mem::replace(&mut self.oracle, Oracle::new(Arc::clone(&self.plan)));
        for violation in oracle.finish() {
            self.tell(violation.to_string());
        }
        if self.report.events.missed > 0 {
            let missed = self.report.events.missed;
            self.tell(format!("{missed} events came too fast to be judged"));
        }
        if self.report.stop.is_none() {
            self.tell("nothing was told of the end of a stop".to_owned());
        }
        self.report
    }
}
