//! The invariants, on random graphs with random policies in a random environment, checked after every step.
//!
//! The oracle keeps its own books: it sees inputs, commands and events, and of the snapshot what everybody may see. It knows
//! starts and stops of the whole; what follows a loss, an operation, a change, a gate or a drain is told as stories
//! (`rules_…`).

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use crate::support::{State, fresh, ms, registration};
use lifecycle_core::engine::{
    AttemptKey, Call, CallOutcome, Command, Engine, Event, EventKind, Input, OrchestratorState,
    Reason, RequestId, Response, Snapshot, StartError, StartReport, StopMode, StopOutcome,
    StopReport,
};
use lifecycle_core::{
    Backoff, Class, ComponentId, Criticality, Defaults, Dependency, EdgeKind, Failure, Nanos,
    OnLoss, Plan, Registration, Restart, Retry, Time, Timeout,
};

/// How long after its deadline a stop may be answered (invariant 7).
const MARGIN: Nanos = Nanos::from_millis(20);

/// How a call behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    Succeeds,
    Fails,
    FailsForGood,
    Panics,
    /// Goes on until it is cancelled, and then returns an error.
    Obeys,
    /// Goes on until it is cancelled, and has succeeded then.
    SucceedsLate,
    /// Does not mind being cancelled; gone when it is aborted.
    Ignores,
    /// Holds its thread and never ends.
    Blocks,
}

/// How the tasks of a scope end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Tasks {
    WhenClosed,
    WhenAborted,
    Never,
}

#[derive(Clone, Debug)]
struct Wish {
    attempts: u32,
    backoff: u64,
    timeout: Option<u64>,
    total: Option<u64>,
}

#[derive(Clone, Debug)]
struct Sketch {
    edges: Vec<(u16, EdgeKind, bool)>,
    criticality: Criticality,
    is_factory: bool,
    start: Wish,
    stop: Wish,
    dispose_timeout: u64,
    grace: u64,
    starts: [Manner; 3],
    stops: [Manner; 3],
    dispose: Manner,
    tasks: Tasks,
}

#[derive(Clone, Debug)]
enum Step {
    Start,
    CancelStart,
    Stop(StopMode),
    StopWithin(StopMode, u64),
    /// One of what can answer now does.
    Answer(u16),
    AnswerMany(u16, u8),
    /// Until the next timeout.
    Tick,
    Pass(u64),
    LoseTask(u16),
    CompleteTask(u16),
    /// An answer that was given comes once more.
    Repeat(u16),
}

#[derive(Clone, Debug)]
struct Case {
    sketches: Vec<Sketch>,
    shutdown_timeout: u64,
    force_timeout: u64,
    steps: Vec<Step>,
}

fn manner(benign: u32) -> impl Strategy<Value = Manner> {
    prop_oneof![
        benign => Just(Manner::Succeeds),
        3 => Just(Manner::Fails),
        1 => Just(Manner::FailsForGood),
        1 => Just(Manner::Panics),
        1 => Just(Manner::Obeys),
        1 => Just(Manner::SucceedsLate),
        1 => Just(Manner::Ignores),
        1 => Just(Manner::Blocks),
    ]
}

fn wish() -> impl Strategy<Value = Wish> {
    let timeout = prop_oneof![1 => Just(None), 4 => (1..60_u64).prop_map(Some)];
    let total = prop_oneof![4 => Just(None), 1 => (1..150_u64).prop_map(Some)];
    (1..=3_u32, 0..15_u64, timeout, total).prop_map(|(attempts, backoff, timeout, total)| Wish {
        attempts,
        backoff,
        timeout,
        total: total.map(|it| it.max(timeout.unwrap_or(0))),
    })
}

fn sketch(benign: u32) -> impl Strategy<Value = Sketch> {
    let kind = prop_oneof![
        4 => Just(EdgeKind::Hard),
        2 => Just(EdgeKind::Soft),
        1 => Just(EdgeKind::Order),
    ];
    let edge = (any::<u16>(), kind, prop::bool::weighted(0.1));
    let criticality = prop_oneof![
        2 => Just(Criticality::Degradable),
        2 => Just(Criticality::Essential),
        1 => Just(Criticality::Optional),
    ];
    let tasks = prop_oneof![
        8 => Just(Tasks::WhenClosed),
        1 => Just(Tasks::WhenAborted),
        1 => Just(Tasks::Never),
    ];
    let start = prop::array::uniform3(manner(benign));
    let stop = prop::array::uniform3(manner(benign));
    (
        (vec(edge, 0..4), criticality, prop::bool::weighted(0.3)),
        (wish(), wish(), 1..40_u64, 1..30_u64),
        (start, stop, manner(benign * 2), tasks),
    )
        .prop_map(|(graph, policy, behaviour)| {
            let (edges, criticality, is_factory) = graph;
            let (start, stop, dispose_timeout, grace) = policy;
            let (starts, stops, dispose, tasks) = behaviour;
            Sketch {
                edges,
                criticality,
                is_factory,
                start,
                stop,
                dispose_timeout,
                grace,
                starts,
                stops,
                dispose,
                tasks,
            }
        })
}

