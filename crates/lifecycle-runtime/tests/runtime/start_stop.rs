//! Starting, stopping, rolling back: what the engine decides, carried out.

use std::sync::Arc;

use lifecycle_core::engine::{ComponentState, OrchestratorState, Reason, StartError, StopOutcome};
use lifecycle_core::{Backoff, Criticality, Defaults, Nanos, Restart, Retry};
use lifecycle_runtime::StopError;
use tokio::time::Instant;

use crate::kit::*;

#[tokio::test(start_paused = true)]
async fn contract_11_a_component_starts_after_what_it_depends_on_and_stops_before_it() {
    let journal = Journal::default();
    let handle = run([
        plain("listener", &journal).depends_on(["worker"]),
        plain("worker", &journal).depends_on(["pool"]),
        plain("pool", &journal),
    ]);
    let report = handle.start().await.unwrap();
    assert_eq!(report.running, 3);
    assert_eq!(
        journal.take(),
        "start pool, started pool, start worker, started worker, start listener, started listener"
    );
    let report = handle.stop().await.unwrap();
    assert_eq!(report.stopped, 3);
    assert_eq!(
        journal.take(),
        "stop listener, stopped listener, disposed listener, \
         stop worker, stopped worker, disposed worker, stop pool, stopped pool, disposed pool"
    );
    assert_eq!(status(&handle).state, OrchestratorState::Stopped);
    journal.assert_no_leak();
}

#[tokio::test(start_paused = true)]
async fn contract_12_independent_components_start_and_stop_at_the_same_time() {
    let journal = Journal::default();
    let slow = |name| {
        scripted(
            Scripted::new(name, &journal)
                .starts([Act::Take(ms(1_000))])
                .stops([Act::Take(ms(1_000))]),
        )
    };
    let handle = run([slow("a"), slow("b"), slow("c")]);
    let began = Instant::now();
    handle.start().await.unwrap();
    assert!(began.elapsed() < ms(1_100), "{:?}", began.elapsed());
    handle.stop().await.unwrap();
    assert!(began.elapsed() < ms(2_200), "{:?}", began.elapsed());
    journal.assert_no_leak();
}

#[tokio::test(start_paused = true)]
async fn contract_12_there_is_no_barrier_between_layers() {
    let journal = Journal::default();
    let slow = Scripted::new("slow", &journal).starts([Act::Take(ms(5_000))]);
    let handle = run([
        scripted(slow),
        plain("quick", &journal),
        plain("second", &journal).depends_on(["quick"]),
    ]);
    handle.start().await.unwrap();
    assert!(journal.position("started second") < journal.position("started slow"));
}

#[tokio::test(start_paused = true)]
async fn contract_13_calls_are_issued_by_depth_and_then_by_registration() {
    let journal = Journal::default();
    let handle = run([
        plain("d", &journal).depends_on(["a"]),
        plain("c", &journal),
        plain("b", &journal),
        plain("a", &journal),
    ]);
    handle.start().await.unwrap();
    assert!(
        journal
            .take()
            .starts_with("start c, started c, start b, started b, start a")
    );
}

#[tokio::test(start_paused = true)]
async fn contract_16_a_failed_start_is_tried_again_after_its_delay() {
    let journal = Journal::default();
    let retry = Retry::attempts(3).with_backoff(Backoff::Fixed(Nanos::from_millis(200)));
    let flaky = Scripted::new("flaky", &journal).starts([Act::Fail, Act::Fail, Act::Succeed]);
    let handle = run([scripted(flaky).start_retry(retry)]);
    let began = Instant::now();
    handle.start().await.unwrap();
    assert!(began.elapsed() >= ms(400) && began.elapsed() < ms(450));
    assert_eq!(
        journal.take(),
        "start flaky, start flaky, start flaky, started flaky"
    );
    handle.stop().await.unwrap();
    journal.assert_no_leak();
}

