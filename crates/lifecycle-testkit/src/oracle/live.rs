//! [`LiveOracle`]: an oracle beside a running orchestrator.

use std::task::Poll;

use lifecycle_core::engine::{ComponentState, Event, EventKind, Snapshot};
use lifecycle_runtime::{Handle, Notice, Subscription};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Oracle, Violation};
use crate::trace::poll_next;

/// An [`Oracle`] that follows a running orchestrator, in a task of its own.
///
/// It keeps a handle: the orchestrator's driver lives until it has finished, or is dropped.
#[derive(Debug)]
pub struct LiveOracle {
    task: JoinHandle<Oracle>,
    enough: CancellationToken,
}

/// What the task works with.
struct Follower {
    oracle: Oracle,
    handle: Handle,
    events: Subscription,
    /// To be compared once its last event was taken in.
    snapshot: Option<Snapshot>,
}

impl Oracle {
    /// Follows `handle`'s orchestrator from now on, in a task of the current runtime.
    ///
    /// Every change of the orchestrator's state is followed by a look at the snapshot. With thousands of components, set
    /// [`event_capacity`](lifecycle_runtime::OrchestratorBuilder::event_capacity) high enough for what happens in one
    /// turn: what is missed is not judged.
    ///
    /// # Panics
    ///
    /// When the orchestrator is not built yet, or outside of a tokio runtime.
    #[must_use]
    pub fn watch(handle: &Handle) -> LiveOracle {
        let plan = handle.plan().expect("the orchestrator is built");
        Self::new(plan).follow(handle)
    }

    /// As [`watch`](Self::watch), with what was set on this oracle. It must be new.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn follow(self, handle: &Handle) -> LiveOracle {
        let follower = Follower {
            oracle: self,
            // Now, and not in the task: nothing that happens from here on is missed.
            events: handle.subscribe(),
            handle: handle.clone(),
            snapshot: None,
        };
        let enough = CancellationToken::new();
        LiveOracle {
            task: tokio::spawn(follower.run(enough.clone())),
            enough,
        }
    }
}

impl LiveOracle {
    /// Takes in everything that has happened, looks at the snapshot and the status a last time, and returns every
    /// violation.
    ///
    /// # Panics
    ///
    /// When the runtime has ended the oracle's task.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the oracle; what it had found is lost.
    pub async fn finish(mut self) -> Vec<Violation> {
        self.enough.cancel();
        let ended = (&mut self.task).await;
        let oracle = ended.expect("the oracle runs until it is finished");
        oracle.finish()
    }

    /// As [`finish`](Self::finish).
    ///
    /// # Panics
    ///
    /// When there is any violation, with all of them.
    ///
    /// # Cancel safety
    ///
    /// As [`finish`](Self::finish).
    pub async fn assert_ok(self) {
        let violations = self.finish().await;
        if violations.is_empty() {
            return;
        }
        let lines: String = violations.iter().map(|it| format!("\n  - {it}")).collect();
        panic!("{} promises were broken:{lines}", violations.len());
    }
}

impl Drop for LiveOracle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Follower {
    async fn run(mut self, enough: CancellationToken) -> Oracle {
        loop {
            let notice = tokio::select! {
                biased;
                () = enough.cancelled() => break,
                notice = self.events.next() => notice,
            };
            let Some(notice) = notice else {
                return self.oracle;
            };
            self.take(notice).await;
        }
        self.conclude().await;
        self.oracle
    }

    async fn take(&mut self, notice: Notice) {
        match notice {
            Notice::Event(event) => self.observe(&event).await,
            Notice::Missed(_) => self.resynchronise().await,
        }
    }

    async fn observe(&mut self, event: &Event) {
        let joined_late = self.oracle.sequence() == 0 && event.sequence != 1;
        if joined_late {
            self.resynchronise().await;
        }
        let stranger = event
            .subject()
            .is_some_and(|it| !self.oracle.knows(it.component));
        if stranger && let Ok(snapshot) = self.handle.snapshot().await {
            self.oracle.adopt(snapshot.plan);
        }
        self.oracle.observe(event);
        if matches!(event.kind, EventKind::Orchestrator { .. }) {
            self.snapshot = self.handle.snapshot().await.ok();
        }
        self.compare();
    }

    /// Compares once the events have come to where the snapshot is.
    fn compare(&mut self) {
        let sequence = self.oracle.sequence();
        if let Some(snapshot) = self.snapshot.take_if(|it| it.sequence <= sequence) {
            self.oracle.compare(&snapshot);
        }
    }

    async fn resynchronise(&mut self) {
        if let Ok(snapshot) = self.handle.snapshot().await {
            self.oracle.resynchronise(&snapshot);
        }
    }

    /// Takes in what is there already, and looks at everything a last time. Events leave before a snapshot that contains
    /// them is answered, so that nothing is waited for.
    async fn conclude(&mut self) {
        let last = self.handle.snapshot().await.ok();
        while let Poll::Ready(Some(notice)) = poll_next(&mut self.events) {
            self.take(notice).await;
        }
        let Some(last) = last else { return };
        if self.oracle.sequence() == 0 {
            // It joined late, and nothing has happened since.
            self.oracle.resynchronise(&last);
        }
        if self.oracle.sequence() < last.sequence {
            let what = format!(
                "the snapshot contains event {}, which never came",
                last.sequence
            );
            self.oracle.disagree(last.at, None, what);
        }
        self.oracle.compare(&last);
        self.compare_status(&last);
    }

    /// Invariant 14, for the status.
    fn compare_status(&mut self, last: &Snapshot) {
        let status = self.handle.status().get();
        if status.sequence != last.sequence {
            return;
        }
        for state in ComponentState::ALL {
            let rows = last.plan.ids().map(|id| last.component(id).state);
            let counted = rows.filter(|it| *it == state).count();
            if status.count(state) != counted {
                let what = format!(
                    "the status counts {} that are {}, the snapshot {counted}",
                    status.count(state),
                    state.as_str()
                );
                self.oracle.disagree(last.at, None, what);
            }
        }
    }
}
