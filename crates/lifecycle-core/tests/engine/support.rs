//! Drives an engine by hand: every command is seen as a word, every answer is given in words, time is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lifecycle_core::engine::{
    AttemptKey, Call, CallOutcome, Cascade, Command, ComponentRow, Engine, Event, EventKind, Input,
    Intent, NodeCommand, NodeError, NodeReport, Operation, OperationError, OperationReport,
    OrchestratorState, RequestId, Response, StartError, StartReport, StopMode, StopReport,
};
use lifecycle_core::{
    ComponentId, Defaults, DrainContext, Failure, Nanos, Plan, Registration, Report, Restart, Time,
    component,
};

pub(crate) use lifecycle_core::engine::ComponentState as State;

/// A registration of a component that nothing ever calls.
pub(crate) fn registration(name: &str) -> Registration {
    let component = component::from_fn(async |_| Ok(()), async |_| Ok(()));
    Registration::new(name, component)
}

/// A registration whose every attempt gets a fresh value that nothing ever calls.
pub(crate) fn fresh(name: &str) -> Registration {
    struct Nothing;
    impl lifecycle_core::Lifecycle for Nothing {
        async fn start(
            &self,
            _: &lifecycle_core::StartContext,
        ) -> Result<(), lifecycle_core::BoxError> {
            Ok(())
        }
        async fn stop(
            &self,
            _: &lifecycle_core::StopContext,
        ) -> Result<(), lifecycle_core::BoxError> {
            Ok(())
        }
    }
    Registration::new(name, component::factory(|| Nothing))
}

/// A registration of a component that takes part in drains, and that nothing ever calls.
pub(crate) fn participant(name: &str) -> Registration {
    struct Participant;
    impl lifecycle_core::Lifecycle for Participant {
        const DRAINS: bool = true;

        async fn start(
            &self,
            _: &lifecycle_core::StartContext,
        ) -> Result<(), lifecycle_core::BoxError> {
            Ok(())
        }
        async fn stop(
            &self,
            _: &lifecycle_core::StopContext,
        ) -> Result<(), lifecycle_core::BoxError> {
            Ok(())
        }
        async fn drain(&self, _: &DrainContext) -> Result<(), lifecycle_core::BoxError> {
            Ok(())
        }
    }
    Registration::new(name, Participant)
}

/// Defaults under which no component is started again.
pub(crate) fn no_restarts() -> Defaults {
    Defaults {
        restart: Restart::never(),
        ..Defaults::default()
    }
}

pub(crate) fn ms(millis: u64) -> Nanos {
    Nanos::from_millis(millis)
}

/// An engine, and whoever carries out what it says.
///
/// Scopes close and disposes succeed by themselves, unless the component is told to linger.
pub(crate) struct Run {
    pub(crate) engine: Engine,
    pub(crate) now: Time,
    /// Calls that were made and not answered, by name.
    calls: BTreeMap<(Call, String), AttemptKey>,
    /// What the command of each call said about its end.
    deadlines: BTreeMap<(Call, String), Time>,
    /// Health checks that were begun and not answered.
    checks: BTreeMap<String, (AttemptKey, u32)>,
    /// Scopes that shall be closed and are not.
    scopes: BTreeMap<String, AttemptKey>,
    lingering: BTreeSet<String>,
    slow_disposes: BTreeSet<String>,
    words: Vec<String>,
    pub(crate) events: Vec<Event>,
    pub(crate) started: Option<Result<Arc<StartReport>, Arc<StartError>>>,
    pub(crate) stopped: Vec<Arc<StopReport>>,
    /// What the last operation on one component came to.
    pub(crate) operated: Option<Result<Arc<OperationReport>, Arc<OperationError>>>,
    /// What the last command to the node came to.
    pub(crate) commanded: Option<Result<Arc<NodeReport>, Arc<NodeError>>>,
    requests: u64,
}

impl Run {
    /// Hard dependencies only: `[("db", &[]), ("api", &["db"])]`.
    pub(crate) fn of(components: &[(&str, &[&str])]) -> Self {
        let registrations = components.iter().map(|(name, dependencies)| {
            registration(name).depends_on(dependencies.iter().copied())
        });
        Self::with(registrations.collect(), no_restarts())
    }

    #[track_caller]
    pub(crate) fn with(registrations: Vec<Registration>, defaults: Defaults) -> Self {
        let compiled =
            Plan::compile(registrations, defaults).expect("the graph of a test is legal");
        Self {
            engine: Engine::new(compiled.plan),
            now: Time::ZERO,
            calls: BTreeMap::new(),
            deadlines: BTreeMap::new(),
            checks: BTreeMap::new(),
            scopes: BTreeMap::new(),
            lingering: BTreeSet::new(),
            slow_disposes: BTreeSet::new(),
            words: Vec::new(),
            events: Vec::new(),
            started: None,
            stopped: Vec::new(),
            operated: None,
            commanded: None,
            requests: 0,
        }
    }

