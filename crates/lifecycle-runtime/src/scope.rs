//! [`AttemptScope`]: what owns the tasks, the tokens and the fresh value of one start attempt, and of the generation that
//! it becomes.
//!
//! A component that asks for nothing costs the one allocation of the scope itself: tokens are made when first asked for,
//! and the table of tasks when the first is spawned.
//!
//! Invariants:
//!
//! 1. A task counts as alive until its future has been dropped.
//! 2. Each [`close`](AttemptScope::close) is answered with one [`Input::ScopeClosed`]: at once when no task is alive,
//!    otherwise by the last task. [`abort`](AttemptScope::abort) adds no answer to that.
//! 3. Nothing of the user's runs or is dropped while the lock is held.

use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use lifecycle_core::engine::{AttemptKey, Call, CallOutcome, Input};
use lifecycle_core::{
    BoxError, CheckContext, ComponentName, ErasedLifecycle, Failure, FailureKind, Nanos, Report,
    Scope, ScopeTask, TaskRole, Time,
};
use tokio::runtime;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::blocked::{self, Described, Mark, What, Who};
use crate::executor::Executor;
use crate::isolated::Isolated;
use crate::user_future::{UserFuture, Work, drop_in_tasks, drop_quietly};

/// The tasks, tokens and value of one attempt.
pub(crate) struct AttemptScope {
    /// Itself, for the tasks that it spawns through a plain reference.
    this: Weak<Self>,
    executor: Arc<Executor>,
    name: ComponentName,
    key: AttemptKey,
    /// The thread of the component, if it has one of its own.
    isolated: Option<Arc<Isolated>>,
    /// Where those who watch for blocked threads find it.
    place: blocked::Place,
    /// When the present call is given up on, in nanoseconds since the clock's origin; `u64::MAX` without a call.
    deadline: AtomicU64,
    state: Mutex<State>,
}

/// Whose scope it is.
pub(crate) struct Subject {
    pub(crate) name: ComponentName,
    pub(crate) key: AttemptKey,
    /// Whether it has a thread of its own.
    pub(crate) is_isolated: bool,
}

#[derive(Default)]
struct State {
    /// Of a factory only; a shared value is the driver's.
    value: Option<Arc<dyn ErasedLifecycle>>,
    start: LazyToken,
    run: LazyToken,
    force: LazyToken,
    tasks: TaskTable,
    /// What the component last said that it was doing.
    progress: Option<Arc<str>>,
    phase: Phase,
    /// Whether a task that is still on its way in must be dropped too.
    aborted: bool,
    /// What the component has said and the driver has not heard; made when it first says something.
    said: Option<Box<Said>>,
    /// The task of the last health check.
    check: Option<TaskId>,
}

/// The last report of each kind. A component may report in a tight loop; the driver is told once until it has listened.
#[derive(Default)]
struct Said {
    progress: Option<Arc<str>>,
    in_flight: Option<u64>,
    degraded: Option<Option<Arc<str>>>,
    told: bool,
}

/// What the end of a task is told as.
#[derive(Clone, Copy)]
enum Ending {
    Task(TaskRole),
    /// A health check, by its number.
    Check(u32),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Open,
    /// No new tasks; somebody waits for the last one.
    Closing,
    /// No task is alive, and that was told.
    Closed,
}

/// Whether the last task of a closed scope is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Emptiness {
    /// Nothing is alive, and nobody knows yet: the caller must say so.
    Empty,
    /// The last task will say so, or it was said already.
    Told,
}

