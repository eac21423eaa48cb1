//! Scripted components, and the journal that they keep.

use std::collections::VecDeque;
use std::future;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifecycle_core::engine::{self, ComponentState};
use lifecycle_core::{BoxError, Lifecycle, Registration, StartContext, StopContext};
use lifecycle_runtime::{Handle, Orchestrator, OrchestratorBuilder, StartError, Status};

/// What happened, in order, and what is held.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    lines: Arc<Mutex<Vec<String>>>,
    /// Starts entered minus disposes ended.
    held: Arc<AtomicI64>,
    /// Futures and tasks that are alive.
    alive: Arc<AtomicI64>,
}

impl Journal {
    pub(crate) fn note(&self, line: impl Into<String>) {
        self.lines.lock().unwrap().push(line.into());
    }

    /// All lines so far, joined by `, `; the journal is empty afterwards.
    pub(crate) fn take(&self) -> String {
        std::mem::take(&mut *self.lines.lock().unwrap()).join(", ")
    }

    /// Where `line` stands.
    #[track_caller]
    pub(crate) fn position(&self, line: &str) -> usize {
        let lines = self.lines.lock().unwrap();
        let found = lines.iter().position(|it| it == line);
        found.unwrap_or_else(|| panic!("no {line:?} in {lines:?}"))
    }

    pub(crate) fn count(&self, line: &str) -> usize {
        self.lines
            .lock()
            .unwrap()
            .iter()
            .filter(|it| *it == line)
            .count()
    }

    /// Something that counts as alive until it is dropped.
    pub(crate) fn life(&self) -> Life {
        self.alive.fetch_add(1, Ordering::SeqCst);
        Life(Arc::clone(&self.alive))
    }

    pub(crate) fn alive(&self) -> i64 {
        self.alive.load(Ordering::SeqCst)
    }

    /// Nothing is held and nothing is alive.
    #[track_caller]
    pub(crate) fn assert_no_leak(&self) {
        assert_eq!(
            self.held.load(Ordering::SeqCst),
            0,
            "acquired but not disposed"
        );
        assert_eq!(self.alive(), 0, "futures or tasks are alive");
    }
}

pub(crate) struct Life(Arc<AtomicI64>);

impl Drop for Life {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What a call does.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Succeed,
    Fail,
    Panic,
    /// Succeeds after a while, whatever the tokens say.
    Take(Duration),
    /// Never ends by itself.
    Hang,
    /// Fails as soon as the call's token is cancelled.
    Heed,
}

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A component that does what it is told, call by call; the last act is repeated.
#[derive(Debug)]
pub(crate) struct Scripted {
    name: &'static str,
    journal: Journal,
    starts: Mutex<VecDeque<Act>>,
    stops: Mutex<VecDeque<Act>>,
    dispose: Act,
}

impl Scripted {
    pub(crate) fn new(name: &'static str, journal: &Journal) -> Self {
        Self {
            name,
            journal: journal.clone(),
            starts: Mutex::new([Act::Succeed].into()),
            stops: Mutex::new([Act::Succeed].into()),
            dispose: Act::Succeed,
        }
    }

    pub(crate) fn starts(self, acts: impl IntoIterator<Item = Act>) -> Self {
        *self.starts.lock().unwrap() = acts.into_iter().collect();
        self
    }

    pub(crate) fn stops(self, acts: impl IntoIterator<Item = Act>) -> Self {
        *self.stops.lock().unwrap() = acts.into_iter().collect();
        self
    }

    pub(crate) fn disposes(mut self, act: Act) -> Self {
        self.dispose = act;
        self
    }

    fn note(&self, what: &str) {
        self.journal.note(format!("{what} {}", self.name));
    }

    fn next(acts: &Mutex<VecDeque<Act>>) -> Act {
        let mut acts = acts.lock().unwrap();
        if acts.len() > 1 {
            return acts.pop_front().unwrap();
        }
        acts[0].clone()
    }
}

/// Notes when a call's future is dropped before it has ended.
struct Ending<'a> {
    scripted: &'a Scripted,
    call: &'static str,
    ended: bool,
    _life: Life,
}

impl<'a> Ending<'a> {
    fn of(scripted: &'a Scripted, call: &'static str) -> Self {
        Self {
            scripted,
            call,
            ended: false,
            _life: scripted.journal.life(),
        }
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if !self.ended && !std::thread::panicking() {
            self.scripted.note(&format!("dropped {} of", self.call));
        }
    }
}

