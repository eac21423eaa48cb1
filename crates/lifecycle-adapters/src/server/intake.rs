//! [`Intake`]: who is let in, and how many are in.

use std::sync::Arc;

use tokio::sync::watch;

use crate::server::activity::Activity;

/// The door of one generation, with a count of who is in.
///
/// Both are one value: a request is either counted or refused, also when the door closes at the same moment.
#[derive(Debug)]
pub(crate) struct Intake {
    load: watch::Sender<Load>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Load {
    is_closed: bool,
    in_flight: u64,
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
        })
    }

    /// Lets a request in; `None` while the door is closed.
    pub(crate) fn admit(self: &Arc<Self>, activity: &Arc<Activity>) -> Option<Ticket> {
        let mut is_closed = false;
        self.load.send_if_modified(|load| {
            is_closed = load.is_closed;
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
        self.set_closed(true);
    }

    pub(crate) fn open(&self) {
        self.set_closed(false);
    }

    fn set_closed(&self, is_closed: bool) {
        self.load.send_if_modified(|load| {
            load.is_closed = is_closed;
            false
        });
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.load.borrow().is_closed
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
    /// Whether the door has been closed since.
    pub(crate) fn is_last(&self) -> bool {
        self.intake.is_closed()
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
