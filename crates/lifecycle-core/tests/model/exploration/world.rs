//! The engine and its environment, and what a step does.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use lifecycle_core::engine::{
    AttemptKey, Call, Command, Engine, Input, Intent, NodeCommand, Operation, OrchestratorState,
    StopMode,
};
use lifecycle_core::{ComponentId, Failure, GateId, Nanos, Time};

use super::case::{Budget, Case, GATE_MARGIN};
use super::oracle::{Ask, Oracle};
use super::step::{Ending, Step};

/// After how many deadlines everything must be answered when nobody outside ever answers anything again.
const MOST_DEADLINES: usize = 64;

/// After how many answers and deadlines nothing moves any more when everything goes well.
const MOST_TURNS: usize = 256;

/// The engine, its environment and the oracle, at one moment.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(super) engine: Engine,
    now: Time,
    pub(super) pending: Vec<Pending>,
    pub(super) budget: Budget,
    pub(super) oracle: Oracle,
    /// The invariant that the last step broke.
    pub(super) broken: Option<&'static str>,
    /// The process was told to end.
    pub(super) halted: bool,
}

/// Something that the engine waits for, or has stopped waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pending {
    pub(super) what: Awaited,
    key: AttemptKey,
    /// It was asked to end.
    cancelled: bool,
    /// It was told to vanish.
    aborted: bool,
    /// Nobody waits for it any more.
    pub(super) abandoned: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Awaited {
    Call(Call),
    Scope,
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.engine.fingerprint(self.now, state);
        (&self.pending, &self.budget, &self.oracle).hash(state);
        (self.broken, self.halted).hash(state);
    }
}

impl Hash for Pending {
    /// Which generation it belongs to makes no difference: the engine waits for it, or it does not.
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.what, self.key.component).hash(state);
        (self.cancelled, self.aborted, self.abandoned).hash(state);
    }
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        fingerprint(self) == fingerprint(other)
    }
}

pub(super) fn fingerprint(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}

impl World {
    pub(super) fn of(case: &Case) -> Self {
        let plan = case.plan();
        Self {
            oracle: Oracle::of(plan.len()),
            engine: Engine::new(plan),
            now: Time::ZERO,
            pending: Vec::new(),
            budget: case.row().budget,
            broken: None,
            halted: false,
        }
    }

    /// Everything runs, and nothing has happened.
    pub(super) fn up(case: &Case) -> Self {
        let mut world = Self::of(case);
        let budget = world.budget;
        (world.budget.starts, world.budget.opens) = (1, 1);
        world.take(case, Step::Open);
        world.take(case, Step::Start);
        while !world.pending.is_empty() {
            world.take(case, Step::Ends(0, Ending::Well));
        }
        world.budget = budget;
        world
    }

    /// The state in words: what is broken, what is awaited, and what the oracle knows.
    pub(super) fn in_words(&self, case: &Case) -> String {
        let end = match self.broken {
            Some(_) => self.clone(),
            None if self.recovers(case) => self.run_silently(case),
            None => self.run_well(case),
        };
        let snapshot = end.engine.snapshot(end.now);
        let rows: Vec<_> = snapshot
            .components
            .iter()
            .map(|it| (it.state, it.reason, it.held, it.final_failure))
            .collect();
        format!(
            "{:?}\n{:?}: {rows:?}\n{:?}\n{:?}",
            end.broken, snapshot.state, end.pending, end.oracle
        )
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(
            self.engine.state(),
            OrchestratorState::Created | OrchestratorState::Stopped
        )
    }

    /// What `step` leads to. A panic of the engine is one more fault, so that it comes with its path.
    pub(super) fn after(&self, case: &Case, step: Step) -> Self {
        let attempt = catch_unwind(AssertUnwindSafe(|| {
            let mut next = self.clone();
            next.take(case, step);
            next
        }));
        attempt.unwrap_or_else(|_| {
            let mut broken = self.clone();
            broken.judge(Err("the engine panics"));
            broken
        })
    }