    /// The tasks of `name` do not end when asked to; see [`Run::scope_ends`].
    pub(crate) fn lingers(&mut self, name: &str) {
        self.lingering.insert(name.to_owned());
    }

    /// The dispose of `name` does not end by itself; see [`Run::ok`].
    pub(crate) fn disposes_slowly(&mut self, name: &str) {
        self.slow_disposes.insert(name.to_owned());
    }

    pub(crate) fn start(&mut self) -> String {
        let request = self.request();
        self.input(Input::StartRequested { request })
    }

    /// Cancels the token of the last start.
    pub(crate) fn cancel_start(&mut self) -> String {
        let request = RequestId(self.requests);
        self.input(Input::StartCancelled { request })
    }

    pub(crate) fn stop(&mut self) -> String {
        self.stop_by(StopMode::Graceful, None)
    }

    pub(crate) fn force(&mut self) -> String {
        self.stop_by(StopMode::Force, None)
    }

    /// Stops with a deadline `millis` from now.
    pub(crate) fn stop_within(&mut self, millis: u64) -> String {
        let deadline = self.now + ms(millis);
        self.stop_by(StopMode::Graceful, Some(deadline))
    }

    pub(crate) fn stop_by(&mut self, mode: StopMode, deadline: Option<Time>) -> String {
        let request = self.request();
        self.input(Input::StopRequested {
            request,
            mode,
            deadline,
        })
    }

    /// The call, written as `"start db"`, returns `Ok`.
    #[track_caller]
    pub(crate) fn ok(&mut self, call: &str) -> String {
        self.ends(call, Ok(()))
    }

    /// The call returns an error.
    #[track_caller]
    pub(crate) fn fails(&mut self, call: &str) -> String {
        self.fails_with(call, Failure::error("no luck"))
    }

    #[track_caller]
    pub(crate) fn fails_with(&mut self, call: &str, failure: Failure) -> String {
        self.ends(call, Err(Arc::new(failure)))
    }

    /// The aborted call is gone.
    #[track_caller]
    pub(crate) fn vanishes(&mut self, call: &str) -> String {
        self.fails_with(call, Failure::lost())
    }

    #[track_caller]
    pub(crate) fn ends(&mut self, call: &str, outcome: CallOutcome) -> String {
        let (kind, name) = call
            .split_once(' ')
            .expect("a call is written as `start db`");
        let kind = Call::ALL
            .into_iter()
            .find(|it| it.as_str() == kind)
            .expect("a call is start, stop, dispose, drain or resume");
        let key = self.calls.remove(&(kind, name.to_owned()));
        let key = key.unwrap_or_else(|| panic!("{call} was not called, or was answered"));
        self.answer(kind, key, outcome)
    }

    pub(crate) fn answer(&mut self, call: Call, key: AttemptKey, outcome: CallOutcome) -> String {
        self.input(Input::CallEnded { call, key, outcome })
    }

    /// The tasks of a lingering component are gone.
    #[track_caller]
    pub(crate) fn scope_ends(&mut self, name: &str) -> String {
        let key = self.scopes.remove(name).expect("the scope shall be closed");
        self.input(Input::ScopeClosed { key })
    }

    /// A task of the present generation of `name` ends.
    pub(crate) fn task_ends(&mut self, name: &str, outcome: CallOutcome) -> String {
        let key = self.present(name);
        self.input(Input::TaskEnded { key, outcome })
    }

    /// The health check of `name` that was begun last ends.
    #[track_caller]
    pub(crate) fn check_ends(&mut self, name: &str, outcome: CallOutcome) -> String {
        let (key, check) = self.checks.remove(name).expect("a check was begun");
        self.input(Input::Checked {
            key,
            check,
            outcome,
        })
    }

    /// The present generation of `name` says something of itself.
    pub(crate) fn reports(&mut self, name: &str, report: Report) -> String {
        let key = self.present(name);
        self.input(Input::Reported { key, report })
    }

    /// A task of the present generation of `name` fails.
    pub(crate) fn loses(&mut self, name: &str) -> String {
        self.task_ends(name, Err(Arc::new(Failure::error("the link is gone"))))
    }

    pub(crate) fn operate(&mut self, operation: Operation, name: &str) -> String {
        self.operate_with(operation, name, false)
    }

    pub(crate) fn operate_with(
        &mut self,
        operation: Operation,
        name: &str,
        forced: bool,
    ) -> String {
        let request = self.request();
        let component = self.id(name);
        self.input(Input::OperationRequested {
            request,
            component,
            operation,
            forced,
            intent: Intent::because("a test"),
        })
    }

