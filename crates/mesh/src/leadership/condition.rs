//! [`Condition`]: what must hold for a node to lead anything.

use std::borrow::Cow;
use std::sync::Arc;

use lifecycle_core::engine::{DrainState, Health, OrchestratorState, Snapshot};
use lifecycle_core::{BoxFuture, Criticality};
use lifecycle_runtime::{Handle, Status as NodeStatus};
use tokio::sync::watch;

use crate::gossip::{Membership, Status};
use crate::leadership::election::SHUTDOWN;

/// Something that must hold for a node to lead. While one does not, the node neither campaigns nor keeps what it has.
pub trait Condition: Send + Sync + 'static {
    /// Why the node may not lead now, if so.
    fn check(&self) -> BoxFuture<'_, Result<(), Cow<'static, str>>>;

    /// Completes when [`check`](Self::check) may say something else than it would have when this was called.
    fn changed(&self) -> BoxFuture<'static, ()>;
}

/// A value that somebody keeps up to date: `Err` says why the node may not lead.
impl Condition for watch::Receiver<Result<(), Cow<'static, str>>> {
    fn check(&self) -> BoxFuture<'_, Result<(), Cow<'static, str>>> {
        let now = self.borrow().clone();
        Box::pin(std::future::ready(now))
    }

    fn changed(&self) -> BoxFuture<'static, ()> {
        Box::pin(next_change(self.clone()))
    }
}

/// That the node is alive in its own view of the members.
pub(crate) struct AliveInOwnView(pub(crate) Arc<dyn Membership>);

impl Condition for AliveInOwnView {
    fn check(&self) -> BoxFuture<'_, Result<(), Cow<'static, str>>> {
        let view = self.0.view();
        let local = view.peer(&view.local_node_id);
        let is_alive = view.address.is_some() && local.is_some_and(|it| it.status == Status::Alive);
        let held = if is_alive {
            Ok(())
        } else {
            Err("not alive in its own view".into())
        };
        Box::pin(std::future::ready(held))
    }

    fn changed(&self) -> BoxFuture<'static, ()> {
        Box::pin(next_change(self.0.subscribe()))
    }
}

/// That the orchestrator runs, that the node is neither cordoned nor drained, and that no essential component is unhealthy.
///
/// That it is *ready* is not asked for: what starts because the node leads makes it unready for a while.
pub(crate) struct TakesWork(pub(crate) Handle);

impl Condition for TakesWork {
    fn check(&self) -> BoxFuture<'_, Result<(), Cow<'static, str>>> {
        Box::pin(async {
            let status = self.0.status().get();
            takes_work(&status)?;
            if status.ready {
                return Ok(());
            }
            let snapshot = self.0.snapshot().await;
            snapshot.map_or(Err("nobody drives it".into()), |it| is_healthy(&it))
        })
    }

    fn changed(&self) -> BoxFuture<'static, ()> {
        let mut status = self.0.status();
        let _seen = status.get();
        Box::pin(async move {
            if status.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }
}

fn takes_work(status: &NodeStatus) -> Result<(), Cow<'static, str>> {
    match status.state {
        OrchestratorState::Running => {}
        OrchestratorState::Created | OrchestratorState::Starting => {
            return Err("not started".into());
        }
        OrchestratorState::Stopping | OrchestratorState::Stopped => return Err(SHUTDOWN.into()),
    }
    match status.drain {
        DrainState::Active => {}
        DrainState::Draining => return Err("draining".into()),
        DrainState::Drained => return Err("drained".into()),
        DrainState::Failed => return Err("drain failed".into()),
    }
    if status.cordoned {
        return Err("cordoned".into());
    }
    Ok(())
}

fn is_healthy(snapshot: &Snapshot) -> Result<(), Cow<'static, str>> {
    let sick = snapshot.plan.ids().find(|id| {
        snapshot.plan.criticality(*id) == Criticality::Essential
            && snapshot.component(*id).health == Health::Unhealthy
    });
    sick.map_or(Ok(()), |id| {
        Err(format!("{} is unhealthy", snapshot.name(id)).into())
    })
}

/// Completes at the next change after this was called, or never when there will be none.
fn next_change<T>(mut value: watch::Receiver<T>) -> impl Future<Output = ()> {
    value.mark_unchanged();
    async move {
        if value.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
