//! [`Intake`]: who is let in, and how many are in.

use std::sync::Arc;

use tokio::sync::{Notify, watch};

use crate::server::activity::Activity;

/// The door of one generation, with a count of who is in.
///
/// Both are one value: a request is either counted or refused, also when the door closes at the same moment.
#[derive(Debug)]
pub(crate) struct Intake {
    load: watch::Sender<Load>,
    /// Not by the value above, which changes with each request: who waits for the door sleeps until then.
    door_moved: Notify,
}

#[derive(Clone, Copy, Debug, Default)]
struct Load {
    door: Door,
    in_flight: u64,
}

/// Who is let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Door {
    #[default]
    Open,
    /// What comes by a connection that is open already, once more.
    LastCalls,
    Closed,
}

/// One request that was let in. It is in flight until this is dropped: with the body of its answer, or earlier when there
/// is none to come.
#[derive(Debug)]
pub(crate) struct Ticket {
    intake: Arc<Intake>,
    activity: Arc<Activity>,
}

impl Intake {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            load: watch::channel(Load::default()).0,
            door_moved: Notify::new(),
        })
    }

    /// Lets a request in; `None` while the door is closed.
    pub(crate) fn admit(self: &Arc<Self>, activity: &Arc<Activity>) -> Option<Ticket> {
        let mut is_closed = false;
        self.load.send_if_modified(|load| {
            is_closed = load.door == Door::Closed;
            load.in_flight += u64::from(!is_closed);
            // Who waits, waits for less.
            false
        });
        if is_closed {
            return None;
        }
        activity.request_begun();
        Some(Ticket {
            intake: Arc::clone(self),
            activity: Arc::clone(activity),
        })
    }

    pub(crate) fn close(&self) {
        self.set(Door::Closed);
    }

    /// Lets in what comes by connections that are open already, and takes in no more of these.
    pub(crate) fn take_last_calls(&self) {
        self.set(Door::LastCalls);
    }

    pub(crate) fn open(&self) {
        self.set(Door::Open);
    }

    fn set(&self, door: Door) {
        self.load.send_if_modified(|load| {
            load.door = door;
            false
        });
        self.door_moved.notify_waiters();
    }

    pub(crate) fn is_open(&self) -> bool {
        self.load.borrow().door == Door::Open
    }

    /// Waits until it is open, or until it is not.
    pub(crate) async fn until_open(&self, is_open: bool) {
        loop {
            let moved = self.door_moved.notified();
            if self.is_open() == is_open {
                return;
            }
            moved.await;
        }
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.load.borrow().in_flight
    }

    /// Waits until nothing is in flight; tells `see` how much is, at each change.
    pub(crate) async fn emptied(&self, mut see: impl FnMut(u64)) {
        let mut load = self.load.subscribe();
        loop {
            let in_flight = load.borrow_and_update().in_flight;
            see(in_flight);
            if in_flight == 0 || load.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Ticket {
    /// Whether the door has been closed since, or is about to be.
    pub(crate) fn is_last(&self) -> bool {
        !self.intake.is_open()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.activity.request_ended();
        let load = &self.intake.load;
        load.send_if_modified(|it| {
            it.in_flight -= 1;
            // Looked at under the lock: who subscribes later sees the new count.
            load.receiver_count() > 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_closed_door_lets_nobody_in_until_it_is_opened_again() {
        let (intake, activity) = (Intake::new(), Arc::default());
        let inside = intake.admit(&activity).expect("the door is open");
        intake.close();
        assert!(intake.admit(&activity).is_none());
        assert!(inside.is_last());
        assert_eq!(intake.in_flight(), 1);
        intake.open();
        assert!(intake.admit(&activity).is_some());
    }

    #[tokio::test]
    async fn a_last_call_is_let_in_and_is_the_last_one() {
        let (intake, activity) = (Intake::new(), Arc::default());
        intake.take_last_calls();
        intake.until_open(false).await;
        let last = intake.admit(&activity).expect("it is let in");
        assert!(last.is_last());
        intake.open();
        intake.until_open(true).await;
        assert!(!last.is_last());
    }

    #[tokio::test]
    async fn who_waits_for_the_end_sees_every_count_down_to_none() {
        let (intake, activity) = (Intake::new(), Arc::default());
        let mut inside = vec![intake.admit(&activity), intake.admit(&activity)];
        let mut seen = Vec::new();
        let emptied = intake.emptied(|it| {
            seen.push(it);
            inside.pop();
        });
        emptied.await;
        assert_eq!(seen, [2, 1, 0]);
    }
}
