//! [`Act`]: what one call of a scripted component does.

use std::iter::{self, RepeatN};
use std::time::Duration;

/// What one call does: after a delay, if any, it leaves its tasks and then ends in its manner.
///
/// ```
/// use std::time::Duration;
/// use lifecycle_testkit::{Act, Scripted, TaskAct};
///
/// // Fails three times, then takes a second, and every run after that is lost after five.
/// let second = Duration::from_secs(1);
/// let flapping = Act::succeed_after(second).leaving(TaskAct::FailAfter(5 * second));
/// let component = Scripted::new("db").starts(Act::fail().times(3).chain([flapping]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    pub(crate) delay: Duration,
    pub(crate) manner: Manner,
    pub(crate) tasks: Vec<TaskAct>,
}

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Succeed,
    Fail,
    FailPermanently,
    Panic,
    FailWhenCancelled,
    SucceedWhenCancelled,
    Hang,
    Block,
}

/// What a task does that a start leaves in the scope of its generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskAct {
    /// Ends as soon as the run token is cancelled.
    UntilStopped,
    /// Ends this long after the run token was cancelled.
    Linger(Duration),
    /// Never ends by itself: it has to be aborted.
    Ignore,
    /// Returns an error after this long: the component is lost.
    FailAfter(Duration),
    /// Panics after this long: the component is lost.
    PanicAfter(Duration),
    /// Waits for a task of its own, which is aborted after this long: the component is lost.
    AbortedAfter(Duration),
}

impl Act {
    /// Returns `Ok` at once.
    #[must_use]
    pub fn succeed() -> Self {
        Self::of(Manner::Succeed)
    }

    /// Returns `Ok` after `delay`, whatever the tokens say: a slow one.
    #[must_use]
    pub fn succeed_after(delay: Duration) -> Self {
        Self::succeed().after(delay)
    }

    /// Returns an error at once.
    #[must_use]
    pub fn fail() -> Self {
        Self::of(Manner::Fail)
    }

    /// Returns an error after `delay`.
    #[must_use]
    pub fn fail_after(delay: Duration) -> Self {
        Self::fail().after(delay)
    }

    /// Returns an error that says that trying again cannot help.
    #[must_use]
    pub fn fail_permanently() -> Self {
        Self::of(Manner::FailPermanently)
    }

    /// Panics.
    #[must_use]
    pub fn panic() -> Self {
        Self::of(Manner::Panic)
    }

    /// Goes on until its token is cancelled (of a stop: until it is forced), then returns an error: hangs, but obeys.
    #[must_use]
    pub fn hang_until_cancelled() -> Self {
        Self::of(Manner::FailWhenCancelled)
    }

    /// Goes on until its token is cancelled, and has succeeded then: an `Ok` that comes too late.
    #[must_use]
    pub fn succeed_when_cancelled() -> Self {
        Self::of(Manner::SucceedWhenCancelled)
    }

    /// Never ends by itself and ignores its token.
    #[must_use]
    pub fn hang() -> Self {
        Self::of(Manner::Hang)
    }

    /// Blocks its thread until [`Record::release`](crate::Record::release), then returns `Ok`. It needs a runtime with
    /// more than one thread. When nobody holds the record any more it does not block, since nobody could release it.
    #[must_use]
    pub fn block() -> Self {
        Self::of(Manner::Block)
    }

    /// Of a start: succeeds, and the component is lost after `run`. As the last act of a script it flaps for ever.
    #[must_use]
    pub fn flap(run: Duration) -> Self {
        Self::succeed().leaving(TaskAct::FailAfter(run))
    }

    /// Waits for `delay` first, whatever the tokens say.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Of a start: leaves `task` in the scope of the generation. Other calls leave nothing.
    #[must_use]
    pub fn leaving(mut self, task: TaskAct) -> Self {
        self.tasks.push(task);
        self
    }

    /// This act for `calls` calls in a row.
    #[must_use]
    pub fn times(self, calls: usize) -> RepeatN<Self> {
        iter::repeat_n(self, calls)
    }

    fn of(manner: Manner) -> Self {
        Self {
            delay: Duration::ZERO,
            manner,
            tasks: Vec::new(),
        }
    }
}
