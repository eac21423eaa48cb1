//! What a component sees of its orchestrator while it is called.
//!
//! There are three tokens, never the same one (semantics 17): the *start token*, bounded to one start attempt; the *run
//! token*, alive until this generation's stop begins; the *force token* of a stop, cancelled only by a forced stop. A drain
//! has one of its own.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::engine::AttemptKey;
use crate::failure::BoxError;
use crate::lifecycle::BoxFuture;
use crate::name::ComponentName;

/// What owns the tasks of one generation (of one attempt, until that attempt has succeeded). The executor implements it.
///
/// An implementation must keep: a task handed to [`spawn`](Self::spawn) is polled until it ends, or dropped when the
/// scope is aborted; once the scope is closed no task of it is alive, and a task handed in later is dropped unpolled.
pub trait Scope: fmt::Debug + Send + Sync {
    /// The component whose scope this is.
    fn component(&self) -> &ComponentName;
    /// Which generation and attempt it belongs to.
    fn key(&self) -> AttemptKey;
    /// The token that is cancelled when the start attempt shall end.
    fn start_token(&self) -> CancellationToken;
    /// The token that is cancelled when the generation shall end.
    fn run_token(&self) -> CancellationToken;
    /// The token that is cancelled when a stop is forced.
    fn force_token(&self) -> CancellationToken;
    /// How long the present call has until its deadline; `None` without one.
    fn remaining(&self) -> Option<Duration>;
    /// Runs `task` until it ends or the scope does.
    fn spawn(&self, task: ScopeTask);
    /// Takes in what the component says of itself. Of several reports of a kind in quick succession the last one counts.
    fn report(&self, report: Report);
}

/// What a component says of itself while it is called or runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// What it is doing, for people: `flushing 7/9`.
    Progress(Arc<str>),
    /// How many units of work are in flight.
    InFlight(u64),
    /// It works, and something is missing; `None`: not any more.
    Degraded(Option<Arc<str>>),
}

/// A task on its way into a scope.
pub struct ScopeTask {
    /// What it is called in logs and reports.
    pub name: Cow<'static, str>,
    /// What its end means.
    pub role: TaskRole,
    /// The task itself.
    pub future: BoxFuture<'static, Result<(), BoxError>>,
}

impl fmt::Debug for ScopeTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopeTask")
            .field("name", &self.name)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// What the end of a task means for its component (semantics 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskRole {
    /// A helper: an error or a panic is a loss, `Ok` is nothing.
    Task,
    /// The component itself: an error or a panic is a loss, `Ok` means that it has completed.
    Service,
}

/// What a task may return: nothing, or a result.
pub trait TaskOutput {
    /// The result that the orchestrator looks at.
    ///
    /// # Errors
    ///
    /// The task's own error, if it returned one.
    fn into_result(self) -> Result<(), BoxError>;
}

impl TaskOutput for () {
    fn into_result(self) -> Result<(), BoxError> {
        Ok(())
    }
}

impl<E: Into<BoxError>> TaskOutput for Result<(), E> {
    fn into_result(self) -> Result<(), BoxError> {
        self.map_err(Into::into)
    }
}

macro_rules! shared_accessors {
    () => {
        /// The component's name.
        #[must_use]
        pub fn component(&self) -> &ComponentName {
            self.scope.component()
        }

        /// Which incarnation of the component this is, counted from 1.
        #[must_use]
        pub fn generation(&self) -> u32 {
            self.scope.key().generation
        }

        /// How long this call has until its deadline, or `None` without one.
        #[must_use]
        pub fn remaining(&self) -> Option<Duration> {
            self.scope.remaining()
        }

        /// Says what this call is doing, for people: `flushing 7/9`. It is shown while the call lasts, and in the report
        /// when the call has to be given up.
        pub fn progress(&self, label: impl Into<Arc<str>>) {
            self.scope.report(Report::Progress(label.into()));
        }
    };
}

/// What a start attempt is given.
#[derive(Clone, Debug)]
pub struct StartContext {
    scope: Arc<dyn Scope>,
}

impl StartContext {
    /// Wraps the scope of one attempt; for executors.
    #[must_use]
    pub fn new(scope: Arc<dyn Scope>) -> Self {
        Self { scope }
    }

    shared_accessors!();

