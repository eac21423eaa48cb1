//! What handles ask of the driver.

use std::sync::Arc;

use lifecycle_core::engine::{
    self, Cascade, Engine, Intent, NodeCommand, NodeError, NodeReport, OperationError,
    OperationReport, Rehearsal, Snapshot, StartReport, StopMode, StopReport,
};
use lifecycle_core::{BuildError, ComponentId, Registration, Time};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// How many requests may wait. The driver never waits itself, so that a full queue lasts for one of its turns; whoever
/// finds it full waits for that long.
pub(crate) const REQUESTS: usize = 64;

/// Where the result of a start goes.
pub(crate) type StartReply = oneshot::Sender<Result<Arc<StartReport>, Arc<engine::StartError>>>;

/// Where the result of an operation on one component goes.
pub(crate) type OperationReply = oneshot::Sender<Result<Arc<OperationReport>, Arc<OperationError>>>;

/// Where the result of a command to the node goes.
pub(crate) type NodeReply = oneshot::Sender<Result<Arc<NodeReport>, Arc<NodeError>>>;

/// What became of a registration that was to be added.
#[derive(Debug)]
pub(crate) enum Addition {
    /// It makes no sense beside what is there.
    Faulty(BuildError),
    /// The engine has seen it.
    Seen(Result<Arc<OperationReport>, Arc<OperationError>>),
}

/// What one component shall do, and who wants it.
///
/// ```
/// use lifecycle_core::engine::{Intent, Operation};
/// use lifecycle_runtime::Order;
///
/// let order = Order::new(Operation::Stop, "reports")
///     .forced()
///     .with_intent(Intent::because("ticket 4711").by("alice"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The component, by its name or an alias.
    pub component: String,
    /// What it shall do: start, stop or restart.
    pub operation: engine::Operation,
    /// Whether it shall stop although it, or something that goes down with it, is essential.
    pub forced: bool,
    /// Who wants it, and why.
    pub intent: Intent,
}

impl Order {
    /// An order of nobody in particular, not forced.
    #[must_use]
    pub fn new(operation: engine::Operation, component: impl Into<String>) -> Self {
        Self {
            component: component.into(),
            operation,
            forced: false,
            intent: Intent::default(),
        }
    }

    /// Stops also what is essential.
    #[must_use]
    pub fn forced(mut self) -> Self {
        self.forced = true;
        self
    }

    /// Says who wants it, and why.
    #[must_use]
    pub fn with_intent(mut self, intent: Intent) -> Self {
        self.intent = intent;
        self
    }
}

/// Something that a handle asks; the sender is where the answer goes.
#[derive(Debug)]
pub(crate) enum Request {
    Start {
        token: Option<CancellationToken>,
        reply: StartReply,
    },
    Stop {
        mode: StopMode,
        deadline: Option<Time>,
        reply: oneshot::Sender<Arc<StopReport>>,
    },
    Snapshot {
        reply: oneshot::Sender<Snapshot>,
    },
    Tasks {
        of: Vec<ComponentId>,
        reply: oneshot::Sender<TaskCounts>,
    },
    Operate {
        order: Order,
        reply: OperationReply,
    },
    /// Asks for a copy of the engine to play the order through.
    Rehearse {
        order: Order,
        reply: oneshot::Sender<Result<Box<Script>, Arc<OperationError>>>,
    },
    Remove {
        component: String,
        cascade: Cascade,
        intent: Intent,
        reply: OperationReply,
    },
    Add {
        registration: Box<Registration>,
        reply: oneshot::Sender<Addition>,
    },
    Node {
        command: NodeCommand,
        intent: Intent,
        reply: NodeReply,
    },
    /// Opens a gate, until a moment or for good, or closes it.
    Gate {
        name: String,
        change: GateChange,
        reply: oneshot::Sender<Result<(), UnknownGate>>,
    },
}

/// How many tasks are alive at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskCounts {
    /// Of each component that was asked for, in that order: tasks that its present generation has spawned in its scope, the loop of a
    /// service among them. Calls that are under way are not counted, nor is what a component has spawned by other means.
    pub components: Vec<u32>,
    /// On the runtime of the orchestrator, whoever has spawned them. Isolated components have runtimes of their own.
    pub runtime: usize,
}

/// A copy of the engine, and what shall be played with it.
#[derive(Debug)]
pub(crate) struct Script {
    engine: Engine,
    now: Time,
    component: ComponentId,
    order: Order,
}

impl Script {
    /// Refuses an order for nobody that `engine` knows.
    pub(crate) fn of(
        engine: &Engine,
        now: Time,
        order: Order,
    ) -> Result<Box<Self>, OperationError> {
        let plan = engine.plan();
        let component = plan.find(&order.component);
        let component = component.ok_or_else(|| OperationError::unknown(plan, &order.component))?;
        Ok(Box::new(Self {
            engine: engine.clone(),
            now,
            component,
            order,
        }))
    }

    pub(crate) fn play(self) -> Rehearsal {
        let Order {
            operation, forced, ..
        } = self.order;
        self.engine
            .rehearse(self.now, self.component, operation, forced)
    }
}

/// What shall become of a gate.
#[derive(Clone, Copy, Debug)]
pub(crate) enum GateChange {
    Open { until: Option<Time> },
    Close,
}

/// No component has a gate of this name; nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no component is behind a gate called {name:?}")]
pub struct UnknownGate {
    /// The name that nobody has.
    pub name: String,
}
