//! [`Crew`]: a few tasks that run many short calls, where a task for each would cost more than the call.
//!
//! Calls that begin wait in one queue, and each hand of the crew takes one after the other and polls it once. What is over by
//! then has needed no task; what is not becomes a task of its own, which is polled again at once. Hands without work wait for
//! more.
//!
//! After each call a hand gives way. What a call has woken or spawned last, the driver or a task of a component, waits where no
//! other thread of the runtime finds it, until the task that runs is polled to its end: were that a hand that goes on with a call
//! that blocks, it would wait as long.
//!
//! Invariants:
//!
//! 1. A call that blocks its thread holds up no other while a thread of the runtime is free: while calls wait, a hand is ready
//!    to be run by any thread, or no thread is free.
//! 2. Calls of a runtime that shuts down are dropped, and so answered, with the first hand that is.
//! 3. A hand is parked or counted as ready or at work, and never two of that. No call knows the waker of a hand: one that was left
//!    behind would wake it late, and where nobody finds it.
//! 4. A hand outlives its calls, whatever they do.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::runtime;

use crate::attempt::Attempt;

/// The hands of one runtime, and what they have to do.
pub(crate) struct Crew {
    runtime: runtime::Handle,
    /// As many hands as can be at work at once, and one that is ready.
    size: usize,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Attempt>,
    /// How many hands are scheduled and not at work.
    ready: usize,
    /// Hands without work.
    parked: Vec<Waker>,
    /// Whether hands without work shall go.
    is_dismissed: bool,
    /// Whether the runtime runs nothing any more.
    is_stranded: bool,
}

/// What a hand has to do.
enum Order {
    Run(Attempt),
    Wait,
    Go,
}

impl Crew {
    pub(crate) fn new(runtime: runtime::Handle) -> Arc<Self> {
        Arc::new(Self {
            size: runtime.metrics().num_workers() + 1,
            runtime,
            queue: Mutex::default(),
        })
    }

    /// Begins calls, if there are any.
    pub(crate) fn begin(self: &Arc<Self>, attempts: &mut Vec<Attempt>) {
        if attempts.is_empty() {
            return;
        }
        let mut queue = self.queue();
        if queue.is_stranded {
            drop(queue);
            attempts.drain(..).for_each(|it| it.spawn(&self.runtime));
            return;
        }
        queue.is_dismissed = false;
        queue.waiting.extend(attempts.drain(..));
        let wanted = queue.waiting.len().min(self.size);
        let missing = wanted.saturating_sub(queue.ready);
        queue.ready += missing;
        drop(queue);
        (0..missing).for_each(|_| self.call_hand());
    }

    /// Lets the hands go as soon as they have nothing to do, until calls begin again.
    pub(crate) fn dismiss(&self) {
        let mut queue = self.queue();
        if queue.is_dismissed {
            return;
        }
        queue.is_dismissed = true;
        let parked = std::mem::take(&mut queue.parked);
        queue.ready += parked.len();
        drop(queue);
        parked.into_iter().for_each(Waker::wake);
    }

    /// Wakes a hand that is counted as ready already, or makes one.
    fn call_hand(self: &Arc<Self>) {
        let parked = self.queue().parked.pop();
        if let Some(waker) = parked {
            return waker.wake();
        }
        let crew = Arc::clone(self);
        self.runtime.spawn(Hand {
            crew,
            is_done: false,
        });
    }

    /// What a hand that was ready does next. Keeps invariant 1, should all other hands be held.
    fn order(self: &Arc<Self>, cx: &Context<'_>) -> Order {
        let mut queue = self.queue();
        queue.ready -= 1;
        let Some(attempt) = queue.waiting.pop_front() else {
            if queue.is_dismissed || queue.parked.len() >= self.size {
                return Order::Go;
            }
            queue.parked.push(cx.waker().clone());
            return Order::Wait;
        };
        let is_last = queue.ready == 0 && !queue.waiting.is_empty();
        queue.ready += usize::from(is_last);
        drop(queue);
        if is_last {
            self.call_hand();
            // The task that a thread has woken or spawned last is run by no other thread.
            self.runtime.spawn(async {});
        }
        Order::Run(attempt)
    }

