//! The suite passes what keeps the contract, and finds what does not.

use std::future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use lifecycle_core::{
    BoxError, CheckContext, Component, DrainContext, Lifecycle, StartContext, StopContext,
    component,
};
use lifecycle_testkit::conformance::{self, Check, Limits, Report, Suite};
use lifecycle_testkit::{Act, Scripted, TaskAct, simulate};
use tokio::net::TcpListener;
use tokio::task::yield_now;

use crate::{ms, panic_of};

fn report<C: Into<Component>>(make: impl Fn() -> C) -> Report {
    simulate(conformance::check(make))
}

/// Asserts that `check` has found something that says `part`.
#[track_caller]
fn found(report: &Report, check: Check, part: &str) {
    let mut findings = report.findings.iter().filter(|it| it.check == check);
    assert!(
        findings.any(|it| it.what.contains(part)),
        "{check}: {part:?} in {report}"
    );
}

/// The checks that found something.
fn failed(report: &Report) -> Vec<Check> {
    let mut checks: Vec<_> = report.findings.iter().map(|it| it.check).collect();
    checks.dedup();
    checks
}

#[test]
fn components_that_keep_the_contract_pass_every_check() {
    let busy = || {
        let task = TaskAct::Linger(ms(100));
        Scripted::new("busy")
            .starts([Act::succeed_after(ms(20)).leaving(task)])
            .stops([Act::succeed_after(ms(20))])
            .drains([Act::succeed_after(ms(20))])
    };
    report(busy).assert_ok();
    report(|| busy().fresh()).assert_ok();
    report(|| component::from_fn(async |_| Ok(()), async |_| Ok(()))).assert_ok();
    let service = report(|| {
        component::service(|cx| async move {
            yield_now().await;
            cx.ready();
            cx.cancelled().await;
        })
    });
    service.assert_ok();
    assert_eq!(service.passed, Check::ALL);
}

struct LeaksTask;

impl Lifecycle for LeaksTask {
    async fn start(&self, _: &StartContext) -> Result<(), BoxError> {
        tokio::spawn(future::pending::<()>());
        Ok(())
    }

    async fn stop(&self, _: &StopContext) -> Result<(), BoxError> {
        Ok(())
    }
}

#[test]
fn a_task_that_is_nobodys_is_found() {
    let report = report(|| LeaksTask);
    found(
        &report,
        Check::StartStop,
        "1 tasks that are not its scope's",
    );
    assert_eq!(report.skipped.len(), Check::ALL.len() - 1, "no prospect");
}

/// Something that can be held once.
#[derive(Clone, Default)]
struct Lock(Arc<AtomicBool>);

impl Lock {
    fn take(&self) -> Result<(), BoxError> {
        if self.0.swap(true, Ordering::SeqCst) {
            return Err("it is held already".into());
        }
        Ok(())
    }