    fn take(&mut self, case: &Case, step: Step) {
        self.spend(step);
        match step {
            Step::Start => {
                let request = self.oracle.ask(Ask::Start);
                self.input(Input::StartRequested { request });
            }
            Step::CancelStart => {
                self.oracle.stopping = true;
                if let Some(request) = self.oracle.last_start {
                    self.input(Input::StartCancelled { request });
                }
            }
            Step::Stop => self.request_stop(StopMode::Graceful),
            Step::Force => self.request_stop(StopMode::Force),
            Step::Ends(index, ending) => {
                let pending = self.pending.remove(index);
                self.budget.late -= u8::from(pending.abandoned);
                self.answer(case, pending, ending);
            }
            Step::Loses(id) => self.lose(case, id),
            Step::Operate(component, operation) => {
                let request = self.oracle.ask(Ask::Operation(component, operation));
                self.input(Input::OperationRequested {
                    request,
                    component,
                    operation,
                    forced: true,
                    intent: Intent::default(),
                });
            }
            Step::Open => self.open_gate(None),
            Step::OpenForNow => self.open_gate(Some(self.now + GATE_MARGIN.saturating_mul(2))),
            Step::Close => {
                if let Some(gate) = self.gate() {
                    self.input(Input::GateClosed { gate });
                }
            }
            Step::Node(command) => {
                let request = self.oracle.ask(Ask::Node);
                self.input(Input::NodeRequested {
                    request,
                    command,
                    intent: Intent::default(),
                });
            }
            Step::Add => self.add(case),
            Step::Remove(component, cascade) => {
                let ask = Ask::Operation(component, Operation::Remove);
                let request = self.oracle.ask(ask);
                self.input(Input::RemoveRequested {
                    request,
                    component,
                    cascade,
                    intent: Intent::default(),
                });
            }
            Step::Deadline => {
                self.now = self.engine.poll_timeout().unwrap_or(self.now).max(self.now);
                self.engine.handle_timeout(self.now);
            }
            Step::Oversleep => {
                self.now = self.now + Nanos::from_secs(1_000);
                self.engine.handle_timeout(self.now);
            }
        }
        self.carry_out(case);
        self.check_rest();
    }

    fn spend(&mut self, step: Step) {
        let budget = &mut self.budget;
        let spent = match step {
            Step::Start => &mut budget.starts,
            Step::CancelStart => &mut budget.cancels,
            Step::Stop => &mut budget.stops,
            Step::Force => &mut budget.forces,
            Step::Loses(_) => &mut budget.losses,
            Step::Operate(_, Operation::Start) => &mut budget.operator_starts,
            Step::Operate(_, Operation::Stop) => &mut budget.operator_stops,
            Step::Operate(..) => &mut budget.operator_restarts,
            Step::Open | Step::OpenForNow => &mut budget.opens,
            Step::Close => &mut budget.closes,
            Step::Node(NodeCommand::Cancel) => &mut budget.drain_cancels,
            Step::Node(NodeCommand::Resume) => &mut budget.resumes,
            Step::Node(_) => &mut budget.drains,
            Step::Add => &mut budget.additions,
            Step::Remove(..) => &mut budget.removals,
            Step::Oversleep => &mut budget.oversleeps,
            Step::Ends(..) | Step::Deadline => return,
        };
        *spent -= 1;
    }

    fn input(&mut self, input: Input) {
        self.engine.handle(self.now, input);
    }

    fn request_stop(&mut self, mode: StopMode) {
        let request = self.oracle.ask(Ask::Stop);
        self.input(Input::StopRequested {
            request,
            mode,
            deadline: None,
        });
    }

    fn lose(&mut self, case: &Case, id: ComponentId) {
        let plan = Arc::clone(self.engine.plan());
        self.oracle.lose(&plan, case.row(), id);
        let row = self.engine.snapshot(self.now).component(id).clone();
        let key = AttemptKey {
            component: id,
            generation: row.generation,
            attempt: row.attempt,
        };
        let outcome = Err(Arc::new(Failure::lost()));
        self.input(Input::TaskEnded { key, outcome });
    }

    fn gate(&self) -> Option<GateId> {
        let plan = self.engine.plan();
        plan.ids().find_map(|id| plan.gate(id))
    }

