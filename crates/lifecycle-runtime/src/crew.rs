//! [`Crew`]: a few tasks that run many short calls, where a task for each would cost more than the call.
//!
//! Calls that begin wait in one queue, and each hand of the crew takes one after the other and polls it once. What is over by
//! then has needed no task; what is not becomes a task of its own, which is polled again at once. Hands without work wait for
//! more.
//!
//! Invariants:
//!
//! 1. A call that blocks its thread holds up no other while a thread of the runtime is free: while calls wait, a hand is ready
//!    to be run by any thread, or no thread is free.
//! 2. Calls of a runtime that shuts down are dropped, and so answered, with the first hand that is.
//! 3. A hand is parked or counted as ready or at work, and never two of that. It may be polled while it is parked: a call that it
//!    has polled once may wake it late.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::runtime;

use crate::attempt::Attempt;

/// How many calls a hand polls before other tasks have their turn.
const TURN: usize = 32;

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
    parked: Vec<(HandId, Waker)>,
    next: HandId,
    /// Whether hands without work shall go.
    is_dismissed: bool,
    /// Whether the runtime runs nothing any more.
    is_stranded: bool,
}

type HandId = u64;

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
        parked.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Wakes a hand that is counted as ready already, or makes one.
    fn call_hand(self: &Arc<Self>) {
        let mut queue = self.queue();
        if let Some((_, waker)) = queue.parked.pop() {
            drop(queue);
            return waker.wake();
        }
        let id = queue.next;
        queue.next += 1;
        drop(queue);
        let crew = Arc::clone(self);
        self.runtime.spawn(Hand {
            crew,
            id,
            is_done: false,
        });
    }

    /// Whether the hand is to work, and not woken by mistake.
    fn step_in(&self, id: HandId) -> bool {
        let mut queue = self.queue();
        let is_parked = queue.parked.iter().any(|it| it.0 == id);
        queue.ready -= usize::from(!is_parked);
        !is_parked
    }

    /// What the hand, which is at work, does next. Keeps invariant 1, should all other hands be held.
    fn order(self: &Arc<Self>, id: HandId, cx: &Context<'_>) -> Order {
        let mut queue = self.queue();
        let Some(attempt) = queue.waiting.pop_front() else {
            if queue.is_dismissed || queue.parked.len() >= self.size {
                return Order::Go;
            }
            queue.parked.push((id, cx.waker().clone()));
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
    id: HandId,
    is_done: bool,
}

impl Future for Hand {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let crew = Arc::clone(&self.crew);
        if !crew.step_in(self.id) {
            return Poll::Pending;
        }
        for _ in 0..TURN {
            let mut attempt = match crew.order(self.id, cx) {
                Order::Run(attempt) => attempt,
                Order::Wait => return Poll::Pending,
                Order::Go => {
                    self.is_done = true;
                    return Poll::Ready(());
                }
            };
            if !attempt.is_aborted() && Pin::new(&mut attempt).poll(cx).is_pending() {
                attempt.spawn(&crew.runtime);
            }
        }
        crew.queue().ready += 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
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

    use lifecycle_core::FailureKind;
    use lifecycle_core::engine::{CallOutcome, Input};
    use tokio::runtime::Runtime;

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
    fn a_hand_that_is_woken_by_a_call_that_it_has_left_takes_that_for_no_order() {
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
        let of_hand = wakers.lock().unwrap()[0].clone();
        assert_eq!(wakers.lock().unwrap().len(), 2, "by the hand and a task");
        for _ in 0..3 {
            of_hand.wake_by_ref();
            yard.run();
        }
        assert_eq!(yard.answers(), []);
        yard.begin((0..100).map(|_| yard.call(ready(()))));
        of_hand.wake_by_ref();
        yard.run();
        assert_eq!(yard.answers(), vec![Ok(()); 100]);
        assert_eq!(yard.crew.queue().ready, 0);
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