    pub(crate) fn node(&mut self, command: NodeCommand) -> String {
        let request = self.request();
        self.input(Input::NodeRequested {
            request,
            command,
            intent: Intent::because("a test"),
        })
    }

    pub(crate) fn drain(&mut self) -> String {
        self.node(NodeCommand::Drain { deadline: None })
    }

    /// Opens a gate, for `millis` from now or for good.
    #[track_caller]
    pub(crate) fn open_gate(&mut self, name: &str, millis: Option<u64>) -> String {
        let gate = self.engine.plan().find_gate(name).expect("the gate exists");
        let until = millis.map(|it| self.now + ms(it));
        self.input(Input::GateOpened { gate, until })
    }

    #[track_caller]
    pub(crate) fn close_gate(&mut self, name: &str) -> String {
        let gate = self.engine.plan().find_gate(name).expect("the gate exists");
        self.input(Input::GateClosed { gate })
    }

    #[track_caller]
    pub(crate) fn add(&mut self, registration: Registration) -> String {
        let request = self.request();
        let extended = self.engine.plan().extended(registration);
        let extended = extended.expect("the addition of a test is legal");
        self.input(Input::Added {
            request,
            plan: extended.plan,
            component: extended.id,
        })
    }

    pub(crate) fn remove(&mut self, name: &str, cascade: Cascade) -> String {
        let request = self.request();
        let component = self.id(name);
        self.input(Input::RemoveRequested {
            request,
            component,
            cascade,
            intent: Intent::default(),
        })
    }

    #[track_caller]
    pub(crate) fn row(&self, name: &str) -> ComponentRow {
        let snapshot = self.engine.snapshot(self.now);
        snapshot.component(self.id(name)).clone()
    }

    /// How often something that `name` stands in the middle of was told.
    pub(crate) fn told(&self, kind: impl Fn(&EventKind) -> bool) -> usize {
        self.events.iter().filter(|it| kind(&it.kind)).count()
    }

    fn present(&self, name: &str) -> AttemptKey {
        let row = self.row(name);
        AttemptKey {
            component: self.id(name),
            generation: row.generation,
            attempt: row.attempt,
        }
    }

    /// Lets `millis` pass; every deadline on the way is met on time.
    pub(crate) fn pass(&mut self, millis: u64) -> String {
        let end = self.now + ms(millis);
        while let Some(due) = self.engine.poll_timeout().filter(|it| *it <= end) {
            self.now = self.now.max(due);
            self.engine.handle_timeout(self.now);
            self.carry_out();
        }
        self.now = end;
        self.said()
    }

    pub(crate) fn input(&mut self, input: Input) -> String {
        self.engine.handle(self.now, input);
        self.carry_out();
        self.said()
    }

    /// The clock was stopped for `millis`: one look at it, however many deadlines have passed.
    pub(crate) fn oversleep(&mut self, millis: u64) -> String {
        self.now = self.now + ms(millis);
        self.engine.handle_timeout(self.now);
        self.carry_out();
        self.said()
    }

    /// Everything starts at the first attempt.
    #[track_caller]
    pub(crate) fn up(&mut self) {
        self.start();
        self.open("start").iter().for_each(|it| drop(self.ok(it)));
        while !self.open("start").is_empty() {
            self.open("start").iter().for_each(|it| drop(self.ok(it)));
        }
        assert!(self.started.as_ref().is_some_and(Result::is_ok));
    }

    /// The calls of `kind` that are not answered.
    pub(crate) fn open(&self, kind: &str) -> Vec<String> {
        let calls = self.calls.keys().filter(|(call, _)| call.as_str() == kind);
        calls.map(|(_, name)| format!("{kind} {name}")).collect()
    }

    /// How long from now the engine will wait for the call, as its command said.
    #[track_caller]
    pub(crate) fn time_of(&self, call: &str) -> Nanos {
        let (kind, name) = call.split_once(' ').expect("as in `ends`");
        let deadline = self
            .deadlines
            .iter()
            .find(|((call, component), _)| call.as_str() == kind && component == name);
        *deadline.expect("the call was made").1 - self.now
    }

