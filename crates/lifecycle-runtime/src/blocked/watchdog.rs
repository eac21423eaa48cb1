//! [`Watchdog`]: the thread that looks at all others.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use metrics::Gauge;

use super::seat::{Marked, Seat, is_under_way};
use super::{Blocked, Watch, What, locked};

/// How often it looks, at the least.
const PERIOD: Duration = Duration::from_millis(100);

/// Who ends the thread by being dropped. Nobody waits for it: it may be held up by the log that it writes to.
#[derive(Debug)]
pub(crate) struct Watchdog {
    asks: Sender<LastWords>,
}

/// Asks for the names of everything that is still at work, as the last thing to do.
struct LastWords {
    done: Sender<usize>,
}

impl Watchdog {
    /// Watches on a thread of its own from now on; `None` if somebody does so already, or no thread can be had.
    ///
    /// The gauge is registered here, with the recorder of the calling thread.
    pub(crate) fn begin(watch: &Arc<Watch>) -> Option<Self> {
        if watch.begun.swap(true, Ordering::AcqRel) {
            return None;
        }
        let (asks, asked) = channel();
        let watching = Watching::new(Arc::clone(watch));
        match spawn(watching, asked) {
            Ok(()) => Some(Self { asks }),
            Err(error) => {
                tracing::warn!(
                    target: "lifecycle",
                    event = "host.unwatched",
                    %error,
                    "components that block their thread will not be named: no thread to watch from",
                );
                None
            }
        }
    }

    /// Ends the thread, after it has named whatever holds a thread now; says how much that is, or nothing when it takes
    /// longer than `patience`.
    pub(crate) fn name_the_rest(self, patience: Duration) -> Option<usize> {
        let (done, told) = channel();
        self.asks.send(LastWords { done }).ok()?;
        told.recv_timeout(patience).ok()
    }
}

fn spawn(mut watching: Watching, asked: Receiver<LastWords>) -> io::Result<()> {
    let thread = thread::Builder::new().name("lifecycle-watchdog".to_owned());
    thread.spawn(move || watching.until(&asked)).map(drop)
}

/// The state of the thread.
struct Watching {
    watch: Arc<Watch>,
    sights: Vec<Sight>,
    gauge: Gauge,
}

/// A seat, and the poll that was last seen in it.
struct Sight {
    seat: Arc<Seat>,
    polls: u64,
    /// When that poll was first seen.
    since: Instant,
    /// How long it must last to be told next.
    due: Duration,
    /// What was told of it.
    told: Option<Blocked>,
}

impl Watching {
    fn new(watch: Arc<Watch>) -> Self {
        metrics::describe_gauge!(
            "lifecycle_blocked_polls",
            "Calls and tasks of components that hold a thread without returning."
        );
        let gauge = metrics::gauge!("lifecycle_blocked_polls");
        gauge.set(0.0);
        Self {
            watch,
            sights: Vec::new(),
            gauge,
        }
    }

    fn until(&mut self, asked: &Receiver<LastWords>) {
        let period = (self.watch.after / 4).clamp(Duration::from_millis(1), PERIOD);
        loop {
            match asked.recv_timeout(period) {
                Err(RecvTimeoutError::Timeout) => self.look(Instant::now()),
                Err(RecvTimeoutError::Disconnected) => return self.close(),
                Ok(LastWords { done }) => {
                    let named = self.name_the_rest(Instant::now());
                    let _ = done.send(named);
                    return;
                }
            }
        }
    }

    fn look(&mut self, now: Instant) {
        self.take_newcomers(now);
        for sight in &mut self.sights {
            sight.look(now, &self.watch);
        }
        // The seat of a thread that has ended is held here alone.
        self.sights
            .retain(|it| it.told.is_some() || Arc::strong_count(&it.seat) > 1);
        self.show();
    }

    fn take_newcomers(&mut self, now: Instant) {
        let newcomers = std::mem::take(&mut *locked(&self.watch.newcomers));
        let after = self.watch.after;
        let sights = newcomers
            .into_iter()
            .map(|seat| Sight::new(seat, now, after));
        self.sights.extend(sights);
    }

    /// Makes the list that others see.
    fn show(&self) {
        let told = self.sights.iter().filter_map(|it| it.told.as_ref());
        let mut shown = locked(&self.watch.shown);
        if shown.iter().eq(told.clone()) {
            return;
        }
        *shown = told.cloned().collect();
        let count = u32::try_from(shown.len()).unwrap_or(u32::MAX);
        self.gauge.set(f64::from(count));
    }

