//! The orchestrator as a pure state machine: inputs and time in, commands and events out.
//!
//! It knows no runtime and no clock, so every rule of it is a test without either, a run can be replayed, and the
//! interleavings of the *real* machine can be explored. The executor is the only caller: after each input it takes all
//! commands, carries them out, and calls [`Engine::handle_timeout`] when [`Engine::poll_timeout`] says so.
//!
//! The engine decides rules 1–20 of the semantics; the invariants that it keeps are numbered in the architecture page
//! and cited where they are kept. Work per input is proportional to the edges of the components that change; only the
//! begin and the end of a start or a stop look at every component (invariant 15). Nothing here calls itself.
//!
//! Layers, barriers and one queue per component lost against what is here: a count of unmet edges per component, and a
//! set of those that may go next, ordered by plan.

mod attempt;
mod ending;
mod limit;
mod message;
mod ranks;
mod report;
mod shutdown;
mod slot;
mod snapshot;
mod startup;
mod state;
mod stop;
mod timers;

pub use message::{
    AttemptKey, Call, CallOutcome, Command, Event, EventKind, Input, Limit, Reason, RequestId,
    Response, StopMode,
};
pub use report::{
    Degradation, StartError, StartReport, StopError, StopOutcome, StopReport, StopTrouble,
};
pub use snapshot::{Awaited, ComponentRow, Snapshot};
pub use state::{ComponentState, OrchestratorState};

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::failure::Failure;
use crate::plan::{ComponentId, Plan};
use crate::registration::Criticality;
use crate::time::Time;

use ranks::RankSet;
use shutdown::Shutdown;
use slot::{Phase, Slot, Whole};
use startup::Startup;
use timers::Timers;

/// The orchestrator's decisions.
///
/// ```
/// use lifecycle_core::engine::{Command, Engine, Input, RequestId};
/// use lifecycle_core::{component, Defaults, Plan, Registration, Time};
///
/// let pool = component::from_fn(async |_| Ok(()), async |_| Ok(()));
/// let compiled = Plan::compile(vec![Registration::new("pool", pool)], Defaults::default())?;
/// let mut engine = Engine::new(compiled.plan);
/// engine.handle(Time::ZERO, Input::StartRequested { request: RequestId(1) });
/// assert!(matches!(engine.poll_command(), Some(Command::Call { .. })));
/// # Ok::<(), lifecycle_core::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Engine {
    plan: Arc<Plan>,
    state: OrchestratorState,
    since: Time,
    reason: Reason,
    run: u64,
    sequence: u64,
    slots: Vec<Slot>,
    /// Components whose next start attempt may be issued, by rank.
    startable: RankSet,
    /// Components all of whose dependents are down, by rank; in a stop only.
    stoppable: RankSet,
    timers: Timers,
    commands: VecDeque<Command>,
    events: VecDeque<Event>,
    startup: Option<Startup>,
    shutdown: Option<Shutdown>,
    /// Essential components that do not run.
    essential_down: usize,
}

