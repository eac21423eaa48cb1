//! [`OrchestratorBuilder`]: collects registrations, then checks everything at once.

use std::sync::Arc;
use std::time::Duration;

use lifecycle_core::engine::ComponentState;
use lifecycle_core::{BuildError, Compiled, Defaults, Plan, Registration};
use tokio::runtime;
use tokio::sync::{mpsc, watch};

use crate::blocked::Watch;
use crate::clock::Clock;
use crate::handle::{Handle, Link};
use crate::orchestrator::Orchestrator;
use crate::request::{REQUESTS, Request};
use crate::status::Status;

/// Collects what an orchestrator shall run.
///
/// ```
/// use lifecycle_core::{Registration, component};
/// use lifecycle_runtime::Orchestrator;
///
/// let idle = || component::from_fn(async |_| Ok(()), async |_| Ok(()));
/// let mut builder = Orchestrator::builder();
/// builder
///     .register(Registration::new("pool", idle()))
///     .register(Registration::new("worker", idle()).depends_on(["pol"]));
/// let error = builder.build().expect_err("the dependency is misspelt");
/// assert!(error.to_string().contains("pol"));
/// ```
#[derive(Debug)]
pub struct OrchestratorBuilder {
    registrations: Vec<Registration>,
    defaults: Defaults,
    components: Option<runtime::Handle>,
    blocked_after: Option<Duration>,
    handle: Handle,
    link: Arc<Link>,
    inbox: mpsc::Receiver<Request>,
    status: watch::Sender<Status>,
}

impl OrchestratorBuilder {
    pub(crate) fn new() -> Self {
        let (requests, inbox) = mpsc::channel(REQUESTS);
        let (status, readers) = watch::channel(Status::default());
        let link = Arc::new(Link::new(Clock::starting_now()));
        Self {
            registrations: Vec::new(),
            defaults: Defaults::default(),
            components: None,
            blocked_after: None,
            handle: Handle::new(requests, readers, Arc::clone(&link)),
            link,
            inbox,
            status,
        }
    }

    /// Adds a component. Nothing is checked before [`build`](Self::build).
    pub fn register(&mut self, registration: Registration) -> &mut Self {
        self.registrations.push(registration);
        self
    }

    /// Adds components.
    pub fn registrations(
        &mut self,
        registrations: impl IntoIterator<Item = Registration>,
    ) -> &mut Self {
        self.registrations.extend(registrations);
        self
    }

    /// Sets what holds for every component that does not say otherwise, and for the orchestrator as a whole.
    pub fn defaults(&mut self, defaults: Defaults) -> &mut Self {
        self.defaults = defaults;
        self
    }

    /// Runs components on `runtime`. Unset, they run where the orchestrator is driven; then a component that blocks its
    /// thread may hold up the driver too.
    pub fn components_on(&mut self, runtime: runtime::Handle) -> &mut Self {
        self.components = Some(runtime);
        self
    }

    /// Sets how many events a subscriber may be behind before it misses the oldest (1 024; at least 1).
    pub fn event_capacity(&mut self, events: usize) -> &mut Self {
        self.link.events.set_capacity(events);
        self
    }

    /// Sets how many of the last events [`Handle::history`] gives (1 024; 0 for none).
    pub fn history(&mut self, events: usize) -> &mut Self {
        self.link.events.keep(events);
        self
    }

    /// Names every call and every task that holds its thread for longer than `after`: with a log line when that has
    /// passed, and again at doubling intervals; in [`Handle::blocked`]; and in the metric `lifecycle_blocked_polls`.
    ///
    /// A thread of its own looks for them, for as long as the orchestrator is driven. Unset, nobody does; a
    /// [`Host`](crate::Host) sets it from its configuration.
    pub fn watch_blocked(&mut self, after: Duration) -> &mut Self {
        self.blocked_after = Some(after);
        self
    }

    /// A handle of the orchestrator to be, for components that watch or stop the whole. Its requests wait until the
    /// orchestrator is driven.
    ///
    /// A component that keeps a handle makes a cycle: the driver keeps the component, and as long as a handle is left the
    /// driver does not end by itself. It then ends with the task or the future that drives, which
    /// [`Host`](crate::Host) sees to; who drives without a host aborts that task or drops that future after the stop.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// What was registered so far.
    pub(crate) fn registered(&self) -> &[Registration] {
        &self.registrations
    }

    /// What the handles and the driver will share.
    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Checks all registrations and compiles them.
    ///
    /// # Errors
    ///
    /// [`BuildError`] with every fault that can be found at once. Handles then answer
    /// [`DriverGone`](crate::DriverGone).
    pub fn build(self) -> Result<Orchestrator, BuildError> {
        let Compiled { plan, components } = Plan::compile(self.registrations, self.defaults)?;
        self.link.set_plan(&plan);
        if let Some(after) = self.blocked_after {
            let _ = self.link.watch.set(Watch::new(after, self.link.clock));
        }
        self.status.send_modify(|status| {
            status.counts[ComponentState::Created as usize] = plan.len();
        });
        Ok(Orchestrator {
            plan,
            values: components,
            components: self.components,
            handle: self.handle,
            link: self.link,
            inbox: self.inbox,
            status: self.status,
        })
    }
}
