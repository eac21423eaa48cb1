//! [`Orchestrator`]: built, and ready to be driven.

use std::sync::Arc;

use lifecycle_core::{Component, Plan};
use tokio::runtime;
use tokio::sync::{mpsc, watch};

use crate::blocked::Watchdog;
use crate::builder::OrchestratorBuilder;
use crate::driver::{Driver, Parts};
use crate::handle::{Handle, Link};
use crate::observe::Observer;
use crate::request::Request;
use crate::status::Status;

/// A checked set of components, ready to be driven.
///
/// Nothing happens before [`spawn`](Self::spawn) or [`run`](Self::run), and no component is called before
/// [`Handle::start`].
#[derive(Debug)]
pub struct Orchestrator {
    pub(crate) plan: Arc<Plan>,
    pub(crate) values: Vec<Component>,
    pub(crate) components: Option<runtime::Handle>,
    pub(crate) handle: Handle,
    pub(crate) link: Arc<Link>,
    pub(crate) inbox: mpsc::Receiver<Request>,
    pub(crate) status: watch::Sender<Status>,
}

impl Orchestrator {
    /// An empty builder.
    #[must_use]
    pub fn builder() -> OrchestratorBuilder {
        OrchestratorBuilder::new()
    }

    /// A handle.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Drives the orchestrator in a task of the current runtime.
    ///
    /// The task ends when nothing is up and no handle is left, and with the runtime at the latest: a component that keeps
    /// a [`Handle`] keeps the task until then. What [`run`](Self::run) cannot promise holds here too.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, or on one whose timers are not enabled.
    pub fn spawn(self) -> Handle {
        let handle = self.handle();
        tokio::spawn(self.run());
        handle
    }

    /// Drives the orchestrator; for embedders who own the runtime. Completes when nothing is up and no handle is left.
    ///
    /// A component that keeps a [`Handle`] keeps this future from completing, since the future in turn keeps the
    /// component; drop the future then, after the stop.
    ///
    /// Metrics are registered now, with the recorder that is installed now; a recorder installed later receives
    /// nothing.
    ///
    /// What is promised under [`Host::main`](crate::Host::main) is not all promised here: the future shares its threads
    /// with others. While every worker is blocked, no deadline is kept, and when the runtime shuts down first, stops
    /// are not called (semantics 30). Components that may block belong on a runtime of their own, by
    /// [`components_on`](OrchestratorBuilder::components_on).
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, or, when polled, on one whose timers are not enabled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future aborts every task and lets go of every value, each in a task of the components' runtime; a
    /// task that blocks its thread goes on. No stop and no dispose is called then: stop the orchestrator first
    /// (semantics 20).
    pub fn run(self) -> impl Future<Output = ()> + Send + 'static {
        let components = self.components.unwrap_or_else(runtime::Handle::current);
        // A host has begun before, and goes on for longer.
        let watchdog = self.link.watch.get().and_then(Watchdog::begin);
        let driver = Driver::new(Parts {
            observer: Observer::new(Arc::clone(&self.plan)),
            plan: self.plan,
            values: self.values,
            components,
            link: self.link,
            inbox: self.inbox,
            status: self.status,
        });
        async move {
            let _watchdog = watchdog;
            driver.run().await;
        }
    }
}
