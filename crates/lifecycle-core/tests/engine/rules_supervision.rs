//! Rules 3 and 21 to 23: what follows a loss, who goes down with it, how often it comes back, and health.

use std::sync::Arc;

use lifecycle_core::engine::{
    EventKind, Health, Operation, OrchestratorState, Reason, StopOutcome, Verdict,
};
use lifecycle_core::{
    Backoff, Class, Criticality, Defaults, Dependency, Failure, HealthCheck, Jitter, Registration,
    Report, Restart, Retry,
};

use crate::support::{Run, State, fresh, ms, registration};

/// A restart after a fixed delay, up to five times in a minute.
pub(crate) fn after(millis: u64) -> Restart {
    Restart::on_failure()
        .with_backoff(Backoff::Fixed(ms(millis)))
        .with_jitter(Jitter::None)
}

pub(crate) fn optional(name: &str) -> Registration {
    registration(name)
        .criticality(Criticality::Optional)
        .restart(after(100))
}

pub(crate) fn run_of(registrations: Vec<Registration>) -> Run {
    Run::with(registrations, Defaults::default())
}

/// Everything of `registrations` runs.
pub(crate) fn up(registrations: Vec<Registration>) -> Run {
    let mut run = run_of(registrations);
    run.up();
    run
}

fn verdicts(run: &Run) -> Vec<Verdict> {
    let verdict = |it: &lifecycle_core::engine::Event| match it.kind {
        EventKind::Lost { verdict, .. } => Some(verdict),
        _ => None,
    };
    run.events.iter().filter_map(verdict).collect()
}

#[test]
fn rule_21_followers_stop_at_once_in_order_and_the_lost_one_after_them() {
    let mut run = up(vec![
        optional("db"),
        optional("cache").depends_on(["db"]),
        optional("api").depends_on(["cache"]),
        optional("other"),
    ]);
    assert_eq!(run.loses("db"), "stop api");
    assert_eq!(run.state("db"), State::Faulted);
    assert_eq!(run.ok("stop api"), "dispose api, stop cache");
    assert_eq!(run.state("api"), State::Waiting);
    assert_eq!(run.ok("stop cache"), "dispose cache, stop db");
    assert_eq!(run.ok("stop db"), "dispose db");
    assert_eq!(run.state("db"), State::BackingOff);
    assert_eq!(run.state("other"), State::Running);
    assert_eq!(run.row("other").generation, 1);
}

#[test]
fn rule_21_the_back_off_counts_from_the_loss_and_a_dependent_starts_as_soon_as_its_dependency_runs()
{
    let mut run = up(vec![optional("db"), optional("api").depends_on(["db"])]);
    run.loses("db");
    run.pass(60);
    run.ok("stop api");
    run.ok("stop db");
    assert_eq!(run.pass(39), "");
    assert_eq!(run.pass(1), "start db");
    assert_eq!(run.ok("start db"), "start api");
    run.ok("start api");
    assert_eq!(run.row("api").generation, 2);
}

#[test]
fn rule_21_it_starts_again_only_once_its_old_generation_and_its_followers_are_down() {
    let mut run = up(vec![optional("db"), optional("api").depends_on(["db"])]);
    run.loses("db");
    assert_eq!(run.pass(500), "");
    run.ok("stop api");
    assert_eq!(run.ok("stop db"), "dispose db, start db");
}

#[test]
fn rule_21_a_followers_restart_is_not_charged_to_it() {
    let strict = after(0).with_budget(0, ms(60_000));
    let mut run = up(vec![
        optional("db").restart(after(0)),
        optional("api").depends_on(["db"]).restart(strict),
    ]);
    for _ in 0..3 {
        run.loses("db");
        run.ok("stop api");
        run.ok("stop db");
        run.ok("start db");
        run.ok("start api");
    }
    assert_eq!(run.state("api"), State::Running);
    assert_eq!(run.row("api").restarts.dependency, 3);
    assert_eq!(run.row("api").charges, 0);
}

#[test]
fn rule_21_a_failure_while_a_dependency_is_down_is_charged_to_that() {
    let strict = after(0).with_budget(0, ms(60_000));
    let mut run = up(vec![
        optional("db"),
        optional("pool").tolerates(["db"]),
        optional("api").depends_on(["pool"]).restart(strict),
    ]);
    run.loses("db");
    run.loses("api");
    assert_eq!(verdicts(&run).last(), Some(&Verdict::Follow));
    let id = run.id("db");
    assert_eq!(run.row("api").cause, Some(id));
    run.ok("stop api");
    // Its direct dependency runs, so that it need not wait.
    assert_eq!(run.state("api"), State::Starting);
}