#[tokio::test(start_paused = true)]
async fn contract_17_without_a_policy_there_is_one_attempt() {
    let journal = Journal::default();
    let handle = run([scripted(Scripted::new("a", &journal).starts([Act::Fail]))]);
    refusal(handle.start().await);
    assert_eq!(journal.count("start a"), 1);
    journal.assert_no_leak();
}

#[tokio::test(start_paused = true)]
async fn contract_20_and_21_a_failed_start_names_its_component_and_stops_what_had_started() {
    let journal = Journal::default();
    let broken = Scripted::new("worker", &journal).starts([Act::Fail]);
    let handle = run([
        plain("config", &journal),
        plain("pool", &journal).depends_on(["config"]),
        scripted(broken).depends_on(["pool"]),
    ]);
    let error = refusal(handle.start().await);
    let StartError::Failed {
        component,
        failure,
        rollback,
        ..
    } = &*error
    else {
        panic!("{error}");
    };
    assert_eq!(component.as_str(), "worker");
    assert_eq!(failure.message, "start failed");
    assert_eq!(rollback.stopped, 2);
    assert!(journal.position("stopped pool") < journal.position("stop config"));
    assert_eq!(journal.count("stop worker"), 0);
    assert_eq!(status(&handle).state, OrchestratorState::Stopped);
    journal.assert_no_leak();
}

#[tokio::test(start_paused = true)]
async fn contract_24_a_failed_start_reports_what_failed_in_its_rollback() {
    let journal = Journal::default();
    let handle = run([
        scripted(Scripted::new("pool", &journal).stops([Act::Fail])),
        scripted(Scripted::new("worker", &journal).starts([Act::Fail])).depends_on(["pool"]),
    ]);
    let error = refusal(handle.start().await);
    assert_eq!(
        error.to_string(),
        "\"worker\" failed to start: start failed; rollback: \"pool\" failed: stop failed"
    );
    assert_eq!(status(&handle).state, OrchestratorState::Stopping);
    handle.force().await.unwrap_err();
    assert_eq!(status(&handle).state, OrchestratorState::Stopped);
    journal.assert_no_leak();
}

#[tokio::test(start_paused = true)]
async fn contract_26_a_second_start_is_refused_and_changes_nothing() {
    let journal = Journal::default();
    let handle = run([plain("a", &journal)]);
    handle.start().await.unwrap();
    journal.take();
    let error = refusal(handle.start().await);
    let state = OrchestratorState::Running;
    assert_eq!(*error, StartError::FailedPrecondition { state });
    assert_eq!(journal.take(), "");
}

#[tokio::test(start_paused = true)]
async fn contract_32_a_failed_stop_is_tried_again_by_its_policy() {
    let journal = Journal::default();
    let sticky = Scripted::new("a", &journal).stops([Act::Fail, Act::Succeed]);
    let handle = run([scripted(sticky).stop_retry(Retry::attempts(2))]);
    handle.start().await.unwrap();
    handle.stop().await.unwrap();
    assert_eq!(journal.count("stop a"), 2);
    journal.assert_no_leak();
}

#[tokio::test(start_paused = true)]
async fn contract_34_stopping_what_never_started_succeeds_and_calls_nothing() {
    let journal = Journal::default();
    let handle = run([plain("a", &journal)]);
    handle.stop().await.unwrap();
    assert_eq!(journal.take(), "");
    handle.start().await.expect("nothing was latched");
}

#[tokio::test(start_paused = true)]
async fn contract_35_a_further_stop_retries_exactly_what_failed() {
    let journal = Journal::default();
    let sticky = Scripted::new("sticky", &journal).stops([Act::Fail, Act::Succeed]);
    let handle = run([plain("fine", &journal), scripted(sticky)]);
    handle.start().await.unwrap();
    let Err(StopError::Unclean(error)) = handle.stop().await else {
        panic!("the stop was clean");
    };
    assert_eq!(error.report.incomplete.len(), 1);
    assert_eq!(status(&handle).state, OrchestratorState::Stopping);
    refusal(handle.start().await);
    journal.take();
    handle.stop().await.unwrap();
    assert_eq!(
        journal.take(),
        "stop sticky, stopped sticky, disposed sticky"
    );
    assert_eq!(status(&handle).state, OrchestratorState::Stopped);
    assert_eq!(status(&handle).stops, 2);
    journal.assert_no_leak();
}

