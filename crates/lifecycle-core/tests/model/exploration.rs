//! Every interleaving of a small orchestrator and its environment, explored on the real engine.
//!
//! The environment answers calls in any order, well or badly, late or never; loses tasks while everything stops; requests
//! start, stop, force and cancel at any point; and lets time jump to the next deadline. An oracle that knows nothing of the engine's
//! inside keeps book of what was called and answered, and says which invariant a command breaks.
//!
//! Bounds: at most two attempts a phase, one loss a component, one of each command (two starts, so that what a stop
//! left can be started again). The fingerprint leaves out history, sequence numbers and absolute times.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use lifecycle_core::engine::{
    AttemptKey, Call, Command, ComponentState, Engine, EventKind, Input, OrchestratorState, Reason,
    RequestId, StopMode,
};
use lifecycle_core::{
    Backoff, BoxError, ComponentId, Criticality, Defaults, Dependency, EdgeKind, Failure,
    Lifecycle, Nanos, OnLoss, Plan, Registration, Restart, Retry, StartContext, StopContext, Time,
    component,
};
use stateright::{Checker as _, Model, Property};

/// After how many deadlines everything must be answered when nobody outside ever answers anything again.
const MOST_DEADLINES: usize = 64;

/// How often the liveness of a state is tried out: once in this many states.
const LIVENESS_SAMPLE: u64 = 8;

/// One graph with one row of policies.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) graph: GraphCode,
    pub(crate) row: usize,
}

/// A naturally ordered graph: for each pair of components the edge from the later to the earlier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GraphCode {
    pub(crate) components: usize,
    edges: Vec<Option<EdgeKind>>,
}

impl GraphCode {
    /// All graphs of `components`: three to the power of the number of pairs.
    pub(crate) fn all(components: usize) -> impl Iterator<Item = Self> {
        let pairs = components * (components - 1) / 2;
        let count = 3_usize.pow(u32::try_from(pairs).expect("graphs are small"));
        (0..count).map(move |mut code| {
            let edges = (0..pairs).map(|_| {
                let kind = [None, Some(EdgeKind::Hard), Some(EdgeKind::Soft)][code % 3];
                code /= 3;
                kind
            });
            Self {
                components,
                edges: edges.collect(),
            }
        })
    }

    fn edge(&self, dependent: usize, dependency: usize) -> Option<EdgeKind> {
        self.edges[dependent * (dependent - 1) / 2 + dependency]
    }
}

impl fmt::Display for GraphCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |it: &Option<EdgeKind>| it.map_or("-", |kind| &kind.as_str()[..1]);
        self.edges.iter().try_for_each(|it| f.write_str(letter(it)))
    }
}

/// One row of the covering array: what each component is like, and how long things take.
#[derive(Clone, Copy, Debug)]
struct Row {
    criticality: [Criticality; 4],
    /// Whether start and stop are tried twice.
    retries: bool,
    /// Whether every attempt gets a fresh value.
    fresh: bool,
    /// Whether errors are panics.
    panics: bool,
    /// Which component leaves tasks that must be waited for, if any.
    lingers: Option<usize>,
    /// Whether dispose has to be waited for.
    slow_dispose: bool,
    /// Whether edges hold their dependency up.
    holds: bool,
    profile: Profile,
    /// What the environment may do of its own accord in the quick run.
    budget: Budget,
}

/// How the limits lie to each other.
#[derive(Clone, Copy, Debug)]
enum Profile {
    /// The built-in limits.
    Defaults,
    /// The shutdown ends before any attempt does.
    TightShutdown,
    /// Attempts end long before everything else.
    ShortAttempts,
}

use Criticality::{Degradable, Essential, Optional};

const PLAIN: Row = Row {
    criticality: [Essential; 4],
    retries: false,
    fresh: false,
    panics: false,
    lingers: None,
    slow_dispose: false,
    holds: false,
    profile: Profile::Defaults,
    budget: Budget {
        starts: 2,
        stops: 1,
        ..Budget::NONE
    },
};