impl AttemptScope {
    /// The scope of one attempt; `before` is that of the attempt before it, whose thread is used on if the component has
    /// one of its own.
    pub(crate) fn new(
        executor: Arc<Executor>,
        subject: Subject,
        before: Option<&Arc<Self>>,
    ) -> Arc<Self> {
        let Subject {
            name,
            key,
            is_isolated,
        } = subject;
        let before = before.filter(|it| it.key.generation == key.generation);
        let isolated = is_isolated
            .then(|| executor.isolated(&name, before.and_then(|it| it.isolated.as_ref())));
        Arc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            place: executor.place_of(key.component, || Who::Scope(Weak::clone(this))),
            executor,
            name,
            key,
            isolated,
            deadline: AtomicU64::new(u64::MAX),
            state: Mutex::default(),
        })
    }

    /// Where calls and tasks of this scope run.
    pub(crate) fn runtime(&self) -> &runtime::Handle {
        self.own_runtime().unwrap_or(&self.executor.runtime)
    }

    /// That of an isolated component.
    pub(crate) fn own_runtime(&self) -> Option<&runtime::Handle> {
        self.isolated.as_ref().and_then(|it| it.runtime())
    }

    /// Why the component has no thread of its own although it wants one.
    pub(crate) fn refusal(&self) -> Option<BoxError> {
        self.isolated.as_ref()?.refusal()
    }

    /// Says that this thread runs `what`, until the mark is dropped.
    pub(crate) fn mark(&self, what: What) -> Mark {
        match &self.executor.watch {
            Some(watch) => watch.mark(self.place, what),
            None => Mark::NONE,
        }
    }

    /// What is known of the task at the given index, or of the call of the given name.
    pub(crate) fn describe(
        this: &Weak<Self>,
        what: Result<u32, &'static str>,
    ) -> Option<Described> {
        let scope = this.upgrade()?;
        let described = scope.described(what);
        let executor = Arc::clone(&scope.executor);
        // Whoever looks must not be the one on whose thread a value ends.
        drop_in_tasks(&executor.runtime, Arc::into_inner(scope));
        described
    }

    fn described(&self, what: Result<u32, &'static str>) -> Option<Described> {
        let state = self.state();
        let what = match what {
            Ok(task) => state.tasks.name(task)?,
            Err(call) => call.into(),
        };
        Some(Described {
            component: self.component().clone(),
            generation: Some(self.key.generation),
            what,
            progress: state.progress.clone(),
            isolated: self.isolated.is_some(),
        })
    }

    pub(crate) fn executor(&self) -> &Executor {
        &self.executor
    }

    /// A span of one call of this generation.
    pub(crate) fn call_span(&self, call: Call, key: AttemptKey) -> Span {
        self.executor.call_span(call, &self.name, key)
    }

    /// Takes what the component has said since this was last asked.
    pub(crate) fn take_reports(&self) -> impl Iterator<Item = Report> + use<> {
        let said = self.state().said.as_deref_mut().map(std::mem::take);
        let said = said.unwrap_or_default();
        let progress = said.progress.map(Report::Progress);
        let in_flight = said.in_flight.map(Report::InFlight);
        let degraded = said.degraded.map(Report::Degraded);
        progress.into_iter().chain(in_flight).chain(degraded)
    }

    /// Asks `value` for its health, in a task that counts as any other.
    pub(crate) fn check(self: &Arc<Self>, check: u32, value: Arc<dyn ErasedLifecycle>) {
        let cx = CheckContext::new(Arc::clone(self) as _);
        let admitted = self.admit("check".into());
        let Some(id) = admitted else {
            return self.tell_check(check, Err(Arc::new(Failure::lost())));
        };
        self.state().check = Some(id);
        self.run(id, Ending::Check(check), "check", Work::Check(value, cx));
    }

    /// Drops the health check that was begun last.
    pub(crate) fn abort_check(&self) {
        let mut state = self.state();
        let check = state.check.take();
        let handle = check.and_then(|id| state.tasks.abort_handle(id));
        drop(state);
        if let Some(handle) = handle {
            handle.abort();
        }
    }

    fn tell_check(&self, check: u32, outcome: CallOutcome) {
        self.executor.tell(Input::Checked {
            key: self.key,
            check,
            outcome,
        });
    }

    /// Runs `work` as the task `id`.
    fn run(self: &Arc<Self>, id: TaskId, ending: Ending, name: &str, work: Work) {
        let span = self.executor.task_span(name, &self.name, self.key);
        let supervised = Supervised {
            future: UserFuture::new(work, span),
            guard: TaskGuard {
                scope: Arc::clone(self),
                id,
                ending,
                outcome: None,
            },
        };
        // Without the lock: on a runtime that shuts down, the task ends here and now.
        let spawned = self.runtime().spawn(supervised);
        self.hold(id, spawned.abort_handle());
    }

    /// Sets when the present call will be given up on.
    pub(crate) fn set_deadline(&self, deadline: Time) {
        let nanos = deadline.since_origin().as_nanos();
        self.deadline.store(nanos, Ordering::Relaxed);
    }

    /// Keeps a factory's value for stop and dispose.
    pub(crate) fn keep_value(&self, value: Arc<dyn ErasedLifecycle>) {
        self.state().value = Some(value);
    }

    /// The factory's value, if this attempt has one.
    pub(crate) fn value(&self) -> Option<Arc<dyn ErasedLifecycle>> {
        self.state().value.clone()
    }

    /// Gives the factory's value away, so that whoever disposes it also drops it.
    pub(crate) fn take_value(&self) -> Option<Arc<dyn ErasedLifecycle>> {
        self.state().value.take()
    }

    /// Cancels the start token.
    pub(crate) fn cancel_start(&self) {
        self.cancel(|state| &mut state.start);
    }

    /// Lets go of the start token: the start is over, and nobody cancels it any more.
    pub(crate) fn end_start(&self) {
        self.state().start.let_go();
    }

    /// Cancels the run token; what ends from now on was asked to.
    pub(crate) fn cancel_run(&self) {
        self.cancel(|state| &mut state.run);
    }

    /// Cancels the force token.
    pub(crate) fn cancel_force(&self) {
        self.cancel(|state| &mut state.force);
    }

    fn cancel(&self, which: impl FnOnce(&mut State) -> &mut LazyToken) {
        let asked = which(&mut self.state()).cancel();
        // Outside the lock: whom this wakes may look at the scope at once.
        if let Some(token) = asked {
            token.cancel();
        }
    }

    /// Cancels the run token and refuses new tasks.
    pub(crate) fn close(&self) -> Emptiness {
        self.cancel_run();
        self.state().close()
    }

    /// Closes the scope and drops its tasks; each is dropped by the runtime that runs it.
    pub(crate) fn abort(&self) -> Emptiness {
        self.cancel_run();
        let mut state = self.state();
        state.aborted = true;
        let emptiness = match state.phase {
            Phase::Open => state.close(),
            Phase::Closing | Phase::Closed => Emptiness::Told,
        };
        let handles = state.tasks.abort_handles();
        drop(state);
        handles.iter().for_each(AbortHandle::abort);
        emptiness
    }

    pub(crate) fn live_tasks(&self) -> u32 {
        self.state().tasks.live
    }

    /// The names of the tasks that are alive although they were aborted: they hold a thread. What is asked about an
    /// isolated component is asked because its thread is held, and then none of its tasks can be dropped.
    pub(crate) fn survivors(&self) -> Vec<Cow<'static, str>> {
        let state = self.state();
        if !state.aborted && self.isolated.is_none() {
            return Vec::new();
        }
        state.tasks.names()
    }

    /// Counts a task in, unless it comes too late.
    fn admit(&self, name: Cow<'static, str>) -> Option<TaskId> {
        let mut state = self.state();
        (state.phase == Phase::Open).then(|| state.tasks.insert(name))
    }

    /// Notes how to abort the task `id`, and does so if it was asked for in the meantime.
    fn hold(&self, id: TaskId, handle: AbortHandle) {
        let mut state = self.state();
        let aborted = state.aborted;
        if !aborted {
            state.tasks.hold(id, handle);
            return;
        }
        drop(state);
        handle.abort();
    }

    /// Takes in the end of the task `id`, whose future is gone. Keeps invariant 1.
    fn task_ended(&self, id: TaskId, ending: Ending, outcome: CallOutcome) {
        let mut state = self.state();
        // Kept beyond the lock: the last handle of a task frees it.
        let removed = state.tasks.remove(id);
        let unasked = state.phase == Phase::Open && !state.run.is_cancelled();
        let emptiness = state.close_if_empty();
        drop(state);

        let key = self.key;
        match ending {
            Ending::Check(check) => self.tell_check(check, outcome),
            // The engine does not want to know any more, so nobody else would tell.
            Ending::Task(_) if !unasked => self.log_late(removed.as_ref(), &outcome),
            Ending::Task(role) if outcome.is_err() || role == TaskRole::Service => {
                self.executor.tell(Input::TaskEnded { key, outcome });
            }
            Ending::Task(_) => {}
        }
        if emptiness == Emptiness::Empty {
            self.executor.tell(Input::ScopeClosed { key });
        }
    }

    /// Logs the failure of a task that was asked to end. One that was dropped is no news: the abort was told.
    fn log_late(&self, task: Option<&LiveTask>, outcome: &CallOutcome) {
        let Err(failure) = outcome else { return };
        if failure.kind == FailureKind::Lost {
            return;
        }
        tracing::warn!(
            target: "lifecycle",
            event = "component.task_failed_late",
            component = self.component().as_str(),
            generation = self.key.generation,
            task = task.map(|it| &*it.name),
            error = %failure,
            "{} task failed late",
            self.component(),
        );
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn close(&mut self) -> Emptiness {
        match self.phase {
            Phase::Open => {
                self.phase = Phase::Closing;
                self.close_if_empty()
            }
            Phase::Closing => Emptiness::Told,
            // Asked again, as for a stop that is repeated: told again.
            Phase::Closed => Emptiness::Empty,
        }
    }

    /// Keeps invariant 2.
    fn close_if_empty(&mut self) -> Emptiness {
        if self.phase != Phase::Closing || self.tasks.live > 0 {
            return Emptiness::Told;
        }
        self.phase = Phase::Closed;
        Emptiness::Empty
    }
}

