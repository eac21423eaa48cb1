//! The driver dropped after poll k, for every k of a course: nothing that was acquired is left, and nobody waits for ever.
//!
//! A dropped driver can call no dispose (semantics 20); what a component holds is then released by the drop of its value.

#![expect(clippy::print_stdout, reason = "the figures are a result of the test")]

use std::future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use lifecycle_core::{
    BoxError, Criticality, DrainContext, Lifecycle, Registration, StartContext, StopContext,
};
use lifecycle_runtime::{Handle, Orchestrator};
use tokio::sync::Notify;

use crate::kit::*;

/// Holds something from start to dispose, has a loop that can be broken, and takes its time for everything.
struct Holder {
    journal: Journal,
    held: Mutex<Option<Life>>,
    breaker: Arc<Notify>,
}

impl Holder {
    fn registration(name: &str, journal: &Journal, breaker: &Arc<Notify>) -> Registration {
        let holder = Self {
            journal: journal.clone(),
            held: Mutex::default(),
            breaker: Arc::clone(breaker),
        };
        Registration::new(name, holder).restart(again_after(5))
    }
}

impl Lifecycle for Holder {
    const DRAINS: bool = true;

    async fn start(&self, cx: &StartContext) -> Result<(), BoxError> {
        *self.held.lock().unwrap() = Some(self.journal.life());
        tokio::time::sleep(ms(5)).await;
        let (life, breaker) = (self.journal.life(), Arc::clone(&self.breaker));
        let stopped = cx.run_token();
        cx.spawn("loop", async move {
            let broken = stopped.run_until_cancelled(breaker.notified()).await;
            tokio::time::sleep(ms(5)).await;
            drop(life);
            broken.map_or(Ok(()), |()| Err("broken"))
        });
        Ok(())
    }

    async fn stop(&self, _: &StopContext) -> Result<(), BoxError> {
        tokio::time::sleep(ms(5)).await;
        Ok(())
    }

    async fn drain(&self, _: &DrainContext) -> Result<(), BoxError> {
        tokio::time::sleep(ms(5)).await;
        Ok(())
    }

    async fn resume(&self, _: &DrainContext) -> Result<(), BoxError> {
        tokio::time::sleep(ms(5)).await;
        Ok(())
    }

    async fn dispose(&self) -> Result<(), BoxError> {
        tokio::time::sleep(ms(5)).await;
        drop(self.held.lock().unwrap().take());
        Ok(())
    }
}

/// Runs `course` once for every number of polls after which the driver is dropped, until it comes to its end.
async fn drop_after_every_poll<C, F>(course: C) -> usize
where
    C: Fn(Handle, Arc<Notify>) -> F,
    F: Future<Output = Option<()>> + Send + 'static,
{
    for polls in 0.. {
        let journal = Journal::default();
        let breaker = Arc::new(Notify::new());
        let mut builder = Orchestrator::builder();
        let idle = Arc::new(Notify::new());
        builder.register(
            Holder::registration("pool", &journal, &breaker).criticality(Criticality::Degradable),
        );
        builder.register(
            Holder::registration("serving", &journal, &idle)
                .depends_on(["pool"])
                .criticality(Criticality::Degradable),
        );
        let orchestrator = builder.build().unwrap();
        let running = tokio::spawn(course(orchestrator.handle(), breaker));
        let ended = {
            let mut drive = pin!(orchestrator.run());
            let mut left = polls;
            future::poll_fn(|cx| {
                if left == 0 {
                    return Poll::Ready(false);
                }
                left -= 1;
                drive.as_mut().poll(cx).map(|()| true)
            })
            .await
        };
        // Aborted tasks and values are dropped by their runtime, in its next turns.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        assert_eq!(journal.alive(), 0, "dropped after {polls} polls");
        // Whoever has asked is answered or told that the driver is gone.
        let completed = running.await.unwrap().is_some();
        if ended {
            assert!(completed);
            return polls;
        }
    }
    unreachable!("a course comes to its end")
}

#[tokio::test(start_paused = true)]
async fn museum_14_nothing_is_left_of_a_start_and_a_stop() {
    let polls = drop_after_every_poll(|handle, _| async move {
        handle.start().await.ok()?;
        handle.stop_now().await.ok()?;
        Some(())
    })
    .await;
    println!("the driver was dropped after each of {polls} polls of a start and a stop");
    assert!(polls > 8, "{polls}");
}

#[tokio::test(start_paused = true)]
async fn museum_14_nothing_is_left_of_a_drain_a_resume_and_a_graceful_stop() {
    let polls = drop_after_every_poll(|handle, _| async move {
        handle.start().await.ok()?;
        handle.drain().await.ok()?;
        handle.resume().await.ok()?;
        handle.stop().await.ok()?;
        Some(())
    })
    .await;
    println!("the driver was dropped after each of {polls} polls of a drain, a resume and a stop");
    assert!(polls > 12, "{polls}");
}

#[tokio::test(start_paused = true)]
async fn museum_14_nothing_is_left_of_a_restart_by_an_operator() {
    let polls = drop_after_every_poll(|handle, _| async move {
        handle.start().await.ok()?;
        handle.restart("pool").await.ok()?;
        handle.stop_now().await.ok()?;
        Some(())
    })
    .await;
    println!("the driver was dropped after each of {polls} polls of an operator's restart");
    assert!(polls > 12, "{polls}");
}

#[tokio::test(start_paused = true)]
async fn museum_14_nothing_is_left_of_a_loss_and_the_recovery_from_it() {
    let polls = drop_after_every_poll(|handle, breaker| async move {
        handle.start().await.ok()?;
        breaker.notify_one();
        let mut watch = handle.status();
        watch.wait_for(|it| !all_run(it)).await.ok()?;
        watch.wait_for(all_run).await.ok()?;
        handle.stop_now().await.ok()?;
        Some(())
    })
    .await;
    println!("the driver was dropped after each of {polls} polls of a recovery");
    assert!(polls > 12, "{polls}");
}

fn all_run(status: &lifecycle_runtime::Status) -> bool {
    status.count(lifecycle_core::engine::ComponentState::Running) == 2
}

#[tokio::test(start_paused = true)]
async fn museum_14_nothing_is_left_of_an_addition_and_a_removal() {
    let polls = drop_after_every_poll(|handle, breaker| async move {
        handle.start().await.ok()?;
        let journal = Journal::default();
        let added = Holder::registration("tenant", &journal, &breaker).depends_on(["pool"]);
        handle.add(added).await.ok()?;
        handle.remove("tenant").await.ok()?;
        assert_eq!(journal.alive(), 0);
        handle.stop_now().await.ok()?;
        Some(())
    })
    .await;
    println!("the driver was dropped after each of {polls} polls of an addition and a removal");
    assert!(polls > 12, "{polls}");
}