/// Rows in which every value meets the others' where they matter; the module's doc says what all rows share.
const ROWS: [Row; 8] = [
    PLAIN,
    Row {
        criticality: [Degradable, Essential, Optional, Essential],
        retries: true,
        profile: Profile::ShortAttempts,
        budget: Budget {
            starts: 1,
            stops: 1,
            losses: 1,
            ..Budget::NONE
        },
        ..PLAIN
    },
    Row {
        criticality: [Optional, Degradable, Essential, Degradable],
        fresh: true,
        panics: true,
        slow_dispose: true,
        profile: Profile::TightShutdown,
        budget: Budget {
            starts: 1,
            cancels: 1,
            stops: 1,
            ..Budget::NONE
        },
        ..PLAIN
    },
    Row {
        criticality: [Degradable; 4],
        lingers: Some(1),
        holds: true,
        profile: Profile::TightShutdown,
        budget: Budget {
            starts: 1,
            stops: 1,
            forces: 1,
            late: 1,
            ..Budget::NONE
        },
        ..PLAIN
    },
    Row {
        criticality: [Essential, Optional, Degradable, Optional],
        retries: true,
        fresh: true,
        panics: true,
        holds: true,
        profile: Profile::TightShutdown,
        budget: Budget {
            starts: 1,
            forces: 1,
            ..Budget::NONE
        },
        ..PLAIN
    },
    Row {
        criticality: [Essential, Degradable, Degradable, Essential],
        lingers: Some(0),
        slow_dispose: true,
        profile: Profile::ShortAttempts,
        budget: Budget {
            starts: 1,
            stops: 1,
            losses: 1,
            ..Budget::NONE
        },
        ..PLAIN
    },
    Row {
        criticality: [Degradable, Essential, Essential, Essential],
        holds: true,
        budget: Budget {
            starts: 1,
            stops: 2,
            forces: 1,
            ..Budget::NONE
        },
        ..PLAIN
    },
    Row {
        criticality: [Essential, Degradable, Essential, Essential],
        retries: true,
        budget: Budget {
            starts: 1,
            stops: 1,
            forces: 1,
            oversleeps: 1,
            ..Budget::NONE
        },
        ..PLAIN
    },
];

impl Case {
    /// Every graph of `components`, each with every row.
    pub(crate) fn all(components: usize) -> impl Iterator<Item = Self> {
        GraphCode::all(components).flat_map(|graph| {
            (0..ROWS.len()).map(move |row| Self {
                graph: graph.clone(),
                row,
            })
        })
    }

    fn plan(&self) -> Arc<Plan> {
        let registrations = (0..self.graph.components).map(|it| self.registration(it));
        let compiled = Plan::compile(registrations.collect(), self.defaults());
        compiled
            .expect("naturally ordered graphs have no cycles")
            .plan
    }

    fn registration(&self, index: usize) -> Registration {
        let row = ROWS[self.row];
        let component = if row.fresh {
            component::factory(|| Nothing)
        } else {
            Nothing.into()
        };
        let edges = (0..index).filter_map(|dependency| {
            let kind = self.graph.edge(index, dependency)?;
            Some(Dependency {
                name: name_of(dependency),
                kind,
                on_loss: OnLoss::Follows,
                hold: row.holds,
            })
        });
        Registration::new(name_of(index), component)
            .dependencies(edges)
            .criticality(row.criticality[index])
    }

    fn defaults(&self) -> Defaults {
        let row = ROWS[self.row];
        let attempts = if row.retries { 2 } else { 1 };
        let mut retry = Retry::attempts(attempts);
        if row.retries {
            retry = retry.with_backoff(Backoff::Fixed(Nanos::from_millis(1_000)));
        }
        let built_in = Defaults {
            start: retry.clone(),
            stop: retry.clone(),
            restart: Restart::never(),
            ..Defaults::default()
        };
        match row.profile {
            Profile::Defaults => built_in,
            Profile::TightShutdown => Defaults {
                shutdown_timeout: Nanos::from_millis(100),
                force_timeout: Nanos::from_millis(20),
                ..built_in
            },
            Profile::ShortAttempts => Defaults {
                start: retry
                    .clone()
                    .with_attempt_timeout(Nanos::from_millis(1_000)),
                stop: retry.with_attempt_timeout(Nanos::from_millis(1_000)),
                dispose_timeout: Nanos::from_millis(1_000),
                abort_grace: Nanos::from_millis(1_000),
                shutdown_timeout: Nanos::from_millis(100_000),
                force_timeout: Nanos::from_millis(100_000),
                ..built_in
            },
        }
    }
}

