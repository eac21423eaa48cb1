//! [`simulate`]: a test on paused time, with a deadline in virtual time.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use lifecycle_core::engine::{ComponentRow, ComponentState, Event, EventKind, Snapshot};
use lifecycle_core::{ComponentId, Plan, Registration};
use lifecycle_runtime::{Handle, Notice, Orchestrator, StatusWatch, Subscription};
use tokio::runtime;
use tokio::time::timeout;

use crate::trace::{drain, line};

/// How long a simulation may take in virtual time, unless set.
const DEADLINE: Duration = Duration::from_secs(3_600);

/// How long [`until_state`] and [`until_event`] wait, by tokio's clock.
const PATIENCE: Duration = Duration::from_secs(300);

/// How many of the last events a failure shows.
const SHOWN_EVENTS: usize = 12;

thread_local! {
    /// What is looked at when the deadline passes. They keep no orchestrator alive.
    static WATCHED: RefCell<Vec<Watched>> = const { RefCell::new(Vec::new()) };
}

/// An orchestrator of the simulation that runs on this thread.
struct Watched {
    plan: Option<Arc<Plan>>,
    status: StatusWatch,
    events: Subscription,
}

/// Runs `test` on a runtime with one thread and paused time, within an hour of virtual time: see [`Simulation`].
///
/// # Panics
///
/// When the deadline passes, with what was pending, and where [`Simulation::run`] does.
pub fn simulate<F: Future>(test: F) -> F::Output {
    Simulation::new().run(test)
}

/// A runtime with one thread and paused time: the clock jumps to the next timer whenever nothing else can be done. So an
/// hour takes milliseconds, and the same test does the same things in the same order.
///
/// It is not for components with real sockets: time would pass while they wait for the network.
#[derive(Clone, Copy, Debug)]
pub struct Simulation {
    deadline: Duration,
}

impl Simulation {
    /// A simulation with an hour of virtual time.
    #[must_use]
    pub fn new() -> Self {
        Self { deadline: DEADLINE }
    }

    /// Sets how much virtual time the test may take.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs `test` to its end.
    ///
    /// # Panics
    ///
    /// When the deadline passes, with the state of every orchestrator that was [launched](launch) or [watched](watch); and
    /// inside of a tokio runtime.
    pub fn run<F: Future>(self, test: F) -> F::Output {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime with one thread needs nothing that can be missing");
        let _unwatched = Unwatched;
        runtime.block_on(async {
            match timeout(self.deadline, test).await {
                Ok(output) => output,
                Err(_) => panic!("{}", self.pending()),
            }
        })
    }

    /// What has not come to its end, in words.
    fn pending(self) -> String {
        let alive = runtime::Handle::current().metrics().num_alive_tasks();
        let mut text = format!(
            "the test is not over after {:?} of virtual time; {alive} tasks are alive",
            self.deadline
        );
        WATCHED.with_borrow_mut(|watched| {
            for it in watched {
                it.describe(&mut text);
            }
        });
        text
    }
}

impl Default for Simulation {
    fn default() -> Self {
        Self::new()
    }
}

/// Forgets what was watched, also when the test panics.
struct Unwatched;

impl Drop for Unwatched {
    fn drop(&mut self) {
        WATCHED.with_borrow_mut(Vec::clear);
    }
}

impl Watched {
    fn describe(&mut self, text: &mut String) {
        let status = self.status.get();
        // Writing to a string cannot fail, here and below.
        let _ = write!(text, "\nthe orchestrator is {}:", status.state.as_str());
        for state in ComponentState::ALL {
            if status.count(state) > 0 {
                let _ = write!(text, " {} {},", status.count(state), state.as_str());
            }
        }
        let Some(plan) = &self.plan else { return };
        let events = drain(&mut self.events);
        let shown = events.len().saturating_sub(SHOWN_EVENTS);
        text.push_str(" its last events:");
        for event in &events[shown..] {
            let _ = write!(text, "\n  {}", line(plan, event));
        }
    }
}

/// Has a simulation that runs out of time say how it stands with this orchestrator; [`launch`] does so by itself. Outside
/// of a simulation it does nothing useful.
pub fn watch(handle: &Handle) {
    let watched = Watched {
        plan: handle.plan(),
        status: handle.status(),
        events: handle.subscribe(),
    };
    WATCHED.with_borrow_mut(|it| it.push(watched));
}