    fn open_gate(&mut self, until: Option<Time>) {
        if let Some(gate) = self.gate() {
            self.input(Input::GateOpened { gate, until });
        }
    }

    fn add(&mut self, case: &Case) {
        let plan = self.engine.plan();
        let registration = case.registration(case.graph.components - 1);
        match plan.extended(registration) {
            Ok(extended) => {
                let component = extended.id;
                let request = self.oracle.ask(Ask::Operation(component, Operation::Add));
                self.input(Input::Added {
                    request,
                    plan: extended.plan,
                    component,
                });
            }
            // What it depends on was taken out.
            Err(_) => self.budget.additions = 0,
        }
    }

    fn answer(&mut self, case: &Case, pending: Pending, ending: Ending) {
        let key = pending.key;
        let Awaited::Call(call) = pending.what else {
            self.input(Input::ScopeClosed { key });
            return;
        };
        let well = ending == Ending::Well;
        let book = self.oracle.book(key.component);
        if !pending.abandoned {
            match call {
                Call::Start => book.stop_owed |= well,
                Call::Stop => book.stop_owed &= !well,
                Call::Dispose => book.up = false,
                Call::Drain | Call::Resume => {}
            }
            if !well || pending.aborted || pending.cancelled {
                self.oracle.fail(case.row(), key.component);
            }
        }
        if call == Call::Drain || (call == Call::Resume && (!well || pending.cancelled)) {
            self.oracle.end_drain(key.component);
        }
        let failure = || match (pending.aborted, case.row().panics) {
            (true, _) => Failure::lost(),
            (false, true) => Failure::panic("out of luck"),
            (false, false) => Failure::error("no luck"),
        };
        let outcome = if well {
            Ok(())
        } else {
            Err(Arc::new(failure()))
        };
        self.input(Input::CallEnded { call, key, outcome });
    }

    /// Carries out every command, and keeps book of what it means.
    fn carry_out(&mut self, case: &Case) {
        loop {
            while let Some(event) = self.engine.poll_event() {
                let noted = self.oracle.note(&event.kind, event.reason);
                self.judge(noted);
            }
            let Some(command) = self.engine.poll_command() else {
                break;
            };
            self.carry_out_one(case, &command);
        }
        self.pending.sort_unstable();
    }

    fn judge(&mut self, verdict: Result<(), &'static str>) {
        if let Err(broken) = verdict {
            self.broken.get_or_insert(broken);
        }
    }

    fn carry_out_one(&mut self, case: &Case, command: &Command) {
        match command {
            Command::Call { call, key, .. } => self.call(case, *call, *key),
            Command::Cancel { call, key } => {
                self.mark(Awaited::Call(*call), *key, |it| it.cancelled = true);
            }
            Command::Abort { call, key } => {
                self.mark(Awaited::Call(*call), *key, |it| it.aborted = true);
                if matches!(call, Call::Drain | Call::Resume) {
                    self.oracle.end_drain(key.component);
                }
            }
            Command::CloseScope { key } => self.close(case, *key),
            Command::AbortScope { key } => self.mark(Awaited::Scope, *key, |it| it.aborted = true),
            Command::Abandon { key } => self.abandon(*key),
            Command::Check { .. } | Command::AbortCheck { .. } | Command::Forget { .. } => {}
            Command::Halt { component } => {
                self.halted = true;
                if !self.oracle.is_out_of_reach(*component) {
                    self.judge(Err(
                        "rule 26: the process shall end, though the margin was long enough",
                    ));
                }
            }
            Command::Respond { request, response } => {
                let verdict = self.oracle.respond(*request, response);
                self.judge(verdict);
            }
        }
    }

