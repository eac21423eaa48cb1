//! A component that says of itself that something is missing, and one whose health is asked for; readiness follows.
//!
//! ```sh
//! cargo run -q -p lifecycle-runtime --example health
//! ```

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lifecycle_core::component::service;
use lifecycle_core::engine::{EventKind, Health};
use lifecycle_core::{
    BoxError, CheckContext, Criticality, HealthCheck, Lifecycle, Registration, ServiceContext,
    StartContext, StopContext,
};
use lifecycle_runtime::{Handle, Notice, Orchestrator, Subscription};
use tokio::sync::watch;

/// Something that runs, and may be wrong all the same.
#[derive(Default)]
struct Index {
    stale: AtomicBool,
}

impl Lifecycle for Index {
    async fn start(&self, _cx: &StartContext) -> Result<(), BoxError> {
        Ok(())
    }

    async fn check(&self, _cx: &CheckContext) -> Result<(), BoxError> {
        match self.stale.load(Ordering::SeqCst) {
            true => Err("the index is stale".into()),
            false => Ok(()),
        }
    }

    async fn stop(&self, _cx: &StopContext) -> Result<(), BoxError> {
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let index = Arc::new(Index::default());
    let (replica, replica_is_up) = watch::channel(true);
    let check = HealthCheck::every(Duration::from_millis(50))
        .with_timeout(Duration::from_millis(500))
        .with_misses(2);
    let reader = service(move |cx| read(cx, replica_is_up.clone()));

    let mut builder = Orchestrator::builder();
    builder.register(Registration::new("index", Arc::clone(&index)).health_check(check));
    builder.register(Registration::new("reader", reader).criticality(Criticality::Degradable));
    let handle = builder.build()?.spawn();
    handle.start().await?;
    let mut events = handle.subscribe();

    replica.send(false)?;
    tell(&mut events, &handle, Health::Degraded).await?;
    replica.send(true)?;
    tell(&mut events, &handle, Health::Healthy).await?;
    index.stale.store(true, Ordering::SeqCst);
    tell(&mut events, &handle, Health::Unhealthy).await?;
    index.stale.store(false, Ordering::SeqCst);
    tell(&mut events, &handle, Health::Healthy).await?;
    handle.stop().await?;
    Ok(())
}

async fn read(cx: ServiceContext, mut replica_is_up: watch::Receiver<bool>) {
    cx.ready();
    let (token, reporter) = (cx.token(), cx.reporter());
    while let Some(Ok(())) = token.run_until_cancelled(replica_is_up.changed()).await {
        match *replica_is_up.borrow_and_update() {
            true => reporter.healthy(),
            false => reporter.degraded("the replica is down"),
        }
    }
}

/// Waits until a component is of `health`, and tells it, with what the host as a whole says to that.
async fn tell(events: &mut Subscription, handle: &Handle, health: Health) -> Result<(), BoxError> {
    while let Some(notice) = events.next().await {
        let Notice::Event(event) = notice else {
            continue;
        };
        let EventKind::HealthChanged { key, to, .. } = event.kind else {
            continue;
        };
        if to == health {
            let snapshot = handle.snapshot().await?;
            let name = snapshot.name(key.component);
            let ready = snapshot.is_ready();
            writeln!(
                std::io::stdout(),
                "{name} is {}; ready: {ready}",
                to.as_str()
            )?;
            return Ok(());
        }
    }
    Err("the orchestrator is gone".into())
}
