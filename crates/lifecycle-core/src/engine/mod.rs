//! The orchestrator as a pure state machine: inputs and time in, commands and events out.
//!
//! It knows no runtime and no clock, so every rule of it is a test without either, a run can be replayed, and the
//! interleavings of the *real* machine can be explored. The executor is the only caller: after each input it takes all
//! commands, carries them out, and calls [`Engine::handle_timeout`] when [`Engine::poll_timeout`] says so.
//!
//! The engine decides rules 1–28 of the semantics; the invariants that it keeps are numbered in the architecture page
//! and cited where they are kept. Work per input is proportional to the edges of the components that change; only the
//! begin and the end of a start, a stop or a drain of the whole, and a change of the plan, look at every component
//! (invariant 15). Nothing here calls itself without end.
//!
//! Two ideas carry everything. *What goes down* is one set, whoever put a component into it: a stop of the whole, a loss, an
//! operator, a gate, a removal. A component of it takes its turn when no dependent of it is in the set any more. *What is
//! down* decides by what is wanted of it: it waits for its edges and starts again, or it stays where it is. Layers,
//! barriers, one queue a component and one plan a restart lost against that: a count of unmet edges and one of blockers
//! per component, and sets of those that may go next, ordered by plan.

mod attempt;
mod change;
mod descent;
mod drain;
mod ending;
mod gates;
mod health;
mod limit;
mod message;
mod node;
mod operate;
mod operation;
mod ranks;
mod rehearsal;
mod report;
mod shutdown;
mod slot;
mod snapshot;
mod startup;
mod state;
mod stop;
mod supervision;
mod timeline;
mod timers;
mod why;

pub use message::{
    AttemptKey, AwaitedStop, Call, CallOutcome, Cascade, Command, Event, EventKind, Input, Limit,
    Reason, RequestId, Response, StopMode, Verdict,
};
pub use node::{NodeCommand, NodeEffect, NodeError, NodeReport, NodeSnapshot};
pub use operation::{Intent, Operation, OperationError, OperationReport};
pub use rehearsal::{Move, Rehearsal};
pub use report::{
    Degradation, Hang, StartError, StartReport, StopError, StopOutcome, StopReport, StopTrouble,
};
pub use snapshot::{Awaited, ComponentRow, Restarts, Snapshot};
pub use state::{ComponentState, DrainState, Health, OrchestratorState};
pub use timeline::{Bar, Span, Step, Timeline, Way};
pub use why::Why;

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::failure::Failure;
use crate::plan::{ComponentId, Plan};
use crate::registration::Criticality;
use crate::time::Time;

use drain::Drain;
use gates::GateState;
use node::Node;
use ranks::RankSet;
use shutdown::Shutdown;
use slot::{Phase, Slot, Wanted, Whole};
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
    /// Components that go down and whose turn has come, by rank.
    stoppable: RankSet,
    /// Components all of whose dependents are drained, by rank; in a drain only.
    drainable: RankSet,
    timers: Timers,
    commands: VecDeque<Command>,
    events: VecDeque<Event>,
    startup: Option<Startup>,
    shutdown: Option<Shutdown>,
    node: Node,
    drain: Option<Drain>,
    gates: Vec<GateState>,
    /// Essential components that keep the host from being ready.
    unready: usize,
    /// Components that run without a hard dependency.
    impaired: usize,
    /// Components that shall be taken out and of which nothing is left.
    removed: Vec<ComponentId>,
}