async fn perform(
    act: Act,
    cancelled: impl Future<Output = ()>,
    mut ending: Ending<'_>,
) -> Result<(), BoxError> {
    let result = match act {
        Act::Succeed => Ok(()),
        Act::Fail => Err(format!("{} failed", ending.call).into()),
        Act::Panic => panic!("{} panicked", ending.call),
        Act::Take(length) => {
            tokio::time::sleep(length).await;
            Ok(())
        }
        Act::Hang => future::pending().await,
        Act::Heed => {
            cancelled.await;
            Err("cancelled".into())
        }
    };
    ending.ended = true;
    result
}

impl Lifecycle for Scripted {
    async fn start(&self, cx: &StartContext) -> Result<(), BoxError> {
        self.note("start");
        if cx.attempt() == 1 {
            self.journal.held.fetch_add(1, Ordering::SeqCst);
        }
        perform(
            Self::next(&self.starts),
            cx.cancelled(),
            Ending::of(self, "start"),
        )
        .await?;
        self.note("started");
        Ok(())
    }

    async fn stop(&self, cx: &StopContext) -> Result<(), BoxError> {
        self.note("stop");
        perform(
            Self::next(&self.stops),
            cx.forced(),
            Ending::of(self, "stop"),
        )
        .await?;
        self.note("stopped");
        Ok(())
    }

    async fn dispose(&self) -> Result<(), BoxError> {
        self.journal.held.fetch_sub(1, Ordering::SeqCst);
        perform(
            self.dispose.clone(),
            future::pending(),
            Ending::of(self, "dispose"),
        )
        .await?;
        self.note("disposed");
        Ok(())
    }
}

/// A registration of a scripted component.
pub(crate) fn scripted(component: Scripted) -> Registration {
    Registration::new(component.name, component)
}

/// A registration of a component that only succeeds.
pub(crate) fn plain(name: &'static str, journal: &Journal) -> Registration {
    scripted(Scripted::new(name, journal))
}

/// A running driver of `registrations`.
#[track_caller]
pub(crate) fn run(registrations: impl IntoIterator<Item = Registration>) -> Handle {
    run_with(registrations, |_| {})
}

#[track_caller]
pub(crate) fn run_with(
    registrations: impl IntoIterator<Item = Registration>,
    set: impl FnOnce(&mut OrchestratorBuilder),
) -> Handle {
    let mut builder = Orchestrator::builder();
    builder.registrations(registrations);
    set(&mut builder);
    builder
        .build()
        .expect("the registrations are sound")
        .spawn()
}

pub(crate) fn status(handle: &Handle) -> Status {
    handle.status().get()
}

/// Waits until `name` is in `state`.
pub(crate) async fn reach(handle: &Handle, name: &str, state: ComponentState) {
    let id = handle.plan().unwrap().find(name).unwrap();
    let mut watch = handle.status();
    loop {
        let _ = watch.get();
        let snapshot = handle.snapshot().await.unwrap();
        if snapshot.component(id).state == state {
            return;
        }
        watch.changed().await.unwrap();
    }
}

/// The engine's part of a failed start.
#[track_caller]
pub(crate) fn refusal<T: std::fmt::Debug>(
    result: Result<T, StartError>,
) -> Arc<engine::StartError> {
    match result {
        Err(StartError::Failed(error)) => error,
        other => panic!("not refused: {other:?}"),
    }
}

/// Numbers from 0 up, for components that count their values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counter(Arc<AtomicU64>);

impl Counter {
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// A component with a loop that fails when it is told to; `Notify::notify_one` breaks it.
pub(crate) fn frail(
    name: &'static str,
    journal: &Journal,
    breaker: &Arc<tokio::sync::Notify>,
) -> Registration {
    let (starts, stops) = (journal.clone(), journal.clone());
    let breaker = Arc::clone(breaker);
    let component = lifecycle_core::component::from_fn(
        move |cx: StartContext| {
            starts.note(format!("start {name}"));
            let (breaker, life) = (Arc::clone(&breaker), starts.life());
            let stopped = cx.run_token();
            cx.spawn("loop", async move {
                let _life = life;
                let broken = stopped.run_until_cancelled(breaker.notified()).await;
                broken.map_or(Ok(()), |()| Err("the link is gone"))
            });
            future::ready(Ok(()))
        },
        move |_: StopContext| {
            stops.note(format!("stop {name}"));
            future::ready(Ok(()))
        },
    );
    Registration::new(name, component)
}

/// A restart after a fixed delay.
pub(crate) fn again_after(millis: u64) -> lifecycle_core::Restart {
    lifecycle_core::Restart::on_failure()
        .with_backoff(lifecycle_core::Backoff::Fixed(
            lifecycle_core::Nanos::from_millis(millis),
        ))
        .with_jitter(lifecycle_core::Jitter::None)
}