fn mode() -> impl Strategy<Value = StopMode> {
    prop_oneof![
        3 => Just(StopMode::Graceful),
        1 => Just(StopMode::Now),
        1 => Just(StopMode::Force),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Start),
        1 => Just(Step::CancelStart),
        1 => mode().prop_map(Step::Stop),
        1 => (mode(), 0..200_u64).prop_map(|(mode, within)| Step::StopWithin(mode, within)),
        12 => any::<u16>().prop_map(Step::Answer),
        4 => (any::<u16>(), 1..60_u8).prop_map(|(which, count)| Step::AnswerMany(which, count)),
        5 => Just(Step::Tick),
        3 => (0..50_u64).prop_map(Step::Pass),
        1 => any::<u16>().prop_map(Step::LoseTask),
        1 => any::<u16>().prop_map(Step::CompleteTask),
        2 => any::<u16>().prop_map(Step::Repeat),
    ]
}

fn case(components: std::ops::Range<usize>, benign: u32) -> impl Strategy<Value = Case> {
    let shutdown = prop_oneof![Just(10_u64), Just(300), Just(45_000)];
    (
        vec(sketch(benign), components),
        shutdown,
        1..100_u64,
        vec(step(), 0..60),
    )
        .prop_map(|(sketches, shutdown_timeout, force_timeout, steps)| Case {
            sketches,
            shutdown_timeout,
            force_timeout,
            steps,
        })
}

fn retry(wish: &Wish) -> Retry {
    let retry = Retry::attempts(wish.attempts);
    let retry = match wish.backoff {
        0 => retry,
        _ if wish.attempts == 1 => retry,
        delay => retry.with_backoff(Backoff::Fixed(ms(delay))),
    };
    Retry {
        attempt_timeout: Some(
            wish.timeout
                .map_or(Timeout::Never, |it| Timeout::After(ms(it))),
        ),
        total: wish.total.map(|it| Timeout::After(ms(it))),
        ..retry
    }
}

fn name(index: usize) -> String {
    format!("c{index}")
}

fn registrations(sketches: &[Sketch]) -> Vec<Registration> {
    sketches
        .iter()
        .enumerate()
        .map(|(index, sketch)| {
            let mut edges = BTreeMap::new();
            for (selector, kind, hold) in &sketch.edges {
                if index > 0 {
                    let target = usize::from(*selector) % index;
                    edges.entry(target).or_insert((*kind, *hold));
                }
            }
            let edges = edges.into_iter().map(|(target, (kind, hold))| Dependency {
                name: name(target),
                kind,
                on_loss: OnLoss::Follows,
                hold,
            });
            let plain = if sketch.is_factory {
                fresh(&name(index))
            } else {
                registration(&name(index))
            };
            plain
                .dependencies(edges)
                .criticality(sketch.criticality)
                .start_retry(retry(&sketch.start))
                .stop_retry(retry(&sketch.stop))
                .dispose_timeout(ms(sketch.dispose_timeout))
                .abort_grace(ms(sketch.grace))
        })
        .collect()
}

/// What is out in the world and not answered.
#[derive(Clone, Debug)]
struct Pending {
    /// `None` for a scope.
    call: Option<Call>,
    key: AttemptKey,
    manner: Manner,
    tasks: Tasks,
    is_cancelled: bool,
    is_aborted: bool,
}

