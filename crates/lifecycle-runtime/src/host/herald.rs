//! [`Herald`]: says in the log what becomes of the service as a whole.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use lifecycle_core::engine::{OrchestratorState, StopReport};

use crate::handle::Handle;
use crate::status::StatusWatch;

/// Logs starting, started, stopping and stopped with the service's name, each at most once and in this order. What has
/// passed before it was seen is told late rather than never. Nothing where the service has no name.
#[derive(Debug)]
pub(super) struct Herald {
    service: Option<String>,
    began: Instant,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    starting: bool,
    stopping: bool,
    watch: Option<StatusWatch>,
}

impl Herald {
    pub(super) fn new(service: Option<String>) -> Self {
        Self {
            service,
            began: Instant::now(),
            told: Mutex::default(),
        }
    }

    pub(super) fn starting(&self) {
        let Some(service) = &self.service else { return };
        self.told().starting = true;
        tracing::info!(target: "lifecycle", event = "host.starting", service, "host starting");
    }

    /// Follows the orchestrator until it has begun to stop.
    pub(super) async fn follow(&self, handle: &Handle) {
        let Some(service) = &self.service else { return };
        let mut watch = handle.status();
        self.told().watch = Some(watch.clone());
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
                target: "lifecycle",
                event = "host.started",
                service,
                duration_ms = self.age_ms(),
                "host started"
            );
        }
        let over = watch.wait_for(|it| it.state != OrchestratorState::Running);
        if over.await.is_ok() {
            self.stopping();
        }
    }

    fn stopping(&self) {
        let mut told = self.told();
        if !told.stopping {
            told.stopping = true;
            let service = self.service.as_deref();
            tracing::info!(target: "lifecycle", event = "host.stopping", service, "host stopping");
        }
    }

    /// Tells the end, and what was missed before it; nothing when the host never began.
    pub(super) fn stopped(&self) {
        if !self.told().starting {
            return;
        }
        self.stopping();
        let watch = self.told().watch.take();
        let report = watch.and_then(|mut it| it.get().last_stop);
        let failed = |it: &&_| has_failed(it);
        let Some(report) = report.as_deref().filter(failed) else {
            tracing::info!(
                target: "lifecycle",
                event = "host.stopped",
                service = self.service.as_deref(),
                duration_ms = self.age_ms(),
                "host stopped"
            );
            return;
        };
        tracing::warn!(
            target: "lifecycle",
            event = "host.stopped",
            service = self.service.as_deref(),
            duration_ms = self.age_ms(),
            reason = report.reason.as_str(),
            cause = report.cause.as_ref().map(tracing::field::display),
            error = report.failure.as_ref().map(tracing::field::display),
            "host failed"
        );
    }

    fn age_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn has_failed(report: &StopReport) -> bool {
    report.failure.is_some() || !report.is_clean()
}
