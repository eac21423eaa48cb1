//! [`Subject`]: what the traces and the model are tried on.

use std::sync::Arc;

use lifecycle_core::engine::{Snapshot, StartReport, StopReport};
use lifecycle_core::{Defaults, Registration};
use lifecycle_runtime::{Handle, Orchestrator, StartError, StopError, Subscription};
use lifecycle_testkit::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Something that starts and stops components as the dispatcher does.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    handle: Handle,
}

impl Subject {
    /// The one place that knows what is tried: an orchestrator whose components are wired by hand.
    #[track_caller]
    pub(crate) fn assemble(registrations: Vec<Registration>, defaults: Defaults) -> Self {
        let mut builder = Orchestrator::builder();
        builder.registrations(registrations).defaults(defaults);
        let handle = builder.build().expect("a sound setup").spawn();
        watch(&handle);
        Self { handle }
    }

    pub(crate) async fn start(
        &self,
        cancelled: CancellationToken,
    ) -> Result<Arc<StartReport>, StartError> {
        self.handle.start_with(cancelled).await
    }

    /// `deadline` is that of the caller, when it is not the configured one.
    pub(crate) async fn stop(
        &self,
        deadline: Option<Instant>,
    ) -> Result<Arc<StopReport>, StopError> {
        match deadline {
            Some(deadline) => self.handle.stop_by(deadline).await,
            None => self.handle.stop().await,
        }
    }

    pub(crate) async fn snapshot(&self) -> Snapshot {
        self.handle.snapshot().await.expect("it is driven")
    }

    /// Everything that happens from now on.
    pub(crate) fn subscribe(&self) -> Subscription {
        self.handle.subscribe()
    }
}
