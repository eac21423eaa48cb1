//! [`Subscription`]: the event stream for whoever wants it, at no cost to the driver.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lifecycle_core::engine::Event;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// What a subscriber receives.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// The next event.
    Event(Event),
    /// The subscriber was too slow: this many events are lost to it. A snapshot tells where things stand.
    Missed(u64),
}

/// The events from the moment of subscribing, in order.
///
/// A subscriber that does not keep up loses the oldest events and is told how many; nobody waits for it.
#[derive(Debug)]
pub struct Subscription(broadcast::Receiver<Event>);

impl Subscription {
    /// The next event or gap; `None` when there will be none, because the driver is gone.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is lost.
    pub async fn next(&mut self) -> Option<Notice> {
        match self.0.recv().await {
            Ok(event) => Some(Notice::Event(event)),
            Err(RecvError::Lagged(missed)) => Some(Notice::Missed(missed)),
            Err(RecvError::Closed) => None,
        }
    }
}

/// How many events a subscriber may be behind before it misses some, unless set.
const CAPACITY: usize = 1_024;

/// How many of the last events are kept, unless set.
const HISTORY: usize = 1_024;

/// Where events leave for subscribers, and where the last of them are kept. The buffer of the subscribers is made when the
/// first of them comes; that of the history grows to its size and is then used over and over.
pub(crate) struct Events {
    history: Mutex<History>,
    capacity: AtomicUsize,
    /// Whether anybody ever subscribed; spares the driver the lock.
    wanted: AtomicBool,
    outlet: Mutex<Outlet>,
}

/// The last events.
struct History {
    events: VecDeque<Event>,
    limit: usize,
}

impl History {
    fn push(&mut self, event: &Event) {
        if self.events.len() >= self.limit {
            self.events.pop_front();
        }
        if self.limit > 0 {
            self.events.push_back(event.clone());
        }
    }
}

enum Outlet {
    Unasked,
    Open(broadcast::Sender<Event>),
    Closed,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self {
            history: Mutex::new(History {
                events: VecDeque::new(),
                limit: HISTORY,
            }),
            capacity: AtomicUsize::new(CAPACITY),
            wanted: AtomicBool::new(false),
            outlet: Mutex::new(Outlet::Unasked),
        }
    }

    /// Sets how many events are kept for whoever asks later.
    pub(crate) fn keep(&self, events: usize) {
        let mut history = self.kept();
        history.limit = events;
        let superfluous = history.events.len().saturating_sub(events);
        history.events.drain(..superfluous);
    }

    /// The last events, the oldest first.
    pub(crate) fn history(&self) -> Vec<Event> {
        self.kept().events.iter().cloned().collect()
    }

    /// Sets how many events wait for a subscriber; means nothing once somebody has subscribed.
    pub(crate) fn set_capacity(&self, capacity: usize) {
        self.capacity.store(capacity, Ordering::Relaxed);
    }

    pub(crate) fn subscribe(&self) -> Subscription {
        let mut outlet = self.outlet();
        match &*outlet {
            Outlet::Open(sender) => Subscription(sender.subscribe()),
            Outlet::Closed => Subscription(broadcast::channel(1).1),
            Outlet::Unasked => {
                let (sender, receiver) =
                    broadcast::channel(self.capacity.load(Ordering::Relaxed).max(1));
                *outlet = Outlet::Open(sender);
                self.wanted.store(true, Ordering::Release);
                Subscription(receiver)
            }
        }
    }

    /// Keeps `event`, and hands it to all subscribers there are. In this order, so that who subscribes and then looks at the
    /// history finds it in one of the two.
    ///
    /// `outlet` is the sender's own: once there is one, events leave without the lock.
    pub(crate) fn send(&self, event: &Event, outlet: &mut Option<broadcast::Sender<Event>>) {
        self.kept().push(event);
        if outlet.is_none() && self.wanted.load(Ordering::Acquire) {
            *outlet = self.sender();
        }
        if let Some(sender) = outlet
            && sender.receiver_count() > 0
        {
            let _ = sender.send(event.clone());
        }
    }

    fn sender(&self) -> Option<broadcast::Sender<Event>> {
        match &*self.outlet() {
            Outlet::Open(sender) => Some(sender.clone()),
            Outlet::Unasked | Outlet::Closed => None,
        }
    }

    /// How many events the slowest subscriber has not read yet, as far as they are kept.
    pub(crate) fn lag(&self) -> Option<usize> {
        if !self.wanted.load(Ordering::Acquire) {
            return None;
        }
        self.sender().map(|it| it.len())
    }

    /// Ends all subscriptions.
    pub(crate) fn close(&self) {
        *self.outlet() = Outlet::Closed;
    }

    fn kept(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outlet(&self) -> MutexGuard<'_, Outlet> {
        self.outlet.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}
