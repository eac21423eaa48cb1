//! What the service manager is told: ready, stopping, status, and that the driver is alive.

use std::future;
use std::time::Duration;

use lifecycle_core::engine::OrchestratorState;
use sd_notify::NotifyState;

use crate::handle::Handle;

/// Follows the orchestrator's state for as long as it is polled. Does nothing where nobody listens.
pub(super) async fn follow(handle: &Handle) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return future::pending().await;
    }
    tokio::join!(tell_states(handle), feed_watchdog());
}

async fn tell_states(handle: &Handle) {
    let mut watch = handle.status();
    let mut told = OrchestratorState::Created;
    loop {
        let seen = told;
        let Ok(status) = watch.wait_for(|it| it.state != seen).await else {
            return;
        };
        told = status.state;
        tell(told);
    }
}

fn tell(state: OrchestratorState) {
    let status = NotifyState::Status(state.as_str());
    match state {
        OrchestratorState::Running => send(&[NotifyState::Ready, status]),
        OrchestratorState::Stopping => send(&[NotifyState::Stopping, status]),
        OrchestratorState::Created | OrchestratorState::Starting | OrchestratorState::Stopped => {
            send(&[status]);
        }
    }
}

/// Twice in the time that the service manager allows.
async fn feed_watchdog() {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut pulse = tokio::time::interval((limit / 2).max(Duration::from_millis(1)));
    loop {
        pulse.tick().await;
        send(&[NotifyState::Watchdog]);
    }
}

fn send(states: &[NotifyState<'_>]) {
    // A service manager that does not listen is no reason to fail.
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(target: "lifecycle", event = "notify.failed", %error, "the service manager was not told");
    }
}
