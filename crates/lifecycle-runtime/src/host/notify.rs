//! What the service manager is told: ready, stopping, status, and that the driver is alive.

use std::future;
use std::time::Duration;

use lifecycle_core::engine::{ComponentState, OrchestratorState};
use sd_notify::NotifyState;
use tokio::time::{Instant, sleep_until};

use crate::handle::Handle;
use crate::status::Status;

/// The least time between two texts about the same state.
const PAUSE: Duration = Duration::from_secs(1);

/// Tells the service manager what becomes of the orchestrator; nothing where nobody listens.
///
/// A state that has passed before it was seen is told late rather than never: who stops a service must hear of it.
#[derive(Debug)]
pub(super) struct Notifier {
    told: OrchestratorState,
    /// The last status text.
    said: String,
    /// When that was.
    spoke: Instant,
    listened_to: bool,
}

impl Notifier {
    /// Says that the service is starting.
    pub(super) fn begin() -> Self {
        let mut notifier = Self {
            told: OrchestratorState::Created,
            said: String::new(),
            spoke: Instant::now(),
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

    /// Tells every state as it comes, and between them how far a start or a stop is, once a second at most.
    async fn tell_states(&mut self, handle: &Handle) {
        let components = handle.plan().map_or(0, |it| it.len());
        let mut watch = handle.status();
        // That it is starting was said before anybody was asked to start.
        let begun = watch.wait_for(|it| it.state != OrchestratorState::Created);
        if begun.await.is_err() {
            return;
        }
        loop {
            let status = watch.get();
            let text = progress(&status, components);
            if status.state != self.told {
                self.tell_with(status.state, &text);
            } else if text != self.said && self.spoke.elapsed() >= PAUSE {
                self.say(&text);
            }
            let is_behind = text != self.said;
            tokio::select! {
                changed = watch.changed() => if changed.is_err() { return },
                () = sleep_until(self.spoke + PAUSE), if is_behind => {}
            }
        }
    }

    fn say(&mut self, text: &str) {
        send(&[NotifyState::Status(text)]);
        self.has_said(text);
    }

    fn has_said(&mut self, text: &str) {
        text.clone_into(&mut self.said);
        self.spoke = Instant::now();
    }

    fn tell(&mut self, state: OrchestratorState) {
        self.tell_with(state, state.as_str());
    }

    fn tell_with(&mut self, state: OrchestratorState, text: &str) {
        let before = std::mem::replace(&mut self.told, state);
        if !self.listened_to || before == state {
            return;
        }
        self.has_said(text);
        let status = NotifyState::Status(text);
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

/// How far it is, for people.
fn progress(status: &Status, components: usize) -> String {
    match status.state {
        OrchestratorState::Starting => {
            let running = status.count(ComponentState::Running);
            format!("starting: {running} of {components} running")
        }
        OrchestratorState::Stopping => format!("stopping: {} left", up(status)),
        state @ (OrchestratorState::Created
        | OrchestratorState::Running
        | OrchestratorState::Stopped) => state.as_str().to_owned(),
    }
}

/// How many components are up, or on their way up or down.
fn up(status: &Status) -> usize {
    let states = ComponentState::ALL.into_iter().filter(|it| match it {
        ComponentState::Starting
        | ComponentState::Running
        | ComponentState::Stopping
        | ComponentState::BackingOff => true,
        ComponentState::Created
        | ComponentState::Stopped
        | ComponentState::Faulted
        | ComponentState::Waiting => false,
    });
    states.map(|it| status.count(it)).sum()
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