fn name_of(index: usize) -> String {
    ["a", "b", "c", "d"][index].to_owned()
}

/// A component that nobody calls: the environment answers in its place.
struct Nothing;

impl Lifecycle for Nothing {
    async fn start(&self, _: &StartContext) -> Result<(), BoxError> {
        Ok(())
    }

    async fn stop(&self, _: &StopContext) -> Result<(), BoxError> {
        Ok(())
    }
}

/// The engine, its environment and the oracle, at one moment.
#[derive(Clone, Debug)]
pub(crate) struct World {
    engine: Engine,
    now: Time,
    pending: Vec<Pending>,
    budget: Budget,
    oracle: Oracle,
    /// The invariant that the last step broke.
    broken: Option<&'static str>,
}

/// Something that the engine waits for, or has stopped waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pending {
    what: Awaited,
    key: AttemptKey,
    /// It was asked to end.
    cancelled: bool,
    /// It was told to vanish.
    aborted: bool,
    /// Nobody waits for it any more.
    abandoned: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Awaited {
    Call(Call),
    Scope,
}

/// What the environment may still do of its own accord.
#[derive(Clone, Copy, Debug, Hash)]
struct Budget {
    starts: u8,
    stops: u8,
    forces: u8,
    cancels: u8,
    losses: u8,
    /// Answers to what nobody waits for any more.
    late: u8,
    /// Deadlines that are looked at long after they have passed.
    oversleeps: u8,
}

impl Budget {
    const NONE: Self = Self {
        starts: 0,
        stops: 0,
        forces: 0,
        cancels: 0,
        losses: 0,
        late: 0,
        oversleeps: 0,
    };
}

/// What the oracle knows of the whole.
#[derive(Clone, Debug, Default)]
struct Oracle {
    components: Vec<Book>,
    /// A stop was accepted, and no start since.
    stopping: bool,
    /// A stop has begun in this step, perhaps after calls that were issued in the same step.
    stop_begun: bool,
    /// Requests without an answer.
    open: BTreeSet<RequestId>,
    /// The request of the last start.
    last_start: Option<RequestId>,
    requests: u64,
}

impl Hash for Oracle {
    /// Which number a request has makes no difference.
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.components, self.stopping, self.open.len()).hash(state);
    }
}

/// What the oracle knows of one component.
#[derive(Clone, Debug, Default, Hash)]
struct Book {
    /// Some generation of it has something up: start was entered, and dispose has not ended.
    up: bool,
    /// It is up, and for the order it counts as down: its stop has failed, or it is held.
    kept: bool,
    running: bool,
    /// Start has returned `Ok`, and no stop has since.
    stop_owed: bool,
    /// Start was entered, and dispose was not called since.
    dispose_owed: bool,
}

/// A step of the environment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    Start,
    CancelStart,
    Stop,
    Force,
    Ends(usize, Ending),
    Loses(ComponentId),
    /// Time jumps to the next deadline.
    Deadline,
    /// Time jumps far beyond it.
    Oversleep,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Ending {
    Well,
    Badly,
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.engine.fingerprint(self.now, state);
        (&self.pending, &self.budget, &self.oracle, &self.broken).hash(state);
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

fn fingerprint(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}

impl Model for Case {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            engine: Engine::new(self.plan()),
            now: Time::ZERO,
            pending: Vec::new(),
            budget: ROWS[self.row].budget,
            oracle: Oracle {
                components: vec![Book::default(); self.graph.components],
                ..Oracle::default()
            },
            broken: None,
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        if world.broken.is_some() {
            return;
        }
        world.commands(steps);
        world.answers(steps);
        world.losses(steps);
        let mut engine = world.engine.clone();
        if engine.poll_timeout().is_some() {
            steps.push(Step::Deadline);
            if world.budget.oversleeps > 0 {
                steps.push(Step::Oversleep);
            }
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        next.take(self, step);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no invariant is broken", |_, world: &World| {
                world.broken.is_none()
            }),
            Property::always(
                "what is asked is answered, whoever stays silent",
                |case: &Self, world: &World| {
                    !fingerprint(world).is_multiple_of(LIVENESS_SAMPLE) || world.is_live(case)
                },
            ),
            Property::sometimes("everything runs", |_, world: &World| {
                world.oracle.components.iter().all(|it| it.running)
            }),
            Property::sometimes("everything has stopped", |_, world: &World| {
                world.engine.state() == OrchestratorState::Stopped
            }),
        ]
    }
}