    fn call(&mut self, case: &Case, call: Call, key: AttemptKey) {
        let id = key.component;
        let overlaps = self
            .pending
            .iter()
            .any(|it| it.key.component == id && !it.abandoned);
        if overlaps {
            self.judge(Err("two calls of one component overlap"));
        }
        let plan = Arc::clone(self.engine.plan());
        let oracle = &mut self.oracle;
        let verdict = match call {
            Call::Start => oracle.check_start(&plan, case.row(), key),
            Call::Stop => oracle.check_stop(&plan, id),
            Call::Dispose => oracle.check_dispose(id),
            Call::Drain => oracle.check_drain(&plan, case.row(), id),
            Call::Resume => {
                oracle.resume(id);
                Ok(())
            }
        };
        self.judge(verdict);
        let pending = Pending::of(Awaited::Call(call), key);
        if call == Call::Dispose && !case.row().slow_dispose {
            self.answer(case, pending, Ending::Well);
        } else {
            self.pending.push(pending);
        }
    }

    fn close(&mut self, case: &Case, key: AttemptKey) {
        if case.row().lingers == Some(key.component.index()) {
            self.pending.push(Pending::of(Awaited::Scope, key));
        } else {
            self.input(Input::ScopeClosed { key });
        }
    }

    fn mark(&mut self, what: Awaited, key: AttemptKey, mark: impl Fn(&mut Pending)) {
        let found = self
            .pending
            .iter_mut()
            .filter(|it| it.what == what && it.key == key);
        found.for_each(mark);
    }

    /// Nobody waits for anything of this component any more. It may still answer, late.
    fn abandon(&mut self, key: AttemptKey) {
        let of_component = |it: &&mut Pending| it.key.component == key.component;
        let mut disposing = false;
        for pending in self.pending.iter_mut().filter(of_component) {
            pending.abandoned = true;
            disposing |= pending.what == Awaited::Call(Call::Dispose);
        }
        self.oracle.abandon(key.component, disposing);
    }

    /// What must hold when everything has been carried out.
    fn check_rest(&mut self) {
        self.oracle.end_step();
        let start = Awaited::Call(Call::Start);
        let left = self
            .pending
            .iter()
            .any(|it| it.what == start && !it.cancelled && !it.abandoned);
        if self.oracle.stopping && left {
            self.judge(Err("invariant 8: a stop left a start in flight alone"));
        }
        if self.is_idle() {
            let verdict = self.oracle.check_idle();
            self.judge(verdict);
        }
        if !self.oracle.open.is_empty() && self.engine.poll_timeout().is_none() {
            self.judge(Err(
                "somebody waits for an answer, and no deadline is armed",
            ));
        }
    }

    /// Lets time pass without any answer from outside: everybody is answered all the same.
    pub(super) fn is_live(&self, case: &Case) -> bool {
        self.run_silently(case).broken.is_none()
    }

    /// The number of deadlines left is the ranking function.
    fn run_silently(&self, case: &Case) -> Self {
        let mut world = self.clone();
        for _ in 0..MOST_DEADLINES {
            if world.broken.is_some() || world.halted || world.oracle.open.is_empty() {
                return world;
            }
            world = world.after(case, Step::Deadline);
        }
        world.judge(Err("nobody answers, and somebody waits for ever"));
        world
    }

    /// Lets everything go well until nothing moves any more: then what is wanted runs.
    pub(super) fn recovers(&self, case: &Case) -> bool {
        self.run_well(case).broken.is_none()
    }

    fn run_well(&self, case: &Case) -> Self {
        let mut world = self.clone();
        for _ in 0..MOST_TURNS {
            let answerable = world.pending.iter().position(|it| !it.abandoned);
            let step = match answerable {
                Some(index) => Step::Ends(index, Ending::Well),
                None if world.engine.poll_timeout().is_some() => Step::Deadline,
                None => {
                    let snapshot = world.engine.snapshot(world.now);
                    let verdict = world.oracle.check_recovered(&snapshot);
                    world.judge(verdict);
                    return world;
                }
            };
            world = world.after(case, step);
            if world.broken.is_some() || world.halted {
                return world;
            }
        }
        world.judge(Err("all goes well, and it does not come to rest"));
        world
    }
}

impl Pending {
    fn of(what: Awaited, key: AttemptKey) -> Self {
        Self {
            what,
            key,
            cancelled: false,
            aborted: false,
            abandoned: false,
        }
    }
}
