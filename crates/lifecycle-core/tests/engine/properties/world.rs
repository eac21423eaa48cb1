//! The environment: it answers as the sketches say, asks for what the steps say, and tells the oracle what it sees.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use lifecycle_core::engine::{
    AttemptKey, Call, CallOutcome, Cascade, Command, DrainState, Engine, Event, EventKind, Input,
    Intent, NodeCommand, Operation, OrchestratorState, Reason, RequestId, Snapshot, StopMode,
};
use lifecycle_core::{Class, ComponentId, Failure, Nanos, Report, Time};

use super::books::{Book, Books, Scope, Want};
use super::requests::{Asked, Kind};
use super::sketch::{Case, Manner, Sketch, Step, Tasks, drain_until, gate_name};
use crate::support::{State, ms};

/// How long after its deadline a stop may be answered (invariant 7).
pub(super) const MARGIN: Nanos = Nanos::from_millis(20);

/// How many turns an environment that only answers and waits is given to come to rest.
const PATIENCE: usize = 3_000;

/// What is out in the world.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum What {
    Call(Call),
    Scope,
    Check(u32),
}

/// Something that was not answered.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) what: What,
    pub(super) key: AttemptKey,
    manner: Manner,
    tasks: Tasks,
    pub(super) is_cancelled: bool,
    pub(super) is_aborted: bool,
}

impl Pending {
    /// What it would answer now, if it would.
    fn answer(&self) -> Option<CallOutcome> {
        let failure = |failure| Some(Err(Arc::new(failure)));
        if self.what == What::Scope {
            let ends = match self.tasks {
                Tasks::WhenClosed => true,
                Tasks::WhenAborted => self.is_aborted,
                Tasks::Never => false,
            };
            return ends.then_some(Ok(()));
        }
        let asked = self.is_cancelled || self.is_aborted;
        let message = format!(
            "{:?} {}.{} of {:?}",
            self.what, self.key.generation, self.key.attempt, self.key.component
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

    /// Whether it is a drain or a resume.
    pub(super) fn is_of_node(&self) -> bool {
        matches!(self.what, What::Call(Call::Drain | Call::Resume))
    }
}

/// What the oracle knows of a gate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GateBook {
    pub(super) is_open: bool,
    pub(super) until: Option<Time>,
    pub(super) closing: Option<Time>,
}

/// What the oracle knows of the node.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NodeBook {
    pub(super) is_cordoned: bool,
    pub(super) drain: DrainState,
    /// What is drained is being resumed.
    pub(super) takes_back: bool,
    /// It was to take in work again since the last drain began, though a participant may have failed to.
    pub(super) was_resumed: bool,
    pub(super) is_forced: bool,
    /// The step in which the drain began.
    pub(super) began: usize,
}

/// What the oracle knows of the stop under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct StopBook {
    pub(super) began: Time,
    /// When it must have been answered, without the margin.
    pub(super) bound: Time,
    pub(super) is_forced: bool,
    /// It settles and drains first, and nobody has said otherwise.
    pub(super) is_gentle: bool,
    /// Everything goes down.
    pub(super) closes: bool,
}

pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) books: Books,
    pub(super) gates: Vec<GateBook>,
    pub(super) node: NodeBook,
    pub(super) stop: Option<StopBook>,
    /// The step in which everything began to go down.
    pub(super) closing_step: usize,
    pub(super) now: Time,
    pub(super) step: usize,
    pub(super) pending: Vec<Pending>,
    answered: Vec<Input>,
    pub(super) orchestrator: OrchestratorState,
    pub(super) sequence: u64,
    /// A stop was accepted and no start since.
    pub(super) is_ending: bool,
    pub(super) asked: BTreeMap<RequestId, Asked>,
    last_start: RequestId,
    requests: u64,
    additions: usize,
    pub(super) commands: usize,
    /// Commands that make a call or a check.
    pub(super) calls: usize,
    pub(super) runs: usize,
    /// Start and stop calls of the present step, by rank.
    pub(super) issued: (Vec<usize>, Vec<usize>),
    /// The states that components have left in the present step.
    pub(super) left: Vec<(ComponentId, State)>,
    /// Components of which the last thing that was at work is left behind in the present step.
    pub(super) vanished: Vec<ComponentId>,
    /// Components for which the process was told to end in the present step.
    pub(super) halts: Vec<ComponentId>,
    /// From here on every call that is made succeeds.
    is_kind: bool,
    pub(super) transcript: Option<String>,
}