    /// Nobody looks any more, so that nothing must be shown as if somebody did.
    fn close(&mut self) {
        self.look(Instant::now());
        self.sights.clear();
        self.show();
    }

    fn name_the_rest(&mut self, now: Instant) -> usize {
        self.take_newcomers(now);
        let polling = self.sights.iter();
        let blocked =
            polling.filter_map(|it| identify(&it.seat, it.seat.polls(), it.since, &self.watch));
        blocked.inspect(log_left_behind).count()
    }
}

impl Sight {
    fn new(seat: Arc<Seat>, now: Instant, after: Duration) -> Self {
        Self {
            polls: seat.polls(),
            seat,
            since: now,
            due: after,
            told: None,
        }
    }

    fn look(&mut self, now: Instant, watch: &Watch) {
        let polls = self.seat.polls();
        if polls != self.polls {
            self.has_moved_on(now, polls, watch.after);
            return;
        }
        let lasted = now.duration_since(self.since);
        if !is_under_way(polls) || (self.told.is_none() && lasted < self.due) {
            return;
        }
        // Asked anew every time: what it says of its progress may change.
        let Some(blocked) = identify(&self.seat, polls, self.since, watch) else {
            return;
        };
        if lasted >= self.due {
            log_blocked(&blocked, lasted);
            self.due = self.due.saturating_mul(2);
        }
        self.told = Some(blocked);
    }

    fn has_moved_on(&mut self, now: Instant, polls: u64, after: Duration) {
        if let Some(blocked) = self.told.take() {
            log_unblocked(&blocked, now.duration_since(self.since));
        }
        self.polls = polls;
        self.since = now;
        self.due = after;
    }
}

/// Who polls in `seat`; `None` when the poll numbered `polls` has ended.
fn identify(seat: &Seat, polls: u64, since: Instant, watch: &Watch) -> Option<Blocked> {
    let Marked { place, what } = seat.marked(polls)?;
    let described = watch.directory.find(place)?.describe(What(what))?;
    // Only now is it certain that the place still meant them.
    seat.marked(polls)?;
    Some(Blocked {
        component: described.component,
        generation: described.generation,
        what: described.what,
        since: watch.clock.time(since.into()),
        thread: Arc::clone(&seat.thread),
        progress: described.progress,
        isolated: described.isolated,
    })
}

/// Writes what is known of a blocked poll; a macro, since the level of a callsite is fixed.
macro_rules! write_blocked {
    ($macro:ident, $event:literal, $blocked:expr, $lasted:expr, $($message:tt)+) => {{
        let blocked: &Blocked = $blocked;
        let lasted: Option<Duration> = $lasted;
        tracing::$macro!(
            target: "lifecycle",
            parent: None,
            event = $event,
            component = blocked.component.as_str(),
            generation = blocked.generation,
            what = &*blocked.what,
            duration_ms = lasted.map(|it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX)),
            thread = &*blocked.thread,
            isolated = blocked.isolated,
            progress = blocked.progress.as_deref(),
            $($message)+
        )
    }};
}

/// A component with a thread of its own may hold it; others hold up somebody.
fn log_blocked(blocked: &Blocked, lasted: Duration) {
    let Blocked {
        component, what, ..
    } = blocked;
    if blocked.isolated {
        write_blocked!(
            info,
            "component.blocked",
            blocked,
            Some(lasted),
            "{component} holds its own thread in {what}"
        );
    } else {
        write_blocked!(
            warn,
            "component.blocked",
            blocked,
            Some(lasted),
            "{component} blocks a thread in {what}"
        );
    }
}

fn log_unblocked(blocked: &Blocked, lasted: Duration) {
    let Blocked {
        component, what, ..
    } = blocked;
    write_blocked!(
        info,
        "component.unblocked",
        blocked,
        Some(lasted),
        "{component} has let go of its thread in {what}"
    );
}

fn log_left_behind(blocked: &Blocked) {
    let Blocked {
        component, what, ..
    } = blocked;
    write_blocked!(
        warn,
        "host.left_behind",
        blocked,
        None,
        "{component} is left behind: it blocks a thread in {what}"
    );
}