#[tokio::test(start_paused = true)]
async fn contract_38_after_a_stop_everything_can_be_started_again() {
    let journal = Journal::default();
    let handle = run([plain("a", &journal)]);
    for run in 1..=3 {
        let report = handle.start().await.unwrap();
        assert_eq!(report.run, run);
        handle.stop().await.unwrap();
    }
    assert_eq!(journal.count("started a"), 3);
    journal.assert_no_leak();
}

#[tokio::test(start_paused = true)]
async fn contract_39_a_stop_during_the_start_cancels_it_and_stops_what_had_started() {
    let journal = Journal::default();
    let handle = run([
        plain("pool", &journal),
        scripted(Scripted::new("worker", &journal).starts([Act::Heed])).depends_on(["pool"]),
        plain("listener", &journal).depends_on(["worker"]),
    ]);
    let starting = tokio::spawn({
        let handle = handle.clone();
        async move { handle.start().await }
    });
    reach(&handle, "worker", ComponentState::Starting).await;
    handle.stop().await.unwrap();
    let error = refusal(starting.await.unwrap());
    assert!(matches!(&*error, StartError::Cancelled { stop, .. } if stop.is_clean()));
    assert_eq!(journal.count("start listener"), 0);
    assert_eq!(journal.count("stopped pool"), 1);
    journal.assert_no_leak();
}

#[tokio::test(start_paused = true)]
async fn contract_40_a_second_stop_joins_the_first_and_shares_its_report() {
    let journal = Journal::default();
    let slow = Scripted::new("a", &journal).stops([Act::Take(ms(500))]);
    let handle = run([scripted(slow)]);
    handle.start().await.unwrap();
    let (first, second) = tokio::join!(handle.stop(), handle.stop());
    assert!(Arc::ptr_eq(&first.unwrap(), &second.unwrap()));
    assert_eq!(journal.count("stop a"), 1);
    assert_eq!(status(&handle).stops, 1);
}

#[tokio::test(start_paused = true)]
async fn museum_01_a_start_that_times_out_is_cancelled_and_the_others_are_stopped() {
    let journal = Journal::default();
    let late = Scripted::new("late", &journal).starts([Act::Heed]);
    let limit = Retry::none().with_attempt_timeout(ms(300));
    let handle = run([
        plain("pool", &journal),
        scripted(late).depends_on(["pool"]).start_retry(limit),
    ]);
    refusal(handle.start().await);
    assert_eq!(
        journal.take(),
        "start pool, started pool, start late, disposed late, stop pool, stopped pool, disposed pool"
    );
    journal.assert_no_leak();
}

#[tokio::test(start_paused = true)]
async fn a_start_that_ignores_its_token_is_dropped_after_the_grace_and_then_disposed() {
    let journal = Journal::default();
    let deaf = Scripted::new("deaf", &journal).starts([Act::Hang]);
    let limit = Retry::none().with_attempt_timeout(ms(300));
    let handle = run([scripted(deaf).start_retry(limit).abort_grace(ms(200))]);
    let began = Instant::now();
    refusal(handle.start().await);
    assert!(began.elapsed() >= ms(500) && began.elapsed() < ms(520));
    assert_eq!(
        journal.take(),
        "start deaf, dropped start of deaf, disposed deaf"
    );
    journal.assert_no_leak();
}

#[tokio::test(start_paused = true)]
async fn contract_36_a_stop_with_a_deadline_asks_everybody_and_keeps_it() {
    let journal = Journal::default();
    let deaf = Scripted::new("deaf", &journal).stops([Act::Hang]);
    let handle = run([plain("pool", &journal), scripted(deaf).depends_on(["pool"])]);
    handle.start().await.unwrap();
    let began = Instant::now();
    let error = handle.stop_by(began + ms(1_000)).await.unwrap_err();
    assert!(began.elapsed() <= ms(1_020), "{:?}", began.elapsed());
    let [pool, deaf] = &error.report().unwrap().troubles[..] else {
        panic!("{error}");
    };
    assert_eq!(
        (pool.outcome, pool.order_violated),
        (StopOutcome::Stopped, true)
    );
    assert_eq!(deaf.outcome, StopOutcome::Aborted);
    assert_eq!(journal.count("stopped pool"), 1);
    journal.assert_no_leak();
}