    /// Which attempt this is, counted from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.scope.key().attempt
    }

    /// The start token: cancelled when this attempt shall end. Never use it for what shall outlive the call.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.scope.start_token()
    }

    /// Completes when this attempt shall end.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn cancelled(&self) {
        self.token().cancelled().await;
    }

    /// The run token: alive until this generation's stop begins, or until this attempt has failed.
    #[must_use]
    pub fn run_token(&self) -> CancellationToken {
        self.scope.run_token()
    }

    /// Runs `future` as a task of this generation.
    ///
    /// The orchestrator owns it: it is cancelled by the run token, joined after `stop`, and aborted if it does not
    /// heed the token. If it returns an error or panics while the component runs, the component is lost; `Ok` is
    /// nothing. An error after it was asked to end is logged and changes nothing. Once the generation has ended, `future` is dropped unpolled.
    pub fn spawn<F>(&self, name: impl Into<Cow<'static, str>>, future: F)
    where
        F: Future<Output: TaskOutput> + Send + 'static,
    {
        self.spawn_as(TaskRole::Task, name.into(), future);
    }

    /// The component's own voice, for as long as this generation lasts: for tasks that report while it runs.
    #[must_use]
    pub fn reporter(&self) -> Reporter {
        Reporter {
            scope: Arc::clone(&self.scope),
        }
    }

    pub(crate) fn spawn_as<F>(&self, role: TaskRole, name: Cow<'static, str>, future: F)
    where
        F: Future<Output: TaskOutput> + Send + 'static,
    {
        self.spawn_boxed(
            role,
            name,
            Box::pin(async move { future.await.into_result() }),
        );
    }

    pub(crate) fn spawn_boxed(
        &self,
        role: TaskRole,
        name: Cow<'static, str>,
        future: BoxFuture<'static, Result<(), BoxError>>,
    ) {
        self.scope.spawn(ScopeTask { name, role, future });
    }
}

/// What a stop attempt is given.
#[derive(Clone, Debug)]
pub struct StopContext {
    scope: Arc<dyn Scope>,
    attempt: u32,
}

impl StopContext {
    /// Wraps the scope of a generation for its stop attempt `attempt`; for executors.
    #[must_use]
    pub fn new(scope: Arc<dyn Scope>, attempt: u32) -> Self {
        Self { scope, attempt }
    }

    shared_accessors!();

    /// Which attempt this is, counted from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The token that is cancelled when this stop is forced: give up what is in flight, and return.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.scope.force_token()
    }

    /// Completes when this stop is forced.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn forced(&self) {
        self.token().cancelled().await;
    }
}

/// What a drain or a resume is given.
#[derive(Clone, Debug)]
pub struct DrainContext {
    scope: Arc<dyn Scope>,
    token: CancellationToken,
}

impl DrainContext {
    /// Wraps the scope of a generation and the token of this call; for executors.
    #[must_use]
    pub fn new(scope: Arc<dyn Scope>, token: CancellationToken) -> Self {
        Self { scope, token }
    }

    shared_accessors!();

    /// Says how many units of work are still in flight; shown as what the drain is blocked by.
    pub fn in_flight(&self, count: u64) {
        self.scope.report(Report::InFlight(count));
    }

    /// The token that is cancelled when this drain is cancelled, forced or out of time: stop waiting, and return.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Completes when this drain shall end.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn cancelled(&self) {
        self.token.cancelled().await;
    }
}

/// What a health check is given.
#[derive(Clone, Debug)]
pub struct CheckContext {
    scope: Arc<dyn Scope>,
}

impl CheckContext {
    /// Wraps the scope of a generation; for executors.
    #[must_use]
    pub fn new(scope: Arc<dyn Scope>) -> Self {
        Self { scope }
    }

    /// The component's name.
    #[must_use]
    pub fn component(&self) -> &ComponentName {
        self.scope.component()
    }

    /// Which incarnation of the component this is, counted from 1.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.scope.key().generation
    }
}

/// A running component's own voice. After the end of its generation it says nothing.
#[derive(Clone, Debug)]
pub struct Reporter {
    scope: Arc<dyn Scope>,
}

impl Reporter {
    /// Says what the component is doing, for people.
    pub fn progress(&self, label: impl Into<Arc<str>>) {
        self.scope.report(Report::Progress(label.into()));
    }

    /// Says how many units of work are in flight.
    pub fn in_flight(&self, count: u64) {
        self.scope.report(Report::InFlight(count));
    }

    /// Says that the component works, and that something is missing; it shows in readiness by the component's criticality.
    pub fn degraded(&self, reason: impl Into<Arc<str>>) {
        self.scope.report(Report::Degraded(Some(reason.into())));
    }

    /// Takes back what [`degraded`](Self::degraded) said.
    pub fn healthy(&self) {
        self.scope.report(Report::Degraded(None));
    }
}
