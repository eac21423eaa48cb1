//! [`Herald`]: tells people what becomes of the host as a whole, in the log and on standard output.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use lifecycle_core::engine::OrchestratorState;
use lifecycle_runtime::{Handle, StatusWatch};

use crate::host::{CONTROL_HTTP, Ports};

/// Logs starting, started, stopping and stopped with the service's name, each at most once and in this order.
#[derive(Debug)]
pub(crate) struct Herald {
    service: String,
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
    pub(crate) fn new(service: &str) -> Self {
        Self {
            service: service.to_owned(),
            began: Instant::now(),
            told: Mutex::default(),
        }
    }

    pub(crate) fn starting(&self) {
        self.told().starting = true;
        tracing::info!(
            event = "host.starting",
            service = self.service,
            "host starting"
        );
    }

    /// Follows the orchestrator until it has begun to stop.
    pub(crate) async fn follow(self: std::sync::Arc<Self>, handle: Handle, ports: Ports) {
        let mut watch = handle.status();
        self.told().watch = Some(watch.clone());
        // Held no longer: what is driven may end when nobody can ask it any more.
        drop(handle);
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
                duration_ms = millis(self.began),
                "host started"
            );
            print_ports(&ports);
        }
        let over = |it: &lifecycle_runtime::Status| it.state != OrchestratorState::Running;
        if watch.wait_for(over).await.is_ok() {
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
        if !self.told().starting {
            return;
        }
        self.stopping();
        let watch = self.told().watch.take();
        let report = watch.and_then(|mut it| it.get().last_stop);
        let service = &*self.service;
        let duration_ms = millis(self.began);
        match report {
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

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn print_ports(ports: &Ports) {
    print(diagnostics::NAME, "http", ports.diagnostics());
    print(mesh::gossip::NAME, "udp", ports.gossip());
    print(CONTROL_HTTP, "http", ports.http());
}

fn print(component: &str, scheme: &str, address: Option<impl Display>) {
    if let Some(address) = address {
        // Whoever has closed standard output does not want to know.
        let _ = writeln!(io::stdout(), "{component} {scheme}://{address}");
    }
}