impl Engine {
    /// An orchestrator of `plan` that was never started.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Self {
        let count = plan.capacity();
        let mut engine = Self {
            state: OrchestratorState::Created,
            since: Time::ZERO,
            reason: Reason::Initial,
            run: 0,
            sequence: 0,
            slots: vec![Slot::default(); count],
            startable: RankSet::below(count),
            stoppable: RankSet::below(count),
            drainable: RankSet::below(count),
            timers: Timers::of(count),
            commands: VecDeque::new(),
            events: VecDeque::new(),
            startup: None,
            shutdown: None,
            node: Node::default(),
            drain: None,
            gates: vec![GateState::default(); plan.gate_count()],
            unready: 0,
            impaired: 0,
            removed: Vec::new(),
            plan,
        };
        let plan = Arc::clone(&engine.plan);
        for &id in plan.order() {
            engine.count_gates(id);
            engine.update_readiness(id);
        }
        engine
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
            Input::OperationRequested {
                request,
                component,
                operation,
                forced,
                intent,
            } => self.request_operation(now, request, component, operation, forced, intent),
            Input::NodeRequested {
                request,
                command,
                intent,
            } => self.request_of_node(now, request, command, intent),
            Input::GateOpened { gate, until } => self.open_gate(now, gate, until),
            Input::GateClosed { gate } => self.close_gate(now, gate),
            Input::Added {
                request,
                plan,
                component,
            } => self.add(now, request, plan, component),
            Input::RemoveRequested {
                request,
                component,
                cascade,
                intent,
            } => self.request_removal(now, request, component, cascade, intent),
            Input::CallEnded { call, key, outcome } if self.plan.contains(key.component) => {
                self.end_call(now, call, key, outcome);
            }
            Input::ScopeClosed { key } if self.plan.contains(key.component) => {
                self.end_scope(now, key);
            }
            Input::TaskEnded { key, outcome } if self.plan.contains(key.component) => {
                self.end_task(now, key, outcome);
            }
            Input::Reported { key, report } if self.plan.contains(key.component) => {
                self.take_report(now, key, report);
            }
            Input::Checked {
                key,
                check,
                outcome,
            } if self.plan.contains(key.component) => self.end_check(now, key, check, outcome),
            // Of a component that was removed.
            Input::CallEnded { .. }
            | Input::ScopeClosed { .. }
            | Input::TaskEnded { .. }
            | Input::Reported { .. }
            | Input::Checked { .. } => {}
        }
        self.advance(now);
    }

    fn end_call(&mut self, now: Time, call: Call, key: AttemptKey, outcome: CallOutcome) {
        match call {
            Call::Start => self.end_start_call(now, key, outcome),
            Call::Stop => self.end_stop_call(now, key, outcome),
            Call::Dispose => self.end_dispose_call(now, key, outcome),
            Call::Drain | Call::Resume => self.end_node_call(now, call, key, outcome),
        }
    }

    /// Takes in that it is `now`: the moment that [`poll_timeout`](Self::poll_timeout) named has come.
    ///
    /// Too early is harmless.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some(index) = self.timers.pop_due(now) {
            if let Some(id) = self.plan.at(index) {
                self.end_deadline(now, id);
            }
        }
        self.check_gates(now);
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
        let gate = self.next_gate_deadline();
        component.into_iter().chain(shutdown).chain(gate).min()
    }

    /// The plan; another one after a component was added or removed.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The state of the orchestrator.
    #[must_use]
    pub fn state(&self) -> OrchestratorState {
        self.state
    }

    /// Whether a run is under way and no stop of it has begun.
    fn is_running(&self) -> bool {
        matches!(
            self.state,
            OrchestratorState::Starting | OrchestratorState::Running
        )
    }

    /// Whether the host is ready: the orchestrator runs, the node is neither cordoned nor drained, and every essential
    /// component without a closed gate runs and is not unhealthy (semantics 28). Takes O(1).
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state == OrchestratorState::Running
            && !self.node.cordoned
            && self.node.drain == DrainState::Active
            && self.unready == 0
    }

    /// A consistent copy of everything at `now`, in time linear in the components.
    #[must_use]
    pub fn snapshot(&self, now: Time) -> Snapshot {
        let rows = (0..self.plan.capacity()).map(|index| {
            let id = self.plan.at(index);
            id.map_or_else(ComponentRow::default, |id| self.row(id))
        });
        Snapshot {
            plan: Arc::clone(&self.plan),
            at: now,
            run: self.run,
            sequence: self.sequence,
            state: self.state,
            since: self.since,
            reason: self.reason,
            stop_deadline: self.shutdown.as_ref().map(|it| it.deadline),
            node: self.node_snapshot(),
            ready: self.is_ready(),
            components: rows.collect(),
        }
    }

    fn row(&self, id: ComponentId) -> ComponentRow {
        let slot = &self.slots[id.index()];
        let backs_off = matches!(
            slot.phase,
            Phase::BackingOff | Phase::StopBackingOff | Phase::Restarting
        );
        let extra = slot.extra.as_deref();
        ComponentRow {
            state: slot.state,
            since: slot.since,
            reason: slot.reason,
            generation: slot.generation,
            attempt: slot.shown_attempt(),
            retry_at: backs_off.then(|| self.timers.due(id)),
            restarting: slot.phase == Phase::Restarting,
            cause: slot.cause,
            failure: slot.failure.clone(),
            health: slot.health,
            degraded: extra.and_then(|it| it.degraded.clone()),
            check_failure: extra.and_then(|it| it.check_failure.clone()),
            progress: extra.and_then(|it| it.progress.clone()),
            in_flight: extra.and_then(|it| it.in_flight),
            drain: slot.drain,
            drain_failure: extra.and_then(|it| it.drain_failure.clone()),
            held: slot.wanted == Wanted::Held,
            final_failure: slot.wanted == Wanted::Failed,
            gated: slot.gates_closed > 0,
            gate_closed: self.is_gate_closed(id),
            leaving: slot.leaving,
            down: slot.phase.is_down() && !slot.is_unconfirmed(),
            passed: slot.released,
            restarts: extra.map_or_else(Restarts::default, |it| it.restarts),
            charges: extra.map_or(0, |it| u32::try_from(it.charges.len()).unwrap_or(u32::MAX)),
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
            is_draining: self.drain.is_some(),
        };
        for id in self.plan.ids() {
            let due = self.timers.due(id);
            self.slots[id.index()].fingerprint(now, due, whole, state);
        }
        (&self.startable, &self.stoppable, &self.drainable).hash(state);
        self.startup.hash(state);
        (self.node.cordoned, self.node.drain, self.node.resumed).hash(state);
        if let Some(drain) = &self.drain {
            drain.fingerprint(now, state);
        }
        for gate in &self.gates {
            gate.fingerprint(now, state);
        }
        if let Some(shutdown) = &self.shutdown {
            shutdown.fingerprint(now, state);
        }
    }

    /// Issues every call that may go now: the only place that does, so that its order is the plan's (invariant 2).
    fn advance(&mut self, now: Time) {
        loop {
            // With the end of its drain everything goes down, in one order with what goes down anyway.
            if self.is_draining_for_stop() {
                self.advance_drain(now);
            }
            // A component that goes down in its turn may free another, which is always one of lower rank.
            while let Some(rank) = self.stoppable.pop_last() {
                self.take_stop_turn(now, self.plan.order()[rank]);
            }
            self.advance_drain(now);
            // What is down may be stopped before anything is started.
            if !self.stoppable.is_empty() {
                continue;
            }
            while let Some(rank) = self.startable.pop_first() {
                self.begin_attempt(now, self.plan.order()[rank]);
            }
            // A start that failed just now may have begun a rollback.
            let idle = self.stoppable.is_empty() && self.drainable.is_empty();
            if idle && self.startable.is_empty() {
                break;
            }
        }
        self.finish_startup_if_settled(now);
        self.finish_shutdown_if_down(now);
        self.take_out_removed(now);
    }

    fn advance_drain(&mut self, now: Time) {
        while let Some(rank) = self.drainable.pop_last() {
            self.take_drain_turn(now, self.plan.order()[rank]);
        }
        self.finish_drain_if_done(now);
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
        self.update_readiness(id);
        let kind = EventKind::Transition {
            key,
            from: previous,
            to: next,
            lasted,
            failure,
        };
        self.emit(now, reason, cause, kind);
    }

    /// Counts `id` among what keeps the host from being ready, or not any more.
    fn update_readiness(&mut self, id: ComponentId) {
        if self.plan.criticality(id) != Criticality::Essential {
            return;
        }
        let slot = &mut self.slots[id.index()];
        let well = slot.state == ComponentState::Running && slot.health != Health::Unhealthy;
        let unready = slot.gates_closed == 0 && !well;
        if unready == slot.unready {
            return;
        }
        slot.unready = unready;
        if unready {
            self.unready += 1;
        } else {
            self.unready -= 1;
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