impl World {
    fn commands(&self, steps: &mut Vec<Step>) {
        let state = self.engine.state();
        let idle = matches!(
            state,
            OrchestratorState::Created | OrchestratorState::Stopped
        );
        if self.budget.starts > 0 && idle {
            steps.push(Step::Start);
        }
        if self.budget.cancels > 0 && state == OrchestratorState::Starting {
            steps.push(Step::CancelStart);
        }
        if self.budget.stops > 0 && !idle {
            steps.push(Step::Stop);
        }
        if self.budget.forces > 0 && !idle {
            steps.push(Step::Force);
        }
    }

    fn answers(&self, steps: &mut Vec<Step>) {
        for (index, pending) in self.pending.iter().enumerate() {
            if pending.abandoned && self.budget.late == 0 {
                continue;
            }
            steps.push(Step::Ends(index, Ending::Well));
            let may_fail = matches!(pending.what, Awaited::Call(Call::Start | Call::Stop));
            if may_fail && !pending.abandoned {
                steps.push(Step::Ends(index, Ending::Badly));
            }
        }
    }

    fn losses(&self, steps: &mut Vec<Step>) {
        // A loss at another time takes a part down and brings it back, which this oracle does not follow.
        let stops = self.engine.state() == OrchestratorState::Stopping;
        if self.budget.losses == 0 || !stops {
            return;
        }
        let plan = self.engine.plan();
        let running = plan
            .ids()
            .filter(|id| self.oracle.components[id.index()].running);
        steps.extend(running.map(Step::Loses));
    }

    fn take(&mut self, case: &Case, step: Step) {
        match step {
            Step::Start => {
                self.budget.starts -= 1;
                let request = self.request();
                self.oracle.stopping = false;
                self.oracle.last_start = Some(request);
                self.engine
                    .handle(self.now, Input::StartRequested { request });
            }
            Step::CancelStart => {
                self.budget.cancels -= 1;
                self.oracle.stopping = true;
                if let Some(request) = self.oracle.last_start {
                    self.engine
                        .handle(self.now, Input::StartCancelled { request });
                }
            }
            Step::Stop => {
                self.budget.stops -= 1;
                self.request_stop(StopMode::Graceful);
            }
            Step::Force => {
                self.budget.forces -= 1;
                self.request_stop(StopMode::Force);
            }
            Step::Ends(index, ending) => {
                let pending = self.pending.remove(index);
                self.budget.late -= u8::from(pending.abandoned);
                self.answer(case, pending, ending);
            }
            Step::Loses(id) => {
                self.budget.losses -= 1;
                let row = self.engine.snapshot(self.now).component(id).clone();
                let key = AttemptKey {
                    component: id,
                    generation: row.generation,
                    attempt: row.attempt,
                };
                let outcome = Err(Arc::new(Failure::lost()));
                self.engine
                    .handle(self.now, Input::TaskEnded { key, outcome });
            }
            Step::Deadline => {
                self.now = self.engine.poll_timeout().unwrap_or(self.now).max(self.now);
                self.engine.handle_timeout(self.now);
            }
            Step::Oversleep => {
                self.budget.oversleeps -= 1;
                self.now = self.now + Nanos::from_secs(1_000);
                self.engine.handle_timeout(self.now);
            }
        }
        self.carry_out(case);
        self.check_rest();
    }

    fn request(&mut self) -> RequestId {
        self.oracle.requests += 1;
        let request = RequestId(self.oracle.requests);
        self.oracle.open.insert(request);
        request
    }

    fn request_stop(&mut self, mode: StopMode) {
        self.oracle.stopping = true;
        let request = self.request();
        let input = Input::StopRequested {
            request,
            mode,
            deadline: None,
        };
        self.engine.handle(self.now, input);
    }