#[test]
fn rule_03_a_tolerating_dependent_keeps_its_generation_and_is_told() {
    let mut run = up(vec![optional("db"), optional("api").tolerates(["db"])]);
    assert_eq!(run.loses("db"), "stop db");
    run.ok("stop db");
    assert_eq!(run.state("api"), State::Running);
    let snapshot = run.engine.snapshot(run.now);
    let missing: Vec<_> = snapshot.missing(run.id("api")).collect();
    assert_eq!(missing, [run.id("db")]);
    run.pass(100);
    run.ok("start db");
    assert_eq!(run.row("api").generation, 1);
    let lost = |it: &EventKind| matches!(it, EventKind::DependencyLost { .. });
    let back = |it: &EventKind| matches!(it, EventKind::DependencyBack { .. });
    assert_eq!((run.told(lost), run.told(back)), (1, 1));
}

#[test]
fn rule_03_a_tolerating_dependent_that_is_lost_itself_waits_for_its_dependency() {
    let mut run = up(vec![
        optional("db").restart(after(500)),
        optional("api").tolerates(["db"]).restart(after(0)),
    ]);
    run.loses("db");
    run.ok("stop db");
    run.loses("api");
    run.ok("stop api");
    assert_eq!(run.state("api"), State::Waiting);
    assert_eq!(run.pass(500), "start db");
    assert_eq!(run.ok("start db"), "start api");
}

#[test]
fn rule_03_an_edge_that_stops_takes_its_dependent_down_until_somebody_starts_it() {
    let mut run = up(vec![
        optional("db"),
        optional("api").dependencies([Dependency::hard("db").stops()]),
    ]);
    assert_eq!(run.loses("db"), "stop api");
    run.ok("stop api");
    run.ok("stop db");
    run.pass(100);
    assert_eq!(run.ok("start db"), "");
    assert_eq!(run.state("api"), State::Stopped);
    assert_eq!(run.operate(Operation::Start, "api"), "start api");
}

#[test]
fn rule_03_the_loss_of_what_is_wanted_stops_nobody_and_is_missed() {
    let mut run = up(vec![optional("cache"), optional("api").wants(["cache"])]);
    assert_eq!(run.loses("cache"), "stop cache");
    assert_eq!(run.state("api"), State::Running);
    let snapshot = run.engine.snapshot(run.now);
    assert_eq!(snapshot.missing(run.id("api")).count(), 1);
}

#[test]
fn rule_22_one_failure_more_than_the_budget_within_the_window_is_final() {
    let restart = after(0).with_budget(2, ms(1_000));
    let mut run = up(vec![optional("db").restart(restart)]);
    for _ in 0..2 {
        run.loses("db");
        assert_eq!(run.ok("stop db"), "dispose db, start db");
        run.ok("start db");
    }
    run.loses("db");
    assert_eq!(run.ok("stop db"), "dispose db");
    assert_eq!(run.state("db"), State::Faulted);
    assert_eq!(run.row("db").reason, Reason::BudgetExhausted);
    assert_eq!(run.pass(10_000), "");
}

#[test]
fn rule_22_failures_leave_the_window_one_by_one() {
    let restart = after(0).with_budget(1, ms(1_000));
    let mut run = up(vec![optional("db").restart(restart)]);
    for _ in 0..5 {
        run.loses("db");
        assert_eq!(run.ok("stop db"), "dispose db, start db");
        run.ok("start db");
        run.pass(1_000);
    }
    assert_eq!(run.state("db"), State::Running);
}

#[test]
fn rule_21_the_delay_grows_until_it_has_run_for_its_stable_period() {
    let backoff = Backoff::Exponential {
        initial: ms(100),
        factor: 2.0,
        cap: ms(10_000),
    };
    let restart = after(0)
        .with_backoff(backoff)
        .with_budget(100, ms(1_000_000))
        .with_stable_period(ms(60_000));
    let mut run = up(vec![optional("db").restart(restart)]);
    for delay in [100, 200, 400] {
        run.loses("db");
        run.ok("stop db");
        assert_eq!(run.pass(delay - 1), "");
        assert_eq!(run.pass(1), "start db");
        run.ok("start db");
        run.pass(59_000);
    }
    run.pass(1_000);
    run.loses("db");
    run.ok("stop db");
    assert_eq!(run.pass(100), "start db");
}

