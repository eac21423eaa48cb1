//! Tells people what becomes of the host as a whole: in the log, and on standard output.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use lifecycle_core::engine::OrchestratorState;
use lifecycle_core::{Criticality, Registration, component};
use lifecycle_runtime::StatusWatch;

/// Logs starting, started, stopping and stopped with the service's name, each at most once and in this order.
#[derive(Debug)]
pub(crate) struct Herald {
    service: String,
    began: Instant,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    stopping: bool,
    /// There once it has begun.
    watch: Option<StatusWatch>,
}

impl Herald {
    pub(crate) fn new(service: &str) -> Self {
        Self {
            service: service.trim().to_owned(),
            began: Instant::now(),
            told: Mutex::default(),
        }
    }

    /// Tells the beginning of what `watch` is about.
    pub(crate) fn starting(&self, watch: StatusWatch) {
        self.told().watch = Some(watch);
        tracing::info!(
            event = "host.starting",
            service = self.service,
            "host starting"
        );
    }

    /// Follows the orchestrator until it has begun to stop.
    async fn follow(self: Arc<Self>) {
        let watch = self.told().watch.clone();
        let Some(mut watch) = watch else {
            return;
        };
        let settled = |state| {
            !matches!(
                state,
                OrchestratorState::Created | OrchestratorState::Starting
            )
        };
        let Ok(status) = watch.wait_for(|it| settled(it.state)).await else {
            return;
        };
        if status.state == OrchestratorState::Running {
            tracing::info!(
                event = "host.started",
                service = self.service,
                duration_ms = self.millis(),
                "host started"
            );
        }
        let stopped = watch.wait_for(|it| it.state != OrchestratorState::Running);
        if stopped.await.is_ok() {
            self.stopping();
        }
    }

    fn stopping(&self) {
        let mut told = self.told();
        if !told.stopping {
            told.stopping = true;
            tracing::info!(
                event = "host.stopping",
                service = self.service,
                "host stopping"
            );
        }
    }

    /// Tells the end, and what was missed before it; nothing when the host never began.
    pub(crate) fn stopped(&self) {
        let Some(mut watch) = self.told().watch.take() else {
            return;
        };
        self.stopping();
        let (service, duration_ms) = (&*self.service, self.millis());
        match watch.get().last_stop {
            Some(report) if report.failure.is_some() || !report.is_clean() => tracing::warn!(
                event = "host.stopped",
                service,
                duration_ms,
                reason = report.reason.as_str(),
                cause = report.cause.as_ref().map(tracing::field::display),
                error = report.failure.as_ref().map(tracing::field::display),
                "host failed"
            ),
            Some(_) | None => {
                tracing::info!(event = "host.stopped", service, duration_ms, "host stopped");
            }
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Prints addresses on standard output, one a line, when everything is open.
#[derive(Default)]
pub(crate) struct Announced(Vec<(String, Address)>);

/// Tells where something listens, once it does.
type Address = Box<dyn Fn() -> Option<SocketAddr> + Send + Sync>;

impl Announced {
    pub(crate) fn add(
        mut self,
        name: &str,
        address: impl Fn() -> Option<SocketAddr> + Send + Sync + 'static,
    ) -> Self {
        self.0.push((name.to_owned(), Box::new(address)));
        self
    }

    /// The component `announcer`, which comes after `parts`, and has `herald` follow the orchestrator.
    pub(crate) fn registration(
        self,
        parts: impl IntoIterator<Item = String>,
        herald: &Arc<Herald>,
    ) -> Registration {
        let herald = Arc::clone(herald);
        let tell = move |cx: lifecycle_core::StartContext| {
            self.print();
            let (run, following) = (cx.run_token(), Arc::clone(&herald).follow());
            cx.spawn("herald", async move {
                run.run_until_cancelled(following).await;
            });
            std::future::ready(Ok(()))
        };
        let silent = async |_| Ok(());
        Registration::new("announcer", component::from_fn(tell, silent))
            .after(parts)
            .criticality(Criticality::Optional)
    }

    fn print(&self) {
        for (name, address) in &self.0 {
            if let Some(address) = address() {
                // Whoever has closed standard output does not want to know.
                let _ = writeln!(io::stdout(), "{name} http://{address}");
            }
        }
    }
}
