//! The oracle finds what is not as promised: forged events, one wrong at a time.

use std::sync::Arc;

use lifecycle_core::engine::{
    AttemptKey, ComponentState as State, Event, EventKind, OrchestratorState as Whole, Reason,
    Snapshot, StopReport,
};
use lifecycle_core::{Defaults, Dependency, Nanos, Plan, Registration, Restart, Time};
use lifecycle_testkit::{Act, Oracle, Rule, Scripted, Violation, launch, simulate};

use crate::{ms, secs};

/// Forges the events of an orchestrator.
struct Forger {
    plan: Arc<Plan>,
    oracle: Oracle,
    at: Time,
    sequence: u64,
}

impl Forger {
    fn of(registrations: Vec<Registration>) -> Self {
        let compiled = Plan::compile(registrations, Defaults::default()).unwrap();
        Self {
            oracle: Oracle::new(Arc::clone(&compiled.plan)),
            plan: compiled.plan,
            at: Time::ZERO,
            sequence: 0,
        }
    }

    /// `api` depends on `db`.
    fn pair() -> Self {
        let db = Scripted::new("db").registration();
        Self::of(vec![
            db,
            Scripted::new("api").registration().depends_on(["db"]),
        ])
    }

    fn emit(&mut self, reason: Reason, kind: EventKind) -> &mut Self {
        self.sequence += 1;
        self.oracle.observe(&Event {
            run: 1,
            sequence: self.sequence,
            at: self.at,
            reason,
            cause: None,
            kind,
        });
        self
    }

    fn key(&self, name: &str, generation: u32) -> AttemptKey {
        AttemptKey {
            component: self.plan.find(name).unwrap(),
            generation,
            attempt: 1,
        }
    }

    fn whole(&mut self, from: Whole, to: Whole) -> &mut Self {
        let failure = None;
        self.emit(
            Reason::Settled,
            EventKind::Orchestrator { from, to, failure },
        )
    }

    fn step_as(&mut self, reason: Reason, key: AttemptKey, from: State, to: State) -> &mut Self {
        let kind = EventKind::Transition {
            key,
            from,
            to,
            lasted: Nanos::ZERO,
            failure: None,
        };
        self.emit(reason, kind)
    }

    /// Steps through `states` in the first generation.
    fn steps(&mut self, name: &str, states: &[State]) -> &mut Self {
        let key = self.key(name, 1);
        for pair in states.windows(2) {
            self.step_as(Reason::Succeeded, key, pair[0], pair[1]);
        }
        self
    }

    fn disposed(&mut self, name: &str, generation: u32) -> &mut Self {
        let key = self.key(name, generation);
        let failure = None;
        self.emit(Reason::Succeeded, EventKind::Disposed { key, failure })
    }

    /// Both run.
    fn running() -> Self {
        let mut forger = Self::pair();
        forger
            .whole(Whole::Created, Whole::Starting)
            .steps("db", &[State::Created, State::Starting, State::Running])
            .steps("api", &[State::Created, State::Waiting])
            .steps("api", &[State::Waiting, State::Starting, State::Running])
            .whole(Whole::Starting, Whole::Running);
        forger
    }

    fn rules(self) -> Vec<Rule> {
        self.violations().iter().map(|it| it.rule).collect()
    }

    fn violations(self) -> Vec<Violation> {
        self.oracle.finish()
    }
}

const DOWN: &[State] = &[State::Running, State::Stopping, State::Stopped];

#[test]
fn a_run_that_keeps_every_promise_has_no_violation() {
    let mut forger = Forger::running();
    forger
        .whole(Whole::Running, Whole::Stopping)
        .steps("api", &DOWN[..2])
        .disposed("api", 1)
        .steps("api", &DOWN[1..])
        .steps("db", &DOWN[..2])
        .disposed("db", 1)
        .steps("db", &DOWN[1..])
        .whole(Whole::Stopping, Whole::Stopped);
    assert_eq!(forger.violations(), []);
}

#[test]
fn a_start_before_its_dependency_runs_is_found() {
    let mut forger = Forger::pair();
    forger
        .whole(Whole::Created, Whole::Starting)
        .steps("db", &[State::Created, State::Starting])
        .steps("api", &[State::Created, State::Starting]);
    let violations = forger.violations();
    assert_eq!(violations.len(), 1);
    assert_eq!(violations[0].rule, Rule::StartOrder);
    assert_eq!(
        violations[0].to_string(),
        "start order: \"api\": its start began while \"db\" is starting (event 3, t+0s)"
    );
}