impl Scope for AttemptScope {
    fn component(&self) -> &ComponentName {
        &self.name
    }

    fn key(&self) -> AttemptKey {
        self.key
    }

    fn start_token(&self) -> CancellationToken {
        self.state().start.token()
    }

    fn run_token(&self) -> CancellationToken {
        self.state().run.token()
    }

    fn force_token(&self) -> CancellationToken {
        self.state().force.token()
    }

    fn remaining(&self) -> Option<Duration> {
        let deadline = self.deadline.load(Ordering::Relaxed);
        if deadline == u64::MAX {
            return None;
        }
        let deadline = Time::new(Nanos::new(deadline));
        Some(deadline.since(self.executor.clock.now()).into())
    }

    fn spawn(&self, task: ScopeTask) {
        let Some(scope) = self.this.upgrade() else {
            return;
        };
        if let Some(id) = self.admit(task.name.clone()) {
            let work = Work::Future(task.future);
            scope.run(id, Ending::Task(task.role), &task.name, work);
        }
    }

    fn report(&self, report: Report) {
        let mut state = self.state();
        if let Report::Progress(label) = &report {
            state.progress = Some(Arc::clone(label));
        }
        let said = state.said.get_or_insert_default();
        match report.clone() {
            Report::Progress(label) => said.progress = Some(label),
            Report::InFlight(count) => said.in_flight = Some(count),
            Report::Degraded(reason) => said.degraded = Some(reason),
        }
        let told = std::mem::replace(&mut said.told, true);
        drop(state);
        if !told {
            let key = self.key;
            self.executor.tell(Input::Reported { key, report });
        }
    }
}

