//! [`Rehearsal`]: what an operation on one component would do.
//!
//! The rules of what goes down and comes back are many, and a second telling of them would be wrong sooner or later. So
//! the operation is played through on a copy of the engine itself, in which every call succeeds at once.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use crate::failure::{Failure, FailureKind};
use crate::plan::{ComponentId, Plan};
use crate::time::Time;

use super::Engine;
use super::message::{AttemptKey, Call, CallOutcome, Command, Input, RequestId, Response};
use super::operation::{Intent, Operation, OperationError};
use super::slot::Phase;

/// Nobody else asks a copy for anything.
const REQUEST: RequestId = RequestId(u64::MAX);

/// What an operation would do if every call succeeded.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// The plan that it holds for.
    pub plan: Arc<Plan>,
    /// Which component is meant.
    pub component: ComponentId,
    /// Why it would be refused, or come to nothing.
    pub refusal: Option<Arc<OperationError>>,
    /// What would be stopped, in the order in which stops are issued; starts that would be given up are among them.
    pub stops: Vec<Move>,
    /// What would be started, in the order in which starts are issued. What would first have to wait until some time has
    /// passed is not.
    pub starts: Vec<Move>,
}

/// One component that would be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// Which one.
    pub component: ComponentId,
    /// For whose sake, if not for its own.
    pub cause: Option<ComponentId>,
}

/// An engine that is played with.
struct Stage {
    engine: Engine,
    now: Time,
    answers: VecDeque<Input>,
    answer: Option<Result<(), Arc<OperationError>>>,
    stops: Vec<Move>,
    /// What is in `stops`.
    stopped: HashSet<ComponentId>,
    starts: Vec<Move>,
}

impl Engine {
    /// Plays `operation` through at `now`, on an engine that is then used up: a clone of the real one, taken between two
    /// steps. What is in flight succeeds when something waits for it; no time passes.
    ///
    /// Takes time by what the operation moves, beside that of the clone.
    #[must_use]
    pub fn rehearse(
        self,
        now: Time,
        component: ComponentId,
        operation: Operation,
        forced: bool,
    ) -> Rehearsal {
        let concerned = self.ordered_behind(component);
        let mut in_flight = self.in_flight();
        let mut stage = Stage {
            engine: self,
            now,
            answers: VecDeque::new(),
            answer: None,
            stops: Vec::new(),
            stopped: HashSet::new(),
            starts: Vec::new(),
        };
        stage.engine.commands.clear();
        stage.answers.push_back(Input::OperationRequested {
            request: REQUEST,
            component,
            operation,
            forced,
            intent: Intent::default(),
        });
        stage.play();
        while stage.waits() {
            let Some(answer) = in_flight.pop_front() else {
                break;
            };
            stage.answers.push_back(answer);
            stage.play();
        }
        stage.starts.retain(|it| concerned.contains(&it.component));
        Rehearsal {
            plan: Arc::clone(&stage.engine.plan),
            component,
            refusal: stage.answer.and_then(Result::err),
            stops: stage.stops,
            starts: stage.starts,
        }
    }

    /// `id`, and what is ordered after it by any edge, directly or not.
    fn ordered_behind(&self, id: ComponentId) -> HashSet<ComponentId> {
        let mut known = HashSet::from([id]);
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            if !self.plan.contains(id) {
                continue;
            }
            let edges = self.plan.dependents(id).iter();
            open.extend(edges.map(|it| it.component).filter(|it| known.insert(*it)));
        }
        known
    }

    /// The ends of what is under way, in plan order.
    fn in_flight(&self) -> VecDeque<Input> {
        let order = self.plan.order().iter();
        order.filter_map(|id| self.end_of(*id)).collect()
    }

    fn end_of(&self, id: ComponentId) -> Option<Input> {
        let slot = &self.slots[id.index()];
        let ended = |call, outcome| {
            let key = slot.call_key(id, call);
            Input::CallEnded { call, key, outcome }
        };
        match slot.phase {
            Phase::Starting => Some(ended(Call::Start, Ok(()))),
            Phase::StartCancelled | Phase::StartAborted => Some(ended(Call::Start, given_up())),
            Phase::Undoing | Phase::UndoAborted | Phase::Stopping | Phase::StopAborted => {
                Some(ended(Call::Stop, Ok(())))
            }
            Phase::Disposing | Phase::DisposeAborted => Some(ended(Call::Dispose, Ok(()))),
            Phase::Closing | Phase::ScopeAborted => Some(Input::ScopeClosed { key: slot.key(id) }),
            Phase::Draining | Phase::DrainCancelled | Phase::DrainAborted => {
                Some(ended(slot.node_call(), Ok(())))
            }
            Phase::Idle
            | Phase::Waiting
            | Phase::Restarting
            | Phase::BackingOff
            | Phase::Running
            | Phase::StopBackingOff
            | Phase::Kept => None,
        }
    }
}

impl Stage {
    /// Goes on until nothing of what it has begun is left.
    fn play(&mut self) {
        while let Some(input) = self.answers.pop_front() {
            self.engine.handle(self.now, input);
            // Nobody reads them.
            self.engine.events.clear();
            while let Some(command) = self.engine.poll_command() {
                self.carry_out(command);
            }
        }
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Call { call, key, .. } => {
                match call {
                    Call::Start => self.note_start(key),
                    Call::Stop => self.note_stop(key),
                    Call::Dispose | Call::Drain | Call::Resume => {}
                }
                self.end(call, key, Ok(()));
            }
            Command::Cancel { call, key } | Command::Abort { call, key } => {
                if call == Call::Start {
                    self.note_stop(key);
                }
                self.end(call, key, given_up());
            }
            Command::CloseScope { key } | Command::AbortScope { key } => {
                self.answers.push_back(Input::ScopeClosed { key });
            }
            Command::Respond { request, response } => {
                if let (REQUEST, Response::Operation(result)) = (request, response) {
                    self.answer = Some(result.map(drop));
                }
            }
            Command::Abandon { .. }
            | Command::Check { .. }
            | Command::AbortCheck { .. }
            | Command::Forget { .. }
            | Command::Halt { .. } => {}
        }
    }

    fn end(&mut self, call: Call, key: AttemptKey, outcome: CallOutcome) {
        self.answers
            .push_back(Input::CallEnded { call, key, outcome });
    }

    fn note_start(&mut self, key: AttemptKey) {
        let it = self.moved(key.component);
        self.starts.push(it);
    }

    fn note_stop(&mut self, key: AttemptKey) {
        let it = self.moved(key.component);
        if self.stopped.insert(it.component) {
            self.stops.push(it);
        }
    }

    fn moved(&self, component: ComponentId) -> Move {
        let cause = self.engine.slots[component.index()].cause;
        Move {
            component,
            cause: cause.filter(|it| *it != component),
        }
    }

    /// Whether it is not over: nobody was answered, or something that was stopped has not come back.
    fn waits(&self) -> bool {
        let comes_back = |it: &Move| {
            let slot = &self.engine.slots[it.component.index()];
            slot.phase == Phase::Waiting && slot.unmet > 0
        };
        self.answer.is_none() || self.stops.iter().any(comes_back)
    }
}

fn given_up() -> CallOutcome {
    let failure = Failure::new(FailureKind::Cancelled, "it was given up");
    Err(Arc::new(failure))
}
