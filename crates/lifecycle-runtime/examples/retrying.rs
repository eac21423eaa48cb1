//! A start that is tried again, and one that is not because its error says that this is pointless.
//!
//! ```sh
//! cargo run -q -p lifecycle-runtime --example retrying
//! ```

use std::io::Write as _;
use std::time::Duration;

use lifecycle_core::component::from_fn;
use lifecycle_core::{
    Backoff, BoxError, ComponentError, Criticality, Jitter, Nanos, Registration, Retry,
    StartContext,
};
use lifecycle_runtime::Orchestrator;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut builder = Orchestrator::builder();
    builder.register(
        Registration::new("pool", from_fn(connect, async |_| Ok(()))).start_retry(patient()),
    );
    builder.register(
        Registration::new("licence", from_fn(unlock, async |_| Ok(())))
            .after(["pool"])
            .start_retry(patient())
            .criticality(Criticality::Optional),
    );
    let handle = builder.build()?.spawn();

    let report = handle.start().await?;
    say(format!("{} of 2 components run", report.running));
    for it in &report.degraded {
        if let Some(failure) = &it.failure {
            say(format!(
                "{} is {}: {failure}",
                it.component,
                it.state.as_str()
            ));
        }
    }
    handle.stop().await?;
    Ok(())
}

fn patient() -> Retry {
    let backoff = Backoff::Exponential {
        initial: Nanos::from_millis(50),
        factor: 2.0,
        cap: Nanos::from_secs(1),
    };
    Retry::attempts(4)
        .with_backoff(backoff)
        .with_jitter(Jitter::Equal)
        .with_attempt_timeout(Duration::from_millis(300))
        .with_total(Duration::from_secs(5))
}

async fn connect(cx: StartContext) -> Result<(), BoxError> {
    say(format!("pool: attempt {}", cx.attempt()));
    match cx.attempt() {
        1 => Err("connection refused".into()),
        // Ended by the timeout of one attempt: its token is cancelled, and this future dropped if it does not care.
        2 => std::future::pending().await,
        _ => Ok(()),
    }
}

async fn unlock(cx: StartContext) -> Result<(), BoxError> {
    say(format!("licence: attempt {}", cx.attempt()));
    Err(ComponentError::permanent("the licence has expired").into())
}

fn say(line: impl AsRef<str>) {
    // Nobody may be there to read it any more.
    let _ = writeln!(std::io::stdout(), "{}", line.as_ref());
}
