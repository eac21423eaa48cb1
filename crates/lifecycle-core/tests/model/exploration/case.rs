//! What is explored: graphs, and rows of policies and of what the environment may do.

use std::fmt;
use std::sync::Arc;

use lifecycle_core::{
    Backoff, BoxError, Component, Criticality, Defaults, Dependency, DrainContext, EdgeKind, Gate,
    Lifecycle, Nanos, OnLoss, Plan, Registration, Restart, Retry, StartContext, StopContext,
    component,
};

/// One graph with one row of policies.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) graph: GraphCode,
    pub(crate) row: usize,
}

/// A naturally ordered graph: for each pair of components the edge from the later to the earlier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GraphCode {
    pub(crate) components: usize,
    edges: Vec<Option<EdgeKind>>,
}

impl GraphCode {
    /// All graphs of `components`: three to the power of the number of pairs.
    pub(crate) fn all(components: usize) -> impl Iterator<Item = Self> {
        let pairs = components * (components - 1) / 2;
        let count = 3_usize.pow(u32::try_from(pairs).expect("graphs are small"));
        (0..count).map(move |mut code| {
            let edges = (0..pairs).map(|_| {
                let kind = [None, Some(EdgeKind::Hard), Some(EdgeKind::Soft)][code % 3];
                code /= 3;
                kind
            });
            Self {
                components,
                edges: edges.collect(),
            }
        })
    }

    fn edge(&self, dependent: usize, dependency: usize) -> Option<EdgeKind> {
        self.edges[dependent * (dependent - 1) / 2 + dependency]
    }
}

impl fmt::Display for GraphCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |it: &Option<EdgeKind>| it.map_or("-", |kind| &kind.as_str()[..1]);
        self.edges.iter().try_for_each(|it| f.write_str(letter(it)))
    }
}

/// One row of the covering array: what each component is like, how long things take, and what the environment may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    criticality: [Criticality; 4],
    /// Whether everything runs when the exploration begins.
    pub(crate) up: bool,
    /// Whether start and stop are tried twice.
    retries: bool,
    /// Whether what is lost is started again, once.
    pub(crate) restarts: bool,
    /// What hard edges do when their dependency goes down.
    pub(crate) on_loss: OnLoss,
    /// Whether every attempt gets a fresh value.
    fresh: bool,
    /// Whether errors are panics.
    pub(crate) panics: bool,
    /// Whether start calls may end badly.
    pub(crate) starts_fail: bool,
    /// Whether stop calls may end badly.
    pub(crate) stops_fail: bool,
    /// Which component leaves tasks that must be waited for, if any.
    pub(crate) lingers: Option<usize>,
    /// Whether dispose has to be waited for.
    pub(crate) slow_dispose: bool,
    /// Whether edges hold their dependency up.
    holds: bool,
    /// Which component is behind a gate, if any.
    pub(crate) gated: Option<usize>,
    /// Which components take part in drains.
    pub(crate) drains: [bool; 4],
    /// Whether the last component is not there at first, and may be added.
    pub(crate) adds_last: bool,
    profile: Profile,
    /// What the environment may do of its own accord in the quick run.
    pub(crate) budget: Budget,
}

/// What the environment may do of its own accord, and how often.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Budget {
    pub(crate) starts: u8,
    pub(crate) stops: u8,
    pub(crate) forces: u8,
    pub(crate) cancels: u8,
    pub(crate) losses: u8,
    /// Answers to what nobody waits for any more.
    pub(crate) late: u8,
    /// Deadlines that are looked at long after they have passed.
    pub(crate) oversleeps: u8,
    /// Operations on one component, of each kind.
    pub(crate) operator_stops: u8,
    pub(crate) operator_starts: u8,
    pub(crate) operator_restarts: u8,
    /// How often the gate is opened, until a moment, and closed.
    pub(crate) opens: u8,
    pub(crate) closes: u8,
    pub(crate) drains: u8,
    pub(crate) drain_cancels: u8,
    pub(crate) resumes: u8,
    pub(crate) additions: u8,
    pub(crate) removals: u8,
}