#[test]
fn rule_21_an_error_may_ask_for_its_delay_and_the_cap_limits_it() {
    let backoff = Backoff::Exponential {
        initial: ms(100),
        factor: 2.0,
        cap: ms(500),
    };
    let mut run = up(vec![optional("db").restart(after(0).with_backoff(backoff))]);
    let asks = Failure::error("busy").with_retry_after(ms(10_000));
    run.task_ends("db", Err(Arc::new(asks)));
    run.ok("stop db");
    assert_eq!(run.pass(499), "");
    assert_eq!(run.pass(1), "start db");
}

#[test]
fn rule_22_never_means_that_the_first_loss_is_final_and_a_permanent_error_always_is() {
    let mut run = up(vec![
        optional("never").restart(Restart::never()),
        optional("permanent"),
    ]);
    run.loses("never");
    run.ok("stop never");
    assert_eq!(run.state("never"), State::Faulted);
    let permanent = Failure::error("no such table").with_class(Class::Permanent);
    run.task_ends("permanent", Err(Arc::new(permanent)));
    run.ok("stop permanent");
    assert_eq!(run.state("permanent"), State::Faulted);
    assert_eq!(verdicts(&run), [Verdict::Final, Verdict::Final]);
}

#[test]
fn rule_08_a_completed_loop_is_started_again_only_by_always() {
    let always = Restart::always()
        .with_backoff(Backoff::Fixed(ms(50)))
        .with_jitter(Jitter::None);
    let mut run = up(vec![optional("job").restart(always), optional("once")]);
    run.task_ends("once", Ok(()));
    run.ok("stop once");
    assert_eq!(run.state("once"), State::Stopped);
    run.task_ends("job", Ok(()));
    run.ok("stop job");
    assert_eq!(run.pass(50), "start job");
    assert_eq!(run.row("job").restarts.completed, 1);
}

#[test]
fn rule_08_a_completed_provider_is_gone_for_who_needs_it() {
    let mut run = up(vec![optional("job"), optional("api").depends_on(["job"])]);
    assert_eq!(run.task_ends("job", Ok(())), "stop api");
    run.ok("stop api");
    assert_eq!(run.state("api"), State::Faulted);
    assert_eq!(run.row("api").reason, Reason::DependencyFailed);
}

#[test]
fn rule_22_an_essential_one_that_is_gone_for_good_stops_the_host_and_its_report_says_why() {
    let mut run = up(vec![
        registration("db").restart(Restart::never()),
        registration("api").depends_on(["db"]),
    ]);
    assert_eq!(run.loses("db"), "stop api");
    assert_eq!(run.orchestrator(), OrchestratorState::Stopping);
    run.ok("stop api");
    run.ok("stop db");
    assert_eq!(run.orchestrator(), OrchestratorState::Stopped);
    let ended = run.events.iter().find_map(|it| match &it.kind {
        EventKind::StopEnded { report } => Some(Arc::clone(report)),
        _ => None,
    });
    let report = ended.expect("the stop has ended");
    assert_eq!(report.reason, Reason::EssentialLost);
    assert_eq!(report.cause.as_ref().map(|it| it.as_str()), Some("db"));
    assert!(report.is_clean(), "what was lost earlier is no stop error");
}

#[test]
fn rule_22_an_essential_follower_of_one_that_is_gone_for_good_stops_the_host_at_once() {
    let mut run = up(vec![
        optional("db").restart(Restart::never()),
        registration("api").depends_on(["db"]),
    ]);
    run.loses("db");
    assert_eq!(run.orchestrator(), OrchestratorState::Stopping);
}

#[test]
fn rule_22_others_stay_faulted_until_an_operator_starts_them_and_tolerating_ones_go_on() {
    let mut run = up(vec![
        optional("db").restart(Restart::never()),
        optional("api").depends_on(["db"]),
        optional("reports").tolerates(["db"]),
    ]);
    run.loses("db");
    run.ok("stop api");
    run.ok("stop db");
    assert_eq!(run.state("db"), State::Faulted);
    assert_eq!(run.state("api"), State::Faulted);
    assert_eq!(run.state("reports"), State::Running);
    assert_eq!(run.pass(100_000), "");
    // With its cause, what had failed for it alone comes back.
    assert_eq!(run.operate(Operation::Start, "db"), "start db");
    assert_eq!(run.ok("start db"), "done: start, start api");
}

#[test]
fn rule_22_what_blocks_a_thread_is_never_started_again() {
    let mut run = up(vec![optional("db").stop_retry(Retry::attempts(1))]);
    run.loses("db");
    run.pass(10_000);
    run.pass(500);
    assert_eq!(run.state("db"), State::Faulted);
    assert_eq!(run.row("db").reason, Reason::Quarantined);
    assert!(
        run.operate(Operation::Start, "db")
            .contains("could not be stopped")
    );
}

