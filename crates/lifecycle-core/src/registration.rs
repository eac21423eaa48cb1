//! What a caller says about one component.

use crate::component::Component;
use crate::gate::Gate;
use crate::policy::{HealthCheck, Restart, Retry};
use crate::time::Nanos;

/// What the final loss of a component means for the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(rename_all = "kebab-case")
)]
pub enum Criticality {
    /// The host cannot go on without it: a failed start is rolled back, a loss stops the host.
    #[default]
    Essential,
    /// The host goes on and says that it is degraded.
    Degradable,
    /// The host goes on; only the snapshot tells.
    Optional,
}

impl Criticality {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Essential => "essential",
            Self::Degradable => "degradable",
            Self::Optional => "optional",
        }
    }
}

/// What an edge demands of the dependency before the dependent may start (semantics 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "kebab-case")
)]
pub enum EdgeKind {
    /// The dependency is running. If it fails for good, the dependent never starts.
    Hard,
    /// The dependency is running, or its first start has failed; then the dependent starts without it, degraded.
    Soft,
    /// As soft, without effect on the dependent's health.
    Order,
}

impl EdgeKind {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hard => "hard",
            Self::Soft => "soft",
            Self::Order => "order",
        }
    }
}

/// What a hard edge does to a running dependent when the dependency goes down (semantics 3, 21).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "kebab-case")
)]
pub enum OnLoss {
    /// The dependent goes down before the dependency does, and comes back after it.
    #[default]
    Follows,
    /// The dependent goes on without it, degraded, and is told.
    Tolerates,
    /// The dependent goes down before the dependency does, and stays down until an operator starts it.
    Stops,
}

impl OnLoss {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Follows => "follows",
            Self::Tolerates => "tolerates",
            Self::Stops => "stops",
        }
    }
}

/// One edge as a caller declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The name or an alias of the dependency; trimmed, blank ones are ignored.
    pub name: String,
    /// What the edge demands.
    pub kind: EdgeKind,
    /// What becomes of the dependent when the dependency goes down; means something on a hard edge only.
    pub on_loss: OnLoss,
    /// Whether the dependency must stay up when this dependent's stop could not be confirmed (semantics 15).
    pub hold: bool,
}

impl Dependency {
    /// A hard edge to `name`.
    #[must_use]
    pub fn hard(name: impl Into<String>) -> Self {
        Self::of(EdgeKind::Hard, name)
    }

    /// A soft edge to `name`.
    #[must_use]
    pub fn soft(name: impl Into<String>) -> Self {
        Self::of(EdgeKind::Soft, name)
    }

    /// An edge to `name` that orders and nothing else.
    #[must_use]
    pub fn order(name: impl Into<String>) -> Self {
        Self::of(EdgeKind::Order, name)
    }

    /// Lets the dependent go on, degraded, while the dependency is down. On an edge that is not hard this is a fault that
    /// `build()` reports, since such an edge never takes its dependent down.
    #[must_use]
    pub fn tolerates(mut self) -> Self {
        self.on_loss = OnLoss::Tolerates;
        self
    }

    /// Takes the dependent down with the dependency, for good. On an edge that is not hard this is a fault that `build()`
    /// reports.
    #[must_use]
    pub fn stops(mut self) -> Self {
        self.on_loss = OnLoss::Stops;
        self
    }

    /// Keeps the dependency up when the dependent's stop could not be confirmed.
    #[must_use]
    pub fn held(mut self) -> Self {
        self.hold = true;
        self
    }

    fn of(kind: EdgeKind, name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kind,
            on_loss: OnLoss::default(),
            hold: false,
        }
    }
}

/// What a caller says about one component: its name, its value, its edges and its policies.
///
/// Nothing is checked here; `build()` reports every fault of every registration at once.
///
/// ```
/// use std::time::Duration;
/// use lifecycle_core::{component, Backoff, Criticality, Registration, Retry};
///
/// # let pool = component::from_fn(async |_| Ok(()), async |_| Ok(()));
/// let registration = Registration::new("pool", pool)
///     .depends_on(["config"])
///     .wants(["cache"])
///     .start_retry(Retry::attempts(5).with_backoff(Backoff::Fixed(Duration::from_millis(200).into())))
///     .criticality(Criticality::Degradable);
/// ```
#[derive(Clone, Debug)]
pub struct Registration {
    /// The component's name.
    pub name: String,
    /// Further names by which others may depend on it.
    pub aliases: Vec<String>,
    /// The component itself.
    pub component: Component,
    /// Its edges, in any order.
    pub dependencies: Vec<Dependency>,
    /// Attempts and limits of start; what is unset comes from the defaults.
    pub start: Retry,
    /// Attempts and limits of stop; what is unset comes from the defaults.
    pub stop: Retry,
    /// What follows when it is lost; what is unset comes from the defaults.
    pub restart: Restart,
    /// How long its drain may take, if it takes part in one; unset: as the defaults say.
    pub drain_timeout: Option<Nanos>,
    /// How its health is asked for; unset: it is not.
    pub health_check: Option<HealthCheck>,
    /// The condition outside under which alone it runs, if there is one.
    pub gate: Option<Gate>,
    /// How long dispose may take; unset: as the defaults say.
    pub dispose_timeout: Option<Nanos>,
    /// How long a cancelled call may take to end by itself; unset: as the defaults say.
    pub abort_grace: Option<Nanos>,
    /// What its final loss means.
    pub criticality: Criticality,
    /// Labels for grouping in metrics and views.
    pub labels: Vec<(String, String)>,
    /// Whether everything else is ordered after it (semantics 29).
    pub before_all: bool,
    /// Whether it gets a thread of its own, so that it may block it (semantics 30).
    pub isolated: bool,
}

