//! [`Faulty`]: a component of the user's, with faults from a plan.

use std::future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use lifecycle_core::{
    BoxError, CheckContext, ComponentError, ComponentName, DrainContext, Lifecycle, StartContext,
    StopContext,
};
use tokio_util::sync::CancellationToken;

use crate::fault::{Fault, FaultPlan};
use crate::hook::Hook;

/// A component of yours to whose calls a [`FaultPlan`] does what it has for them.
///
/// A fault comes before the call: what fails, panics or hangs does so without it, and what is slow is called later. Only
/// dispose is called first, so that nothing is left that the component would release; and what flaps is started, and lost
/// by a task beside it.
///
/// ```
/// use lifecycle_core::{BoxError, Lifecycle, Registration, StartContext, StopContext};
/// use lifecycle_testkit::{FaultPlan, FaultProfile, Faulty, launch, simulate};
///
/// struct Pool;
///
/// impl Lifecycle for Pool {
///     async fn start(&self, _cx: &StartContext) -> Result<(), BoxError> { Ok(()) }
///     async fn stop(&self, _cx: &StopContext) -> Result<(), BoxError> { Ok(()) }
/// }
///
/// simulate(async {
///     let plan = FaultPlan::seeded(7, FaultProfile { fail: 1.0, ..FaultProfile::calm() });
///     let handle = launch([Registration::new("pool", Faulty::new(Pool, &plan))]);
///     assert!(handle.start().await.is_err());
/// });
/// ```
#[derive(Debug)]
pub struct Faulty<L> {
    component: L,
    plan: FaultPlan,
    /// Dispose is told neither its component nor its generation.
    name: Mutex<Option<ComponentName>>,
    generation: AtomicU32,
    /// How many calls without attempts there were in this generation, by hook.
    calls: [AtomicU32; Hook::ALL.len()],
}

impl<L> Faulty<L> {
    /// `component`, with the faults of `plan`.
    #[must_use]
    pub fn new(component: L, plan: &FaultPlan) -> Self {
        Self {
            component,
            plan: plan.clone(),
            name: Mutex::new(None),
            generation: AtomicU32::new(0),
            calls: Default::default(),
        }
    }

    fn begin_generation(&self, name: &ComponentName, generation: u32) {
        *self.name.lock().unwrap_or_else(PoisonError::into_inner) = Some(name.clone());
        if self.generation.swap(generation, Ordering::SeqCst) != generation {
            self.calls
                .iter()
                .for_each(|it| it.store(0, Ordering::SeqCst));
        }
    }

    /// The fault of a call that has no attempts.
    fn next_fault(&self, hook: Hook) -> Option<Fault> {
        let call = self.calls[hook as usize].fetch_add(1, Ordering::SeqCst) + 1;
        self.fault(hook, call)
    }

    fn fault(&self, hook: Hook, attempt: u32) -> Option<Fault> {
        let name = self.name.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = self.generation.load(Ordering::SeqCst);
        self.plan
            .fault(name.as_ref()?.as_str(), hook, generation, attempt)
    }
}

impl<L: Lifecycle> Lifecycle for Faulty<L> {
    const DRAINS: bool = L::DRAINS;

    async fn start(&self, cx: &StartContext) -> Result<(), BoxError> {
        self.begin_generation(cx.component(), cx.generation());
        let fault = self.fault(Hook::Start, cx.attempt());
        strike(fault, cx.token()).await?;
        self.component.start(cx).await?;
        if let Some(Fault::Flap(run)) = fault {
            let stopped = cx.run_token();
            cx.spawn("fault", async move {
                let slept = stopped.run_until_cancelled(tokio::time::sleep(run)).await;
                slept.map_or(Ok(()), |()| Err(injected()))
            });
        }
        Ok(())
    }

    async fn stop(&self, cx: &StopContext) -> Result<(), BoxError> {
        strike(self.fault(Hook::Stop, cx.attempt()), cx.token()).await?;
        self.component.stop(cx).await
    }

    async fn drain(&self, cx: &DrainContext) -> Result<(), BoxError> {
        strike(self.next_fault(Hook::Drain), cx.token()).await?;
        self.component.drain(cx).await
    }

    async fn resume(&self, cx: &DrainContext) -> Result<(), BoxError> {
        strike(self.next_fault(Hook::Resume), cx.token()).await?;
        self.component.resume(cx).await
    }

    async fn check(&self, cx: &CheckContext) -> Result<(), BoxError> {
        strike(self.next_fault(Hook::Check), CancellationToken::new()).await?;
        self.component.check(cx).await
    }

    async fn dispose(&self) -> Result<(), BoxError> {
        self.component.dispose().await?;
        strike(self.next_fault(Hook::Dispose), CancellationToken::new()).await
    }
}

/// Does to a call what `fault` says; `Ok` when the call is to be made.
async fn strike(fault: Option<Fault>, token: CancellationToken) -> Result<(), BoxError> {
    match fault {
        None | Some(Fault::Flap(_)) => Ok(()),
        Some(Fault::Fail) => Err(injected()),
        Some(Fault::FailPermanently) => Err(ComponentError::permanent(injected()).into()),
        Some(Fault::Panic) => panic!("injected by a plan of faults"),
        Some(Fault::HangUntilCancelled) => {
            token.cancelled().await;
            Err(injected())
        }
        Some(Fault::Hang) => future::pending().await,
        Some(Fault::Slow(delay)) => {
            tokio::time::sleep(delay).await;
            Ok(())
        }
    }
}

fn injected() -> BoxError {
    "injected by a plan of faults".into()
}
