//! [`Driver`]: the only loop, between the engine and everything outside.
//!
//! It never awaits user code and never calls it: calls, values of factories and what they drop are tasks on the components'
//! runtime, which may be another one.
//!
//! One turn: take in what has come, and after each input carry out every command and pass on every event; then renew the
//! status, then answer who asked, then sleep until the engine's next timeout. In this order, so that whoever has an
//! answer finds it in the status and the events.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;

use lifecycle_core::engine::{
    AttemptKey, Call, CallOutcome, Cascade, Command, ComponentState, Engine, Event, EventKind,
    Input, Intent, OperationError, OrchestratorState, RequestId, Response, Snapshot, StopReport,
};
use lifecycle_core::{
    BuildError, Component, ComponentId, ErasedLifecycle, Failure, GraphFault, Plan, Registration,
    Scope as _, Time,
};
use tokio::runtime;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{Sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::attempt::{self, Attempt, Reins};
use crate::crew::Crew;
use crate::executor::Executor;
use crate::handle::Link;
use crate::observe::Observer;
use crate::request::{
    Addition, GateChange, NodeReply, OperationReply, Order, REQUESTS, Request, Script, StartReply,
    TaskCounts, UnknownGate,
};
use crate::scope::{AttemptScope, Emptiness, Subject};
use crate::status::{Abandoned, Status};
use crate::user_future::{Work, drop_in_tasks};

/// How many completions are taken in at once before requests and the timer get their turn.
const BATCH: usize = 1_024;

/// How many calls are gathered at most before they begin: others work while the driver goes on.
const GATHERED: usize = 64;

/// What a driver is made of.
pub(crate) struct Parts {
    pub(crate) plan: Arc<Plan>,
    pub(crate) values: Vec<Component>,
    pub(crate) components: runtime::Handle,
    pub(crate) link: Arc<Link>,
    pub(crate) inbox: mpsc::Receiver<Request>,
    pub(crate) status: watch::Sender<Status>,
    pub(crate) observer: Observer,
}

/// Carries out what the engine decides.
pub(crate) struct Driver {
    engine: Engine,
    executor: Arc<Executor>,
    crew: Arc<Crew>,
    /// Calls of this turn that have not begun.
    calls: Vec<Attempt>,
    /// How many calls have not ended.
    flights: usize,
    link: Arc<Link>,
    completions: mpsc::UnboundedReceiver<Input>,
    inbox: mpsc::Receiver<Request>,
    /// Whether a handle is left.
    asked: bool,
    /// By index; `None` where a component was removed.
    values: Vec<Option<Component>>,
    slots: Vec<Slot>,
    /// Inputs that follow at once from commands.
    answers: VecDeque<Input>,
    replies: HashMap<RequestId, Reply>,
    next_request: u64,
    /// Answers that wait until the status is renewed.
    responses: Vec<(RequestId, Response)>,
    /// Who waits for a snapshot. Answered after all else that was asked before it, so that who has both knows that.
    snapshots: Vec<oneshot::Sender<Snapshot>>,
    observer: Observer,
    /// Where events leave for subscribers, once there has been one.
    outlet: Option<broadcast::Sender<Event>>,
    watch: watch::Sender<Status>,
    status: Status,
    changed: bool,
    /// What was ever left behind; shared as a slice once a turn, since one may leave thousands behind.
    abandoned: Vec<Abandoned>,
    /// Where in that list a generation of a component stands.
    abandoned_places: HashMap<(ComponentId, u32), usize>,
    abandoned_changed: bool,
    /// When the present turn began.
    now: Time,
}

/// What one component has at work.
#[derive(Default)]
struct Slot {
    scope: Option<Arc<AttemptScope>>,
    call: Option<CallInFlight>,
}

struct CallInFlight {
    call: Call,
    key: AttemptKey,
    reins: Arc<Reins>,
    /// Of a drain or a resume.
    token: Option<CancellationToken>,
}

/// Who waits for an answer.
enum Reply {
    Start(StartReply, Option<TokenWatch>),
    Stop(oneshot::Sender<Arc<StopReport>>),
    Operation(OperationReply),
    Add(oneshot::Sender<Addition>),
    Node(NodeReply),
}

/// The task that waits for a start's token; gone when the start is answered.
struct TokenWatch(AbortHandle);

impl Drop for TokenWatch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What has woken the driver.
enum Wake {
    Completions,
    Request(Option<Request>),
    Timer,
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> Self {
        // Bounded by what is at work: see `Executor::tell`.
        let (sender, completions) = mpsc::unbounded_channel();
        let executor = Executor::new(&parts.link, parts.components, sender);
        let status = parts.status.borrow().clone();
        Self {
            engine: Engine::new(parts.plan),
            crew: Crew::new(executor.runtime.clone()),
            calls: Vec::with_capacity(GATHERED),
            flights: 0,
            executor: Arc::new(executor),
            link: parts.link,
            completions,
            inbox: parts.inbox,
            asked: true,
            slots: parts.values.iter().map(|_| Slot::default()).collect(),
            values: parts.values.into_iter().map(Some).collect(),
            answers: VecDeque::new(),
            replies: HashMap::new(),
            next_request: 0,
            responses: Vec::new(),
            snapshots: Vec::new(),
            observer: parts.observer,
            outlet: None,
            watch: parts.status,
            status,
            changed: false,
            abandoned: Vec::new(),
            abandoned_places: HashMap::new(),
            abandoned_changed: false,
            now: Time::ZERO,
        }
    }

    /// Drives until nothing is up and nobody can ask any more.
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut timer = pin!(sleep_until(self.link.clock.instant(Time::MAX)));
        while !self.is_over() {
            let timeout = self.engine.poll_timeout();
            self.arm(timer.as_mut(), timeout);
            let wake = tokio::select! {
                // What has ended comes first: a call that was in time must not be found late.
                biased;
                _ = self.completions.recv_many(&mut batch, BATCH) => Wake::Completions,
                request = self.inbox.recv(), if self.asked => Wake::Request(request),
                () = timer.as_mut(), if timeout.is_some() => Wake::Timer,
            };
            self.turn(wake, &mut batch);
        }
    }

    /// Whether nothing is up and nothing can come.
    fn is_over(&self) -> bool {
        let idle = || match self.engine.state() {
            OrchestratorState::Created | OrchestratorState::Stopped => true,
            OrchestratorState::Starting
            | OrchestratorState::Running
            | OrchestratorState::Stopping => false,
        };
        !self.asked && idle()
    }

    /// Arms the timer for `timeout`. One that is armed for an earlier moment is left alone: it will wake the driver for
    /// nothing once, which is cheaper than to set it again at every turn.
    fn arm(&self, mut timer: Pin<&mut Sleep>, timeout: Option<Time>) {
        let Some(timeout) = timeout else { return };
        let instant = self.link.clock.instant(timeout);
        if instant < timer.deadline() || timer.is_elapsed() {
            timer.as_mut().reset(instant);
        }
    }

    fn turn(&mut self, wake: Wake, batch: &mut Vec<Input>) {
        // One reading for all that has come: it came before now.
        self.now = self.link.clock.now();
        match wake {
            Wake::Completions => batch.drain(..).for_each(|it| self.take_in(it)),
            Wake::Request(Some(request)) => self.ask(request),
            Wake::Request(None) => self.asked = false,
            Wake::Timer => {}
        }
        // Looked at in every turn, so that a flood of completions cannot keep either waiting.
        self.take_requests();
        self.take_timeout();
        self.crew.begin(&mut self.calls);
        if self.flights == 0 {
            self.crew.dismiss();
        }
        self.publish();
        self.respond();
    }

    fn take_requests(&mut self) {
        for _ in 0..REQUESTS {
            let Ok(request) = self.inbox.try_recv() else {
                return;
            };
            self.ask(request);
        }
    }

    /// Before a deadline is said to have passed, everything that had ended by now is taken in: what vanished while the
    /// driver was busy must not be found missing.
    fn take_timeout(&mut self) {
        if !self.is_due() {
            return;
        }
        for _ in 0..self.completions.len() {
            let Ok(ended) = self.completions.try_recv() else {
                break;
            };
            self.take_in(ended);
        }
        if self.is_due() {
            self.engine.handle_timeout(self.now);
            self.settle();
        }
    }

    fn is_due(&mut self) -> bool {
        self.engine.poll_timeout().is_some_and(|it| it <= self.now)
    }

    fn take_in(&mut self, input: Input) {
        match &input {
            Input::CallEnded { call, key, .. } => self.call_ended(*call, *key),
            Input::Reported { key, .. } => return self.listen(*key),
            _ => {}
        }
        self.handle(input);
        self.settle();
    }

    /// Takes in the last of what a component has said of itself.
    fn listen(&mut self, key: AttemptKey) {
        let slot = self.slots.get(key.component.index());
        let scope = slot.and_then(|it| it.scope.as_ref());
        let Some(scope) = scope.filter(|it| it.key() == key) else {
            return;
        };
        for report in scope.take_reports() {
            self.handle(Input::Reported { key, report });
        }
        self.settle();
    }

    fn handle(&mut self, input: Input) {
        self.engine.handle(self.now, input);
    }

    /// Passes on every event and carries out every command, and takes in what follows at once.
    fn settle(&mut self) {
        loop {
            self.follow_plan();
            // Events first: a log says that a call begins before the call logs anything itself.
            while let Some(event) = self.engine.poll_event() {
                self.pass_on(&event);
            }
            self.lower_readiness();
            while let Some(command) = self.engine.poll_command() {
                self.carry_out(command);
            }
            let Some(answer) = self.answers.pop_front() else {
                return;
            };
            self.handle(answer);
        }
    }

    /// A component was added or removed: whoever names components must know.
    fn follow_plan(&mut self) {
        let plan = self.engine.plan();
        if !self.observer.knows(plan) {
            self.observer.follow(plan);
            self.link.set_plan(plan);
        }
    }

    /// Readiness goes down before anything closes (invariant 16 of the design), so before the commands are carried out.
    fn lower_readiness(&mut self) {
        if self.status.ready && !self.engine.is_ready() {
            self.publish();
        }
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Call {
                call,
                key,
                deadline,
            } => self.call(call, key, deadline),
            Command::Cancel { call, key } => self.cancel(call, key),
            Command::Abort { call, key } => self.abort(call, key),
            Command::CloseScope { key } => self.end_scope(key, AttemptScope::close),
            Command::AbortScope { key } => self.end_scope(key, AttemptScope::abort),
            Command::Abandon { key } => self.abandon(key),
            Command::Check { key, check, .. } => self.check(key, check),
            Command::AbortCheck { key, .. } => {
                if let Some(scope) = self.scope_of_generation(key) {
                    scope.abort_check();
                }
            }
            Command::Forget { component } => self.forget(component),
            Command::Halt { component } => self.halt(component),
            Command::Respond { request, response } => {
                self.responses.push((request, response));
            }
        }
    }

    fn call(&mut self, call: Call, key: AttemptKey, deadline: Time) {
        let begun = match call {
            Call::Start => self.call_start(key, deadline),
            Call::Stop => self.call_stop(key, deadline),
            Call::Dispose => self.call_dispose(key, deadline),
            Call::Drain | Call::Resume => {
                self.call_node(call, key, deadline);
                return;
            }
        };
        match begun {
            Some(attempt) => self.begin(call, key, attempt, None),
            None => drop(self.put_flight(key, None)),
        }
    }

    /// Has a call begun, at the end of this turn at the latest.
    fn begin(
        &mut self,
        call: Call,
        key: AttemptKey,
        attempt: Attempt,
        token: Option<CancellationToken>,
    ) {
        let flight = CallInFlight {
            call,
            key,
            reins: attempt.reins(),
            token,
        };
        self.put_flight(key, Some(flight));
        if let Some(runtime) = attempt.own_runtime().cloned() {
            attempt.spawn(&runtime);
            return;
        }
        if call == Call::Start && self.is_service(key) {
            attempt.spawn(&self.executor.runtime);
            return;
        }
        self.calls.push(attempt);
        if self.calls.len() == GATHERED {
            self.crew.begin(&mut self.calls);
        }
    }

    /// Its start waits until its loop is ready, and so is never over at once. What a factory makes is not known before.
    fn is_service(&self, key: AttemptKey) -> bool {
        self.shared_value(key).is_some_and(|it| !it.stops())
    }

    fn call_node(&mut self, call: Call, key: AttemptKey, deadline: Time) {
        let scope = self.scope_of_generation(key);
        let value = scope.as_ref().and_then(|it| self.value_of(it, key));
        let (Some(scope), Some(value)) = (scope, value) else {
            self.answer(call, key, Err(Arc::new(Failure::lost())));
            return;
        };
        scope.set_deadline(deadline);
        let token = CancellationToken::new();
        let attempt = attempt::node(scope, call, key, value, token.clone());
        self.begin(call, key, attempt, Some(token));
    }

    fn check(&mut self, key: AttemptKey, check: u32) {
        let scope = self.scope_of_generation(key);
        let value = scope.as_ref().and_then(|it| self.value_of(it, key));
        match (scope, value) {
            (Some(scope), Some(value)) => scope.check(check, value),
            _ => {
                let outcome = Err(Arc::new(Failure::lost()));
                self.answers.push_back(Input::Checked {
                    key,
                    check,
                    outcome,
                });
            }
        }
    }

    /// Lets go of a component that was removed. Its value is the user's, and so is its `Drop`.
    fn forget(&mut self, component: ComponentId) {
        let index = component.index();
        let plan = self.engine.plan();
        let exit = self.executor.exit();
        if let Some(value) = self.values[index].take() {
            // Its row is kept until the place is used again.
            exit.let_go(plan.name(component), plan.is_isolated(component), value);
        }
        if let Some(scope) = self.slots[index].scope.take() {
            let runtime = scope.runtime().clone();
            drop_in_tasks(&runtime, [scope]);
        }
    }

    /// The promise of a gate is broken: whoever owns the process must end it.
    fn halt(&mut self, component: ComponentId) {
        let name = self.engine.plan().name(component).clone();
        self.changed = true;
        self.status.halted.get_or_insert(name);
    }

    fn call_start(&mut self, key: AttemptKey, deadline: Time) -> Option<Attempt> {
        let index = key.component.index();
        let Some(component) = self.values[index].clone() else {
            return self.answer(Call::Start, key, Err(Arc::new(Failure::lost())));
        };
        let plan = self.engine.plan();
        let subject = Subject {
            name: plan.name(key.component).clone(),
            key,
            is_isolated: plan.is_isolated(key.component),
        };
        let before = self.slots[index].scope.as_ref();
        let scope = AttemptScope::new(Arc::clone(&self.executor), subject, before);
        scope.set_deadline(deadline);
        self.slots[index].scope = Some(Arc::clone(&scope));
        Some(attempt::start(scope, key, component))
    }

    fn call_stop(&mut self, key: AttemptKey, deadline: Time) -> Option<Attempt> {
        let Some(scope) = self.scope_of_generation(key) else {
            return self.answer(Call::Stop, key, Err(Arc::new(Failure::lost())));
        };
        scope.cancel_run();
        scope.set_deadline(deadline);
        let Some(value) = self.value_of(&scope, key) else {
            return self.answer(Call::Stop, key, Err(Arc::new(Failure::lost())));
        };
        if !value.stops() {
            return self.answer(Call::Stop, key, Ok(()));
        }
        Some(attempt::stop(scope, key, value))
    }

    fn call_dispose(&mut self, key: AttemptKey, deadline: Time) -> Option<Attempt> {
        let Some(scope) = self.scope_of_generation(key) else {
            return self.answer(Call::Dispose, key, Ok(()));
        };
        scope.set_deadline(deadline);
        let work = match self.shared_value(key) {
            // This runs no user code and drops no last reference; mostly there is nothing to do, and no task for it.
            Some(value) => value.dispose().map(Work::Future),
            // The value ends in the task, whether it has anything to dispose or not.
            None => scope.take_value().map(Work::Dispose),
        };
        match work {
            Some(work) => Some(attempt::dispose(scope, key, work)),
            None => self.answer(Call::Dispose, key, Ok(())),
        }
    }

    /// Answers a call that needs no task.
    fn answer(&mut self, call: Call, key: AttemptKey, outcome: CallOutcome) -> Option<Attempt> {
        if call == Call::Dispose {
            self.release_scope(key);
        }
        self.answers
            .push_back(Input::CallEnded { call, key, outcome });
        None
    }

    /// Forgets the call that has ended, and the scope when that was the last call of its generation.
    fn call_ended(&mut self, call: Call, key: AttemptKey) {
        let slot = &self.slots[key.component.index()];
        if slot.call_in_flight(call, key).is_some() {
            self.put_flight(key, None);
        }
        if call == Call::Dispose {
            self.release_scope(key);
        }
    }

    fn release_scope(&mut self, key: AttemptKey) {
        let slot = &mut self.slots[key.component.index()];
        if slot.scope_of_generation(key).is_some() {
            slot.scope = None;
        }
    }

    fn cancel(&self, call: Call, key: AttemptKey) {
        let slot = &self.slots[key.component.index()];
        let Some(scope) = slot.scope_of_generation(key) else {
            return;
        };
        match call {
            Call::Start => scope.cancel_start(),
            Call::Stop => scope.cancel_force(),
            Call::Drain | Call::Resume => {
                let flight = slot.call_in_flight(call, key);
                if let Some(token) = flight.and_then(|it| it.token.as_ref()) {
                    token.cancel();
                }
            }
            // Dispose has no token.
            Call::Dispose => {}
        }
    }

    fn abort(&self, call: Call, key: AttemptKey) {
        let slot = &self.slots[key.component.index()];
        if let Some(flight) = slot.call_in_flight(call, key) {
            flight.reins.abort();
        }
    }

    fn end_scope(&mut self, key: AttemptKey, end: fn(&AttemptScope) -> Emptiness) {
        let slot = &self.slots[key.component.index()];
        let scope = slot.scope.as_ref().filter(|it| it.key() == key);
        // What is not there any more is closed.
        if scope.is_none_or(|it| end(it) == Emptiness::Empty) {
            self.answers.push_back(Input::ScopeClosed { key });
        }
    }

    /// Forgets the call; its task, should it ever let go of its thread, was told to drop itself.
    fn abandon(&mut self, key: AttemptKey) {
        if let Some(flight) = self.put_flight(key, None) {
            flight.reins.abort();
        }
    }

    /// Notes what the component of `key` has in flight from now on, and gives back what it had.
    fn put_flight(
        &mut self,
        key: AttemptKey,
        flight: Option<CallInFlight>,
    ) -> Option<CallInFlight> {
        self.flights += usize::from(flight.is_some());
        let slot = &mut self.slots[key.component.index()];
        let before = std::mem::replace(&mut slot.call, flight);
        self.flights -= usize::from(before.is_some());
        before
    }

    fn scope_of_generation(&self, key: AttemptKey) -> Option<Arc<AttemptScope>> {
        let slot = &self.slots[key.component.index()];
        slot.scope_of_generation(key).map(Arc::clone)
    }

    /// The value of a component that is no factory.
    fn shared_value(&self, key: AttemptKey) -> Option<Arc<dyn ErasedLifecycle>> {
        let component = self.values[key.component.index()].as_ref()?;
        (!component.is_factory()).then(|| component.instantiate())
    }

    fn value_of(&self, scope: &AttemptScope, key: AttemptKey) -> Option<Arc<dyn ErasedLifecycle>> {
        self.shared_value(key).or_else(|| scope.value())
    }

    fn ask(&mut self, request: Request) {
        let id = self.next_request();
        match request {
            Request::Start { token, reply } => self.ask_start(id, token, reply),
            Request::Stop {
                mode,
                deadline,
                reply,
            } => {
                self.replies.insert(id, Reply::Stop(reply));
                self.handle(Input::StopRequested {
                    request: id,
                    mode,
                    deadline,
                });
            }
            Request::Snapshot { reply } => self.snapshots.push(reply),
            Request::Tasks { of, reply } => {
                let _ = reply.send(self.count_tasks(&of));
            }
            Request::Operate { order, reply } => self.ask_operation(id, order, reply),
            Request::Rehearse { order, reply } => {
                let script = Script::of(&self.engine, self.now, order);
                let _ = reply.send(script.map_err(Arc::new));
            }
            Request::Remove {
                component,
                cascade,
                intent,
                reply,
            } => self.ask_removal(id, &component, cascade, intent, reply),
            Request::Add {
                registration,
                reply,
            } => self.ask_addition(id, *registration, reply),
            Request::Node {
                command,
                intent,
                reply,
            } => {
                self.replies.insert(id, Reply::Node(reply));
                self.handle(Input::NodeRequested {
                    request: id,
                    command,
                    intent,
                });
            }
            Request::Gate {
                name,
                change,
                reply,
            } => self.ask_gate(name, change, reply),
        }
        self.settle();
    }

    fn count_tasks(&self, of: &[ComponentId]) -> TaskCounts {
        let alive = |id: &ComponentId| {
            let scope = self.slots.get(id.index())?.scope.as_ref();
            scope.map(|it| it.live_tasks())
        };
        TaskCounts {
            components: of.iter().map(|id| alive(id).unwrap_or(0)).collect(),
            runtime: self.executor.runtime.metrics().num_alive_tasks(),
        }
    }

    fn ask_operation(&mut self, id: RequestId, order: Order, reply: OperationReply) {
        let Some(component) = self.engine.plan().find(&order.component) else {
            let error = OperationError::unknown(self.engine.plan(), &order.component);
            let _ = reply.send(Err(Arc::new(error)));
            return;
        };
        self.replies.insert(id, Reply::Operation(reply));
        self.handle(Input::OperationRequested {
            request: id,
            component,
            operation: order.operation,
            forced: order.forced,
            intent: order.intent,
        });
    }

    fn ask_removal(
        &mut self,
        id: RequestId,
        component: &str,
        cascade: Cascade,
        intent: Intent,
        reply: OperationReply,
    ) {
        let Some(component) = self.engine.plan().find(component) else {
            let error = OperationError::unknown(self.engine.plan(), component);
            let _ = reply.send(Err(Arc::new(error)));
            return;
        };
        self.replies.insert(id, Reply::Operation(reply));
        self.handle(Input::RemoveRequested {
            request: id,
            component,
            cascade,
            intent,
        });
    }

    /// The value is in its place before the engine asks for it, and out of it again when the engine does not take it.
    fn ask_addition(
        &mut self,
        id: RequestId,
        registration: Registration,
        reply: oneshot::Sender<Addition>,
    ) {
        let mut values = self.values.iter().flatten();
        let known = values.any(|it| it.is_same(&registration.component));
        let extended = if known {
            Err(instance_is_known(&registration))
        } else {
            self.engine.plan().extended(registration)
        };
        let extended = match extended {
            Ok(extended) => extended,
            Err(error) => {
                let _ = reply.send(Addition::Faulty(error));
                return;
            }
        };
        let index = extended.id.index();
        if index >= self.values.len() {
            self.values.resize_with(index + 1, || None);
            self.slots.resize_with(index + 1, Slot::default);
        }
        self.values[index] = Some(extended.component);
        self.replies.insert(id, Reply::Add(reply));
        self.handle(Input::Added {
            request: id,
            plan: extended.plan,
            component: extended.id,
        });
        let refused = !self.engine.plan().contains(extended.id);
        if refused && let Some(value) = self.values[index].take() {
            // It was never called, so that it is nobody's yet.
            drop_in_tasks(&self.executor.runtime, [value]);
        }
    }

    fn ask_gate(
        &mut self,
        name: String,
        change: GateChange,
        reply: oneshot::Sender<Result<(), UnknownGate>>,
    ) {
        let Some(gate) = self.engine.plan().find_gate(&name) else {
            let _ = reply.send(Err(UnknownGate { name }));
            return;
        };
        self.handle(match change {
            GateChange::Open { until } => Input::GateOpened { gate, until },
            GateChange::Close => Input::GateClosed { gate },
        });
        self.settle();
        let _ = reply.send(Ok(()));
    }

    fn ask_start(&mut self, id: RequestId, token: Option<CancellationToken>, reply: StartReply) {
        let cancelled = token.as_ref().is_some_and(CancellationToken::is_cancelled);
        let watch = token
            .filter(|_| !cancelled)
            .map(|it| self.watch_token(id, it));
        self.replies.insert(id, Reply::Start(reply, watch));
        self.handle(Input::StartRequested { request: id });
        if cancelled {
            self.handle(Input::StartCancelled { request: id });
        }
    }

    /// Waits for the token in a task on the driver's runtime, which components cannot block.
    fn watch_token(&self, request: RequestId, token: CancellationToken) -> TokenWatch {
        let executor = Arc::clone(&self.executor);
        let task = tokio::spawn(async move {
            token.cancelled().await;
            executor.tell(Input::StartCancelled { request });
        });
        TokenWatch(task.abort_handle())
    }

    fn next_request(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }

    /// Gives one event to everybody (invariant 14 of the design).
    fn pass_on(&mut self, event: &Event) {
        self.changed = true;
        self.status.run = event.run;
        self.status.sequence = event.sequence;
        match &event.kind {
            EventKind::Orchestrator { to, .. } => {
                self.status.state = *to;
                self.status.started_once |= *to == OrchestratorState::Running;
            }
            EventKind::StopEnded { report } => {
                self.status.last_stop = Some(Arc::clone(report));
                self.status.stops += 1;
            }
            EventKind::Transition { from, to, .. } => {
                self.status.counts[*from as usize] -= 1;
                self.status.counts[*to as usize] += 1;
            }
            EventKind::Node { cordoned, to, .. } => {
                self.status.cordoned = *cordoned;
                self.status.drain = *to;
            }
            EventKind::Added { .. } => {
                self.status.counts[ComponentState::Created as usize] += 1;
            }
            // What is removed was stopped first.
            EventKind::Removed { .. } => {
                self.status.counts[ComponentState::Stopped as usize] -= 1;
            }
            EventKind::Awaiting { .. }
            | EventKind::Lost { .. }
            | EventKind::RestartRefused { .. }
            | EventKind::DependencyLost { .. }
            | EventKind::DependencyBack { .. }
            | EventKind::HealthChanged { .. }
            | EventKind::CheckFailed { .. }
            | EventKind::Participant { .. }
            | EventKind::Operation { .. }
            | EventKind::Gate { .. }
            | EventKind::GateBroken { .. }
            | EventKind::Abandoned { .. }
            | EventKind::AttemptFailed { .. }
            | EventKind::RetryScheduled { .. }
            | EventKind::Cancelled { .. }
            | EventKind::Aborted { .. }
            | EventKind::Held { .. }
            | EventKind::Disposed { .. } => {}
        }
        self.observe(event);
        let plan = self.engine.plan();
        self.executor.follow(event, |id| plan.name(id).as_str());
        self.link.events.send(event, &mut self.outlet);
    }

    fn observe(&mut self, event: &Event) {
        let EventKind::Abandoned { key } = event.kind else {
            self.observer.event(event, &[]);
            return;
        };
        let tasks = self.survivors(key);
        let index = self.place_of_abandoned(key);
        let left = self.abandoned[index].add(tasks);
        self.abandoned_changed = true;
        self.observer.event(event, left);
    }

    fn survivors(&self, key: AttemptKey) -> Vec<Cow<'static, str>> {
        let slot = &self.slots[key.component.index()];
        let call = slot.call.as_ref().map(|it| it.call.as_str().into());
        let tasks = slot.scope.iter().flat_map(|it| it.survivors());
        call.into_iter().chain(tasks).collect()
    }

    /// Where the generation of `key` is listed. It may be there already: its tasks are left behind before its dispose is.
    fn place_of_abandoned(&mut self, key: AttemptKey) -> usize {
        let next = self.abandoned.len();
        let generation = (key.component, key.generation);
        let place = *self.abandoned_places.entry(generation).or_insert(next);
        if place == next {
            self.abandoned.push(Abandoned {
                component: self.engine.plan().name(key.component).clone(),
                generation: key.generation,
                tasks: Vec::new(),
            });
        }
        place
    }

    fn publish(&mut self) {
        let ready = self.engine.is_ready();
        self.changed |= ready != self.status.ready;
        if !std::mem::take(&mut self.changed) {
            return;
        }
        self.status.ready = ready;
        if std::mem::take(&mut self.abandoned_changed) {
            self.status.abandoned = self.abandoned.as_slice().into();
        }
        self.observer.turned(ready, self.link.events.lag());
        self.watch.send_replace(self.status.clone());
    }

    fn respond(&mut self) {
        for (request, response) in self.responses.drain(..) {
            // Whoever has dropped its future does not want the answer.
            match (self.replies.remove(&request), response) {
                (Some(Reply::Start(reply, watch)), Response::Start(result)) => {
                    drop(watch);
                    drop(reply.send(result));
                }
                (Some(Reply::Stop(reply)), Response::Stop(report)) => drop(reply.send(report)),
                (Some(Reply::Operation(reply)), Response::Operation(result)) => {
                    drop(reply.send(result));
                }
                (Some(Reply::Add(reply)), Response::Operation(result)) => {
                    drop(reply.send(Addition::Seen(result)));
                }
                (Some(Reply::Node(reply)), Response::Node(result)) => drop(reply.send(result)),
                (None, _) => {}
                (Some(_), _) => {
                    debug_assert!(false, "the engine answers what it was asked");
                }
            }
        }
        for reply in self.snapshots.drain(..) {
            let _ = reply.send(self.engine.snapshot(self.now));
        }
    }
}

