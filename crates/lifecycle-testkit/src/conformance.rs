//! Tries a component on what the [`Lifecycle`](lifecycle_core::Lifecycle) contract asks of it, without an orchestrator
//! around it: so that a call can be dropped at any await point that it has.
//!
//! It runs on the runtime and the clock of the test that calls it. A component without sockets is tried on paused time, in
//! no time ([`simulate`](crate::simulate), or `#[tokio::test(start_paused = true)]`); one with sockets in real time
//! (`#[tokio::test]`).
//!
//! ```
//! use lifecycle_core::{BoxError, Lifecycle, StartContext, StopContext};
//! use lifecycle_testkit::{conformance, simulate};
//!
//! struct Beacon;
//!
//! impl Lifecycle for Beacon {
//!     async fn start(&self, cx: &StartContext) -> Result<(), BoxError> {
//!         let stopped = cx.run_token();
//!         cx.spawn("blink", async move { stopped.cancelled().await });
//!         Ok(())
//!     }
//!
//!     async fn stop(&self, _cx: &StopContext) -> Result<(), BoxError> {
//!         Ok(())
//!     }
//! }
//!
//! simulate(async { conformance::check(|| Beacon).await.assert_ok() });
//! ```

mod call;
mod checks;
mod report;
mod stage;
mod trial;

pub use report::{Finding, Report};

use std::fmt;
use std::time::Duration;

use lifecycle_core::{BoxError, BoxFuture, Component};

use trial::Trial;

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Check {
    /// Start, stop and dispose succeed, and leave nothing. If they do not, no other check is made.
    StartStop,
    /// After that, the same value starts and stops again.
    Restart,
    /// A start that comes once more while it runs, which no orchestrator does and other callers may, neither hangs nor
    /// panics, and the stop ends what both have begun.
    StartTwice,
    /// A start whose token is cancelled, at each of its await points, ends within the abort grace; after dispose a start
    /// works.
    CancelledStart,
    /// A start that is dropped, at each of its await points, leaves nothing after dispose, and a start works.
    DroppedStart,
    /// The same for a stop that is dropped.
    DroppedStop,
    /// A stop that was dropped is called again and succeeds, as a stop that is tried again; and one that comes once more
    /// after it has succeeded, which no orchestrator does and other callers may, neither hangs nor panics.
    StopTwice,
    /// A stop that is forced, before it begins or at its first await point, returns within the force budget.
    ForcedStop,
    /// If it takes part in drains: drain, resume and drain succeed; a drain that is cancelled ends within the abort grace
    /// and can be resumed.
    Drain,
    /// While it runs it says that it is healthy.
    Health,
    /// In an orchestrator: when a dependent fails to start, by an error or a panic, it is rolled back cleanly.
    FailingDependent,
}

impl Check {
    /// Every check, in the order in which they are made.
    pub const ALL: [Self; 11] = [
        Self::StartStop,
        Self::Restart,
        Self::StartTwice,
        Self::CancelledStart,
        Self::DroppedStart,
        Self::DroppedStop,
        Self::StopTwice,
        Self::ForcedStop,
        Self::Drain,
        Self::Health,
        Self::FailingDependent,
    ];

    /// The check's name in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StartStop => "start and stop",
            Self::Restart => "restart",
            Self::StartTwice => "start twice",
            Self::CancelledStart => "cancelled start",
            Self::DroppedStart => "dropped start",
            Self::DroppedStop => "dropped stop",
            Self::StopTwice => "stop twice",
            Self::ForcedStop => "forced stop",
            Self::Drain => "drain",
            Self::Health => "health",
            Self::FailingDependent => "failing dependent",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How long things may take while a component is tried, by tokio's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// One call that is left alone (10 s).
    pub call: Duration,
    /// A call, or a task, that was asked to end; and until nothing is left of what has ended (500 ms).
    pub grace: Duration,
    /// A stop that is forced (1 s).
    pub force: Duration,
    /// At how many await points of a start or a stop it is tried, counted from its beginning (64).
    pub polls: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(10),
            grace: Duration::from_millis(500),
            force: Duration::from_secs(1),
            polls: 64,
        }
    }
}

/// Makes every check on components that `make` makes, a new one for each, and reports all that was found.
///
/// # Panics
///
/// Outside of a tokio runtime; and when `make` does.
///
/// # Cancel safety
///
/// Dropping the future leaves whatever the component under trial has acquired.
pub async fn check<C: Into<Component>>(make: impl Fn() -> C) -> Report {
    Suite::of(make).run().await
}

/// A probe for leaks, given by the user.
struct Probe<'a> {
    what: String,
    ask: Box<dyn Fn() -> BoxFuture<'static, Result<(), BoxError>> + 'a>,
}

/// The checks, with what is said about them.
///
/// ```
/// use lifecycle_core::component;
/// use lifecycle_testkit::conformance::{Check, Suite};
/// use lifecycle_testkit::simulate;
///
/// simulate(async {
///     let report = Suite::of(|| component::service(|cx| async move { cx.ready(); cx.cancelled().await }))
///         .named("ticker")
///         .skip(Check::Drain)
///         .probe("nothing is held", || async { Ok(()) })
///         .run()
///         .await;
///     report.assert_ok();
/// });
/// ```
pub struct Suite<'a> {
    make: Box<dyn Fn() -> Component + 'a>,
    name: String,
    skipped: Vec<Check>,
    limits: Limits,
    probes: Vec<Probe<'a>>,
}

impl<'a> Suite<'a> {
    /// Every check, on components that `make` makes. They are made one after the other, so that they may use the same port.
    #[must_use]
    pub fn of<C: Into<Component>>(make: impl Fn() -> C + 'a) -> Self {
        Self {
            make: Box::new(move || make().into()),
            name: "subject".to_owned(),
            skipped: Vec::new(),
            limits: Limits::default(),
            probes: Vec::new(),
        }
    }

    /// Sets the name that the component is told, and that the report shows (`subject`).
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Leaves a check out; the report says so.
    #[must_use]
    pub fn skip(mut self, check: Check) -> Self {
        self.skipped.push(check);
        self
    }

    /// Sets how long things may take.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Has `ask` look for what is left, each time after the component was disposed: `the port is free`. It is asked again
    /// until it succeeds or the grace is over; its error is the finding.
    #[must_use]
    pub fn probe<F, Fut>(mut self, what: impl Into<String>, ask: F) -> Self
    where
        F: Fn() -> Fut + 'a,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.probes.push(Probe {
            what: what.into(),
            ask: Box::new(move || Box::pin(ask())),
        });
        self
    }

    /// Makes the checks, one after the other.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, when the name breaks the naming rule, and when the maker of components panics.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves whatever the component under trial has acquired.
    pub async fn run(self) -> Report {
        let mut report = Report::new(self.name.clone());
        for check in Check::ALL {
            // What does not even start and stop would only fail in the same way again.
            let is_hopeless = report.found_in(Check::StartStop);
            if is_hopeless || self.skipped.contains(&check) {
                report.skipped.push(check);
                continue;
            }
            let findings = checks::make(check, &self).await;
            report.enter(check, findings);
        }
        report
    }

    fn trial(&self) -> Trial<'_> {
        Trial::of((self.make)(), &self.name, self.limits, &self.probes)
    }
}

impl fmt::Debug for Suite<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suite")
            .field("name", &self.name)
            .field("skipped", &self.skipped)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
