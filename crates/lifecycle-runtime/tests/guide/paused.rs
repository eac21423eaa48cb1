//! A service's own tests, in time that passes at once.
//!
//! ```sh
//! cargo test -q -p lifecycle-runtime --test guide paused
//! ```

use std::future;
use std::time::Duration;

use lifecycle_core::component::from_fn;
use lifecycle_core::engine::StopOutcome;
use lifecycle_core::{Backoff, Nanos, Registration, Retry, StartContext};
use lifecycle_runtime::Orchestrator;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_refused_twice_is_up_after_two_delays() {
    let pool = from_fn(
        async |cx: StartContext| match cx.attempt() {
            1 | 2 => Err("connection refused".into()),
            _ => Ok(()),
        },
        async |_| Ok(()),
    );
    let retry = Retry::attempts(3).with_backoff(Backoff::Fixed(Nanos::from_secs(60)));
    let mut builder = Orchestrator::builder();
    builder.register(Registration::new("pool", pool).start_retry(retry));
    let handle = builder.build().unwrap().spawn();

    let began = Instant::now();
    handle.start().await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 120);
    handle.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_hangs_is_over_at_the_deadline_and_named() {
    let deaf = from_fn(async |_| Ok(()), async |_| future::pending().await);
    let mut builder = Orchestrator::builder();
    builder.register(Registration::new("deaf", deaf));
    let handle = builder.build().unwrap().spawn();
    handle.start().await.unwrap();

    let deadline = Instant::now() + Duration::from_secs(3);
    let error = handle.stop_by(deadline).await.unwrap_err();
    assert!(deadline.elapsed() < Duration::from_millis(100));
    let report = error.report().unwrap();
    assert_eq!(report.troubles[0].component.as_str(), "deaf");
    assert_eq!(report.troubles[0].outcome, StopOutcome::Aborted);
}