impl Budget {
    pub(crate) const NONE: Self = Self {
        starts: 0,
        stops: 0,
        forces: 0,
        cancels: 0,
        losses: 0,
        late: 0,
        oversleeps: 0,
        operator_stops: 0,
        operator_starts: 0,
        operator_restarts: 0,
        opens: 0,
        closes: 0,
        drains: 0,
        drain_cancels: 0,
        resumes: 0,
        additions: 0,
        removals: 0,
    };

    const ONE_START: Self = Self {
        starts: 1,
        ..Self::NONE
    };
}

/// How the limits lie to each other.
#[derive(Clone, Copy, Debug)]
enum Profile {
    /// The built-in limits.
    Defaults,
    /// The shutdown ends before any attempt does.
    TightShutdown,
    /// Attempts end long before everything else.
    ShortAttempts,
}

use Criticality::{Degradable, Essential, Optional};

const PLAIN: Row = Row {
    criticality: [Essential; 4],
    up: false,
    retries: false,
    restarts: false,
    on_loss: OnLoss::Follows,
    fresh: false,
    panics: false,
    starts_fail: true,
    stops_fail: true,
    lingers: None,
    slow_dispose: false,
    holds: false,
    gated: None,
    drains: [false; 4],
    adds_last: false,
    profile: Profile::Defaults,
    budget: Budget::ONE_START,
};

/// Everything runs, and what is lost is started again, once.
const SUPERVISED: Row = Row {
    up: true,
    restarts: true,
    ..PLAIN
};