/// An orchestrator of `registrations` that is driven, and not started yet.
///
/// # Panics
///
/// When the registrations are at fault, with every fault; and outside of a tokio runtime.
#[track_caller]
pub fn launch(registrations: impl IntoIterator<Item = Registration>) -> Handle {
    let mut builder = Orchestrator::builder();
    builder.registrations(registrations);
    let orchestrator = match builder.build() {
        Ok(orchestrator) => orchestrator,
        Err(faults) => panic!("{faults}"),
    };
    let handle = orchestrator.spawn();
    watch(&handle);
    handle
}

/// Lets `length` pass: whatever is due in between happens in its order, and has been taken in when this returns.
///
/// # Cancel safety
///
/// Safe.
pub async fn advance(length: Duration) {
    tokio::time::sleep(length).await;
    // Whoever was due at the same moment may come after us.
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
}

/// Waits until `component` is in `state`, also if it is in it for a moment only.
///
/// # Panics
///
/// When there is no such component, when 300 s have passed by tokio's clock, or when nobody drives the orchestrator; with
/// where the components stand.
///
/// # Cancel safety
///
/// Safe.
pub async fn until_state(handle: &Handle, component: &str, state: ComponentState) {
    let wanted = format!("\"{component}\" to be {}", state.as_str());
    let mut events = handle.subscribe();
    let reached = async {
        loop {
            let snapshot = snapshot(handle, &wanted).await;
            let Some(id) = snapshot.plan.find(component) else {
                panic!("there is no component \"{component}\"");
            };
            if snapshot.component(id).state == state {
                return;
            }
            if entered(&mut events, id, state, &wanted).await {
                return;
            }
        }
    };
    if timeout(PATIENCE, reached).await.is_err() {
        give_up(handle, &wanted).await;
    }
}

/// Whether `id` has entered `state`; if not, events were missed and a look is needed.
async fn entered(
    events: &mut Subscription,
    id: ComponentId,
    state: ComponentState,
    wanted: &str,
) -> bool {
    loop {
        let event = match events.next().await {
            Some(Notice::Event(event)) => event,
            Some(Notice::Missed(_)) => return false,
            None => panic!("waited for {wanted}, but the orchestrator's driver is gone"),
        };
        let EventKind::Transition { key, to, .. } = event.kind else {
            continue;
        };
        if key.component == id && to == state {
            return true;
        }
    }
}

/// Waits for the next event of `handle`'s orchestrator for which `is_wanted` holds, from now on; nothing before counts, and
/// what a test that is much too slow has missed is passed over.
///
/// # Panics
///
/// When 300 s have passed by tokio's clock, or when nobody drives the orchestrator; with where the components stand.
///
/// # Cancel safety
///
/// Safe.
pub async fn until_event(handle: &Handle, is_wanted: impl Fn(&Event) -> bool) -> Event {
    let mut events = handle.subscribe();
    let found = async {
        loop {
            match events.next().await {
                Some(Notice::Event(event)) if is_wanted(&event) => return event,
                Some(Notice::Event(_) | Notice::Missed(_)) => {}
                None => panic!("waited for an event, but the orchestrator's driver is gone"),
            }
        }
    };
    match timeout(PATIENCE, found).await {
        Ok(event) => event,
        Err(_) => give_up(handle, "an event").await,
    }
}

async fn snapshot(handle: &Handle, wanted: &str) -> Snapshot {
    match handle.snapshot().await {
        Ok(snapshot) => snapshot,
        Err(gone) => panic!("waited for {wanted}, but {gone}"),
    }
}

async fn give_up(handle: &Handle, wanted: &str) -> ! {
    let snapshot = snapshot(handle, wanted).await;
    panic!(
        "waited {PATIENCE:?} for {wanted}; the orchestrator is {}{}",
        snapshot.state.as_str(),
        rows(&snapshot)
    );
}

/// A line for each component.
fn rows(snapshot: &Snapshot) -> String {
    let ids = snapshot.plan.order().iter();
    ids.map(|id| row(snapshot, *id, snapshot.component(*id)))
        .collect()
}

fn row(snapshot: &Snapshot, id: ComponentId, row: &ComponentRow) -> String {
    let mut text = format!(
        "\n  - \"{}\" is {} ({}), generation {}, attempt {}",
        snapshot.name(id),
        row.state.as_str(),
        row.reason.as_str(),
        row.generation,
        row.attempt
    );
    for awaited in snapshot.awaited(id) {
        let name = snapshot.name(awaited.component);
        let _ = write!(text, ", waits for \"{name}\"");
    }
    if let Some(failure) = &row.failure {
        let _ = write!(text, ": {failure}");
    }
    text
}
