//! A component that fails while it runs, and what becomes of the others.

use std::sync::Arc;

use lifecycle_core::engine::{ComponentState, Health, Operation, Reason};
use lifecycle_core::{BoxError, component};
use lifecycle_core::{
    CheckContext, Criticality, HealthCheck, Lifecycle, Registration, Restart, StartContext,
    StopContext,
};
use lifecycle_runtime::Order;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::kit::*;

#[tokio::test(start_paused = true)]
async fn a_lost_component_comes_back_after_its_delay_with_its_followers_and_without_the_tolerant() {
    let journal = Journal::default();
    let breaker = Arc::new(Notify::new());
    let handle = run([
        frail("db", &journal, &breaker).restart(again_after(200)),
        plain("api", &journal).depends_on(["db"]),
        plain("reports", &journal).tolerates(["db"]),
    ]);
    handle.start().await.unwrap();
    journal.take();
    let began = Instant::now();
    breaker.notify_one();
    reach(&handle, "db", ComponentState::BackingOff).await;
    assert_eq!(
        journal.take(),
        "stop api, stopped api, disposed api, stop db"
    );
    reach(&handle, "api", ComponentState::Running).await;
    assert_eq!(began.elapsed(), ms(200));
    assert_eq!(journal.take(), "start db, start api, started api");
    let snapshot = handle.snapshot().await.unwrap();
    let row = |name| snapshot.component(snapshot.plan.find(name).unwrap());
    assert_eq!(row("db").generation, 2);
    assert_eq!(row("db").restarts.lost, 1);
    assert_eq!(row("api").restarts.dependency, 1);
    assert_eq!(row("reports").generation, 1);
    handle.stop().await.unwrap();
    journal.assert_no_leak();
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_ends_with_its_budget_and_an_essential_one_stops_the_host() {
    let crashing = component::service(|cx| async move {
        cx.ready();
        tokio::time::sleep(ms(1)).await;
        Err::<(), _>("no luck")
    });
    let restart = again_after(10).with_budget(3, ms(60_000));
    let handle = run([Registration::new("db", crashing).restart(restart)]);
    handle.start().await.unwrap();
    let report = handle.wait().await.unwrap();
    assert_eq!(report.reason, Reason::EssentialLost);
    assert_eq!(report.cause.as_ref().unwrap().as_str(), "db");
    assert_eq!(report.failure.as_ref().unwrap().message, "no luck");
    let snapshot = handle.snapshot().await.unwrap();
    let db = snapshot.component(snapshot.plan.find("db").unwrap());
    assert_eq!(db.generation, 4, "the first, and three restarts");
}

#[tokio::test(start_paused = true)]
async fn an_operator_restarts_stops_and_starts_one_component() {
    let journal = Journal::default();
    let handle = run([
        plain("db", &journal).criticality(Criticality::Degradable),
        plain("api", &journal)
            .depends_on(["db"])
            .criticality(Criticality::Degradable),
    ]);
    handle.start().await.unwrap();
    let report = handle.restart("db").await.unwrap();
    assert_eq!(report.state, ComponentState::Running);
    let names: Vec<_> = report.collateral.iter().map(|it| it.as_str()).collect();
    assert_eq!(names, ["api"]);
    reach(&handle, "api", ComponentState::Running).await;

    handle.stop_component("db").await.unwrap();
    reach(&handle, "api", ComponentState::Waiting).await;
    let error = handle.start_component("api").await.unwrap_err();
    assert!(error.to_string().contains("start \"db\" first"), "{error}");
    handle.start_component("DB").await.unwrap();
    reach(&handle, "api", ComponentState::Running).await;

    let error = handle.restart("nobody").await.unwrap_err();
    assert_eq!(error.to_string(), "there is no component \"nobody\"");
    let error = handle.remove("dbs").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no component \"dbs\"; did you mean \"db\"?"
    );
    handle.stop().await.unwrap();
    let error = handle.restart("db").await.unwrap_err();
    assert!(error.to_string().contains("stopped"), "{error}");
    journal.assert_no_leak();
}

