//! [`Lookout`]: watches over the conditions under which a node may lead.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use lifecycle_core::BoxFuture;
use tokio::sync::watch;

use crate::leadership::campaign::Outlook;
use crate::leadership::clock::Clock;
use crate::leadership::condition::Condition;
use crate::leadership::election::Reason;

/// How soon it is noticed that the machine has slept: timers do not tell.
const LOOK: Duration = Duration::from_millis(50);

/// Tells the campaigns of one generation whether the node may lead.
pub(crate) struct Lookout {
    conditions: Vec<Arc<dyn Condition>>,
    outlook: watch::Sender<Outlook>,
    clock: Clock,
}

impl Lookout {
    /// Until [`keep`](Self::keep) has looked, the node may not lead.
    pub(crate) fn new(conditions: Vec<Arc<dyn Condition>>) -> (Self, watch::Receiver<Outlook>) {
        let (outlook, receiver) = watch::channel(Outlook {
            standing: Err("not known to be fit".into()),
            sleeps: 0,
        });
        let lookout = Self {
            conditions,
            outlook,
            clock: Clock::starting_now(),
        };
        (lookout, receiver)
    }

    pub(crate) async fn keep(self) {
        loop {
            // Before the check, so that no change comes in between.
            let changes = self.conditions.iter().map(|it| it.changed()).collect();
            let standing = self.check().await;
            self.outlook.send_if_modified(|it| {
                let is_news = it.standing != standing;
                it.standing = standing;
                is_news
            });
            self.wait(changes).await;
        }
    }

    /// The first thing that speaks against it.
    async fn check(&self) -> Result<(), Reason> {
        for condition in &self.conditions {
            condition.check().await?;
        }
        Ok(())
    }

    /// Waits for one of `changes`, and looks meanwhile whether the machine sleeps.
    async fn wait(&self, changes: Vec<BoxFuture<'static, ()>>) {
        let mut change = pin!(any(changes));
        loop {
            let before = self.clock.slept();
            tokio::select! {
                () = &mut change => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            if self.clock.slept() > before {
                self.outlook.send_modify(|it| it.sleeps += 1);
            }
        }
    }
}

/// Completes with the first of `futures`; never, without any.
async fn any(mut futures: Vec<BoxFuture<'static, ()>>) {
    poll_fn(|cx| {
        let done = futures.iter_mut().any(|it| it.as_mut().poll(cx).is_ready());
        if done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