impl Pending {
    /// What it would answer now, if it would.
    fn answer(&self) -> Option<CallOutcome> {
        let failure = |failure| Some(Err(Arc::new(failure)));
        if self.call.is_none() {
            let ends = match self.tasks {
                Tasks::WhenClosed => true,
                Tasks::WhenAborted => self.is_aborted,
                Tasks::Never => false,
            };
            return ends.then_some(Ok(()));
        }
        let asked = self.is_cancelled || self.is_aborted;
        let message = format!(
            "{:?} {}.{} of #{}",
            self.call,
            self.key.generation,
            self.key.attempt,
            self.key.component.index()
        );
        match self.manner {
            Manner::Succeeds => Some(Ok(())),
            Manner::Fails => failure(Failure::error(message)),
            Manner::FailsForGood => failure(Failure::error(message).with_class(Class::Permanent)),
            Manner::Panics => failure(Failure::panic(message)),
            Manner::Obeys if asked => failure(Failure::error(message)),
            Manner::SucceedsLate if asked => Some(Ok(())),
            Manner::Ignores if self.is_aborted => failure(Failure::lost()),
            Manner::Obeys | Manner::SucceedsLate | Manner::Ignores | Manner::Blocks => None,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Scope {
    #[default]
    None,
    Open,
    Closing,
}

/// The oracle's books on one component.
#[derive(Clone, Debug, Default)]
struct Book {
    state: State,
    generation: u32,
    attempt: u32,
    stop_attempt: u32,
    busy: Option<Call>,
    scope: Scope,
    is_undisposed: bool,
    /// Start has returned `Ok` and stop has not since.
    is_started: bool,
    is_abandoned: bool,
    /// It runs or has failed for good in this run.
    has_settled: bool,
    /// A stop call was made in the present stop.
    was_asked: bool,
    stop_error: Option<Arc<Failure>>,
    /// In the present stop it was down once; force may open it again.
    was_down: bool,
    starts: usize,
    stops: usize,
}

impl Book {
    fn is_clear(&self) -> bool {
        let kept = self.was_asked && self.stop_error.is_some();
        self.busy.is_none() && self.scope == Scope::None && (!self.is_undisposed || kept)
    }
}

#[derive(Debug)]
struct Asked {
    is_start: bool,
    /// There was nothing to stop.
    is_idle: bool,
    /// When it must be answered at the latest.
    bound: Option<Time>,
}

struct World {
    engine: Engine,
    plan: Arc<Plan>,
    sketches: Vec<Sketch>,
    now: Time,
    books: Vec<Book>,
    pending: Vec<Pending>,
    answered: Vec<Input>,
    orchestrator: OrchestratorState,
    sequence: u64,
    /// A stop was accepted and no start since.
    is_ending: bool,
    is_forced: bool,
    stop_bound: Time,
    asked: BTreeMap<RequestId, Asked>,
    last_start: RequestId,
    requests: u64,
    inputs: usize,
    commands: usize,
    runs: usize,
    shutdowns: usize,
    /// Start and stop calls of the present step, by rank.
    issued: (Vec<usize>, Vec<usize>),
    transcript: String,
}

impl World {
    fn of(case: &Case) -> Self {
        let defaults = Defaults {
            shutdown_timeout: ms(case.shutdown_timeout),
            force_timeout: ms(case.force_timeout),
            restart: Restart::never(),
            ..Defaults::default()
        };
        let compiled =
            Plan::compile(registrations(&case.sketches), defaults).expect("a legal graph");
        Self {
            engine: Engine::new(Arc::clone(&compiled.plan)),
            plan: compiled.plan,
            sketches: case.sketches.clone(),
            now: Time::ZERO,
            books: vec![Book::default(); case.sketches.len()],
            pending: Vec::new(),
            answered: Vec::new(),
            orchestrator: OrchestratorState::Created,
            sequence: 0,
            is_ending: false,
            is_forced: false,
            stop_bound: Time::MAX,
            asked: BTreeMap::new(),
            last_start: RequestId(0),
            requests: 0,
            inputs: 0,
            commands: 0,
            runs: 0,
            shutdowns: 0,
            issued: (Vec::new(), Vec::new()),
            transcript: String::new(),
        }
    }

    fn play(&mut self, steps: &[Step]) {
        for step in steps {
            self.take(step);
        }
        self.settle();
        self.stop(StopMode::Force, None);
        self.settle();
        assert!(self.asked.is_empty(), "{:?} wait for ever", self.asked);
        assert_eq!(self.engine.state(), self.after_force(), "invariant 9");
        let refused = self.start();
        assert!(!refused, "invariant 9: it cannot start again");
        self.settle();
        self.stop(StopMode::Force, None);
        self.settle();
        self.check_effort();
    }

    fn after_force(&self) -> OrchestratorState {
        match self.runs {
            0 => OrchestratorState::Created,
            _ => OrchestratorState::Stopped,
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Start => {
                self.start();
            }
            Step::CancelStart => {
                let request = self.last_start;
                let active = self.asked.contains_key(&request)
                    && self.orchestrator == OrchestratorState::Starting;
                if active {
                    self.is_ending = true;
                }
                self.input(Input::StartCancelled { request });
            }
            Step::Stop(mode) => self.stop(*mode, None),
            Step::StopWithin(mode, within) => self.stop(*mode, Some(self.now + ms(*within))),
            Step::Answer(which) => {
                self.answer(usize::from(*which));
            }
            Step::AnswerMany(which, count) => {
                for turn in 0..usize::from(*count) {
                    self.answer(usize::from(*which) + turn * 7);
                }
            }
            Step::Tick => {
                if let Some(due) = self.engine.poll_timeout().filter(|it| *it < Time::MAX) {
                    self.pass_until(self.now.max(due));
                }
            }
            Step::Pass(millis) => self.pass_until(self.now + ms(*millis)),
            Step::LoseTask(which) => {
                let loss = Arc::new(Failure::error("a task broke"));
                self.end_task(usize::from(*which), Err(loss));
            }
            Step::CompleteTask(which) => self.end_task(usize::from(*which), Ok(())),
            Step::Repeat(which) => self.repeat(usize::from(*which)),
        }
    }

    /// Whether it was refused.
    fn start(&mut self) -> bool {
        self.requests += 1;
        let request = RequestId(self.requests);
        let accepted = matches!(
            self.orchestrator,
            OrchestratorState::Created | OrchestratorState::Stopped
        );
        if accepted {
            self.is_ending = false;
            self.is_forced = false;
            self.last_start = request;
            self.runs += 1;
            for book in &mut self.books {
                book.has_settled = false;
            }
        }
        let asked = Asked {
            is_start: true,
            is_idle: false,
            bound: None,
        };
        self.asked.insert(request, asked);
        self.input(Input::StartRequested { request });
        if !accepted {
            assert!(!self.asked.contains_key(&request), "refused at once");
        }
        !accepted
    }

    fn stop(&mut self, mode: StopMode, deadline: Option<Time>) {
        self.requests += 1;
        let request = RequestId(self.requests);
        let idle = matches!(
            self.orchestrator,
            OrchestratorState::Created | OrchestratorState::Stopped
        );
        let under_way = self.engine.snapshot(self.now).stop_deadline.is_some();
        let defaults = self.plan.defaults();
        let force = (mode == StopMode::Force).then(|| self.now + defaults.force_timeout);
        let earliest = deadline.into_iter().chain(force).min();
        if !idle {
            self.is_ending = true;
            let own = earliest.unwrap_or(self.now + defaults.shutdown_timeout);
            self.stop_bound = match (under_way, earliest) {
                (true, Some(own)) => self.stop_bound.min(own),
                (true, None) => self.stop_bound,
                (false, _) => own,
            };
            self.is_forced = mode == StopMode::Force || (under_way && self.is_forced);
        }
        let bound = if idle { self.now } else { self.stop_bound };
        let asked = Asked {
            is_start: false,
            is_idle: idle,
            bound: Some(bound.max(self.now) + MARGIN),
        };
        self.asked.insert(request, asked);
        // The bound that was set above must survive the event that says that the stop begins.
        let bound = self.stop_bound;
        self.input(Input::StopRequested {
            request,
            mode,
            deadline,
        });
        if !idle {
            self.stop_bound = bound;
        }
    }

    /// Answers everything that can answer, and lets time pass, until neither is left.
    fn settle(&mut self) {
        for _ in 0..200_000 {
            if self.answer(0) {
                continue;
            }
            match self.engine.poll_timeout() {
                Some(due) if due < Time::MAX => self.pass_until(self.now.max(due)),
                _ => return,
            }
        }
        panic!("it never comes to rest");
    }

    /// Whether something was answered.
    fn answer(&mut self, which: usize) -> bool {
        let able: Vec<usize> = (0..self.pending.len())
            .filter(|it| self.pending[*it].answer().is_some())
            .collect();
        if able.is_empty() {
            return false;
        }
        let pending = self.pending.remove(able[which % able.len()]);
        let outcome = pending.answer().expect("it is able to");
        let book = &mut self.books[pending.key.component.index()];
        let key = pending.key;
        let Some(call) = pending.call else {
            book.scope = Scope::None;
            self.answered.push(Input::ScopeClosed { key });
            self.input(Input::ScopeClosed { key });
            return true;
        };
        book.busy = None;
        match call {
            Call::Start => book.is_started = outcome.is_ok(),
            Call::Stop => {
                book.is_started = outcome.is_err();
                book.stop_error = outcome.clone().err();
            }
            Call::Dispose | Call::Drain | Call::Resume => {}
        }
        let input = Input::CallEnded { call, key, outcome };
        self.answered.push(input.clone());
        self.input(input);
        true
    }

    fn repeat(&mut self, which: usize) {
        if self.answered.is_empty() {
            return;
        }
        let input = self.answered[which % self.answered.len()].clone();
        if let Input::ScopeClosed { key } = input
            && self
                .pending
                .iter()
                .any(|it| it.call.is_none() && it.key == key)
        {
            // The same scope is being closed once more, so it would not be late.
            return;
        }
        let before = (self.sequence, self.commands, self.engine.poll_timeout());
        self.input(input);
        let after = (self.sequence, self.commands, self.engine.poll_timeout());
        assert_eq!(before, after, "invariant 11: a late answer changes nothing");
    }

    fn end_task(&mut self, which: usize, outcome: CallOutcome) {
        let index = which % self.books.len().max(1);
        let Some(book) = self.books.get(index) else {
            return;
        };
        // A loss at another time takes a part down and brings it back, which this oracle does not follow.
        let stops = self.engine.state() == OrchestratorState::Stopping;
        if book.scope != Scope::Open || !stops {
            return;
        }
        let key = AttemptKey {
            component: self.id(index),
            generation: book.generation,
            attempt: book.attempt,
        };
        self.input(Input::TaskEnded { key, outcome });
    }

    fn pass_until(&mut self, end: Time) {
        let mut turns = 0;
        while let Some(due) = self.engine.poll_timeout().filter(|it| *it <= end) {
            self.now = self.now.max(due);
            self.check_bounds();
            self.engine.handle_timeout(self.now);
            self.inputs += 1;
            self.follow();
            turns += 1;
            assert!(turns < 100_000, "time stands still at {:?}", self.now);
        }
        self.now = end;
        self.check_bounds();
    }

    fn input(&mut self, input: Input) {
        self.inputs += 1;
        self.engine.handle(self.now, input);
        self.follow();
    }

    fn id(&self, index: usize) -> ComponentId {
        self.plan.ids().nth(index).expect("an id for each book")
    }

    /// Takes what the engine says, and checks everything.
    fn follow(&mut self) {
        self.issued = (Vec::new(), Vec::new());
        let mut responses = Vec::new();
        let snapshot = self.engine.snapshot(self.now);
        // The states at the moment of a call are in the events before it; both streams are in order of their own, so
        // events are read up to the one that tells of the call.
        let mut events: Vec<Event> = std::iter::from_fn(|| self.engine.poll_event()).collect();
        events.reverse();
        while let Some(command) = self.engine.poll_command() {
            self.commands += 1;
            self.transcript.push_str(&format!("{command:?}\n"));
            match command {
                Command::Call { call, key, .. } => {
                    self.read_events_until(&mut events, call, key);
                    self.call(call, key, &snapshot);
                }
                Command::Cancel { call, key } => self.cancel(call, key),
                Command::Abort { call, key } => self.pending_call(call, key).is_aborted = true,
                Command::CloseScope { key } => self.close(key),
                Command::AbortScope { key } => {
                    for pending in &mut self.pending {
                        pending.is_aborted |= pending.call.is_none() && pending.key == key;
                    }
                }
                Command::Abandon { key } => self.abandon(key),
                Command::Check { .. }
                | Command::AbortCheck { .. }
                | Command::Forget { .. }
                | Command::Halt { .. } => {}
                Command::Respond { request, response } => responses.push((request, response)),
            }
        }
        while let Some(event) = events.pop() {
            self.read_event(&event);
        }
        for (request, response) in responses {
            self.respond(request, &response);
        }
        self.check(&snapshot);
    }

    fn read_events_until(&mut self, events: &mut Vec<Event>, call: Call, key: AttemptKey) {
        let to = match call {
            Call::Start => State::Starting,
            Call::Stop => State::Stopping,
            Call::Dispose | Call::Drain | Call::Resume => return,
        };
        let tells = |it: &Event| {
            matches!(it.kind, EventKind::Transition { key: told, to: entered, .. }
                if told.component == key.component && entered == to)
        };
        if !events.iter().any(tells) {
            return;
        }
        while let Some(event) = events.pop() {
            if tells(&event) {
                events.push(event);
                return;
            }
            self.read_event(&event);
        }
    }

    fn read_event(&mut self, event: &Event) {
        self.transcript.push_str(&format!("{event:?}\n"));
        self.sequence += 1;
        assert_eq!(event.sequence, self.sequence, "invariant 14: no gap");
        assert_eq!(event.at, self.now);
        match &event.kind {
            EventKind::Orchestrator { from, to, .. } => {
                assert_eq!(*from, self.orchestrator, "invariant 14: {event:?}");
                self.orchestrator = *to;
                if *to == OrchestratorState::Stopping {
                    self.begin_shutdown();
                }
            }
            EventKind::Transition { key, from, to, .. } => {
                let book = &mut self.books[key.component.index()];
                assert_eq!(*from, book.state, "invariant 14: {event:?}");
                assert!(is_legal(*from, *to), "{event:?}");
                book.state = *to;
                book.has_settled |= matches!(to, State::Running | State::Faulted);
            }
            _ => {}
        }
    }

    fn begin_shutdown(&mut self) {
        self.shutdowns += 1;
        self.is_ending = true;
        self.stop_bound = self.now + self.plan.defaults().shutdown_timeout;
        for book in &mut self.books {
            book.was_asked = false;
            book.was_down = false;
            book.stop_error = None;
        }
    }

    fn call(&mut self, call: Call, key: AttemptKey, snapshot: &Snapshot) {
        let index = key.component.index();
        assert_eq!(
            self.books[index].busy, None,
            "{call:?} {key:?} overlaps another call"
        );
        match call {
            Call::Start => self.begin_start(key),
            Call::Stop => self.begin_stop(key, snapshot),
            Call::Dispose => {
                let book = &mut self.books[index];
                assert!(book.is_undisposed, "invariant 4: {key:?} is disposed twice");
                assert_eq!(
                    (key.generation, key.attempt),
                    (book.generation, book.attempt)
                );
                book.is_undisposed = false;
            }
            Call::Drain | Call::Resume => {}
        }
        let sketch = &self.sketches[index];
        let book = &mut self.books[index];
        let manner = match call {
            Call::Start => sketch.starts[(book.starts - 1) % 3],
            Call::Stop => sketch.stops[(book.stops - 1) % 3],
            Call::Dispose | Call::Drain | Call::Resume => sketch.dispose,
        };
        book.busy = Some(call);
        self.pending.push(Pending {
            call: Some(call),
            key,
            manner,
            tasks: sketch.tasks,
            is_cancelled: false,
            is_aborted: false,
        });
    }

    fn begin_start(&mut self, key: AttemptKey) {
        assert!(!self.is_ending, "invariant 8: {key:?} starts after a stop");
        let index = key.component.index();
        let first = key.attempt == 1;
        for edge in self.plan.dependencies(key.component) {
            let dependency = &self.books[edge.component.index()];
            let may = match edge.kind {
                EdgeKind::Hard => dependency.state == State::Running,
                // One that still blocks a thread is refused without any step.
                EdgeKind::Soft | EdgeKind::Order => {
                    dependency.has_settled || dependency.is_abandoned
                }
            };
            assert!(may, "invariant 1: {key:?} starts too early: {edge:?}");
        }
        let is_factory = self.plan.is_factory(key.component);
        let attempts = self.sketches[index].start.attempts;
        let book = &mut self.books[index];
        assert!(!book.is_abandoned, "rule 7: {key:?} blocks a thread");
        assert_eq!(
            book.scope,
            Scope::None,
            "rule 6: the scope before it is closed"
        );
        assert!(
            key.attempt <= attempts,
            "contract 15: {key:?} of {attempts}"
        );
        if first {
            assert_eq!(key.generation, book.generation + 1);
        } else {
            assert_eq!(
                (key.generation, key.attempt),
                (book.generation, book.attempt + 1)
            );
        }
        assert!(
            !book.is_undisposed || (!is_factory && !first),
            "rule 6: {key:?}"
        );
        book.generation = key.generation;
        book.attempt = key.attempt;
        if first {
            book.stop_attempt = 0;
        }
        book.is_undisposed = true;
        book.is_started = false;
        book.scope = Scope::Open;
        book.starts += 1;
        self.issued.0.push(self.plan.rank(key.component));
    }

    fn begin_stop(&mut self, key: AttemptKey, snapshot: &Snapshot) {
        let index = key.component.index();
        let down = self.down(snapshot);
        let is_undo = self.books[index].state == State::Starting;
        for edge in self.plan.dependents(key.component) {
            let dependent = edge.component.index();
            // The late success of a start is undone at once: no dependent of it was ever called.
            let is_down = if is_undo {
                self.books[dependent].is_clear()
            } else {
                down[dependent]
            };
            assert!(
                is_down,
                "invariant 1: {key:?} stops before c{dependent} is down: {:?}",
                self.books[dependent]
            );
        }
        let book = &mut self.books[index];
        assert!(book.is_started, "invariant 4: {key:?} has nothing to stop");
        assert_eq!(
            (key.generation, key.attempt),
            (book.generation, book.stop_attempt + 1)
        );
        book.stop_attempt = key.attempt;
        book.was_asked = true;
        book.stop_error = None;
        book.stops += 1;
        if !is_undo {
            self.issued.1.push(self.plan.rank(key.component));
        }
    }

    /// Which components are down in the present stop: nothing of them is up, and the same holds for their dependents.
    fn down(&mut self, snapshot: &Snapshot) -> Vec<bool> {
        let mut down = vec![false; self.books.len()];
        for id in self.plan.order().iter().rev() {
            let turn = self
                .plan
                .dependents(*id)
                .iter()
                .all(|it| down[it.component.index()]);
            let book = &mut self.books[id.index()];
            let held = snapshot.component(*id).reason == Reason::Held;
            book.was_down |= turn && (book.is_clear() || held);
            down[id.index()] = book.was_down;
        }
        down
    }

    fn pending_call(&mut self, call: Call, key: AttemptKey) -> &mut Pending {
        let found = self
            .pending
            .iter_mut()
            .find(|it| it.call == Some(call) && it.key == key);
        found.unwrap_or_else(|| panic!("{call:?} {key:?} is not under way"))
    }

    fn cancel(&mut self, call: Call, key: AttemptKey) {
        assert!(call != Call::Dispose, "a dispose has no token");
        assert!(
            call == Call::Start || self.is_forced,
            "rule 17: only force cancels the token of a stop"
        );
        let pending = self.pending_call(call, key);
        assert!(!pending.is_cancelled, "{call:?} {key:?} is cancelled twice");
        pending.is_cancelled = true;
    }

    fn close(&mut self, key: AttemptKey) {
        let index = key.component.index();
        let book = &mut self.books[index];
        assert_eq!(
            (key.generation, key.attempt),
            (book.generation, book.attempt)
        );
        let tasks = match book.scope {
            Scope::Open => self.sketches[index].tasks,
            Scope::Closing => return,
            // It was closed before and has no tasks; that is to be said once more.
            Scope::None => Tasks::WhenClosed,
        };
        book.scope = Scope::Closing;
        self.pending.push(Pending {
            call: None,
            key,
            manner: Manner::Succeeds,
            tasks,
            is_cancelled: false,
            is_aborted: false,
        });
    }

    fn abandon(&mut self, key: AttemptKey) {
        let mut left = 0;
        self.pending.retain(|it| {
            let is_left = it.key.component == key.component;
            if is_left {
                assert!(it.is_aborted, "{it:?} is left before it was aborted");
                left += 1;
            }
            !is_left
        });
        assert!(
            left > 0,
            "{key:?} is left although nothing of it is at work"
        );
        let book = &mut self.books[key.component.index()];
        book.is_abandoned = true;
        book.busy = None;
        book.scope = Scope::None;
    }

    fn respond(&mut self, request: RequestId, response: &Response) {
        let asked = self.asked.remove(&request).expect("answered once");
        match response {
            Response::Start(result) => {
                assert!(asked.is_start);
                match result {
                    Ok(report) => self.check_start_report(report),
                    Err(error) => self.check_start_error(error),
                }
            }
            Response::Stop(report) => {
                assert!(!asked.is_start);
                if asked.is_idle {
                    assert!(report.troubles.is_empty() && report.stopped == 0);
                } else {
                    self.check_stop_report(report);
                }
            }
            Response::Operation(_) | Response::Node(_) => {}
        }
    }

    fn check_start_report(&self, report: &StartReport) {
        for id in self.plan.ids() {
            let book = &self.books[id.index()];
            let listed = report
                .degraded
                .iter()
                .find(|it| it.component == *self.plan.name(id));
            assert_eq!(
                listed.is_none(),
                book.state == State::Running,
                "rule 9: {id:?}"
            );
            if let Some(listed) = listed.filter(|_| book.state == State::Faulted) {
                assert!(listed.failure.is_some(), "invariant 5: {listed:?}");
            }
        }
    }

    fn check_start_error(&self, error: &StartError) {
        match error {
            StartError::Failed { rollback, .. } => self.check_stop_report(rollback),
            StartError::Cancelled { stop, .. } => self.check_stop_report(stop),
            _ => {}
        }
    }

    fn check_stop_report(&self, report: &StopReport) {
        if self.orchestrator != OrchestratorState::Stopping {
            assert!(report.incomplete.is_empty(), "rule 13: {report:?}");
        }
        for id in self.plan.ids() {
            let book = &self.books[id.index()];
            let name = self.plan.name(id);
            let is_kept = report.incomplete.contains(name);
            assert!(
                !book.is_undisposed || is_kept,
                "invariant 4: {name} is not disposed: {book:?}"
            );
            assert!(
                book.busy.is_none() || book.is_abandoned,
                "invariant 6: {name} is at work: {book:?}"
            );
            assert!(
                book.scope == Scope::None || is_kept,
                "invariant 6: {name}: {book:?}"
            );
            let trouble = report.troubles.iter().find(|it| it.component == *name);
            let failed = book.was_asked && book.stop_error.is_some();
            if failed {
                let trouble = trouble.unwrap_or_else(|| panic!("invariant 5: {name} is not told"));
                assert!(trouble.is_error(), "invariant 5: {trouble:?}");
            }
            if let Some(trouble) = trouble.filter(|it| it.outcome == StopOutcome::Failed) {
                assert_eq!(trouble.failure, book.stop_error, "invariant 5: {name}");
            }
            if let Some(trouble) = trouble.filter(|it| it.is_error()) {
                let told = trouble.failure.is_some() || trouble.dispose_failure.is_some();
                let held = trouble.outcome == StopOutcome::Held;
                assert!(told || held, "invariant 5: {trouble:?} says not why");
            }
        }
    }

    fn check_bounds(&self) {
        for (request, asked) in &self.asked {
            if let Some(bound) = asked.bound {
                assert!(
                    self.now <= bound,
                    "invariant 7: {request:?} at {:?}",
                    self.now
                );
            }
        }
        if self.engine.state() == OrchestratorState::Stopping && self.stop_bound < Time::MAX {
            let under_way = self.engine.snapshot(self.now).stop_deadline.is_some();
            let late = self.now > self.stop_bound.max(Time::ZERO) + MARGIN;
            assert!(!under_way || !late || self.is_late_request(), "invariant 7");
        }
    }

    /// A stop whose deadline had passed when it was asked for.
    fn is_late_request(&self) -> bool {
        self.asked
            .values()
            .any(|it| it.bound.is_some_and(|it| self.now <= it))
    }

    fn check(&mut self, snapshot: &Snapshot) {
        assert_eq!(snapshot.sequence, self.sequence, "invariant 14");
        assert_eq!(snapshot.state, self.orchestrator, "invariant 14");
        assert_eq!(snapshot.is_ready(), self.engine.is_ready());
        for (row, book) in snapshot.components.iter().zip(&self.books) {
            assert_eq!(row.state, book.state, "invariant 14");
            assert_eq!(row.generation, book.generation, "invariant 14");
        }
        let (starts, stops) = &self.issued;
        assert!(starts.is_sorted(), "invariant 2: {starts:?}");
        if !self.is_forced {
            assert!(stops.is_sorted_by(|a, b| a >= b), "invariant 2: {stops:?}");
        }
        self.check_liveness(snapshot);
        self.check_eagerness(snapshot);
    }

    /// Whatever is not settled has something out in the world, or a time at which it goes on.
    fn check_liveness(&mut self, snapshot: &Snapshot) {
        let moving = |state| matches!(state, State::Starting | State::Stopping | State::BackingOff);
        let at_work = self.books.iter().any(|it| moving(it.state))
            || snapshot.state == OrchestratorState::Starting
            || snapshot.stop_deadline.is_some();
        let goes_on = !self.pending.is_empty() || self.engine.poll_timeout().is_some();
        assert!(!at_work || goes_on, "nothing will ever happen again");
        if !self.asked.is_empty() {
            assert!(goes_on, "{:?} wait for nothing", self.asked);
        }
    }

    /// Invariant 3: nobody waits for more than its own edges.
    fn check_eagerness(&mut self, snapshot: &Snapshot) {
        for id in self.plan.ids() {
            if self.books[id.index()].state != State::Waiting {
                continue;
            }
            let met = self.plan.dependencies(id).iter().all(|edge| {
                let dependency = &self.books[edge.component.index()];
                match edge.kind {
                    EdgeKind::Hard => dependency.state == State::Running,
                    EdgeKind::Soft | EdgeKind::Order => {
                        dependency.has_settled && dependency.is_clear_or_runs()
                    }
                }
            });
            assert!(!met, "invariant 3: {id:?} waits for nothing");
        }
        if snapshot.stop_deadline.is_none() {
            return;
        }
        let down = self.down(snapshot);
        for id in self.plan.ids() {
            let book = &self.books[id.index()];
            let idles = book.state == State::Running && !book.was_asked && book.busy.is_none();
            let mut dependents = self.plan.dependents(id).iter();
            let turn = dependents.all(|it| down[it.component.index()]);
            let held = snapshot.component(id).reason == Reason::Held;
            assert!(!(idles && turn) || held, "invariant 3: {id:?} could stop");
        }
    }

    /// Invariant 15, counted: what was said is linear in components, attempts and edges.
    fn check_effort(&self) {
        let turns = self.runs + self.shutdowns;
        let attempts: u32 = self
            .sketches
            .iter()
            .map(|it| it.start.attempts + it.stop.attempts)
            .sum();
        let most =
            turns * (attempts as usize * 12 + self.books.len() * 12) + self.requests as usize;
        assert!(
            self.commands <= most,
            "invariant 15: {} of {most}",
            self.commands
        );
        let events = usize::try_from(self.sequence).expect("it fits");
        assert!(events <= most + 2 * turns, "invariant 15: {events} events");
    }
}

impl Book {
    fn is_clear_or_runs(&self) -> bool {
        self.state == State::Running || (self.busy.is_none() && self.scope == Scope::None)
    }
}

/// The legal steps, written down a second time.
fn is_legal(from: State, to: State) -> bool {
    use State::{BackingOff, Created, Faulted, Running, Starting, Stopped, Stopping, Waiting};
    let next: &[State] = match from {
        Created => &[Waiting, Starting],
        Waiting => &[Starting, Stopped, Faulted],
        Starting => &[Running, BackingOff, Stopping, Stopped, Faulted],
        BackingOff => &[Starting, Stopping, Stopped, Faulted],
        Running => &[Stopping, Stopped, Faulted],
        Stopping => &[Stopped, Faulted, BackingOff],
        Stopped => &[Waiting, Starting, Stopping],
        Faulted => &[Waiting, Starting, Stopping, Stopped],
    };
    next.contains(&to)
}

fn config(cases: u32) -> ProptestConfig {
    let seeds = FileFailurePersistence::Direct("tests/engine/proptest-regressions.txt");
    ProptestConfig {
        cases,
        failure_persistence: Some(Box::new(seeds)),
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(10_000))]

    #[test]
    fn every_invariant_holds_on_small_graphs_in_a_hostile_world(case in case(0..7, 6)) {
        World::of(&case).play(&case.steps);
    }

    #[test]
    fn every_invariant_holds_on_middling_graphs_in_a_mostly_friendly_world(case in case(5..25, 60)) {
        World::of(&case).play(&case.steps);
    }
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn every_invariant_holds_on_large_graphs(case in case(100..201, 100)) {
        World::of(&case).play(&case.steps);
    }

    #[test]
    fn the_same_inputs_give_the_same_commands_and_events_byte_by_byte(case in case(0..30, 20)) {
        let mut first = World::of(&case);
        first.play(&case.steps);
        let mut second = World::of(&case);
        second.play(&case.steps);
        prop_assert_eq!(first.transcript, second.transcript);
    }
}