/// The same value cannot be two components.
fn instance_is_known(registration: &Registration) -> BuildError {
    BuildError {
        faults: vec![GraphFault::InstanceTaken {
            name: registration.name.clone(),
        }],
    }
}

impl Slot {
    fn scope_of_generation(&self, key: AttemptKey) -> Option<&Arc<AttemptScope>> {
        let scope = self.scope.as_ref();
        scope.filter(|it| it.key().generation == key.generation)
    }

    fn call_in_flight(&self, call: Call, key: AttemptKey) -> Option<&CallInFlight> {
        let flight = self.call.as_ref();
        flight.filter(|it| it.call == call && it.key == key)
    }
}

impl Drop for Driver {
    /// Leaves nothing behind (semantics 20): aborts all tasks, and drops all values. What blocks its thread stays.
    fn drop(&mut self) {
        self.link.events.close();
        self.outlet = None;
        for slot in &self.slots {
            if let Some(flight) = &slot.call {
                flight.reins.abort();
            }
            if let Some(scope) = &slot.scope {
                scope.abort();
            }
        }
        self.crew.begin(&mut self.calls);
        self.crew.dismiss();
        // Values are the user's, and so is their `Drop`.
        for scope in self.slots.drain(..).filter_map(|it| it.scope) {
            let runtime = scope.runtime().clone();
            drop_in_tasks(&runtime, [scope]);
        }
        let plan = self.engine.plan();
        let exit = self.executor.exit();
        for (index, value) in self.values.drain(..).enumerate() {
            if let (Some(id), Some(value)) = (plan.at(index), value) {
                exit.let_go(plan.name(id), plan.is_isolated(id), value);
            }
        }
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}