impl Drop for AttemptScope {
    /// A value that was never disposed ends with the last task that knows the scope, and ends quietly.
    fn drop(&mut self) {
        if let Some(watch) = &self.executor.watch {
            watch.directory().leave(self.place);
        }
        let state = self.state.get_mut();
        drop_quietly(state.unwrap_or_else(PoisonError::into_inner).value.take());
    }
}

impl fmt::Debug for AttemptScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttemptScope")
            .field("component", self.component())
            .field("key", &self.key)
            .field("live", &self.state().tasks.live)
            .finish_non_exhaustive()
    }
}

/// A task of a scope as tokio runs it. The order of the fields is the order of their drops: invariant 1.
struct Supervised {
    future: UserFuture,
    guard: TaskGuard,
}

impl Future for Supervised {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mark = self.guard.mark();
        let polled = self.future.poll(cx);
        drop(mark);
        polled.map(|outcome| self.guard.outcome = Some(outcome))
    }
}

impl Drop for Supervised {
    /// A future that is dropped before it has ended may hold the thread too.
    fn drop(&mut self) {
        if !self.future.is_gone() {
            let _mark = self.guard.mark();
            self.future.let_go();
        }
    }
}

/// Tells the scope that its task is gone, however it went.
struct TaskGuard {
    scope: Arc<AttemptScope>,
    id: TaskId,
    ending: Ending,
    outcome: Option<CallOutcome>,
}

impl TaskGuard {
    fn mark(&self) -> Mark {
        self.scope.mark(What::task(self.id.index))
    }
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        let lost = || Err(Arc::new(Failure::lost()));
        let outcome = self.outcome.take().unwrap_or_else(lost);
        self.scope.task_ended(self.id, self.ending, outcome);
    }
}

/// A token that exists once somebody has asked for it.
#[derive(Default)]
enum LazyToken {
    #[default]
    Unasked,
    /// Cancelled before anybody asked.
    Cancelled,
    Asked(CancellationToken),
}

impl LazyToken {
    fn token(&mut self) -> CancellationToken {
        if let Self::Asked(token) = self {
            return token.clone();
        }
        let token = CancellationToken::new();
        if self.is_cancelled() {
            // Nobody can wait for it yet, so that this wakes nobody.
            token.cancel();
        }
        *self = Self::Asked(token.clone());
        token
    }