#[tokio::test(start_paused = true)]
async fn an_essential_component_is_stopped_only_by_force() {
    let journal = Journal::default();
    let handle = run([plain("db", &journal)]);
    handle.start().await.unwrap();
    let error = handle.stop_component("db").await.unwrap_err();
    assert!(error.to_string().contains("essential"), "{error}");
    let order = Order::new(Operation::Stop, "db").forced();
    handle.operate(order).await.unwrap();
    assert!(!status(&handle).ready);
    handle.start_component("db").await.unwrap();
    assert!(status(&handle).ready);
    handle.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn components_come_and_go_while_the_others_run() {
    let journal = Journal::default();
    let handle = run([plain("db", &journal)]);
    handle.start().await.unwrap();
    handle
        .add(plain("tenant", &journal).depends_on(["db"]))
        .await
        .unwrap();
    assert_eq!(status(&handle).count(ComponentState::Running), 2);
    let error = handle.add(plain("tenant", &journal)).await.unwrap_err();
    assert!(error.to_string().contains("tenant"), "{error}");
    let error = handle.remove("db").await.unwrap_err();
    assert!(error.to_string().contains("tenant"), "{error}");

    let failing = scripted(Scripted::new("broken", &journal).starts([Act::Fail]));
    let error = handle.add(failing.depends_on(["db"])).await.unwrap_err();
    assert!(error.to_string().contains("start failed"), "{error}");
    assert!(handle.plan().unwrap().find("broken").is_none());

    handle.remove("tenant").await.unwrap();
    assert!(handle.plan().unwrap().find("tenant").is_none());
    assert_eq!(status(&handle).count(ComponentState::Running), 1);
    handle.add(plain("other", &journal)).await.unwrap();
    handle.remove_with_dependents("db").await.unwrap();
    handle.stop().await.unwrap();
    journal.assert_no_leak();
}

#[tokio::test(start_paused = true)]
async fn what_is_gated_runs_only_while_its_gate_is_open() {
    let journal = Journal::default();
    let short = lifecycle_core::Retry::none().with_attempt_timeout(ms(100));
    let handle = run([
        plain("db", &journal),
        plain("issuer", &journal)
            .depends_on(["db"])
            .stop_retry(short)
            .dispose_timeout(ms(100))
            .abort_grace(ms(50))
            .gated_by(lifecycle_core::Gate::new("leader", ms(1_000))),
    ]);
    handle.start().await.unwrap();
    assert!(status(&handle).ready);
    reach(&handle, "issuer", ComponentState::Waiting).await;
    let until = Instant::now() + ms(5_000);
    handle.open_gate("Leader", Some(until)).await.unwrap();
    reach(&handle, "issuer", ComponentState::Running).await;
    // Nobody renews it: it goes down its margin before the moment.
    reach(&handle, "issuer", ComponentState::Waiting).await;
    assert_eq!(until - Instant::now(), ms(1_000));
    let error = handle.open_gate("follower", None).await.unwrap_err();
    assert!(error.to_string().contains("follower"), "{error}");
    handle.open_gate("leader", None).await.unwrap();
    reach(&handle, "issuer", ComponentState::Running).await;
    handle.close_gate("leader").await.unwrap();
    reach(&handle, "issuer", ComponentState::Waiting).await;
    assert!(status(&handle).halted.is_none());
    handle.stop().await.unwrap();
    journal.assert_no_leak();
}

/// A component whose checks say what a switch says.
struct Checked {
    well: Arc<std::sync::atomic::AtomicBool>,
}

impl Lifecycle for Checked {
    const DISPOSES: bool = false;

    async fn start(&self, _: &StartContext) -> Result<(), BoxError> {
        Ok(())
    }

    async fn stop(&self, _: &StopContext) -> Result<(), BoxError> {
        Ok(())
    }

    async fn check(&self, cx: &CheckContext) -> Result<(), BoxError> {
        assert_eq!(cx.component().as_str(), "db");
        if self.well.load(std::sync::atomic::Ordering::SeqCst) {
            return Ok(());
        }
        Err("no connection".into())
    }
}

async fn reach_health(handle: &lifecycle_runtime::Handle, health: Health) {
    let mut events = handle.subscribe();
    loop {
        let snapshot = handle.snapshot().await.unwrap();
        let id = snapshot.plan.find("db").unwrap();
        if snapshot.component(id).health == health {
            return;
        }
        events.next().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn failing_checks_make_a_component_unhealthy_and_the_host_unready_until_one_passes() {
    let well = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let checked = Checked {
        well: Arc::clone(&well),
    };
    let check = HealthCheck::every(ms(1_000)).with_misses(2);
    let handle = run([Registration::new("db", checked).health_check(check)]);
    handle.start().await.unwrap();
    well.store(false, std::sync::atomic::Ordering::SeqCst);
    let began = Instant::now();
    reach_health(&handle, Health::Unhealthy).await;
    assert_eq!(began.elapsed(), ms(2_000));
    assert!(!status(&handle).ready);
    well.store(true, std::sync::atomic::Ordering::SeqCst);
    reach_health(&handle, Health::Healthy).await;
    assert!(status(&handle).ready);
    handle.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_check_that_panics_or_hangs_is_a_miss_and_no_loss() {
    struct Moody;
    impl Lifecycle for Moody {
        async fn start(&self, _: &StartContext) -> Result<(), BoxError> {
            Ok(())
        }
        async fn stop(&self, _: &StopContext) -> Result<(), BoxError> {
            Ok(())
        }
        async fn check(&self, _: &CheckContext) -> Result<(), BoxError> {
            if Instant::now().elapsed().is_zero() {
                std::future::pending::<()>().await;
            }
            panic!("never reached")
        }
    }
    let check = HealthCheck::every(ms(100))
        .with_timeout(ms(50))
        .with_misses(3);
    let handle = run([Registration::new("db", Moody).health_check(check)]);
    handle.start().await.unwrap();
    reach_health(&handle, Health::Unhealthy).await;
    let snapshot = handle.snapshot().await.unwrap();
    let db = snapshot.component(snapshot.plan.find("db").unwrap());
    assert_eq!((db.state, db.generation), (ComponentState::Running, 1));
    handle.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_unhealthy_component_is_restarted_if_that_is_asked_for() {
    let well = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let checked = Checked {
        well: Arc::clone(&well),
    };
    let check = HealthCheck::every(ms(100)).with_misses(1).restarting();
    let registration = Registration::new("db", checked)
        .health_check(check)
        .restart(again_after(10).with_budget(1, ms(60_000)));
    let handle = run([registration]);
    handle.start().await.unwrap();
    let mut watch = handle.status();
    reach(&handle, "db", ComponentState::BackingOff).await;
    reach(&handle, "db", ComponentState::Running).await;
    reach_health(&handle, Health::Unhealthy).await;
    // The budget is spent: it goes on as it is.
    tokio::time::sleep(ms(1_000)).await;
    assert_eq!(watch.get().count(ComponentState::Running), 1);
    let snapshot = handle.snapshot().await.unwrap();
    let db = snapshot.component(snapshot.plan.find("db").unwrap());
    assert_eq!((db.generation, db.restarts.unhealthy), (2, 1));
    handle.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_component_says_of_itself_is_seen_and_only_the_last_of_many_reports_counts() {
    let talkative = component::service(|cx| async move {
        let reporter = cx.reporter();
        for step in 1..=1_000 {
            reporter.progress(format!("warming {step}/1000"));
        }
        reporter.degraded("no cache");
        cx.ready();
        cx.cancelled().await;
    });
    let handle = run([Registration::new("db", talkative).restart(Restart::never())]);
    handle.start().await.unwrap();
    reach_health(&handle, Health::Degraded).await;
    let snapshot = handle.snapshot().await.unwrap();
    let db = snapshot.component(snapshot.plan.find("db").unwrap());
    assert_eq!(db.progress.as_deref(), Some("warming 1000/1000"));
    assert_eq!(db.degraded.as_deref(), Some("no cache"));
    assert!(status(&handle).ready, "degraded is not unready");
    handle.stop().await.unwrap();
}