impl Registration {
    /// A registration of `component` as `name`, essential, without dependencies or policies of its own.
    #[must_use]
    pub fn new(name: impl Into<String>, component: impl Into<Component>) -> Self {
        Self {
            name: name.into(),
            aliases: Vec::new(),
            component: component.into(),
            dependencies: Vec::new(),
            start: Retry::default(),
            stop: Retry::default(),
            restart: Restart::default(),
            drain_timeout: None,
            health_check: None,
            gate: None,
            dispose_timeout: None,
            abort_grace: None,
            criticality: Criticality::default(),
            labels: Vec::new(),
            before_all: false,
            isolated: false,
        }
    }

    /// Adds a further name by which others may depend on this component.
    #[must_use]
    pub fn alias(mut self, name: impl Into<String>) -> Self {
        self.aliases.push(name.into());
        self
    }

    /// Adds hard dependencies: this component starts after they run, and stops before they do.
    #[must_use]
    pub fn depends_on(self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.dependencies(names.into_iter().map(Dependency::hard))
    }

    /// Adds hard dependencies that this component outlives: it starts after they run, and goes on, degraded, while one of
    /// them is down later.
    #[must_use]
    pub fn tolerates(self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let edges = names.into_iter().map(Dependency::hard);
        self.dependencies(edges.map(Dependency::tolerates))
    }

    /// Adds soft dependencies: the same order, but a failure of them is tolerated.
    #[must_use]
    pub fn wants(self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.dependencies(names.into_iter().map(Dependency::soft))
    }

    /// Adds edges that order and nothing else.
    #[must_use]
    pub fn after(self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.dependencies(names.into_iter().map(Dependency::order))
    }

    /// Adds edges of any kind.
    #[must_use]
    pub fn dependencies(mut self, dependencies: impl IntoIterator<Item = Dependency>) -> Self {
        self.dependencies.extend(dependencies);
        self
    }

    /// Sets attempts and limits of start.
    #[must_use]
    pub fn start_retry(mut self, retry: Retry) -> Self {
        self.start = retry;
        self
    }

    /// Sets attempts and limits of stop.
    #[must_use]
    pub fn stop_retry(mut self, retry: Retry) -> Self {
        self.stop = retry;
        self
    }

    /// Sets what follows when this component is lost while it runs.
    #[must_use]
    pub fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// Limits the drain of this component to `timeout`.
    #[must_use]
    pub fn drain_timeout(mut self, timeout: impl Into<Nanos>) -> Self {
        self.drain_timeout = Some(timeout.into());
        self
    }

    /// Asks this component for its health while it runs.
    #[must_use]
    pub fn health_check(mut self, check: HealthCheck) -> Self {
        self.health_check = Some(check);
        self
    }

    /// Runs this component only while `gate` is open (semantics 26).
    #[must_use]
    pub fn gated_by(mut self, gate: Gate) -> Self {
        self.gate = Some(gate);
        self
    }

    /// Gives this component a thread of its own. It may block it: that delays no other component, and at the end of a
    /// stop the thread is left behind if it must be.
    #[must_use]
    pub fn isolated(mut self) -> Self {
        self.isolated = true;
        self
    }

    /// Limits dispose to `timeout`.
    #[must_use]
    pub fn dispose_timeout(mut self, timeout: impl Into<Nanos>) -> Self {
        self.dispose_timeout = Some(timeout.into());
        self
    }

    /// Gives a cancelled call `grace` to end by itself.
    #[must_use]
    pub fn abort_grace(mut self, grace: impl Into<Nanos>) -> Self {
        self.abort_grace = Some(grace.into());
        self
    }

    /// Sets what the final loss of this component means.
    #[must_use]
    pub fn criticality(mut self, criticality: Criticality) -> Self {
        self.criticality = criticality;
        self
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.push((key.into(), value.into()));
        self
    }

    /// Orders everything else after this component: first up, last down. It may depend on nothing itself.
    #[must_use]
    pub fn before_all(mut self) -> Self {
        self.before_all = true;
        self
    }

    /// Whether this registration says nothing about policies.
    pub(crate) fn has_no_policies(&self) -> bool {
        self.start == Retry::default()
            && self.stop == Retry::default()
            && self.restart == Restart::default()
            && self.drain_timeout.is_none()
            && self.health_check.is_none()
            && self.dispose_timeout.is_none()
            && self.abort_grace.is_none()
    }
}