    fn answer(&mut self, case: &Case, pending: Pending, ending: Ending) {
        let key = pending.key;
        let book = &mut self.oracle.components[key.component.index()];
        let Awaited::Call(call) = pending.what else {
            self.engine.handle(self.now, Input::ScopeClosed { key });
            return;
        };
        let well = ending == Ending::Well;
        if !pending.abandoned {
            match call {
                Call::Start => book.stop_owed |= well,
                Call::Stop => book.stop_owed &= !well,
                Call::Dispose => book.up = false,
                Call::Drain | Call::Resume => {}
            }
        }
        let failure = || match (pending.aborted, ROWS[case.row].panics) {
            (true, _) => Failure::lost(),
            (false, true) => Failure::panic("out of luck"),
            (false, false) => Failure::error("no luck"),
        };
        let outcome = if well {
            Ok(())
        } else {
            Err(Arc::new(failure()))
        };
        self.engine
            .handle(self.now, Input::CallEnded { call, key, outcome });
    }

    /// Carries out every command, and keeps book of what it means.
    fn carry_out(&mut self, case: &Case) {
        loop {
            while let Some(event) = self.engine.poll_event() {
                self.note(&event.kind, event.reason);
            }
            let Some(command) = self.engine.poll_command() else {
                break;
            };
            self.carry_out_one(case, &command);
        }
        self.pending.sort_unstable();
    }

    fn note(&mut self, kind: &EventKind, reason: Reason) {
        match kind {
            EventKind::Orchestrator {
                to: OrchestratorState::Stopping,
                ..
            } => self.oracle.stop_begun = true,
            EventKind::Transition { key, from, to, .. } => {
                let book = &mut self.oracle.components[key.component.index()];
                book.running = *to == ComponentState::Running;
                let gave_up =
                    reason == Reason::AttemptsExhausted && *from == ComponentState::Stopping;
                book.kept = gave_up && book.up;
                if !from.may_become(*to) {
                    self.broken = Some("an illegal step of a component's state");
                }
            }
            EventKind::Held { key } => self.oracle.components[key.component.index()].kept = true,
            _ => {}
        }
    }

    fn carry_out_one(&mut self, case: &Case, command: &Command) {
        match *command {
            Command::Call { call, key, .. } => self.call(case, call, key),
            Command::Cancel { call, key } => {
                self.mark(Awaited::Call(call), key, |it| it.cancelled = true);
            }
            Command::Abort { call, key } => {
                self.mark(Awaited::Call(call), key, |it| it.aborted = true);
            }
            Command::CloseScope { key } => self.close(case, key),
            Command::AbortScope { key } => self.mark(Awaited::Scope, key, |it| it.aborted = true),
            Command::Abandon { key } => self.abandon(key),
            Command::Check { .. }
            | Command::AbortCheck { .. }
            | Command::Forget { .. }
            | Command::Halt { .. } => {}
            Command::Respond { request, .. } => {
                if !self.oracle.open.remove(&request) {
                    self.broken = Some("a request was answered twice");
                }
            }
        }
    }

    fn call(&mut self, case: &Case, call: Call, key: AttemptKey) {
        let overlaps = self
            .pending
            .iter()
            .any(|it| it.key.component == key.component && !it.abandoned);
        if overlaps {
            self.broken = Some("two calls of one component overlap");
        }
        match call {
            Call::Start => self.check_start(key.component),
            Call::Stop => self.check_stop(key.component),
            Call::Dispose => self.check_dispose(key.component),
            Call::Drain | Call::Resume => {}
        }
        if call == Call::Dispose && !ROWS[case.row].slow_dispose {
            let pending = Pending::of(Awaited::Call(call), key);
            self.answer(case, pending, Ending::Well);
            return;
        }
        self.pending.push(Pending::of(Awaited::Call(call), key));
    }

    fn check_start(&mut self, id: ComponentId) {
        let plan = Arc::clone(self.engine.plan());
        let missing = plan.dependencies(id).iter().any(|edge| {
            edge.kind == EdgeKind::Hard && !self.oracle.components[edge.component.index()].running
        });
        if missing {
            self.broken = Some("invariant 1: a start before a hard dependency runs");
        }
        if self.oracle.stopping {
            self.broken = Some("invariant 8: a start after a stop was accepted");
        }
        let book = &mut self.oracle.components[id.index()];
        if book.stop_owed {
            self.broken = Some("invariant 4: a start before the last one was stopped");
        }
        book.up = true;
        book.kept = false;
        book.dispose_owed = true;
    }