/// Rows in which every value meets the others' where they matter; the module's doc says what all rows share.
pub(crate) const ROWS: [Row; 19] = [
    Row {
        budget: Budget {
            starts: 2,
            stops: 1,
            ..Budget::NONE
        },
        ..PLAIN
    },
    Row {
        criticality: [Degradable, Essential, Optional, Essential],
        retries: true,
        profile: Profile::ShortAttempts,
        budget: Budget {
            stops: 1,
            losses: 1,
            ..Budget::ONE_START
        },
        ..PLAIN
    },
    Row {
        criticality: [Optional, Degradable, Essential, Degradable],
        fresh: true,
        panics: true,
        slow_dispose: true,
        profile: Profile::TightShutdown,
        budget: Budget {
            cancels: 1,
            stops: 1,
            ..Budget::ONE_START
        },
        ..PLAIN
    },
    Row {
        criticality: [Degradable; 4],
        lingers: Some(1),
        holds: true,
        profile: Profile::TightShutdown,
        budget: Budget {
            stops: 1,
            forces: 1,
            late: 1,
            ..Budget::ONE_START
        },
        ..PLAIN
    },
    Row {
        criticality: [Essential, Optional, Degradable, Optional],
        retries: true,
        fresh: true,
        panics: true,
        holds: true,
        profile: Profile::TightShutdown,
        budget: Budget {
            forces: 1,
            ..Budget::ONE_START
        },
        ..PLAIN
    },
    Row {
        criticality: [Essential, Degradable, Degradable, Essential],
        lingers: Some(0),
        slow_dispose: true,
        profile: Profile::ShortAttempts,
        budget: Budget {
            stops: 1,
            losses: 1,
            ..Budget::ONE_START
        },
        ..PLAIN
    },
    Row {
        criticality: [Degradable, Essential, Essential, Essential],
        holds: true,
        budget: Budget {
            stops: 2,
            forces: 1,
            ..Budget::ONE_START
        },
        ..PLAIN
    },
    Row {
        criticality: [Essential, Degradable, Essential, Essential],
        retries: true,
        budget: Budget {
            stops: 1,
            forces: 1,
            oversleeps: 1,
            ..Budget::ONE_START
        },
        ..PLAIN
    },
    // Losses that take followers down, and restarts within a budget.
    Row {
        criticality: [Degradable, Essential, Optional, Essential],
        stops_fail: false,
        budget: Budget {
            losses: 2,
            ..Budget::NONE
        },
        ..SUPERVISED
    },
    // The same with edges that tolerate, and a stop in the middle of it.
    Row {
        criticality: [Degradable, Optional, Essential, Degradable],
        on_loss: OnLoss::Tolerates,
        stops_fail: false,
        budget: Budget {
            losses: 1,
            stops: 1,
            ..Budget::NONE
        },
        ..SUPERVISED
    },
    // Edges that stop for good, and an operator.
    Row {
        criticality: [Degradable, Optional, Degradable, Optional],
        on_loss: OnLoss::Stops,
        starts_fail: false,
        stops_fail: false,
        budget: Budget {
            losses: 1,
            operator_stops: 1,
            operator_starts: 1,
            ..Budget::NONE
        },
        ..SUPERVISED
    },
    // An operator's restart, with edges that hold.
    Row {
        criticality: [Degradable; 4],
        holds: true,
        starts_fail: false,
        budget: Budget {
            operator_restarts: 1,
            operator_stops: 1,
            stops: 1,
            ..Budget::NONE
        },
        ..SUPERVISED
    },
    // A gate that closes at its deadline, while something is lost.
    Row {
        criticality: [Essential, Degradable, Degradable, Optional],
        gated: Some(0),
        starts_fail: false,
        stops_fail: false,
        budget: Budget {
            opens: 1,
            losses: 1,
            ..Budget::NONE
        },
        ..SUPERVISED
    },
    // A gate that closes and opens, now or at its deadline, while everything stops.
    Row {
        criticality: [Degradable, Essential, Optional, Degradable],
        gated: Some(0),
        starts_fail: false,
        stops_fail: false,
        budget: Budget {
            opens: 1,
            closes: 1,
            stops: 1,
            ..Budget::NONE
        },
        ..SUPERVISED
    },
    // A drain, and what takes it back.
    Row {
        criticality: [Essential, Degradable, Optional, Degradable],
        drains: [true, false, true, false],
        starts_fail: false,
        stops_fail: false,
        budget: Budget {
            drains: 1,
            drain_cancels: 1,
            resumes: 1,
            ..Budget::NONE
        },
        ..SUPERVISED
    },
    // A drain that a stop joins or begins.
    Row {
        criticality: [Optional, Degradable, Essential, Degradable],
        drains: [true, true, true, false],
        starts_fail: false,
        stops_fail: false,
        budget: Budget {
            drains: 1,
            stops: 1,
            forces: 1,
            ..Budget::NONE
        },
        ..SUPERVISED
    },
    // A component that comes, and one that goes, while something is lost.
    Row {
        criticality: [Degradable, Essential, Essential, Essential],
        adds_last: true,
        stops_fail: false,
        budget: Budget {
            additions: 1,
            removals: 1,
            losses: 1,
            ..Budget::NONE
        },
        ..SUPERVISED
    },
    // The same while everything stops.
    Row {
        criticality: [Essential, Degradable, Optional, Essential],
        adds_last: true,
        budget: Budget {
            additions: 1,
            removals: 1,
            stops: 1,
            ..Budget::NONE
        },
        ..SUPERVISED
    },
    // A drain and a resume, while something is lost.
    Row {
        criticality: [Essential, Degradable, Optional, Degradable],
        drains: [true, false, true, false],
        starts_fail: false,
        stops_fail: false,
        budget: Budget {
            drains: 1,
            resumes: 1,
            losses: 1,
            ..Budget::NONE
        },
        ..SUPERVISED
    },
];

/// How long before its close deadline a gate closes by itself: longer than anything takes to go down.
pub(crate) const GATE_MARGIN: Nanos = Nanos::from_secs(1_000);

impl Case {
    /// Every graph of `components`, each with every row.
    pub(crate) fn all(components: usize) -> impl Iterator<Item = Self> {
        GraphCode::all(components).flat_map(|graph| {
            (0..ROWS.len()).map(move |row| Self {
                graph: graph.clone(),
                row,
            })
        })
    }

