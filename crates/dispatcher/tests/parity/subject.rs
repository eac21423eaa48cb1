//! [`Subject`]: what the traces and the model are tried on.

use std::sync::Arc;

use dispatcher::{Dispatcher, LifecycleError};
use lifecycle_core::engine::{Snapshot, StartReport, StopReport};
use lifecycle_core::{Registration, Retry};
use lifecycle_runtime::{Handle, Orchestrator, StartError, StopError, Subscription};
use lifecycle_testkit::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A dispatcher, and the orchestrator that was made of its registrations.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    dispatcher: Dispatcher,
    handle: Handle,
}

impl Subject {
    /// The one place that knows what is tried: a dispatcher that has nothing but `registrations`, and these default policies.
    #[track_caller]
    pub(crate) fn assemble(registrations: Vec<Registration>, start: Retry, stop: Retry) -> Self {
        let empty = Dispatcher::builder("parity")
            .start_retry(start)
            .stop_retry(stop);
        let full = registrations
            .into_iter()
            .fold(empty, |builder, it| builder.component(it));
        let (dispatcher, registrations) = full.build().expect("a sound dispatcher");
        let mut builder = Orchestrator::builder();
        builder.registrations(registrations);
        let handle = builder.build().expect("a sound setup").spawn();
        watch(&handle);
        Self {
            dispatcher: dispatcher.driven_by(handle.clone()),
            handle,
        }
    }

    pub(crate) async fn start(
        &self,
        cancelled: CancellationToken,
    ) -> Result<Arc<StartReport>, StartError> {
        let started = self.dispatcher.start_with(cancelled).await;
        started.map_err(|error| match error {
            LifecycleError::Start(error) => error,
            other => panic!("a start answers with its own error: {other}"),
        })
    }

    /// `deadline` is that of the caller, when it is not the configured one; only the orchestrator takes one.
    pub(crate) async fn stop(
        &self,
        deadline: Option<Instant>,
    ) -> Result<Arc<StopReport>, StopError> {
        if let Some(deadline) = deadline {
            return self.handle.stop_by(deadline).await;
        }
        let stopped = self.dispatcher.stop().await;
        stopped.map_err(|error| match error {
            LifecycleError::Stop(error) => error,
            other => panic!("a stop answers with its own error: {other}"),
        })
    }

    /// The state of the orchestrator at this moment, which is that of the dispatcher too.
    pub(crate) async fn snapshot(&self) -> Snapshot {
        let snapshot = self.handle.snapshot().await.expect("it is driven");
        assert_eq!(self.dispatcher.status(), snapshot.state);
        snapshot
    }

    /// Everything that happens from now on.
    pub(crate) fn subscribe(&self) -> Subscription {
        self.handle.subscribe()
    }
}