#[test]
fn rule_09_a_degradable_component_that_fails_its_first_start_settles_the_start_and_is_tried_again()
{
    let mut run = run_of(vec![
        optional("cache"),
        registration("api").wants(["cache"]),
    ]);
    assert_eq!(run.start(), "start cache");
    assert_eq!(run.fails("start cache"), "dispose cache, start api");
    assert_eq!(run.ok("start api"), "started");
    assert_eq!(run.state("cache"), State::BackingOff);
    assert_eq!(run.pass(100), "start cache");
    run.ok("start cache");
    assert_eq!(run.state("cache"), State::Running);
}

#[test]
fn rule_09_who_is_not_essential_and_waits_behind_one_that_did_not_come_up_holds_no_start_up() {
    let mut run = run_of(vec![
        optional("db"),
        optional("cache").depends_on(["db"]),
        registration("api").wants(["cache"]),
    ]);
    run.start();
    assert_eq!(run.fails("start db"), "dispose db, start api");
    assert_eq!(run.ok("start api"), "started");
    assert_eq!(run.state("cache"), State::Waiting);
}

#[test]
fn rule_09_an_essential_loss_before_the_start_has_settled_must_be_mended_first() {
    let mut run = run_of(vec![
        registration("db").restart(after(100)),
        registration("slow"),
    ]);
    run.start();
    run.ok("start db");
    run.loses("db");
    run.ok("stop db");
    assert_eq!(run.ok("start slow"), "");
    assert_eq!(run.pass(100), "start db");
    assert_eq!(run.ok("start db"), "started");
}

#[test]
fn rule_06_a_panic_in_the_start_of_a_shared_value_is_final_and_of_a_fresh_one_is_not() {
    let fresh = fresh("fresh")
        .criticality(Criticality::Optional)
        .restart(after(100));
    let mut run = run_of(vec![optional("shared"), fresh]);
    run.start();
    run.fails_with("start shared", Failure::panic("overflow"));
    run.fails_with("start fresh", Failure::panic("overflow"));
    assert_eq!(run.state("shared"), State::Faulted);
    assert_eq!(run.state("fresh"), State::BackingOff);
}

#[test]
fn rule_13_a_stop_that_fails_on_the_way_to_a_restart_is_disposed_and_the_restart_goes_on() {
    let mut run = up(vec![optional("db").restart(after(0))]);
    run.loses("db");
    assert_eq!(run.fails("stop db"), "dispose db, start db");
    run.ok("start db");
    run.stop();
    run.ok("stop db");
    assert!(run.report().is_clean());
}

#[test]
fn rule_15_an_edge_that_holds_keeps_its_dependency_up_and_from_being_started_again() {
    let mut run = up(vec![
        optional("db").restart(after(0)),
        optional("writer")
            .dependencies([Dependency::hard("db").held()])
            .stop_retry(Retry::none().with_attempt_timeout(ms(100))),
    ]);
    run.loses("db");
    run.pass(100);
    run.vanishes("stop writer");
    assert_eq!(run.state("db"), State::Faulted);
    assert_eq!(run.row("db").reason, Reason::Held);
    run.force();
    run.ok("stop db");
    let trouble = &run.report().troubles[0];
    assert_eq!(trouble.outcome, StopOutcome::Stopped);
    assert!(trouble.order_violated);
}

#[test]
fn rule_12_a_restart_under_way_is_cancelled_by_a_stop() {
    let mut run = up(vec![optional("db"), optional("api").depends_on(["db"])]);
    run.loses("db");
    run.ok("stop api");
    run.ok("stop db");
    assert_eq!(run.stop(), "stopped");
    assert_eq!(run.pass(10_000), "");
}

fn checked(check: HealthCheck) -> Registration {
    registration("db").health_check(check).restart(after(100))
}

fn miss() -> Result<(), Arc<Failure>> {
    Err(Arc::new(Failure::error("no answer")))
}

#[test]
fn rule_23_misses_in_a_row_make_it_unhealthy_and_one_success_heals_it() {
    let mut run = up(vec![checked(HealthCheck::every(ms(1_000)).with_misses(2))]);
    assert_eq!(run.pass(999), "");
    assert_eq!(run.pass(1), "check db");
    run.check_ends("db", miss());
    assert!(run.engine.is_ready());
    assert_eq!(run.pass(1_000), "check db");
    run.check_ends("db", miss());
    assert_eq!(run.row("db").health, Health::Unhealthy);
    assert_eq!(run.state("db"), State::Running);
    assert!(!run.engine.is_ready());
    run.pass(1_000);
    run.check_ends("db", Ok(()));
    assert_eq!(run.row("db").health, Health::Healthy);
    assert!(run.engine.is_ready());
}