    /// Keeps invariant 2.
    fn strand(&self) {
        let mut queue = self.queue();
        queue.is_stranded = true;
        let parked = std::mem::take(&mut queue.parked);
        let left = std::mem::take(&mut queue.waiting);
        drop(queue);
        drop((parked, left));
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task that runs calls.
struct Hand {
    crew: Arc<Crew>,
    is_done: bool,
}

impl Future for Hand {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let crew = Arc::clone(&self.crew);
        match crew.order(cx) {
            Order::Run(attempt) => {
                run(attempt, &crew.runtime);
                crew.queue().ready += 1;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Order::Wait => Poll::Pending,
            Order::Go => {
                self.is_done = true;
                Poll::Ready(())
            }
        }
    }
}

/// Polls the call once, and has it go on as a task.
fn run(mut attempt: Attempt, runtime: &runtime::Handle) {
    // What the user does is caught and answered already; this is for what is done around it, such as by who takes in spans. Whoever
    // panics has been heard by the hook.
    let _ = catch_unwind(AssertUnwindSafe(move || {
        let mut nobody = Context::from_waker(Waker::noop());
        if attempt.is_aborted() || Pin::new(&mut attempt).poll(&mut nobody).is_ready() {
            return;
        }
        if !attempt.is_aborted() {
            attempt.spawn(runtime);
        }
    }));
}

impl Drop for Hand {
    /// A hand that has not gone by itself is dropped by its runtime.
    fn drop(&mut self) {
        if !self.is_done {
            self.crew.strand();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn, ready};
    use std::sync::atomic::{AtomicBool, Ordering};

    use lifecycle_core::FailureKind;
    use lifecycle_core::engine::{CallOutcome, Input};
    use tokio::runtime::Runtime;
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    use super::*;
    use crate::attempt;
    use crate::scope::tests::Bench;
    use crate::user_future::Work;

    struct Yard {
        runtime: Runtime,
        bench: Bench,
        crew: Arc<Crew>,
    }

    impl Yard {
        fn new() -> Self {
            let runtime = runtime::Builder::new_current_thread().build().unwrap();
            let handle = runtime.handle().clone();
            Self {
                bench: Bench::on(handle.clone()),
                crew: Crew::new(handle),
                runtime,
            }
        }

        fn call(&self, future: impl Future<Output = ()> + Send + 'static) -> Attempt {
            let scope = Arc::clone(&self.bench.scope);
            let key = lifecycle_core::Scope::key(&*scope);
            let work = Work::Future(Box::pin(async move {
                future.await;
                Ok(())
            }));
            attempt::dispose(scope, key, work)
        }

        fn begin(&self, attempts: impl IntoIterator<Item = Attempt>) {
            self.crew.begin(&mut attempts.into_iter().collect());
        }

        /// Lets everything run that can.
        fn run(&self) {
            self.runtime.block_on(async {
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
            });
        }

        fn answers(&mut self) -> Vec<CallOutcome> {
            let inputs = std::iter::from_fn(|| self.bench.told.try_recv().ok());
            inputs
                .filter_map(|it| match it {
                    Input::CallEnded { outcome, .. } => Some(outcome),
                    _ => None,
                })
                .collect()
        }

        fn tasks(&self) -> usize {
            self.runtime.metrics().num_alive_tasks()
        }
    }

    fn is_lost(outcome: &CallOutcome) -> bool {
        let failure = outcome.as_ref().err();
        failure.is_some_and(|it| it.kind == FailureKind::Lost)
    }

    #[test]
    fn calls_that_are_over_at_once_need_no_tasks_but_the_hands() {
        let mut yard = Yard::new();
        yard.begin((0..500).map(|_| yard.call(ready(()))));
        assert_eq!(yard.tasks(), 2);
        yard.run();
        assert_eq!(yard.answers(), vec![Ok(()); 500]);
        yard.begin([yard.call(ready(()))]);
        assert_eq!(yard.tasks(), 2);
        yard.run();
        assert_eq!(yard.answers(), [Ok(())]);

        yard.crew.dismiss();
        yard.run();
        assert_eq!(yard.tasks(), 0);
        yard.begin([yard.call(ready(()))]);
        yard.run();
        assert_eq!(yard.answers(), [Ok(())]);
    }

    #[test]
    fn a_call_that_goes_on_is_a_task_and_can_be_aborted() {
        let mut yard = Yard::new();
        let call = yard.call(pending());
        let reins = call.reins();
        yard.begin([call, yard.call(ready(()))]);
        yard.run();
        assert_eq!(yard.answers(), [Ok(())]);
        assert_eq!(yard.tasks(), 3);
        reins.abort();
        yard.run();
        assert!(matches!(&yard.answers()[..], [it] if is_lost(it)));
        assert_eq!(yard.tasks(), 2);
    }

    #[test]
    fn a_call_that_is_aborted_while_it_waits_is_never_polled() {
        let mut yard = Yard::new();
        let call = yard.call(async { unreachable!("it was aborted before") });
        let reins = call.reins();
        yard.begin([call]);
        reins.abort();
        yard.run();
        assert!(matches!(&yard.answers()[..], [it] if is_lost(it)));
    }

    #[test]
    fn a_call_does_not_know_the_waker_of_the_hand_and_is_polled_at_once_with_its_own() {
        let mut yard = Yard::new();
        let wakers = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&wakers);
        let call = yard.call(poll_fn(move |cx| {
            let mut wakers = seen.lock().unwrap();
            wakers.push(cx.waker().clone());
            match wakers.len() {
                1 | 2 => Poll::Pending,
                _ => Poll::Ready(()),
            }
        }));
        yard.begin([call]);
        yard.run();
        let seen = wakers.lock().unwrap().clone();
        assert_eq!(seen.len(), 2, "by the hand and a task");
        // What it was polled with at first wakes nobody, neither the task nor the hand.
        assert!(!seen[0].will_wake(&seen[1]));
        seen[0].wake_by_ref();
        yard.run();
        assert_eq!(wakers.lock().unwrap().len(), 2);
        assert_eq!(yard.answers(), []);
        seen[1].wake_by_ref();
        yard.run();
        assert_eq!(yard.answers(), [Ok(())]);
        assert_eq!(yard.crew.queue().ready, 0);
    }

    /// Takes in spans, and panics when the first one is entered.
    struct Trap(AtomicBool);

    impl Subscriber for Trap {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, _: &Event<'_>) {}
        fn enter(&self, _: &Id) {
            assert!(self.0.swap(true, Ordering::Relaxed), "a planted panic");
        }
        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn what_panics_around_a_call_costs_that_call_and_no_other() {
        let mut yard = Yard::new();
        let trapped = tracing::subscriber::with_default(Trap(AtomicBool::new(false)), || {
            yard.call(ready(()))
        });
        yard.begin([trapped, yard.call(ready(())), yard.call(ready(()))]);
        yard.run();
        let answers = yard.answers();
        assert!(
            matches!(&answers[..], [lost, Ok(()), Ok(())] if is_lost(lost)),
            "{answers:?}"
        );
        yard.begin([yard.call(ready(()))]);
        yard.run();
        assert_eq!(yard.answers(), [Ok(())]);
    }

    #[test]
    fn when_the_runtime_goes_every_call_that_waits_is_answered_and_so_is_every_later_one() {
        let mut yard = Yard::new();
        yard.begin((0..100).map(|_| yard.call(ready(()))));
        drop(std::mem::replace(&mut yard.runtime, Yard::new().runtime));
        let answers = yard.answers();
        assert_eq!(answers.iter().filter(|it| is_lost(it)).count(), 100);
        yard.begin([yard.call(ready(()))]);
        assert!(matches!(&yard.answers()[..], [it] if is_lost(it)));
    }
}