#[test]
fn a_stop_before_its_dependent_is_down_is_found_also_when_only_it_goes_down() {
    for whole in [true, false] {
        let mut forger = Forger::running();
        if whole {
            forger.whole(Whole::Running, Whole::Stopping);
        }
        forger.steps("api", &DOWN[..2]).steps("db", &DOWN[..2]);
        assert_eq!(forger.rules(), [Rule::StopOrder]);
    }
}

#[test]
fn a_dependent_that_tolerates_it_may_stay_up_unless_everything_stops() {
    for (whole, found) in [(false, vec![]), (true, vec![Rule::StopOrder])] {
        let api = Scripted::new("api").registration();
        let edge = Dependency::hard("db").tolerates();
        let mut forger = Forger::of(vec![
            Scripted::new("db").registration(),
            api.dependencies([edge]),
        ]);
        forger
            .whole(Whole::Created, Whole::Starting)
            .steps("db", &[State::Created, State::Starting, State::Running])
            .steps("api", &[State::Created, State::Starting, State::Running])
            .whole(Whole::Starting, Whole::Running);
        if whole {
            forger.whole(Whole::Running, Whole::Stopping);
        }
        forger.steps("db", &DOWN[..2]);
        assert_eq!(forger.rules(), found);
    }
}

#[test]
fn a_dependent_whose_stop_failed_or_that_is_left_behind_counts_as_down() {
    let mut kept = Forger::running();
    kept.whole(Whole::Running, Whole::Stopping)
        .steps("api", &[State::Running, State::Stopping, State::Faulted])
        .steps("db", &DOWN[..2]);
    assert_eq!(kept.rules(), []);

    let mut held = Forger::running();
    let key = held.key("api", 1);
    held.whole(Whole::Running, Whole::Stopping)
        .emit(Reason::Held, EventKind::Held { key })
        .steps("db", &DOWN[..2]);
    assert_eq!(held.rules(), []);

    let mut abandoned = Forger::running();
    let key = abandoned.key("api", 1);
    abandoned
        .whole(Whole::Running, Whole::Stopping)
        .steps("api", &DOWN[..2])
        .emit(Reason::TimedOut, EventKind::Abandoned { key })
        .steps("api", &[State::Stopping, State::Faulted])
        .steps("db", &DOWN[..2])
        .disposed("db", 1)
        .steps("db", &DOWN[1..])
        .whole(Whole::Stopping, Whole::Stopped);
    assert_eq!(abandoned.rules(), []);
}

#[test]
fn a_dependent_that_was_lost_and_is_not_disposed_is_not_down() {
    let mut forger = Forger::running();
    let key = forger.key("api", 1);
    forger
        .step_as(Reason::Lost, key, State::Running, State::Faulted)
        .whole(Whole::Running, Whole::Stopping)
        .steps("db", &DOWN[..2]);
    assert_eq!(forger.rules(), [Rule::StopOrder]);
}

#[test]
fn a_generation_that_is_disposed_twice_or_never_is_found() {
    let mut twice = Forger::running();
    twice
        .whole(Whole::Running, Whole::Stopping)
        .steps("api", &DOWN[..2])
        .disposed("api", 1)
        .disposed("api", 1);
    assert_eq!(twice.rules(), [Rule::Dispose]);

    let mut never = Forger::running();
    never
        .whole(Whole::Running, Whole::Stopping)
        .steps("api", DOWN)
        .whole(Whole::Stopping, Whole::Stopped);
    let violations = never.violations();
    assert_eq!(violations.len(), 2, "of both: {violations:?}");
    assert!(violations.iter().all(|it| it.rule == Rule::Dispose));

    let mut next = Forger::running();
    let key = next.key("api", 2);
    next.steps("api", DOWN)
        .step_as(Reason::StartRequested, key, State::Stopped, State::Starting);
    assert_eq!(next.rules(), [Rule::Dispose]);
}