#[test]
fn rule_23_a_check_that_takes_too_long_is_dropped_and_counts_and_none_is_begun_while_it_blocks() {
    let check = HealthCheck::every(ms(1_000))
        .with_timeout(ms(100))
        .with_misses(3);
    let mut run = up(vec![checked(check)]);
    run.pass(1_000);
    assert_eq!(run.pass(100), "abort check of db");
    assert_eq!(run.pass(1_000), "", "the last one is not gone");
    let failed = |it: &EventKind| matches!(it, EventKind::CheckFailed { .. });
    assert_eq!(run.told(failed), 2);
    run.check_ends("db", miss());
    assert_eq!(run.pass(1_000), "check db");
}

#[test]
fn rule_23_it_restarts_for_bad_health_only_when_asked_to() {
    let check = HealthCheck::every(ms(1_000)).with_misses(1).restarting();
    let mut run = up(vec![checked(check), registration("api").depends_on(["db"])]);
    run.pass(1_000);
    assert_eq!(run.check_ends("db", miss()), "stop api");
    assert_eq!(run.state("db"), State::Running, "it goes on until its turn");
    run.ok("stop api");
    run.ok("stop db");
    assert_eq!(run.pass(100), "start db");
    assert_eq!(run.row("db").restarts.unhealthy, 1);
}

#[test]
fn rule_22_a_restart_beyond_the_budget_is_refused_before_anything_is_stopped() {
    let check = HealthCheck::every(ms(1_000)).with_misses(1).restarting();
    let strict = after(0).with_budget(0, ms(60_000));
    let mut run = up(vec![
        checked(check).restart(strict),
        registration("api").depends_on(["db"]),
    ]);
    run.pass(1_000);
    assert_eq!(run.check_ends("db", miss()), "");
    assert_eq!(run.state("api"), State::Running);
    run.pass(1_000);
    run.check_ends("db", miss());
    let refused = |it: &EventKind| matches!(it, EventKind::RestartRefused { .. });
    assert_eq!(run.told(refused), 1, "it is told once");
}

#[test]
fn rule_23_a_component_that_says_it_is_degraded_is_shown_so_and_stays_ready() {
    let mut run = up(vec![registration("db")]);
    run.reports("db", Report::Degraded(Some("one replica left".into())));
    assert_eq!(run.row("db").health, Health::Degraded);
    assert!(run.engine.is_ready());
    run.reports("db", Report::Degraded(None));
    assert_eq!(run.row("db").health, Health::Healthy);
}

#[test]
fn contract_b07_a_loss_is_answered_by_policy_back_off_and_budget_and_edges_say_whom_it_takes_along()
{
    let mut run = up(vec![
        optional("db").restart(after(50).with_budget(1, ms(60_000))),
        optional("follows").depends_on(["db"]),
        optional("tolerates").tolerates(["db"]),
        optional("stops").dependencies([Dependency::hard("db").stops()]),
    ]);
    assert_eq!(run.loses("db"), "stop stops, stop follows");
    run.ok("stop stops");
    run.ok("stop follows");
    run.ok("stop db");
    assert_eq!(run.pass(50), "start db");
    assert_eq!(run.ok("start db"), "start follows");
    run.ok("start follows");
    run.loses("db");
    run.ok("stop follows");
    run.ok("stop db");
    assert_eq!(run.pass(60_000), "", "its budget is spent");
    assert_eq!(run.state("tolerates"), State::Running);
    assert_eq!(run.row("tolerates").generation, 1);
}

#[test]
fn museum_22_a_crash_loop_is_charged_however_it_is_activated() {
    // A dependent that is restarted by its operator activates its dependency over and over.
    let restart = after(0).with_budget(2, ms(60_000));
    let mut run = up(vec![
        optional("db").restart(restart),
        optional("api").depends_on(["db"]),
    ]);
    for _ in 0..2 {
        run.loses("db");
        run.ok("stop api");
        run.ok("stop db");
        run.ok("start db");
        run.operate(Operation::Restart, "api");
        run.ok("start api");
    }
    run.loses("db");
    run.ok("stop api");
    run.ok("stop db");
    assert_eq!(run.state("db"), State::Faulted);
    let refused = run.operate(Operation::Restart, "api");
    assert!(refused.contains("start \"db\" first"), "{refused}");
    assert_eq!(run.pass(60_000), "");
}