#[tokio::test(start_paused = true)]
async fn museum_33_force_pre_empts_a_graceful_stop_and_shares_its_result() {
    let journal = Journal::default();
    let deaf = Scripted::new("deaf", &journal).stops([Act::Hang]);
    let handle = run([plain("pool", &journal), scripted(deaf).depends_on(["pool"])]);
    handle.start().await.unwrap();
    let graceful = tokio::spawn({
        let handle = handle.clone();
        async move { handle.stop().await }
    });
    reach(&handle, "deaf", ComponentState::Stopping).await;
    let began = Instant::now();
    let forced = handle.force().await.unwrap_err();
    assert!(began.elapsed() <= ms(1_020), "{:?}", began.elapsed());
    assert_eq!(graceful.await.unwrap().unwrap_err(), forced);
    assert!(forced.report().unwrap().forced);
    assert_eq!(journal.count("stopped pool"), 1);
    journal.assert_no_leak();
}

#[tokio::test(start_paused = true)]
async fn a_forced_stop_cancels_the_token_of_a_stop_that_heeds_it() {
    let journal = Journal::default();
    let heeding = Scripted::new("a", &journal).stops([Act::Heed]);
    let handle = run([scripted(heeding)]);
    handle.start().await.unwrap();
    let began = Instant::now();
    handle.force().await.unwrap_err();
    assert!(began.elapsed() < ms(100));
    handle.force().await.ok();
    journal.assert_no_leak();
}

#[tokio::test(start_paused = true)]
async fn a_degradable_component_that_fails_to_start_is_reported_and_the_rest_runs() {
    let journal = Journal::default();
    let handle = run([
        scripted(Scripted::new("cache", &journal).starts([Act::Fail]))
            .restart(Restart::never())
            .criticality(Criticality::Degradable),
        plain("worker", &journal).wants(["cache"]),
    ]);
    let report = handle.start().await.unwrap();
    assert_eq!(report.degraded.len(), 1);
    assert!(status(&handle).ready);
    assert_eq!(status(&handle).count(ComponentState::Faulted), 1);
    handle.stop().await.unwrap();
    journal.assert_no_leak();
}

#[tokio::test(start_paused = true)]
async fn the_shutdown_timeout_of_the_defaults_bounds_a_stop() {
    let journal = Journal::default();
    let deaf = Scripted::new("deaf", &journal).stops([Act::Hang]);
    let defaults = Defaults {
        shutdown_timeout: Nanos::from_millis(700),
        ..Defaults::default()
    };
    let handle = run_with([scripted(deaf)], |it| {
        it.defaults(defaults);
    });
    handle.start().await.unwrap();
    let began = Instant::now();
    handle.stop().await.unwrap_err();
    assert!(began.elapsed() <= ms(720), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_loss_of_an_essential_component_stops_the_rest_and_says_why() {
    let journal = Journal::default();
    let fragile = lifecycle_core::component::service(async |cx: lifecycle_core::ServiceContext| {
        cx.ready();
        tokio::time::sleep(ms(100)).await;
        Err::<(), _>("the link is gone")
    });
    let handle = run([
        plain("pool", &journal),
        lifecycle_core::Registration::new("fragile", fragile).depends_on(["pool"]),
    ]);
    handle.start().await.unwrap();
    let report = handle.wait().await.unwrap();
    assert_eq!(report.reason, Reason::EssentialLost);
    assert_eq!(report.cause.as_ref().unwrap().as_str(), "fragile");
    assert_eq!(report.failure.as_ref().unwrap().message, "the link is gone");
    assert_eq!(journal.count("stopped pool"), 1);
    journal.assert_no_leak();
}