    fn free(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

#[derive(Default)]
struct StartsOnce(Lock);

impl Lifecycle for StartsOnce {
    async fn start(&self, _: &StartContext) -> Result<(), BoxError> {
        self.0.take()
    }

    async fn stop(&self, _: &StopContext) -> Result<(), BoxError> {
        Ok(())
    }
}

#[test]
fn a_second_start_that_fails_is_found_and_fresh_values_mend_it() {
    let once = report(StartsOnce::default);
    found(
        &once,
        Check::Restart,
        "after start, stop and dispose: start failed: it is held already",
    );
    report(|| component::factory(StartsOnce::default)).assert_ok();
}

/// Panics when it is started while it runs.
#[derive(Default)]
struct ExpectsToBeDown(Lock);

impl Lifecycle for ExpectsToBeDown {
    async fn start(&self, _: &StartContext) -> Result<(), BoxError> {
        self.0.take().expect("it is down");
        Ok(())
    }

    async fn stop(&self, _: &StopContext) -> Result<(), BoxError> {
        self.0.free();
        Ok(())
    }

    async fn dispose(&self) -> Result<(), BoxError> {
        self.0.free();
        Ok(())
    }
}

#[test]
fn a_start_of_what_runs_that_panics_is_found() {
    let report = report(ExpectsToBeDown::default);
    found(&report, Check::StartTwice, "start panicked");
    assert_eq!(failed(&report), [Check::StartTwice]);
}

/// Releases in `stop`, but not in `dispose`.
#[derive(Default)]
struct IgnoresDispose(Lock);

impl Lifecycle for IgnoresDispose {
    async fn start(&self, _: &StartContext) -> Result<(), BoxError> {
        self.0.take()?;
        yield_now().await;
        yield_now().await;
        Ok(())
    }

    async fn stop(&self, _: &StopContext) -> Result<(), BoxError> {
        yield_now().await;
        self.0.free();
        Ok(())
    }
}

#[test]
fn one_that_ignores_dispose_is_found_at_each_await_point_after_it_has_acquired() {
    let report = report(IgnoresDispose::default);
    found(
        &report,
        Check::DroppedStart,
        "after a start that was dropped: start failed: it is held already (await points [1, 2])",
    );
    found(
        &report,
        Check::DroppedStop,
        "start failed: it is held already",
    );
    assert_eq!(failed(&report), [Check::DroppedStart, Check::DroppedStop]);
}

#[test]
fn a_probe_finds_what_is_held() {
    let report = simulate(async {
        let lock = Lock::default();
        let probed = lock.clone();
        let suite = Suite::of(move || IgnoresDispose(lock.clone())).probe("the lock", move || {
            let free = !probed.0.load(Ordering::SeqCst);
            async move { free.then_some(()).ok_or_else(|| "is held".into()) }
        });
        suite.run().await
    });
    found(&report, Check::DroppedStart, "the lock: is held");
}

struct Deaf;

impl Lifecycle for Deaf {
    async fn start(&self, _: &StartContext) -> Result<(), BoxError> {
        tokio::time::sleep(ms(900)).await;
        Ok(())
    }

    async fn stop(&self, _: &StopContext) -> Result<(), BoxError> {
        tokio::time::sleep(ms(2_000)).await;
        Ok(())
    }
}

#[test]
fn one_that_heeds_neither_its_start_token_nor_force_is_found() {
    let report = report(|| Deaf);
    found(
        &report,
        Check::CancelledStart,
        "a start that was cancelled did not return within 500ms",
    );
    found(
        &report,
        Check::ForcedStop,
        "a stop that is forced did not return within 1s",
    );
    assert_eq!(failed(&report), [Check::CancelledStart, Check::ForcedStop]);
}

#[test]
fn limits_and_checks_that_are_left_out_can_be_set() {
    let report = simulate(async {
        let limits = Limits {
            grace: ms(1_000),
            ..Limits::default()
        };
        let suite = Suite::of(|| Deaf).named("deaf").limits(limits);
        suite.skip(Check::ForcedStop).run().await
    });
    report.assert_ok();
    assert_eq!(report.skipped, [Check::ForcedStop]);
    assert!(report.to_string().contains("\"deaf\": 10 checks passed"));
}

/// Its stop cannot be called again once it was dropped.
#[derive(Default)]
struct StopsOnce(AtomicUsize);

impl Lifecycle for StopsOnce {
    async fn start(&self, _: &StartContext) -> Result<(), BoxError> {
        self.0.store(0, Ordering::SeqCst);
        Ok(())
    }

    async fn stop(&self, _: &StopContext) -> Result<(), BoxError> {
        let calls = self.0.fetch_add(1, Ordering::SeqCst);
        assert_eq!(calls, 0, "stopped twice");
        yield_now().await;
        Ok(())
    }
}

#[test]
fn a_stop_that_cannot_be_called_again_is_found() {
    let report = report(StopsOnce::default);
    found(
        &report,
        Check::StopTwice,
        "after a stop that was dropped: stop panicked",
    );
    found(
        &report,
        Check::StopTwice,
        "after a stop that succeeded: stop panicked",
    );
    assert_eq!(failed(&report), [Check::StopTwice]);
}

/// Drains once, and never again.
#[derive(Default)]
struct DrainsOnce(Lock);

impl Lifecycle for DrainsOnce {
    const DRAINS: bool = true;

    async fn start(&self, _: &StartContext) -> Result<(), BoxError> {
        Ok(())
    }

    async fn stop(&self, _: &StopContext) -> Result<(), BoxError> {
        Ok(())
    }

    async fn drain(&self, _: &DrainContext) -> Result<(), BoxError> {
        self.0.take()
    }

    async fn check(&self, _: &CheckContext) -> Result<(), BoxError> {
        Err("never well".into())
    }
}

#[test]
fn a_drain_that_is_not_undone_and_a_component_that_is_never_well_are_found() {
    let report = report(DrainsOnce::default);
    found(
        &report,
        Check::Drain,
        "the second drain failed: it is held already",
    );
    found(&report, Check::Health, "a health check failed: never well");
    assert_eq!(failed(&report), [Check::Drain, Check::Health]);
}

#[test]
fn tasks_that_fail_panic_or_do_not_end_are_found() {
    let leaving = |task| {
        report(move || {
            Scripted::new("db")
                .starts([Act::succeed().leaving(task)])
                .stops([Act::succeed_after(ms(10))])
        })
    };
    found(
        &leaving(TaskAct::Ignore),
        Check::StartStop,
        "its task \"scripted\" did not end within 500ms",
    );
    // A task ends as soon as it is polled, and so before the suite has begun to stop.
    let failing = report(|| {
        component::from_fn(
            async |cx: StartContext| {
                cx.spawn("doomed", async { Err::<(), BoxError>("no luck".into()) });
                yield_now().await;
                yield_now().await;
                Ok(())
            },
            async |_| Ok(()),
        )
    });
    found(
        &failing,
        Check::StartStop,
        "its task \"doomed\" failed while it ran: no luck",
    );
    let panicking = report(|| {
        component::from_fn(
            async |cx: StartContext| {
                cx.spawn("doomed", async {
                    assert!(future::ready(false).await, "no luck");
                });
                Ok(())
            },
            async |_| Ok(()),
        )
    });
    found(&panicking, Check::StartStop, "its task \"doomed\" panicked");
}

#[test]
fn a_stop_that_fails_in_a_rollback_is_found() {
    let report = report(|| Scripted::new("db").stops([Act::fail()]));
    found(&report, Check::StartStop, "stop failed: stop of db failed");

    let report = simulate(async {
        let suite = Suite::of(|| Scripted::new("db").stops([Act::fail()]));
        let others = Check::ALL.into_iter();
        let others = others.filter(|it| *it != Check::FailingDependent);
        others.fold(suite, Suite::skip).run().await
    });
    found(
        &report,
        Check::FailingDependent,
        "after a dependent panicked: the rollback \"subject\" failed: stop of db failed",
    );
}

#[test]
fn every_finding_is_in_the_text_of_the_failure() {
    let report = report(DrainsOnce::default);
    let text = panic_of(|| report.assert_ok());
    for finding in &report.findings {
        assert!(text.contains(&finding.what), "{finding} in {text}");
    }
}

/// A server in miniature: holds a port, and a loop that accepts.
struct Server {
    address: SocketAddr,
    listener: Mutex<Option<TcpListener>>,
    releases: bool,
}

impl Server {
    fn at(address: SocketAddr, releases: bool) -> Self {
        Self {
            address,
            listener: Mutex::new(None),
            releases,
        }
    }
}

impl Lifecycle for Server {
    async fn start(&self, cx: &StartContext) -> Result<(), BoxError> {
        let listener = TcpListener::bind(self.address).await?;
        *self.listener.lock().unwrap() = Some(listener);
        yield_now().await;
        let taken = if self.releases {
            self.listener.lock().unwrap().take()
        } else {
            None
        };
        let stopped = cx.run_token();
        cx.spawn("accept", async move {
            let Some(listener) = taken else { return };
            while stopped
                .run_until_cancelled(listener.accept())
                .await
                .is_some()
            {}
        });
        Ok(())
    }

    async fn stop(&self, _: &StopContext) -> Result<(), BoxError> {
        Ok(())
    }

    async fn dispose(&self) -> Result<(), BoxError> {
        if self.releases {
            self.listener.lock().unwrap().take();
        }
        Ok(())
    }
}

async fn try_server(releases: bool) -> Report {
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let limits = Limits {
        grace: ms(50),
        ..Limits::default()
    };
    let suite = Suite::of(|| Server::at(address, releases)).limits(limits);
    suite
        .probe("the port", move || async move {
            TcpListener::bind(address).await?;
            Ok(())
        })
        .run()
        .await
}

#[tokio::test]
async fn a_component_with_a_real_socket_is_tried_in_real_time() {
    try_server(true).await.assert_ok();
}

#[tokio::test]
async fn a_port_that_is_not_free_after_dispose_is_found() {
    let report = try_server(false).await;
    found(
        &report,
        Check::StartStop,
        "the port: Address already in use",
    );
}