    /// The names in plan order.
    pub(crate) fn order(&self) -> String {
        let plan = self.engine.plan();
        let names = plan.order().iter().map(|id| plan.name(*id).to_string());
        names.collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn key(&self, call: &str) -> Option<AttemptKey> {
        let (kind, name) = call.split_once(' ')?;
        self.calls
            .iter()
            .find(|((call, component), _)| call.as_str() == kind && component == name)
            .map(|(_, key)| *key)
    }

    /// Whether the tasks of a lingering component are awaited.
    pub(crate) fn is_closing(&self, name: &str) -> bool {
        self.scopes.contains_key(name)
    }

    pub(crate) fn state(&self, name: &str) -> State {
        self.engine
            .snapshot(self.now)
            .component(self.id(name))
            .state
    }

    pub(crate) fn orchestrator(&self) -> OrchestratorState {
        self.engine.state()
    }

    #[track_caller]
    pub(crate) fn id(&self, name: &str) -> ComponentId {
        self.engine
            .plan()
            .find(name)
            .expect("the component is registered")
    }

    #[track_caller]
    pub(crate) fn report(&self) -> &StopReport {
        self.stopped.last().expect("a stop has been answered")
    }

    /// What happened to `name`, as `starting running`.
    pub(crate) fn history(&self, name: &str) -> String {
        let id = self.id(name);
        let states = self.events.iter().filter_map(|event| match &event.kind {
            EventKind::Transition { key, to, .. } if key.component == id => Some(to.as_str()),
            _ => None,
        });
        states.collect::<Vec<_>>().join(" ")
    }

    fn request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId(self.requests)
    }

    fn said(&mut self) -> String {
        std::mem::take(&mut self.words).join(", ")
    }

    fn carry_out(&mut self) {
        loop {
            while let Some(event) = self.engine.poll_event() {
                self.events.push(event);
            }
            let Some(command) = self.engine.poll_command() else {
                return;
            };
            self.carry_out_one(command);
        }
    }

    fn carry_out_one(&mut self, command: Command) {
        match command {
            Command::Call {
                call,
                key,
                deadline,
            } => {
                self.deadlines.insert((call, self.name(key)), deadline);
                self.call(call, key);
            }
            Command::Cancel { call, key } => self.say("cancel", Some(call), key),
            Command::Abort { call, key } => self.say("abort", Some(call), key),
            Command::CloseScope { key } => self.close(key),
            Command::AbortScope { key } => {
                if self.scopes.contains_key(&self.name(key)) {
                    self.say("abort tasks of", None, key);
                }
            }
            Command::Abandon { key } => self.say("abandon", None, key),
            Command::Check { key, check, .. } => {
                self.checks.insert(self.name(key), (key, check));
                self.say("check", None, key);
            }
            Command::AbortCheck { key, .. } => self.say("abort check of", None, key),
            Command::Forget { .. } => self.words.push("forget".to_owned()),
            Command::Halt { component } => {
                let name = self.engine.plan().name(component);
                self.words.push(format!("halt for {name}"));
            }
            Command::Respond { response, .. } => self.respond(response),
        }
    }

    fn call(&mut self, call: Call, key: AttemptKey) {
        let name = self.name(key);
        self.say("", Some(call), key);
        if call == Call::Dispose && !self.slow_disposes.contains(&name) {
            let outcome = Ok(());
            self.engine
                .handle(self.now, Input::CallEnded { call, key, outcome });
            return;
        }
        let earlier = self.calls.insert((call, name), key);
        assert!(earlier.is_none(), "{call:?} {key:?} overlaps {earlier:?}");
    }

    fn close(&mut self, key: AttemptKey) {
        let name = self.name(key);
        if self.lingering.contains(&name) {
            self.say("close", None, key);
            self.scopes.insert(name, key);
        } else {
            self.engine.handle(self.now, Input::ScopeClosed { key });
        }
    }

    fn respond(&mut self, response: Response) {
        match response {
            Response::Start(result) => {
                self.words.push(
                    if result.is_ok() {
                        "started"
                    } else {
                        "start failed"
                    }
                    .to_owned(),
                );
                self.started = Some(result);
            }
            Response::Stop(report) => {
                self.words.push(
                    if report.is_clean() {
                        "stopped"
                    } else {
                        "stop failed"
                    }
                    .to_owned(),
                );
                self.stopped.push(report);
            }
            Response::Operation(result) => {
                let word = result.as_ref().map_or_else(
                    |error| format!("refused: {error}"),
                    |report| format!("done: {}", report.operation.as_str()),
                );
                self.words.push(word);
                self.operated = Some(result);
            }
            Response::Node(result) => {
                let word = result.as_ref().map_or_else(
                    |error| format!("refused: {error}"),
                    |report| format!("node {}", report.drain.as_str()),
                );
                self.words.push(word);
                self.commanded = Some(result);
            }
        }
    }

    fn say(&mut self, verb: &str, call: Option<Call>, key: AttemptKey) {
        let name = self.name(key);
        let parts = [verb, call.map_or("", Call::as_str), &name];
        let words: Vec<&str> = parts.into_iter().filter(|it| !it.is_empty()).collect();
        self.words.push(words.join(" "));
    }

    fn name(&self, key: AttemptKey) -> String {
        self.engine.plan().name(key.component).to_string()
    }
}
