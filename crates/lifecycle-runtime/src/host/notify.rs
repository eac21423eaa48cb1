//! What the service manager is told: ready, stopping, status, and that the driver is alive.

use std::future;
use std::time::Duration;

use lifecycle_core::engine::OrchestratorState;
use sd_notify::NotifyState;

use crate::handle::Handle;

/// Tells the service manager what becomes of the orchestrator; nothing where nobody listens.
///
/// A state that has passed before it was seen is told late rather than never: who stops a service must hear of it.
#[derive(Debug)]
pub(super) struct Notifier {
    told: OrchestratorState,
    listened_to: bool,
}

impl Notifier {
    /// Says that the service is starting.
    pub(super) fn begin() -> Self {
        let mut notifier = Self {
            told: OrchestratorState::Created,
            listened_to: std::env::var_os("NOTIFY_SOCKET").is_some(),
        };
        notifier.tell(OrchestratorState::Starting);
        notifier
    }

    /// Follows the orchestrator's state for as long as it is polled.
    pub(super) async fn follow(&mut self, handle: &Handle) {
        if !self.listened_to {
            return future::pending().await;
        }
        tokio::join!(self.tell_states(handle), feed_watchdog());
    }

    /// Says that the service has stopped, and first that it was stopping if that was not seen.
    pub(super) fn conclude(&mut self) {
        self.tell(OrchestratorState::Stopped);
    }

    async fn tell_states(&mut self, handle: &Handle) {
        let mut watch = handle.status();
        loop {
            let seen = self.told;
            let Ok(status) = watch.wait_for(|it| it.state != seen).await else {
                return;
            };
            self.tell(status.state);
        }
    }

    fn tell(&mut self, state: OrchestratorState) {
        let before = std::mem::replace(&mut self.told, state);
        if !self.listened_to || before == state {
            return;
        }
        let status = NotifyState::Status(state.as_str());
        match state {
            OrchestratorState::Running => send(&[NotifyState::Ready, status]),
            OrchestratorState::Stopping => send(&[NotifyState::Stopping, status]),
            OrchestratorState::Stopped if before != OrchestratorState::Stopping => {
                send(&[NotifyState::Stopping, status]);
            }
            OrchestratorState::Created
            | OrchestratorState::Starting
            | OrchestratorState::Stopped => send(&[status]),
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
