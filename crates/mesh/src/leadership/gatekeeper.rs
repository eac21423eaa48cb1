//! [`Gatekeeper`]: opens the gate of a scope while this node leads it, and says when all behind it is at rest.

use lifecycle_core::engine::{ComponentRow, ComponentState};
use lifecycle_runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::leadership::lease::FencingToken;
use crate::leadership::observer::Tenure;
use crate::leadership::scope::Scope;

/// The name of the gate of `scope`.
pub(crate) fn gate_name(scope: &Scope) -> String {
    format!("leads:{scope}")
}

/// Keeps the gate of one scope in step with this node's tenure of it.
///
/// The gate is open until the local deadline of the lease, and moved on with each renewal. So everything behind it is down in
/// time even when nobody closes it any more: the orchestrator sees to that (semantics 26). Between two tenures it is closed
/// and waited for, so that nothing lives on from one into the next.
pub(crate) struct Gatekeeper {
    handle: Handle,
    gate: String,
    tenure: watch::Receiver<Option<Tenure>>,
    /// The token of the tenure that the gate is open for.
    rest: watch::Sender<Option<FencingToken>>,
}

impl Gatekeeper {
    pub(crate) fn new(
        handle: Handle,
        scope: &Scope,
        tenure: watch::Receiver<Option<Tenure>>,
    ) -> (Self, Rest) {
        let (rest, open_for) = watch::channel(None);
        let keeper = Self {
            handle,
            gate: gate_name(scope),
            tenure,
            rest,
        };
        (keeper, Rest(Some(open_for)))
    }

    /// What closes the gate once the keeper is gone.
    pub(crate) fn closer(&self) -> Closer {
        Closer {
            handle: self.handle.clone(),
            gate: self.gate.clone(),
        }
    }

    /// Goes on until nobody can lead the scope any more.
    pub(crate) async fn keep(mut self) {
        loop {
            let tenure = *self.tenure.borrow_and_update();
            let open_for = *self.rest.borrow();
            if open_for.is_some() && open_for != tenure.map(|it| it.token) {
                self.close().await;
                // That takes time, in which a tenure may have begun or ended.
                continue;
            }
            if let Some(tenure) = tenure {
                self.open(tenure).await;
            }
            if self.tenure.changed().await.is_err() {
                return;
            }
        }
    }

    async fn open(&self, tenure: Tenure) {
        let until = tenure.until();
        if until <= Instant::now() {
            return;
        }
        // Before anything is let in, and without a pause since the tenure was looked at.
        self.rest.send_replace(Some(tenure.token));
        // No gate of this name, or nobody who drives: then nothing is behind it.
        if let Err(error) = self.handle.open_gate(&self.gate, Some(until)).await {
            tracing::trace!(gate = self.gate, %error, "the gate is not opened");
        }
    }

    async fn close(&self) {
        if self.handle.close_gate(&self.gate).await.is_ok() {
            self.come_to_rest().await;
        }
        self.rest.send_replace(None);
    }

    /// Completes once all behind the gate is down, and never says so of what was abandoned.
    async fn come_to_rest(&self) {
        let mut status = self.handle.status();
        loop {
            let now = status.get();
            let Ok(snapshot) = self.handle.snapshot().await else {
                return;
            };
            let Some(gate) = snapshot.plan.find_gate(&self.gate) else {
                return;
            };
            let at_rest = snapshot.plan.gated(gate).all(|(id, _)| {
                let name = snapshot.name(id);
                let is_abandoned = now.abandoned.iter().any(|it| it.component == *name);
                !is_abandoned && is_at_rest(snapshot.component(id))
            });
            if at_rest || status.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Closes a gate for good.
pub(crate) struct Closer {
    handle: Handle,
    gate: String,
}

impl Closer {
    pub(crate) async fn close(self) {
        // No such gate, or nobody who drives: then nothing is behind it.
        let _ = self.handle.close_gate(self.gate).await;
    }
}

/// A component that has failed may still be on its way down, or have been aborted; where something of it may be left, the lease
/// runs out instead.
fn is_at_rest(row: &ComponentRow) -> bool {
    match row.state {
        ComponentState::Faulted => row.down,
        ComponentState::Created | ComponentState::Waiting | ComponentState::Stopped => true,
        ComponentState::Starting
        | ComponentState::Running
        | ComponentState::Stopping
        | ComponentState::BackingOff => false,
    }
}

/// Tells when what depends on a tenure is at rest.
#[derive(Clone, Debug)]
pub(crate) struct Rest(Option<watch::Receiver<Option<FencingToken>>>);

impl Rest {
    /// Where no gates are kept, nothing depends on a tenure.
    pub(crate) fn immediate() -> Self {
        Self(None)
    }

    /// Completes once nothing runs that was let in under `token`. Call it after the tenure was taken away.
    pub(crate) async fn after(&mut self, token: FencingToken) {
        let Some(open_for) = &mut self.0 else {
            return;
        };
        // An error says that nobody keeps the gate; then it is only certain that the lease runs out.
        if open_for.wait_for(|it| *it != Some(token)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