    /// Notes the cancellation; returns the token that the caller must cancel, if there is one.
    fn cancel(&mut self) -> Option<CancellationToken> {
        match self {
            Self::Unasked => *self = Self::Cancelled,
            Self::Cancelled => {}
            Self::Asked(token) => return Some(token.clone()),
        }
        None
    }

    /// Whoever asks from now on has a token of his own, in the same state.
    fn let_go(&mut self) {
        *self = if self.is_cancelled() {
            Self::Cancelled
        } else {
            Self::Unasked
        };
    }

    fn is_cancelled(&self) -> bool {
        match self {
            Self::Unasked => false,
            Self::Cancelled => true,
            Self::Asked(token) => token.is_cancelled(),
        }
    }
}

/// Which task; the place of one that has ended is used again under another serial.
#[derive(Clone, Copy)]
struct TaskId {
    index: u32,
    serial: u32,
}

/// The tasks that are alive. All operations but the listings take O(1).
#[derive(Default)]
struct TaskTable {
    places: Vec<Place>,
    /// The first free place; each names the next.
    free: Option<u32>,
    next_serial: u32,
    live: u32,
}

enum Place {
    Free(Option<u32>),
    Taken(LiveTask),
}

struct LiveTask {
    serial: u32,
    name: Cow<'static, str>,
    /// `None` until the task is spawned.
    abort: Option<AbortHandle>,
}

impl TaskTable {
    fn insert(&mut self, name: Cow<'static, str>) -> TaskId {
        let serial = self.next_serial;
        self.next_serial = serial.wrapping_add(1);
        self.live += 1;
        let task = Place::Taken(LiveTask {
            serial,
            name,
            abort: None,
        });
        let index = self.take_place();
        match self.places.get_mut(index as usize) {
            Some(place) => *place = task,
            None => self.append(task),
        }
        TaskId { index, serial }
    }

    /// Most scopes have one task for as long as they last, and a vector that grows by itself begins with room for four.
    fn append(&mut self, task: Place) {
        if self.places.is_empty() {
            self.places.reserve_exact(1);
        }
        self.places.push(task);
    }

    /// The index of a free place, which may be the one behind the last.
    fn take_place(&mut self) -> u32 {
        let Some(index) = self.free else {
            return u32::try_from(self.places.len())
                .expect("memory ends before tasks are counted out");
        };
        if let Place::Free(next) = self.places[index as usize] {
            self.free = next;
        }
        index
    }

    fn hold(&mut self, id: TaskId, handle: AbortHandle) {
        let place = self.places.get_mut(id.index as usize);
        if let Some(Place::Taken(task)) = place
            && task.serial == id.serial
        {
            task.abort = Some(handle);
        }
    }

    fn remove(&mut self, id: TaskId) -> Option<LiveTask> {
        let freed = Place::Free(self.free);
        let place = std::mem::replace(self.places.get_mut(id.index as usize)?, freed);
        self.free = Some(id.index);
        self.live -= 1;
        match place {
            Place::Taken(task) => Some(task),
            Place::Free(_) => None,
        }
    }

    /// How to abort the task `id`, if it is alive.
    fn abort_handle(&self, id: TaskId) -> Option<AbortHandle> {
        match self.places.get(id.index as usize)? {
            Place::Taken(task) if task.serial == id.serial => task.abort.clone(),
            Place::Taken(_) | Place::Free(_) => None,
        }
    }