    pub(crate) fn row(&self) -> &'static Row {
        &ROWS[self.row]
    }

    pub(crate) fn plan(&self) -> Arc<Plan> {
        let first = self.graph.components - usize::from(self.row().adds_last);
        let registrations = (0..first).map(|it| self.registration(it));
        let compiled = Plan::compile(registrations.collect(), self.defaults());
        compiled
            .expect("naturally ordered graphs have no cycles")
            .plan
    }

    pub(crate) fn registration(&self, index: usize) -> Registration {
        let row = self.row();
        let component: Component = if row.fresh {
            component::factory(|| Nothing)
        } else if row.drains[index] {
            Participant.into()
        } else {
            Nothing.into()
        };
        let edges = (0..index).filter_map(|dependency| {
            let kind = self.graph.edge(index, dependency)?;
            Some(Dependency {
                name: name_of(dependency),
                kind,
                on_loss: match kind {
                    EdgeKind::Hard => row.on_loss,
                    EdgeKind::Soft | EdgeKind::Order => OnLoss::Follows,
                },
                hold: row.holds,
            })
        });
        let mut registration = Registration::new(name_of(index), component)
            .dependencies(edges)
            .criticality(row.criticality[index]);
        if row.gated == Some(index) {
            registration.gate = Some(Gate::new("gate", GATE_MARGIN));
        }
        registration
    }

    fn defaults(&self) -> Defaults {
        let row = self.row();
        let attempts = if row.retries { 2 } else { 1 };
        let mut retry = Retry::attempts(attempts);
        if row.retries {
            retry = retry.with_backoff(Backoff::Fixed(Nanos::from_millis(1_000)));
        }
        let restart = if row.restarts {
            Restart::on_failure()
                .with_backoff(Backoff::Fixed(Nanos::from_millis(1_000)))
                .with_jitter(lifecycle_core::Jitter::None)
                .with_budget(1, LONGEST)
                .with_stable_period(LONGEST)
        } else {
            Restart::never()
        };
        let built_in = Defaults {
            start: retry.clone(),
            stop: retry.clone(),
            restart,
            // What is told from time to time changes nothing, and would only add states.
            await_interval: LONGEST,
            ..Defaults::default()
        };
        match row.profile {
            Profile::Defaults => built_in,
            Profile::TightShutdown => Defaults {
                shutdown_timeout: Nanos::from_millis(100),
                force_timeout: Nanos::from_millis(20),
                ..built_in
            },
            Profile::ShortAttempts => Defaults {
                start: retry
                    .clone()
                    .with_attempt_timeout(Nanos::from_millis(1_000)),
                stop: retry.with_attempt_timeout(Nanos::from_millis(1_000)),
                dispose_timeout: Nanos::from_millis(1_000),
                abort_grace: Nanos::from_millis(1_000),
                shutdown_timeout: Nanos::from_millis(100_000),
                force_timeout: Nanos::from_millis(100_000),
                ..built_in
            },
        }
    }
}

/// The longest that a policy may say.
const LONGEST: Nanos = lifecycle_core::LONGEST_POLICY_DURATION;

pub(crate) fn name_of(index: usize) -> String {
    ["a", "b", "c", "d"][index].to_owned()
}

/// A component that nobody calls: the environment answers in its place.
struct Nothing;

impl Lifecycle for Nothing {
    async fn start(&self, _: &StartContext) -> Result<(), BoxError> {
        Ok(())
    }

    async fn stop(&self, _: &StopContext) -> Result<(), BoxError> {
        Ok(())
    }
}

/// One that takes part in drains, and that nobody calls either.
struct Participant;

impl Lifecycle for Participant {
    const DRAINS: bool = true;

    async fn start(&self, _: &StartContext) -> Result<(), BoxError> {
        Ok(())
    }

    async fn stop(&self, _: &StopContext) -> Result<(), BoxError> {
        Ok(())
    }

    async fn drain(&self, _: &DrainContext) -> Result<(), BoxError> {
        Ok(())
    }
}
