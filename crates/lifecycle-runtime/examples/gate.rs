//! A component that runs only while a lease is held, and is down before the lease ends.
//!
//! ```sh
//! cargo run -q -p lifecycle-runtime --example gate
//! ```

use std::io::Write as _;
use std::time::Duration;

use lifecycle_core::component::{from_fn, service};
use lifecycle_core::engine::ComponentState;
use lifecycle_core::{BoxError, Gate, Nanos, Registration, Retry, ServiceContext};
use lifecycle_runtime::{Handle, Orchestrator};
use tokio::time::Instant;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut builder = Orchestrator::builder();
    builder.register(Registration::new(
        "pool",
        from_fn(async |_| Ok(()), async |_| Ok(())),
    ));
    builder.register(sweeper());
    let handle = builder.build()?.spawn();

    let report = handle.start().await?;
    say(format!("ready with {} of 2", report.running));

    // Whoever holds the lease opens the gate until it ends, and again each time that it is renewed.
    let mut end = Instant::now() + Duration::from_secs(2);
    handle.open_gate("lease", Some(end)).await?;
    sweepers(&handle, 1).await?;
    end += Duration::from_millis(500);
    handle.open_gate("lease", Some(end)).await?;
    sweepers(&handle, 0).await?;
    let left = end.saturating_duration_since(Instant::now());
    say(format!("down in time: {}", !left.is_zero()));

    handle.open_gate("lease", None).await?;
    sweepers(&handle, 1).await?;
    handle.close_gate("lease").await?;
    sweepers(&handle, 0).await?;
    handle.stop().await?;
    Ok(())
}

fn sweeper() -> Registration {
    // 300 ms to stop, 100 ms to dispose, and six graces at the worst: all of that must fit in the margin.
    Registration::new("sweeper", service(sweep))
        .depends_on(["pool"])
        .gated_by(Gate::new("lease", Duration::from_millis(700)))
        .stop_retry(Retry::none().with_attempt_timeout(Duration::from_millis(300)))
        .abort_grace(Nanos::from_millis(50))
        .dispose_timeout(Nanos::from_millis(100))
}

async fn sweep(cx: ServiceContext) {
    cx.ready();
    cx.cancelled().await;
}

/// Waits until so many sweepers run beside the pool.
async fn sweepers(handle: &Handle, count: usize) -> Result<(), BoxError> {
    let mut status = handle.status();
    status
        .wait_for(|it| it.count(ComponentState::Running) == 1 + count)
        .await?;
    say(format!("sweepers: {count}"));
    Ok(())
}

fn say(line: impl AsRef<str>) {
    // Nobody may be there to read it any more.
    let _ = writeln!(std::io::stdout(), "{}", line.as_ref());
}