    fn name(&self, index: u32) -> Option<Cow<'static, str>> {
        match self.places.get(index as usize)? {
            Place::Taken(task) => Some(task.name.clone()),
            Place::Free(_) => None,
        }
    }

    fn names(&self) -> Vec<Cow<'static, str>> {
        self.iter().map(|it| it.name.clone()).collect()
    }

    fn abort_handles(&self) -> Vec<AbortHandle> {
        self.iter().filter_map(|it| it.abort.clone()).collect()
    }

    fn iter(&self) -> impl Iterator<Item = &LiveTask> {
        self.places.iter().filter_map(|it| match it {
            Place::Taken(task) => Some(task),
            Place::Free(_) => None,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::future;

    use lifecycle_core::{BoxFuture, Defaults, Plan, Registration, component};
    use tokio::runtime;
    use tokio::sync::mpsc;

    use super::*;
    use crate::clock::Clock;
    use crate::handle::Link;

    pub(crate) struct Bench {
        pub(crate) scope: Arc<AttemptScope>,
        pub(crate) told: mpsc::UnboundedReceiver<Input>,
    }

    impl Bench {
        fn new() -> Self {
            Self::on(runtime::Handle::current())
        }

        pub(crate) fn on(runtime: runtime::Handle) -> Self {
            let idle = component::from_fn(async |_| Ok(()), async |_| Ok(()));
            let registrations = vec![Registration::new("a", idle)];
            let plan = Plan::compile(registrations, Defaults::default())
                .unwrap()
                .plan;
            let key = AttemptKey {
                component: plan.find("a").unwrap(),
                generation: 1,
                attempt: 1,
            };
            let (sender, told) = mpsc::unbounded_channel();
            let link = Link::new(Clock::starting_now());
            let executor = Executor::new(&link, runtime, sender);
            let subject = Subject {
                name: plan.name(key.component).clone(),
                key,
                is_isolated: false,
            };
            Self {
                scope: AttemptScope::new(Arc::new(executor), subject, None),
                told,
            }
        }

        fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
            let future: BoxFuture<'static, _> = Box::pin(async move {
                future.await;
                Ok(())
            });
            self.scope.spawn(ScopeTask {
                name: "task".into(),
                role: TaskRole::Task,
                future,
            });
        }

        async fn quiet(&mut self) -> Vec<Input> {
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
            std::iter::from_fn(|| self.told.try_recv().ok()).collect()
        }
    }

    #[tokio::test]
    async fn an_empty_scope_is_closed_at_once_and_says_so_once() {
        let mut bench = Bench::new();
        assert_eq!(bench.scope.close(), Emptiness::Empty);
        assert_eq!(bench.scope.abort(), Emptiness::Told);
        assert!(bench.quiet().await.is_empty());
    }

    #[tokio::test]
    async fn the_last_task_tells_that_the_scope_is_closed() {
        let mut bench = Bench::new();
        let token = bench.scope.run_token();
        bench.spawn(async move { token.cancelled().await });
        bench.spawn(future::ready(()));
        assert!(bench.quiet().await.is_empty());
        assert_eq!(bench.scope.close(), Emptiness::Told);
        assert!(matches!(
            bench.quiet().await[..],
            [Input::ScopeClosed { .. }]
        ));
        // Closed again, as before a stop that is repeated.
        assert_eq!(bench.scope.close(), Emptiness::Empty);
    }

    #[tokio::test]
    async fn an_abort_that_closes_is_answered_once_when_the_futures_are_gone() {
        let mut bench = Bench::new();
        let witness = Arc::new(());
        let held = Arc::clone(&witness);
        bench.spawn(async move {
            future::pending::<()>().await;
            drop(held);
        });
        assert_eq!(bench.scope.abort(), Emptiness::Told);
        assert_eq!(bench.scope.survivors().len(), 1);
        assert!(matches!(
            bench.quiet().await[..],
            [Input::ScopeClosed { .. }]
        ));
        assert_eq!(Arc::strong_count(&witness), 1);
        assert!(bench.scope.survivors().is_empty());
    }

    #[tokio::test]
    async fn a_place_in_the_table_is_used_again_under_another_serial() {
        let bench = Bench::new();
        let mut table = TaskTable::default();
        let first = table.insert("first".into());
        table.remove(first);
        let second = table.insert("second".into());
        assert_eq!((first.index, table.live), (second.index, 1));
        let task = bench
            .scope
            .executor()
            .runtime
            .spawn(future::pending::<()>());
        table.hold(first, task.abort_handle());
        assert!(table.abort_handles().is_empty(), "that task has ended");
        task.abort();
    }

    #[tokio::test]
    async fn when_a_start_is_over_its_token_is_let_go_and_keeps_its_state() {
        let bench = Bench::new();
        let held = bench.scope.start_token();
        bench.scope.end_start();
        bench.scope.cancel_start();
        assert!(!held.is_cancelled(), "nobody was to be told any more");

        bench.scope.end_start();
        assert!(bench.scope.start_token().is_cancelled());
    }

    #[tokio::test]
    async fn a_token_asked_for_after_its_cancellation_is_cancelled() {
        let bench = Bench::new();
        bench.scope.cancel_run();
        assert!(bench.scope.run_token().is_cancelled());
        assert!(!bench.scope.start_token().is_cancelled());
        let token = bench.scope.start_token();
        bench.scope.cancel_start();
        assert!(token.is_cancelled());
        assert!(!bench.scope.force_token().is_cancelled());
    }

    #[test]
    fn a_scope_is_small() {
        assert!(
            size_of::<AttemptScope>() <= 224,
            "{}",
            size_of::<AttemptScope>()
        );
    }
}