#[test]
fn what_never_started_is_not_disposed_and_what_is_disposed_is_not_stopped() {
    let mut forger = Forger::pair();
    forger.disposed("db", 1);
    assert_eq!(forger.rules(), [Rule::Dispose]);

    let mut late = Forger::running();
    late.whole(Whole::Running, Whole::Stopping)
        .steps("api", &DOWN[..2])
        .disposed("api", 1)
        .steps("api", &[State::Stopping, State::Stopped, State::Stopping]);
    assert_eq!(late.rules(), [Rule::Dispose]);
}

#[test]
fn a_start_after_a_stop_was_accepted_is_found() {
    let mut forger = Forger::pair();
    forger
        .whole(Whole::Created, Whole::Starting)
        .whole(Whole::Starting, Whole::Stopping)
        .steps("db", &[State::Created, State::Starting]);
    assert_eq!(forger.rules(), [Rule::StartAfterStop]);
}

#[test]
fn a_step_that_is_not_legal_or_comes_from_another_state_is_found() {
    let mut illegal = Forger::running();
    illegal.steps("api", &[State::Running, State::BackingOff]);
    assert_eq!(illegal.rules(), [Rule::Step]);

    let mut elsewhere = Forger::running();
    elsewhere.steps("api", &[State::Faulted, State::Stopped]);
    assert_eq!(elsewhere.rules(), [Rule::Step]);

    let mut whole = Forger::pair();
    whole.whole(Whole::Created, Whole::Running);
    assert_eq!(whole.rules(), [Rule::Step]);

    let mut skipped = Forger::pair();
    let key = skipped.key("db", 3);
    skipped.whole(Whole::Created, Whole::Starting).step_as(
        Reason::Succeeded,
        key,
        State::Created,
        State::Starting,
    );
    assert_eq!(skipped.rules(), [Rule::Step]);
}

#[test]
fn a_gap_and_time_that_runs_backwards_are_found() {
    let mut gap = Forger::pair();
    gap.whole(Whole::Created, Whole::Starting);
    gap.sequence += 1;
    gap.whole(Whole::Starting, Whole::Running);
    assert_eq!(gap.rules(), [Rule::Gap]);

    let mut again = Forger::pair();
    again.whole(Whole::Created, Whole::Starting);
    again.sequence = 0;
    again.whole(Whole::Starting, Whole::Running);
    assert_eq!(again.rules(), [Rule::Gap]);

    let mut backwards = Forger::pair();
    backwards.at = Time::new(Nanos::from_secs(1));
    backwards.whole(Whole::Created, Whole::Starting);
    backwards.at = Time::ZERO;
    backwards.whole(Whole::Starting, Whole::Running);
    assert_eq!(backwards.rules(), [Rule::Gap]);
}

#[test]
fn more_restarts_than_the_budget_allows_are_found() {
    let restart = Restart::on_failure().with_budget(2, secs(10));
    let flaps = |pause: Nanos| {
        let db = Scripted::new("db").registration().restart(restart.clone());
        let mut forger = Forger::of(vec![db]);
        forger
            .whole(Whole::Created, Whole::Starting)
            .steps("db", &[State::Created, State::Starting, State::Running])
            .whole(Whole::Starting, Whole::Running);
        for generation in 1..=3 {
            let key = forger.key("db", generation);
            let next = forger.key("db", generation + 1);
            forger.at = forger.at + pause;
            forger
                .step_as(Reason::Lost, key, State::Running, State::Faulted)
                .step_as(Reason::Lost, key, State::Faulted, State::Stopping)
                .disposed("db", generation)
                .step_as(Reason::Failed, key, State::Stopping, State::BackingOff)
                .step_as(Reason::RetryDue, next, State::BackingOff, State::Starting)
                .step_as(Reason::Succeeded, next, State::Starting, State::Running);
        }
        forger.rules()
    };
    assert_eq!(flaps(Nanos::from_secs(1)), [Rule::Budget]);
    assert_eq!(flaps(Nanos::from_secs(6)), []);
}