    fn check_stop(&mut self, id: ComponentId) {
        let plan = Arc::clone(self.engine.plan());
        let early = plan.dependents(id).iter().any(|edge| {
            let book = &self.oracle.components[edge.component.index()];
            book.up && !book.kept
        });
        if early {
            self.broken = Some("invariant 1: a stop before a dependent is down");
        }
        let book = &mut self.oracle.components[id.index()];
        if !book.stop_owed {
            self.broken = Some("invariant 4: a stop of what did not start");
        }
        book.kept = false;
    }

    fn check_dispose(&mut self, id: ComponentId) {
        let book = &mut self.oracle.components[id.index()];
        if !std::mem::replace(&mut book.dispose_owed, false) {
            self.broken = Some("invariant 4: a second dispose");
        }
        book.stop_owed = false;
    }

    fn close(&mut self, case: &Case, key: AttemptKey) {
        if ROWS[case.row].lingers == Some(key.component.index()) {
            self.pending.push(Pending::of(Awaited::Scope, key));
        } else {
            self.engine.handle(self.now, Input::ScopeClosed { key });
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
        let book = &mut self.oracle.components[key.component.index()];
        book.stop_owed = false;
        if disposing {
            book.up = false;
        }
    }

    /// What must hold when everything has been carried out.
    fn check_rest(&mut self) {
        self.oracle.stopping |= std::mem::take(&mut self.oracle.stop_begun);
        let start = Awaited::Call(Call::Start);
        let left = self
            .pending
            .iter()
            .any(|it| it.what == start && !it.cancelled && !it.abandoned);
        if self.oracle.stopping && left {
            self.broken = Some("invariant 8: a stop left a start in flight alone");
        }
        let state = self.engine.state();
        let idle = matches!(
            state,
            OrchestratorState::Created | OrchestratorState::Stopped
        );
        if idle && self.oracle.components.iter().any(|it| it.dispose_owed) {
            self.broken = Some("invariant 4: stopped, and something was not disposed");
        }
        if idle && !self.oracle.open.is_empty() {
            self.broken = Some("stopped, and somebody still waits for an answer");
        }
        if !self.oracle.open.is_empty() && self.engine.poll_timeout().is_none() {
            self.broken = Some("somebody waits for an answer, and no deadline is armed");
        }
    }

    /// Lets time pass without any answer from outside. The number of deadlines left is the ranking function.
    fn is_live(&self, case: &Case) -> bool {
        let mut world = self.clone();
        for _ in 0..MOST_DEADLINES {
            if world.oracle.open.is_empty() || world.broken.is_some() {
                return world.broken.is_none();
            }
            world.take(case, Step::Deadline);
        }
        false
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

/// What the exploration of one case came to.
#[derive(Debug)]
pub(crate) struct Explored {
    pub(crate) states: usize,
    pub(crate) depth: usize,
    /// The first counterexample, in words.
    pub(crate) broken: Option<String>,
}

/// Explores `case` to the end on `threads` threads.
pub(crate) fn explore(case: Case, threads: usize) -> Explored {
    let name = format!("graph {} row {}", case.graph, case.row);
    let checker = case.checker().threads(threads).spawn_bfs().join();
    let mut broken = None;
    for property in [
        "no invariant is broken",
        "what is asked is answered, whoever stays silent",
    ] {
        if let Some(path) = checker.discovery(property) {
            let last = path.last_state().clone();
            let steps: Vec<Step> = path.into_actions();
            broken.get_or_insert(format!(
                "{name}: {property}: {:?}\nafter {steps:?}\n{:?}\n{:?}",
                last.broken, last.pending, last.oracle
            ));
        }
    }
    for property in ["everything runs", "everything has stopped"] {
        if checker.discovery(property).is_none() {
            broken.get_or_insert(format!("{name}: never seen: {property}"));
        }
    }
    Explored {
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        broken,
    }
}