impl Engine {
    /// An orchestrator of `plan` that was never started.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Self {
        let count = plan.capacity();
        let essential = plan
            .ids()
            .filter(|id| plan.criticality(*id) == Criticality::Essential)
            .count();
        Self {
            state: OrchestratorState::Created,
            since: Time::ZERO,
            reason: Reason::Initial,
            run: 0,
            sequence: 0,
            slots: vec![Slot::default(); count],
            startable: RankSet::below(count),
            stoppable: RankSet::below(count),
            timers: Timers::of(count),
            commands: VecDeque::new(),
            events: VecDeque::new(),
            startup: None,
            shutdown: None,
            essential_down: essential,
            plan,
        }
    }

    /// Takes in what happened at `now`.
    ///
    /// An answer that no longer matches what the engine waits for is ignored (invariant 11).
    pub fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::StartRequested { request } => self.request_start(now, request),
            Input::StartCancelled { request } => self.cancel_startup(now, request),
            Input::StopRequested {
                request,
                mode,
                deadline,
            } => self.request_stop(now, request, mode, deadline),
            Input::CallEnded { call, key, outcome } => match call {
                Call::Start => self.end_start_call(now, key, outcome),
                Call::Stop => self.end_stop_call(now, key, outcome),
                Call::Dispose => self.end_dispose_call(now, key, outcome),
            },
            Input::ScopeClosed { key } => self.end_scope(now, key),
            Input::TaskEnded { key, outcome } => self.end_task(now, key, outcome),
        }
        self.advance(now);
    }

    /// Takes in that it is `now`: the moment that [`poll_timeout`](Self::poll_timeout) named has come.
    ///
    /// Too early is harmless.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some(id) = self.timers.pop_due(now) {
            self.end_deadline(now, id);
        }
        self.check_shutdown_deadline(now);
        self.advance(now);
    }

    /// The next thing that the shell shall do.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// The next thing that has happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest, if nothing else happens before.
    pub fn poll_timeout(&mut self) -> Option<Time> {
        let component = self.timers.next();
        let shutdown = self.shutdown.as_ref().map(Shutdown::next_deadline);
        component.into_iter().chain(shutdown).min()
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The state of the orchestrator.
    #[must_use]
    pub fn state(&self) -> OrchestratorState {
        self.state
    }

    /// Whether the orchestrator and every essential component run; takes O(1).
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state == OrchestratorState::Running && self.essential_down == 0
    }

    /// A consistent copy of everything at `now`, in time linear in the components.
    #[must_use]
    pub fn snapshot(&self, now: Time) -> Snapshot {
        Snapshot {
            plan: Arc::clone(&self.plan),
            at: now,
            run: self.run,
            sequence: self.sequence,
            state: self.state,
            since: self.since,
            reason: self.reason,
            stop_deadline: self.shutdown.as_ref().map(|it| it.deadline),
            components: self.plan.ids().map(|id| self.row(id)).collect(),
        }
    }

    fn row(&self, id: ComponentId) -> ComponentRow {
        let slot = &self.slots[id.index()];
        let backs_off = matches!(slot.phase, Phase::BackingOff | Phase::StopBackingOff);
        ComponentRow {
            state: slot.state,
            since: slot.since,
            reason: slot.reason,
            generation: slot.generation,
            attempt: slot.shown_attempt(),
            retry_at: backs_off.then(|| self.timers.due(id)),
            cause: slot.cause,
            failure: slot.failure.clone(),
            waited: slot.waited,
            worked: slot.worked,
            backed_off: slot.backed_off,
        }
    }

    /// Hashes everything that decides over the future, with times relative to `now` and without history.
    ///
    /// Two engines with equal fingerprints behave alike from here on; for model checkers.
    pub fn fingerprint<H: Hasher>(&self, now: Time, state: &mut H) {
        self.state.hash(state);
        let whole = Whole {
            is_starting: self.startup.is_some(),
            is_stopping: self.shutdown.is_some(),
        };
        for (id, slot) in self.plan.ids().zip(&self.slots) {
            slot.fingerprint(now, self.timers.due(id), whole, state);
        }
        (&self.startable, &self.stoppable).hash(state);
        self.startup.hash(state);
        if let Some(shutdown) = &self.shutdown {
            shutdown.fingerprint(now, state);
        }
    }

    /// Issues every call that may go now: the only place that does, so that its order is the plan's (invariant 2).
    fn advance(&mut self, now: Time) {
        // A component that goes down in its turn may free another, which is always one of lower rank.
        while let Some(rank) = self.stoppable.pop_last() {
            self.take_stop_turn(now, self.plan.order()[rank]);
        }
        while let Some(rank) = self.startable.pop_first() {
            self.begin_attempt(now, self.plan.order()[rank]);
        }
        // A start that failed just now may have begun a rollback.
        while let Some(rank) = self.stoppable.pop_last() {
            self.take_stop_turn(now, self.plan.order()[rank]);
        }
        self.finish_startup_if_settled(now);
        self.finish_shutdown_if_down(now);
    }

    /// The one place where a component's state changes. Keeps invariant 14.
    fn enter(&mut self, now: Time, id: ComponentId, next: ComponentState, reason: Reason) {
        let slot = &mut self.slots[id.index()];
        let previous = slot.state;
        slot.reason = reason;
        if previous == next {
            return;
        }
        debug_assert!(
            previous.may_become(next),
            "{id:?}: {previous:?} -> {next:?}"
        );
        let lasted = now - slot.since;
        match previous {
            ComponentState::Waiting => slot.waited = slot.waited.saturating_add(lasted),
            ComponentState::Starting | ComponentState::Stopping => {
                slot.worked = slot.worked.saturating_add(lasted);
            }
            ComponentState::BackingOff => slot.backed_off = slot.backed_off.saturating_add(lasted),
            ComponentState::Created
            | ComponentState::Running
            | ComponentState::Stopped
            | ComponentState::Faulted => {}
        }
        slot.state = next;
        slot.since = now;
        let key = slot.shown_key(id);
        let cause = slot.cause;
        let failure = slot.failure.clone();
        self.count_essential(id, previous, next);
        let kind = EventKind::Transition {
            key,
            from: previous,
            to: next,
            lasted,
            failure,
        };
        self.emit(now, reason, cause, kind);
    }

    fn count_essential(&mut self, id: ComponentId, previous: ComponentState, next: ComponentState) {
        if self.plan.criticality(id) != Criticality::Essential {
            return;
        }
        if next == ComponentState::Running {
            self.essential_down -= 1;
        } else if previous == ComponentState::Running {
            self.essential_down += 1;
        }
    }

    /// The one place where the orchestrator's state changes.
    fn enter_orchestrator(
        &mut self,
        now: Time,
        next: OrchestratorState,
        reason: Reason,
        root: Option<Root>,
    ) {
        let from = std::mem::replace(&mut self.state, next);
        self.since = now;
        self.reason = reason;
        let (cause, failure) =
            root.map_or((None, None), |it| (Some(it.component), Some(it.failure)));
        let kind = EventKind::Orchestrator {
            from,
            to: next,
            failure,
        };
        self.emit(now, reason, cause, kind);
    }

    fn emit(&mut self, now: Time, reason: Reason, cause: Option<ComponentId>, kind: EventKind) {
        self.sequence += 1;
        self.events.push_back(Event {
            run: self.run,
            sequence: self.sequence,
            at: now,
            reason,
            cause,
            kind,
        });
    }

    fn respond(&mut self, request: RequestId, response: Response) {
        self.commands
            .push_back(Command::Respond { request, response });
    }
}

/// The component and the failure at the root of something bigger.
#[derive(Clone, Debug)]
struct Root {
    component: ComponentId,
    failure: Arc<Failure>,
}