#[test]
fn a_stop_that_takes_too_long_is_found_if_the_limit_is_known() {
    let ended = |took| EventKind::StopEnded {
        report: Arc::new(StopReport {
            run: 1,
            reason: Reason::StopRequested,
            cause: None,
            failure: None,
            forced: false,
            stopped: 0,
            troubles: Vec::new(),
            incomplete: Vec::new(),
            took,
        }),
    };
    let mut forger = Forger::pair();
    forger.oracle = Oracle::new(Arc::clone(&forger.plan)).stops_within(secs(2));
    forger.emit(Reason::StopRequested, ended(Nanos::from_secs(2)));
    forger.emit(Reason::StopRequested, ended(Nanos::from_secs(3)));
    assert_eq!(forger.rules(), [Rule::StopLength]);
}

/// A true snapshot, of an orchestrator in which both run.
fn snapshot() -> Snapshot {
    simulate(async {
        let db = Scripted::new("db").registration();
        let api = Scripted::new("api").registration().depends_on(["db"]);
        let handle = launch([db, api]);
        handle.start().await.unwrap();
        handle.snapshot().await.unwrap()
    })
}

#[test]
fn a_snapshot_that_tells_another_story_is_found() {
    let truth = snapshot();
    let agree = |change: fn(&mut Snapshot)| {
        let mut forger = Forger::running();
        let mut told = truth.clone();
        told.sequence = forger.sequence;
        change(&mut told);
        forger.oracle.compare(&told);
        forger.rules()
    };
    assert_eq!(agree(|_| {}), []);
    assert_eq!(agree(|it| it.state = Whole::Stopping), [Rule::Agreement]);
    let lost: fn(&mut Snapshot) = |it| it.components[1].state = State::Faulted;
    assert_eq!(agree(lost), [Rule::Agreement]);
    let another: fn(&mut Snapshot) = |it| it.components[0].generation = 2;
    assert_eq!(agree(another), [Rule::Agreement]);
    let elsewhen: fn(&mut Snapshot) = |it| {
        it.sequence += 1;
        it.state = Whole::Stopped;
    };
    assert_eq!(agree(elsewhen), []);
}

#[test]
fn after_events_were_missed_it_goes_on_from_a_snapshot() {
    let truth = snapshot();
    let mut forger = Forger::pair();
    forger.whole(Whole::Created, Whole::Starting);
    forger.oracle.resynchronise(&truth);
    // Old events still come, and are passed over.
    forger.steps("db", &[State::Created, State::Starting]);
    forger.sequence = truth.sequence;
    forger.at = truth.at;
    forger
        .whole(Whole::Running, Whole::Stopping)
        .steps("db", &DOWN[..2]);
    assert_eq!(forger.rules(), [Rule::StopOrder], "api was running");
}

#[test]
fn a_live_oracle_follows_retries_losses_and_runs() {
    simulate(async {
        let db = Scripted::new("db").starts([Act::fail(), Act::flap(secs(2)), Act::succeed()]);
        let api = Scripted::new("api").stops([Act::fail(), Act::succeed_after(ms(10))]);
        let handle = launch([
            db.attempts(2).registration().restart(Restart::never()),
            api.registration().depends_on(["db"]),
        ]);
        let oracle = Oracle::watch(&handle);
        handle.start().await.unwrap();
        handle.wait().await.unwrap();
        handle
            .force()
            .await
            .expect("api stops when it is asked again");
        handle.start().await.unwrap();
        handle.stop().await.unwrap();
        assert_eq!(oracle.finish().await, []);
    });
}

#[test]
fn a_live_oracle_that_joins_late_judges_what_comes() {
    simulate(async {
        let handle = launch([Scripted::new("db").registration()]);
        handle.start().await.unwrap();
        let idle = Oracle::watch(&handle);
        assert_eq!(idle.finish().await, []);
        let oracle = Oracle::watch(&handle);
        handle.stop().await.unwrap();
        assert_eq!(oracle.finish().await, []);
    });
}

#[test]
fn a_live_oracle_fails_with_what_it_has_found() {
    let text = crate::panic_of(|| {
        simulate(async {
            let db = Scripted::new("db").stops([Act::succeed_after(secs(3))]);
            let handle = launch([db.registration()]);
            let plan = handle.plan().unwrap();
            let oracle = Oracle::new(plan).stops_within(secs(1)).follow(&handle);
            handle.start().await.unwrap();
            handle.stop().await.unwrap();
            oracle.assert_ok().await;
        });
    });
    assert!(text.contains("1 promises were broken"), "{text}");
    assert!(text.contains("stop length: the stop took 3s"), "{text}");
}