impl World {
    pub(super) fn of(case: &Case) -> Self {
        let plan = case.plan();
        Self {
            engine: Engine::new(Arc::clone(&plan)),
            gates: vec![GateBook::default(); plan.gate_count()],
            books: Books::of(plan, &case.sketches),
            node: NodeBook::default(),
            stop: None,
            closing_step: 0,
            now: Time::ZERO,
            step: 0,
            pending: Vec::new(),
            answered: Vec::new(),
            orchestrator: OrchestratorState::Created,
            sequence: 0,
            is_ending: false,
            asked: BTreeMap::new(),
            last_start: RequestId(0),
            requests: 0,
            additions: 0,
            commands: 0,
            calls: 0,
            runs: 0,
            issued: (Vec::new(), Vec::new()),
            left: Vec::new(),
            vanished: Vec::new(),
            halts: Vec::new(),
            is_kind: false,
            transcript: env::var_os("ORACLE_TRACE").map(|_| String::new()),
        }
    }

    /// Plays the steps; then lets everything succeed, and asks whether what is wanted came up; then stops by force, starts
    /// again, and stops once more.
    pub(super) fn play(&mut self, steps: &[Step]) {
        for step in steps {
            self.take(step);
        }
        self.is_kind = true;
        self.settle();
        self.check_recovered();
        self.request_stop(StopMode::Force, None);
        self.settle_until_answered();
        assert_eq!(self.engine.state(), self.after_force(), "invariant 9");
        let refused = self.start();
        assert!(!refused, "invariant 9: it cannot start again");
        self.settle();
        self.request_stop(StopMode::Force, None);
        self.settle_until_answered();
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
            Step::CancelStart => self.cancel_start(),
            Step::Stop(mode) => self.request_stop(*mode, None),
            Step::StopWithin(mode, within) => {
                self.request_stop(*mode, Some(self.now + ms(*within)));
            }
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
                self.end_task(*which, Err(loss));
            }
            Step::CompleteTask(which) => self.end_task(*which, Ok(())),
            Step::Report(which, is_degraded) => self.report(*which, *is_degraded),
            Step::Repeat(which) => self.repeat(usize::from(*which)),
            Step::Operate(which, operation, forced) => self.operate(*which, *operation, *forced),
            Step::Node(command) => self.command_node(*command),
            Step::DrainWithin(within) => self.command_node(drain_until(self.now + ms(*within))),
            Step::OpenGate(gate, within) => self.open_gate(*gate, *within),
            Step::CloseGate(gate) => self.close_gate(*gate),
            Step::Add(sketch) => self.add(sketch),
            Step::Remove(which, cascade) => self.remove(*which, *cascade),
        }
    }

    pub(super) fn ask(&mut self, kind: Kind, bound: Option<Time>) -> RequestId {
        self.requests += 1;
        let request = RequestId(self.requests);
        let asked = Asked { kind, bound };
        self.asked.insert(request, asked);
        request
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(
            self.orchestrator,
            OrchestratorState::Created | OrchestratorState::Stopped
        )
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(
            self.orchestrator,
            OrchestratorState::Starting | OrchestratorState::Running
        )
    }

    /// Whether it was refused.
    fn start(&mut self) -> bool {
        let accepted = self.is_idle();
        let request = self.ask(Kind::Start, None);
        if accepted {
            self.is_ending = false;
            self.last_start = request;
            self.runs += 1;
            self.books.iter_mut().for_each(Book::begin_run);
        }
        self.input(Input::StartRequested { request });
        let refused = !self.asked.contains_key(&request) && !accepted;
        assert!(accepted || refused, "rule 10: refused at once");
        refused
    }

    fn cancel_start(&mut self) {
        let request = self.last_start;
        let active =
            self.asked.contains_key(&request) && self.orchestrator == OrchestratorState::Starting;
        self.is_ending |= active;
        self.input(Input::StartCancelled { request });
    }

    fn request_stop(&mut self, mode: StopMode, deadline: Option<Time>) {
        let idle = self.is_idle();
        let defaults = self.books.plan.defaults();
        let forced = mode == StopMode::Force;
        let force = forced.then(|| self.now + defaults.force_timeout);
        let earliest = deadline.into_iter().chain(force).min();
        let mut stop = self.stop.unwrap_or(StopBook {
            began: self.now,
            bound: self.now + defaults.shutdown_timeout,
            is_forced: false,
            is_gentle: mode == StopMode::Graceful
                && self.orchestrator == OrchestratorState::Running,
            closes: false,
        });
        stop.bound = match (self.stop, earliest) {
            (_, None) => stop.bound,
            (Some(_), Some(own)) => stop.bound.min(own),
            (None, Some(own)) => own,
        };
        stop.is_forced |= forced;
        stop.is_gentle &= mode == StopMode::Graceful;
        let bound = if idle { self.now } else { stop.bound };
        let request = self.ask(Kind::Stop { idle }, Some(bound.max(self.now) + MARGIN));
        if !idle {
            self.is_ending = true;
            self.stop = Some(stop);
        }
        if forced && stop.closes {
            self.books.bring_held_down();
        }
        self.input(Input::StopRequested {
            request,
            mode,
            deadline,
        });
    }

    fn operate(&mut self, which: u16, operation: Operation, forced: bool) {
        let Some(component) = self.any_component(which) else {
            return;
        };
        let expected = self.expected_refusal(component, operation, forced);
        let request = self.ask(
            Kind::Operation {
                component,
                operation,
                expected,
            },
            None,
        );
        self.input(Input::OperationRequested {
            request,
            component,
            operation,
            forced,
            intent: Intent::default(),
        });
        assert!(
            expected.is_none() || !self.asked.contains_key(&request),
            "{operation:?} of {component:?} was to be refused: {expected:?}"
        );
    }

    fn command_node(&mut self, command: NodeCommand) {
        let expected = self.expected_conflict(command);
        let kind = Kind::Node { command, expected };
        let request = self.ask(kind, None);
        let began = self.node;
        self.begin_command(command, expected);
        self.input(Input::NodeRequested {
            request,
            command,
            intent: Intent::default(),
        });
        assert!(
            expected.is_none() || !self.asked.contains_key(&request),
            "{command:?} was to be refused at {began:?}"
        );
    }

    fn open_gate(&mut self, gate: usize, within: Option<u64>) {
        let Some(id) = self.engine.plan().find_gate(&gate_name(gate)) else {
            return;
        };
        let until = within.map(|it| self.now + ms(it));
        let book = &mut self.gates[id.index()];
        if !book.is_open {
            book.closing = None;
        }
        book.is_open = true;
        book.until = until;
        self.input(Input::GateOpened { gate: id, until });
    }

    fn close_gate(&mut self, gate: usize) {
        let Some(id) = self.engine.plan().find_gate(&gate_name(gate)) else {
            return;
        };
        let book = &mut self.gates[id.index()];
        if book.is_open {
            book.is_open = false;
            book.closing = book.until.take();
        }
        self.input(Input::GateClosed { gate: id });
    }

    fn add(&mut self, sketch: &Sketch) {
        let plan = Arc::clone(self.engine.plan());
        let names: Vec<String> = plan.ids().map(|it| plan.name(it).to_string()).collect();
        let mut registration = sketch.registration(&format!("a{}", self.additions), &names);
        self.additions += 1;
        let Ok(probe) = plan.extended(registration.clone()) else {
            // Something that is gated would take too long to go down with it.
            return;
        };
        registration.gate = sketch.gate(probe.plan.policies(probe.id).longest_fall());
        let Ok(extended) = plan.extended(registration) else {
            return;
        };
        let (component, plan) = (extended.id, extended.plan);
        let refused = self.orchestrator == OrchestratorState::Stopping;
        let request = self.ask(Kind::Add { component }, None);
        if !refused {
            self.gates.resize(plan.gate_count(), GateBook::default());
            self.books.add(Arc::clone(&plan), component, sketch.clone());
            self.books[component].is_joining = true;
            self.see_gated();
        }
        self.input(Input::Added {
            request,
            plan,
            component,
        });
        assert!(!refused || !self.asked.contains_key(&request), "rule 25");
    }

    fn remove(&mut self, which: u16, cascade: Cascade) {
        let Some(component) = self.any_component(which) else {
            return;
        };
        let expected = self.expected_to_stay(component, cascade);
        let request = self.ask(
            Kind::Remove {
                component,
                expected,
            },
            None,
        );
        self.input(Input::RemoveRequested {
            request,
            component,
            cascade,
            intent: Intent::default(),
        });
        assert!(
            expected.is_none() || !self.asked.contains_key(&request),
            "rule 25: the removal of {component:?} was to be refused"
        );
    }

    /// One that is there, or now and then one that was.
    fn any_component(&self, which: u16) -> Option<ComponentId> {
        let which = usize::from(which);
        let removed = self.books.removed.iter().last();
        if let Some(removed) = removed.filter(|_| which % 11 == 10) {
            return Some(*removed);
        }
        let order = self.engine.plan().order();
        (!order.is_empty()).then(|| order[which % order.len()])
    }

    /// Answers everything that can answer, and lets time pass, until neither is left or nobody has patience any more.
    fn settle(&mut self) {
        for _ in 0..PATIENCE {
            if self.answer(0) {
                continue;
            }
            match self.engine.poll_timeout() {
                Some(due) if due < Time::MAX => self.pass_until(self.now.max(due)),
                _ => return,
            }
        }
    }

    fn settle_until_answered(&mut self) {
        for _ in 0..200_000 {
            if self.asked.is_empty() && !self.answer(0) {
                return;
            }
            if self.answer(0) {
                continue;
            }
            match self.engine.poll_timeout() {
                Some(due) if due < Time::MAX => self.pass_until(self.now.max(due)),
                _ => break,
            }
        }
        assert!(self.asked.is_empty(), "{:?} wait for ever", self.asked);
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
        let key = pending.key;
        let input = match pending.what {
            What::Scope => {
                self.books[key.component].scope = Scope::None;
                Input::ScopeClosed { key }
            }
            What::Check(check) => Input::Checked {
                key,
                check,
                outcome,
            },
            What::Call(call) => {
                let book = &mut self.books[key.component];
                book.busy = None;
                match call {
                    Call::Start => book.is_started = outcome.is_ok(),
                    Call::Stop => {
                        book.is_started = outcome.is_err();
                        book.stop_error = outcome.clone().err();
                    }
                    Call::Dispose | Call::Drain | Call::Resume => {}
                }
                Input::CallEnded { call, key, outcome }
            }
        };
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
                .any(|it| it.what == What::Scope && it.key == key)
        {
            // The same scope is being closed once more, so it would not be late.
            return;
        }
        let before = (self.sequence, self.commands, self.engine.poll_timeout());
        self.input(input);
        let after = (self.sequence, self.commands, self.engine.poll_timeout());
        assert_eq!(before, after, "invariant 11: a late answer changes nothing");
    }

    fn end_task(&mut self, which: u16, outcome: CallOutcome) {
        if let Some(key) = self.any_open_scope(which) {
            self.input(Input::TaskEnded { key, outcome });
        }
    }

    fn report(&mut self, which: u16, is_degraded: bool) {
        if let Some(key) = self.any_open_scope(which) {
            let report = Report::Degraded(is_degraded.then(|| Arc::from("slow")));
            self.input(Input::Reported { key, report });
        }
    }

    fn any_open_scope(&self, which: u16) -> Option<AttemptKey> {
        let component = self.any_component(which)?;
        if self.books.removed.contains(&component) {
            return None;
        }
        let book = &self.books[component];
        (book.scope == Scope::Open).then_some(AttemptKey {
            component,
            generation: book.generation,
            attempt: book.attempt,
        })
    }

    pub(super) fn pass_until(&mut self, end: Time) {
        let mut turns = 0;
        while let Some(due) = self.engine.poll_timeout().filter(|it| *it <= end) {
            self.now = self.now.max(due);
            self.check_bounds();
            self.engine.handle_timeout(self.now);
            self.follow();
            turns += 1;
            assert!(turns < 100_000, "time stands still at {:?}", self.now);
        }
        self.now = end;
        self.check_bounds();
    }

    fn input(&mut self, input: Input) {
        if let Some(transcript) = &mut self.transcript {
            let shown = match &input {
                Input::Added { component, .. } => format!("Added {component:?}"),
                other => format!("{other:?}"),
            };
            writeln!(transcript, "\n{:?} <- {shown}", self.now).expect("a string takes everything");
        }
        self.engine.handle(self.now, input);
        self.follow();
    }

    /// Takes what the engine says, and checks everything.
    fn follow(&mut self) {
        self.step += 1;
        self.issued = (Vec::new(), Vec::new());
        self.left.clear();
        self.halts.clear();
        let snapshot = self.engine.snapshot(self.now);
        let commands: Vec<Command> = std::iter::from_fn(|| self.engine.poll_command()).collect();
        self.vanished = vanished(&commands);
        self.see_closing(&snapshot);
        // The states at the moment of a call are in the events before it; both streams are in order of their own, so
        // events are read up to the one that tells of the call.
        let mut events: Vec<Event> = std::iter::from_fn(|| self.engine.poll_event()).collect();
        events.reverse();
        let mut responses = Vec::new();
        for command in commands {
            self.commands += 1;
            self.note(&command);
            match command {
                Command::Respond { request, response } => responses.push((request, response)),
                command => self.carry_out(&command, &mut events, &snapshot),
            }
        }
        while let Some(event) = events.pop() {
            self.read_event(&event, &snapshot);
        }
        for (request, response) in responses {
            self.respond(request, &response);
        }
        self.check(&snapshot);
    }

    fn carry_out(&mut self, command: &Command, events: &mut Vec<Event>, snapshot: &Snapshot) {
        match *command {
            Command::Call { call, key, .. } => {
                self.read_events_until(events, call, key, snapshot);
                let is_final = snapshot.components[key.component.index()].final_failure;
                if call == Call::Dispose && !is_final {
                    self.note_given_up(key, events.iter().any(|it| is_retry_of(it, key)));
                }
                self.call(call, key);
            }
            Command::Cancel { call, key } => self.cancel(call, key),
            Command::Abort { call, key } => {
                self.pending_of(What::Call(call), key).is_aborted = true;
            }
            Command::CloseScope { key } => self.close(key),
            Command::AbortScope { key } => {
                for pending in &mut self.pending {
                    pending.is_aborted |= pending.what == What::Scope && pending.key == key;
                }
            }
            Command::Abandon { key } => self.abandon(key),
            Command::Check { key, check, .. } => self.check_health(key, check),
            Command::AbortCheck { key, check } => {
                self.pending_of(What::Check(check), key).is_aborted = true;
            }
            Command::Forget { component } => {
                assert!(!self.books.removed.contains(&component), "forgotten twice");
                let plan = Arc::clone(self.engine.plan());
                while let Some(event) = events.pop() {
                    self.read_event(&event, snapshot);
                }
                self.pending.retain(|it| it.key.component != component);
                self.leave_gates_to_dependents(&plan);
                self.books.remove(plan, component);
            }
            Command::Halt { component } => self.halts.push(component),
            Command::Respond { .. } => {}
        }
    }

    fn note(&mut self, thing: &impl std::fmt::Debug) {
        if let Some(transcript) = &mut self.transcript {
            writeln!(transcript, "{thing:?}").expect("a string takes everything");
        }
    }

    pub(super) fn note_event(&mut self, event: &Event) {
        self.note(event);
    }

    pub(super) fn pend(&mut self, what: What, key: AttemptKey, manner: Manner, tasks: Tasks) {
        let (manner, tasks) = if self.is_kind {
            (Manner::Succeeds, Tasks::WhenClosed)
        } else {
            (manner, tasks)
        };
        self.pending.push(Pending {
            what,
            key,
            manner,
            tasks,
            is_cancelled: false,
            is_aborted: false,
        });
    }

    pub(super) fn pending_of(&mut self, what: What, key: AttemptKey) -> &mut Pending {
        let found = self
            .pending
            .iter_mut()
            .find(|it| it.what == what && it.key == key);
        found.unwrap_or_else(|| panic!("{what:?} {key:?} is not under way"))
    }

    /// Whoever shall run and may does, once everybody answers well.
    fn check_recovered(&self) {
        if !self.is_running() || self.asked.values().any(|it| it.is_stop()) {
            return;
        }
        let gated = self.gated();
        for (id, book) in self.books.iter() {
            // Its next stop attempt may wait for a dependent whose stop never ends.
            let stands = book.is_falling && !self.pending.is_empty();
            let at_work = stands || self.pending.iter().any(|it| it.key.component == id);
            let missing = self.books.needs(id).into_iter();
            let mut missing = missing.filter(|it| !self.books[*it].is_up());
            let mut edges = self.books.plan.dependencies(id).iter();
            let passed = edges.all(|it| self.books.must_pass(it.component));
            let may = !gated[id.index()] && missing.next().is_none() && passed;
            let shall = book.want == Want::Up && may && !at_work && book.restart_at.is_none();
            let rests = matches!(
                book.state,
                State::Starting | State::BackingOff | State::Waiting
            );
            assert!(
                !shall || !rests || book.is_retrying,
                "{id:?} never comes up: {book:?}"
            );
        }
    }

    /// Invariant 15, counted: what is said is linear in what is called and asked.
    fn check_effort(&self) {
        let asked = usize::try_from(self.requests).expect("it fits");
        let most = 8 * self.calls + asked + 4 * self.books.removed.len();
        assert!(
            self.commands <= most,
            "invariant 15: {} of {most}",
            self.commands
        );
    }
}

/// What is left behind, and not called for anything more.
fn vanished(commands: &[Command]) -> Vec<ComponentId> {
    let mut vanished = Vec::new();
    for command in commands {
        match command {
            Command::Abandon { key } => vanished.push(key.component),
            Command::Call { key, .. } => vanished.retain(|it| *it != key.component),
            _ => {}
        }
    }
    vanished
}

/// Whether it tells that the start attempt is followed by another one.
fn is_retry_of(event: &Event, attempt: AttemptKey) -> bool {
    matches!(event.kind, EventKind::RetryScheduled { call: Call::Start, key, .. } if key == attempt)
        && event.reason != Reason::AttemptsExhausted
}

impl Drop for World {
    /// Leaves the story of a case that failed, in the folder that `ORACLE_TRACE` names.
    fn drop(&mut self) {
        let (Some(folder), Some(story)) = (env::var_os("ORACLE_TRACE"), &self.transcript) else {
            return;
        };
        if !thread::panicking() {
            return;
        }
        let test = thread::current();
        let file = test.name().unwrap_or("story").replace("::", "_");
        if let Err(error) = fs::write(Path::new(&folder).join(file), story) {
            eprintln!("the story of the case is lost: {error}");
        }
    }
}
