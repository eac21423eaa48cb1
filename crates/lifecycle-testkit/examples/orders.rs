//! A user's test with the kit: `cargo run -p lifecycle-testkit --example orders`; in a crate of yours, the functions below
//! are tests, and `cargo test` runs them here too.
//!
//! The component under test is a queue that writes orders to a database. The database is scripted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lifecycle_core::engine::ComponentState;
use lifecycle_core::{BoxError, Lifecycle, Registration, Retry, StartContext, StopContext};
use lifecycle_testkit::conformance::{self, Check};
use lifecycle_testkit::{
    Act, FaultPlan, FaultProfile, LeakGuard, Oracle, Scripted, launch, simulate, until_state,
};

/// Writes an order each second, and one last one when it is stopped.
#[derive(Clone, Debug, Default)]
struct Orders {
    written: Arc<AtomicU64>,
}

impl Lifecycle for Orders {
    async fn start(&self, cx: &StartContext) -> Result<(), BoxError> {
        let (stopped, written) = (cx.run_token(), Arc::clone(&self.written));
        cx.spawn("write", async move {
            let second = || tokio::time::sleep(Duration::from_secs(1));
            while stopped.run_until_cancelled(second()).await.is_some() {
                written.fetch_add(1, Ordering::SeqCst);
            }
            written.fetch_add(1, Ordering::SeqCst);
        });
        Ok(())
    }

    async fn stop(&self, _cx: &StopContext) -> Result<(), BoxError> {
        Ok(())
    }
}

/// It keeps what the lifecycle contract asks of a component.
#[cfg_attr(test, test)]
fn orders_keep_the_contract() {
    let report = simulate(conformance::check(Orders::default));
    report.assert_ok();
    assert_eq!(report.passed.len(), Check::ALL.len());
}

/// It waits for a slow database, and writes its last order before that goes.
#[cfg_attr(test, test)]
fn the_last_order_is_written_before_the_database_stops() {
    simulate(async {
        let db = Scripted::new("db")
            .starts([Act::fail_after(Duration::from_secs(2)), Act::succeed()])
            .attempts(2);
        let record = db.record();
        let orders = Orders::default();
        let guard = LeakGuard::new().with(&record);
        let handle = launch([
            db.registration(),
            Registration::new("orders", orders.clone()).depends_on(["db"]),
        ]);
        let oracle = Oracle::watch(&handle);

        handle.start().await.expect("the second attempt succeeds");
        until_state(&handle, "orders", ComponentState::Running).await;
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        handle.stop().await.expect("everything stops");

        assert_eq!(orders.written.load(Ordering::SeqCst), 3);
        oracle.assert_ok().await;
        drop(handle);
        guard.assert_no_leaks().await;
    });
}

/// Whatever the database does, no promise is broken. A seed that fails is printed, and replayed with `LIFECYCLE_SEED`.
#[cfg_attr(test, test)]
fn no_promise_is_broken_whatever_the_database_does() {
    for seed in 0..20 {
        simulate(async {
            let plan = FaultPlan::from_env(seed, FaultProfile::stormy());
            let _replay = plan.note_on_panic();
            let db = Scripted::new("db").faults(&plan).registration();
            let handle = launch([
                db.start_retry(Retry::attempts(5)),
                Registration::new("orders", Orders::default()).depends_on(["db"]),
            ]);
            let oracle = Oracle::watch(&handle);
            // Whether it succeeds is the plan's affair.
            let _ = handle.start().await;
            tokio::time::sleep(Duration::from_secs(30)).await;
            let _ = handle.stop().await;
            oracle.assert_ok().await;
        });
    }
}

fn main() {
    orders_keep_the_contract();
    the_last_order_is_written_before_the_database_stops();
    no_promise_is_broken_whatever_the_database_does();
}
