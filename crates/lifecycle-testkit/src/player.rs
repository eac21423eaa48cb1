//! [`Player`]: the component behind a script.

use std::future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use lifecycle_core::{
    BoxError, CheckContext, ComponentError, DrainContext, Lifecycle, StartContext, StopContext,
};
use tokio_util::sync::CancellationToken;

use crate::act::{Act, Manner, TaskAct};
use crate::fault::FaultPlan;
use crate::hook::Hook;
use crate::record::{Books, LiveTask, Moment};
use crate::scripted::Script;

/// What all values of one scripted component share.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) books: Arc<Books>,
    pub(crate) scripts: [Script; Hook::ALL.len()],
    pub(crate) faults: Option<FaultPlan>,
}

/// A value of a scripted component.
pub(crate) struct Player<const DRAINS: bool> {
    part: Arc<Part>,
    is_holding: AtomicBool,
    generation: AtomicU32,
    /// How many calls without attempts there were in this generation, by hook.
    calls: [AtomicU32; Hook::ALL.len()],
}

/// One call: which, and what it may look at.
struct Cue<'a> {
    hook: Hook,
    generation: u32,
    attempt: u32,
    token: CancellationToken,
    start: Option<&'a StartContext>,
}

impl<const DRAINS: bool> Player<DRAINS> {
    pub(crate) fn new(part: Arc<Part>) -> Self {
        Self {
            part,
            is_holding: AtomicBool::new(false),
            generation: AtomicU32::new(0),
            calls: Default::default(),
        }
    }

    /// Counts a call that has no attempts.
    fn next_call(&self, hook: Hook) -> u32 {
        self.calls[hook as usize].fetch_add(1, Ordering::SeqCst) + 1
    }

    fn begin_generation(&self, generation: u32) {
        if self.generation.swap(generation, Ordering::SeqCst) != generation {
            self.calls
                .iter()
                .for_each(|it| it.store(0, Ordering::SeqCst));
        }
        if !self.is_holding.swap(true, Ordering::SeqCst) {
            self.part.books.acquire();
        }
    }

    fn release(&self) {
        if self.is_holding.swap(false, Ordering::SeqCst) {
            self.part.books.dispose();
        } else {
            self.part.books.dispose_in_vain();
        }
    }

    async fn drain_or_resume(&self, hook: Hook, cx: &DrainContext) -> Result<(), BoxError> {
        let cue = Cue {
            hook,
            generation: cx.generation(),
            attempt: self.next_call(hook),
            token: cx.token(),
            start: None,
        };
        self.part.perform(cue).await
    }
}

impl<const DRAINS: bool> Lifecycle for Player<DRAINS> {
    const DRAINS: bool = DRAINS;

    async fn start(&self, cx: &StartContext) -> Result<(), BoxError> {
        self.begin_generation(cx.generation());
        let cue = Cue {
            hook: Hook::Start,
            generation: cx.generation(),
            attempt: cx.attempt(),
            token: cx.token(),
            start: Some(cx),
        };
        self.part.perform(cue).await
    }

    async fn stop(&self, cx: &StopContext) -> Result<(), BoxError> {
        let cue = Cue {
            hook: Hook::Stop,
            generation: cx.generation(),
            attempt: cx.attempt(),
            token: cx.token(),
            start: None,
        };
        self.part.perform(cue).await
    }

    async fn drain(&self, cx: &DrainContext) -> Result<(), BoxError> {
        self.drain_or_resume(Hook::Drain, cx).await
    }

    async fn resume(&self, cx: &DrainContext) -> Result<(), BoxError> {
        self.drain_or_resume(Hook::Resume, cx).await
    }

    async fn check(&self, cx: &CheckContext) -> Result<(), BoxError> {
        let cue = Cue {
            hook: Hook::Check,
            generation: cx.generation(),
            attempt: self.next_call(Hook::Check),
            token: CancellationToken::new(),
            start: None,
        };
        self.part.perform(cue).await
    }

    async fn dispose(&self) -> Result<(), BoxError> {
        self.release();
        let cue = Cue {
            hook: Hook::Dispose,
            generation: self.generation.load(Ordering::SeqCst),
            attempt: self.next_call(Hook::Dispose),
            token: CancellationToken::new(),
            start: None,
        };
        self.part.perform(cue).await
    }
}

impl Part {
    async fn perform(&self, cue: Cue<'_>) -> Result<(), BoxError> {
        let mut call = self.books.begin(cue.hook, cue.generation, cue.attempt);
        let act = self.act(&cue);
        let result = self.play(&act, &cue).await;
        call.end(match result {
            Ok(()) => Moment::Succeeded,
            Err(_) => Moment::Failed,
        });
        result
    }

    fn act(&self, cue: &Cue<'_>) -> Act {
        let scripted = self.scripts[cue.hook as usize].next();
        let faults = self.faults.as_ref();
        let fault =
            faults.and_then(|it| it.fault(&self.books.name, cue.hook, cue.generation, cue.attempt));
        fault.map_or(scripted, |it| it.act())
    }

    async fn play(&self, act: &Act, cue: &Cue<'_>) -> Result<(), BoxError> {
        if !act.delay.is_zero() {
            tokio::time::sleep(act.delay).await;
        }
        if let Some(start) = cue.start {
            act.tasks.iter().for_each(|it| self.leave(*it, start));
        }
        let (name, hook) = (&self.books.name, cue.hook);
        match act.manner {
            Manner::Succeed => Ok(()),
            Manner::Fail => Err(format!("{hook} of {name} failed").into()),
            Manner::FailPermanently => {
                let message = format!("{hook} of {name} failed for good");
                Err(ComponentError::permanent(message).into())
            }
            Manner::Panic => panic!("{hook} of {name} panicked"),
            Manner::FailWhenCancelled => {
                cue.token.cancelled().await;
                Err(format!("{hook} of {name} was cancelled").into())
            }
            Manner::SucceedWhenCancelled => {
                cue.token.cancelled().await;
                Ok(())
            }
            Manner::Hang => future::pending().await,
            Manner::Block => {
                self.books.block();
                Ok(())
            }
        }
    }

    /// Leaves a task in the scope of the generation.
    fn leave(&self, task: TaskAct, start: &StartContext) {
        let stopped = start.run_token();
        let live = self.books.task();
        start.spawn("scripted", run(task, stopped, live));
    }
}

async fn run(task: TaskAct, stopped: CancellationToken, _live: LiveTask) -> Result<(), BoxError> {
    let unless_stopped = |delay: Duration| {
        let stopped = stopped.clone();
        async move {
            let slept = stopped.run_until_cancelled_owned(tokio::time::sleep(delay));
            slept.await.is_some()
        }
    };
    match task {
        TaskAct::UntilStopped => stopped.cancelled().await,
        TaskAct::Linger(length) => {
            stopped.cancelled().await;
            tokio::time::sleep(length).await;
        }
        TaskAct::Ignore => future::pending().await,
        TaskAct::FailAfter(delay) => {
            if unless_stopped(delay).await {
                return Err("a task failed".into());
            }
        }
        TaskAct::PanicAfter(delay) => {
            assert!(!unless_stopped(delay).await, "a task panicked");
        }
        TaskAct::AbortedAfter(delay) => {
            if unless_stopped(delay).await {
                let inner = tokio::spawn(future::pending::<()>());
                inner.abort();
                inner.await?;
            }
        }
    }
    Ok(())
}
