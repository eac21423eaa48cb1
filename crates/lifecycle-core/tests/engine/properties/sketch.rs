//! What is drawn at random: a graph with policies, how each call behaves, and what happens.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use lifecycle_core::engine::{Cascade, NodeCommand, Operation, StopMode};
use lifecycle_core::{
    Backoff, Criticality, Defaults, Dependency, EdgeKind, Gate, HealthCheck, Nanos, OnLoss, Plan,
    Registration, Restart, Retry, Time, Timeout,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{fresh, ms, participant, registration};

/// How a call behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Manner {
    Succeeds,
    Fails,
    FailsForGood,
    Panics,
    /// Goes on until it is cancelled, and then returns an error.
    Obeys,
    /// Goes on until it is cancelled, and has succeeded then.
    SucceedsLate,
    /// Does not mind being cancelled; gone when it is aborted.
    Ignores,
    /// Holds its thread and never ends.
    Blocks,
}

/// How the tasks of a scope end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Tasks {
    WhenClosed,
    WhenAborted,
    Never,
}

#[derive(Clone)]
pub(super) struct Wish {
    pub(super) attempts: u32,
    backoff: u64,
    timeout: Option<u64>,
    total: Option<u64>,
}

impl fmt::Debug for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            attempts,
            backoff,
            timeout,
            total,
        } = self;
        write!(f, "{attempts}× {backoff} ms")?;
        timeout
            .iter()
            .try_for_each(|it| write!(f, " timeout {it}"))?;
        total.iter().try_for_each(|it| write!(f, " total {it}"))
    }
}

/// What follows a loss.
#[derive(Clone)]
pub(super) struct RestartWish {
    when: u8,
    backoff: u64,
    budget: u32,
    window: u64,
    stable: u64,
}

impl fmt::Debug for RestartWish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            when,
            backoff,
            budget,
            window,
            stable,
        } = self;
        let when = match when {
            0 => return f.write_str("no restart"),
            1 | 2 => "always",
            _ => "on failure",
        };
        write!(
            f,
            "restart {when} {budget} in {window} after {backoff} stable {stable}"
        )
    }
}

#[derive(Clone, Debug)]
pub(super) struct CheckWish {
    every: u64,
    timeout: u64,
    misses: u32,
    restarting: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct EdgeWish {
    target: u16,
    kind: EdgeKind,
    on_loss: OnLoss,
    hold: bool,
}

#[derive(Clone)]
pub(super) struct Sketch {
    edges: Vec<EdgeWish>,
    criticality: Criticality,
    is_factory: bool,
    pub(super) start: Wish,
    pub(super) stop: Wish,
    restart: RestartWish,
    check: Option<CheckWish>,
    /// Which gate, and how much longer its margin is than it must be.
    gate: Option<(usize, u64)>,
    drains: bool,
    drain_timeout: u64,
    dispose_timeout: u64,
    grace: u64,
    pub(super) starts: [Manner; 3],
    pub(super) stops: [Manner; 3],
    pub(super) drainings: [Manner; 3],
    pub(super) checks: [Manner; 3],
    pub(super) dispose: Manner,
    pub(super) tasks: Tasks,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Start,
    CancelStart,
    Stop(StopMode),
    StopWithin(StopMode, u64),
    /// One of what can answer now does.
    Answer(u16),
    AnswerMany(u16, u8),
    /// Until the next timeout.
    Tick,
    Pass(u64),
    LoseTask(u16),
    CompleteTask(u16),
    /// A running component says that something is missing, or is not any more.
    Report(u16, bool),
    /// An answer that was given comes once more.
    Repeat(u16),
    Operate(u16, Operation, bool),
    Node(NodeCommand),
    DrainWithin(u64),
    OpenGate(usize, Option<u64>),
    CloseGate(usize),
    Add(Box<Sketch>),
    Remove(u16, Cascade),
}

#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) sketches: Vec<Sketch>,
    shutdown_timeout: u64,
    force_timeout: u64,
    settle: u64,
    pub(super) steps: Vec<Step>,
}

/// How many gates there are.
pub(super) const GATES: usize = 2;

fn manner(benign: u32) -> impl Strategy<Value = Manner> {
    prop_oneof![
        benign => Just(Manner::Succeeds),
        3 => Just(Manner::Fails),
        1 => Just(Manner::FailsForGood),
        1 => Just(Manner::Panics),
        1 => Just(Manner::Obeys),
        1 => Just(Manner::SucceedsLate),
        1 => Just(Manner::Ignores),
        1 => Just(Manner::Blocks),
    ]
}

fn wish() -> impl Strategy<Value = Wish> {
    let timeout = prop_oneof![1 => Just(None), 4 => (1..60_u64).prop_map(Some)];
    let total = prop_oneof![4 => Just(None), 1 => (1..150_u64).prop_map(Some)];
    (1..=3_u32, 0..15_u64, timeout, total).prop_map(|(attempts, backoff, timeout, total)| Wish {
        attempts,
        backoff,
        timeout,
        total: total.map(|it| it.max(timeout.unwrap_or(0))),
    })
}

fn restart_wish() -> impl Strategy<Value = RestartWish> {
    (0..6_u8, 0..30_u64, 0..4_u32, 1..300_u64, 1..100_u64).prop_map(
        |(when, backoff, budget, window, stable)| RestartWish {
            when,
            backoff,
            budget,
            window,
            stable,
        },
    )
}

fn check_wish() -> impl Strategy<Value = Option<CheckWish>> {
    let wish = (1..40_u64, 1..30_u64, 1..4_u32, any::<bool>()).prop_map(
        |(every, timeout, misses, restarting)| CheckWish {
            every,
            timeout,
            misses,
            restarting,
        },
    );
    prop_oneof![3 => Just(None), 1 => wish.prop_map(Some)]
}

fn edge() -> impl Strategy<Value = EdgeWish> {
    let kind = prop_oneof![
        4 => Just(EdgeKind::Hard),
        2 => Just(EdgeKind::Soft),
        1 => Just(EdgeKind::Order),
    ];
    let on_loss = prop_oneof![
        3 => Just(OnLoss::Follows),
        2 => Just(OnLoss::Tolerates),
        1 => Just(OnLoss::Stops),
    ];
    (any::<u16>(), kind, on_loss, prop::bool::weighted(0.1)).prop_map(
        |(target, kind, on_loss, hold)| EdgeWish {
            target,
            kind,
            on_loss: match kind {
                EdgeKind::Hard => on_loss,
                EdgeKind::Soft | EdgeKind::Order => OnLoss::Follows,
            },
            hold,
        },
    )
}

fn sketch(benign: u32) -> impl Strategy<Value = Sketch> {
    let criticality = prop_oneof![
        3 => Just(Criticality::Degradable),
        2 => Just(Criticality::Essential),
        2 => Just(Criticality::Optional),
    ];
    let tasks = prop_oneof![
        8 => Just(Tasks::WhenClosed),
        1 => Just(Tasks::WhenAborted),
        1 => Just(Tasks::Never),
    ];
    let gate = prop_oneof![4 => Just(None), 1 => (0..GATES, 0..50_u64).prop_map(Some)];
    let calls = || prop::array::uniform3(manner(benign));
    (
        (vec(edge(), 0..4), criticality, prop::bool::weighted(0.3)),
        (wish(), wish(), 1..40_u64, 1..30_u64, 1..40_u64),
        (restart_wish(), check_wish(), gate, any::<bool>()),
        (calls(), calls(), calls(), calls()),
        (manner(benign * 2), tasks),
    )
        .prop_map(|(graph, limits, more, calls, ends)| {
            let (edges, criticality, is_factory) = graph;
            let (start, stop, dispose_timeout, grace, drain_timeout) = limits;
            let (restart, check, gate, drains) = more;
            let (starts, stops, drainings, checks) = calls;
            let (dispose, tasks) = ends;
            Sketch {
                edges,
                criticality,
                is_factory,
                start,
                stop,
                restart,
                check,
                gate,
                // What is a factory takes part in no drain, for want of a value that does.
                drains: drains && !is_factory,
                drain_timeout,
                dispose_timeout,
                grace,
                starts,
                stops,
                drainings,
                checks,
                dispose,
                tasks,
            }
        })
}

fn mode() -> impl Strategy<Value = StopMode> {
    prop_oneof![
        3 => Just(StopMode::Graceful),
        1 => Just(StopMode::Now),
        1 => Just(StopMode::Force),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        Just(Operation::Start),
        Just(Operation::Stop),
        Just(Operation::Restart),
    ]
}

fn node_command() -> impl Strategy<Value = NodeCommand> {
    prop_oneof![
        1 => Just(NodeCommand::Cordon),
        1 => Just(NodeCommand::Uncordon),
        4 => Just(NodeCommand::Drain { deadline: None }),
        2 => Just(NodeCommand::Resume),
        2 => Just(NodeCommand::Cancel),
        1 => Just(NodeCommand::Force),
    ]
}

fn step(benign: u32) -> impl Strategy<Value = Step> {
    let cascade = prop_oneof![Just(Cascade::Refuse), Just(Cascade::Dependents)];
    let until = prop_oneof![2 => Just(None), 3 => (0..2_000_u64).prop_map(Some)];
    prop_oneof![
        4 => Just(Step::Start),
        1 => Just(Step::CancelStart),
        1 => mode().prop_map(Step::Stop),
        1 => (mode(), 0..200_u64).prop_map(|(mode, within)| Step::StopWithin(mode, within)),
        20 => any::<u16>().prop_map(Step::Answer),
        8 => (any::<u16>(), 1..60_u8).prop_map(|(which, count)| Step::AnswerMany(which, count)),
        8 => Just(Step::Tick),
        5 => (0..50_u64).prop_map(Step::Pass),
        4 => any::<u16>().prop_map(Step::LoseTask),
        2 => any::<u16>().prop_map(Step::CompleteTask),
        1 => (any::<u16>(), any::<bool>()).prop_map(|(which, is)| Step::Report(which, is)),
        2 => any::<u16>().prop_map(Step::Repeat),
        5 => (any::<u16>(), operation(), any::<bool>())
            .prop_map(|(which, operation, forced)| Step::Operate(which, operation, forced)),
        4 => node_command().prop_map(Step::Node),
        1 => (0..60_u64).prop_map(Step::DrainWithin),
        3 => (0..GATES, until).prop_map(|(gate, until)| Step::OpenGate(gate, until)),
        1 => (0..GATES).prop_map(Step::CloseGate),
        1 => sketch(benign).prop_map(|it| Step::Add(Box::new(it))),
        2 => (any::<u16>(), cascade).prop_map(|(which, cascade)| Step::Remove(which, cascade)),
    ]
}

pub(super) fn case(components: Range<usize>, benign: u32) -> impl Strategy<Value = Case> {
    let shutdown = prop_oneof![Just(10_u64), Just(300), Just(45_000)];
    let settle = prop_oneof![3 => Just(0_u64), 1 => 1..60_u64];
    (
        vec(sketch(benign), components),
        shutdown,
        1..100_u64,
        settle,
        vec(step(benign), 0..80),
    )
        .prop_map(
            |(sketches, shutdown_timeout, force_timeout, settle, steps)| Case {
                sketches,
                shutdown_timeout,
                force_timeout,
                settle,
                steps,
            },
        )
}

fn retry(wish: &Wish) -> Retry {
    let retry = Retry::attempts(wish.attempts);
    let retry = match wish.backoff {
        0 => retry,
        _ if wish.attempts == 1 => retry,
        delay => retry.with_backoff(Backoff::Fixed(ms(delay))),
    };
    Retry {
        attempt_timeout: Some(
            wish.timeout
                .map_or(Timeout::Never, |it| Timeout::After(ms(it))),
        ),
        total: wish.total.map(|it| Timeout::After(ms(it))),
        ..retry
    }
}

fn restart(wish: &RestartWish) -> Restart {
    let restart = match wish.when {
        0 => return Restart::never(),
        1 | 2 => Restart::always(),
        _ => Restart::on_failure(),
    };
    restart
        .with_backoff(Backoff::Fixed(ms(wish.backoff)))
        .with_budget(wish.budget, ms(wish.window))
        .with_stable_period(ms(wish.stable))
}

fn health_check(wish: &CheckWish) -> HealthCheck {
    let check = HealthCheck::every(ms(wish.every))
        .with_timeout(ms(wish.timeout))
        .with_misses(wish.misses);
    if wish.restarting {
        check.restarting()
    } else {
        check
    }
}

pub(super) fn gate_name(gate: usize) -> String {
    format!("g{gate}")
}

impl fmt::Debug for Sketch {
    /// In one line, and only what differs from a component that does well.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.criticality)?;
        for edge in &self.edges {
            let hold = if edge.hold { " hold" } else { "" };
            write!(
                f,
                ", {:?} {:?}{hold} % {}",
                edge.kind, edge.on_loss, edge.target
            )?;
        }
        if self.is_factory {
            f.write_str(", factory")?;
        }
        if self.drains {
            write!(f, ", drains {} ms", self.drain_timeout)?;
        }
        if let Some(gate) = self.gate {
            write!(f, ", gate {gate:?}")?;
        }
        if let Some(check) = &self.check {
            write!(f, ", {check:?}")?;
        }
        write!(f, ", start {:?}, stop {:?}", self.start, self.stop)?;
        write!(f, ", {:?}", self.restart)?;
        write!(
            f,
            ", dispose {} ms, grace {} ms",
            self.dispose_timeout, self.grace
        )?;
        for (what, manners) in [
            ("start", &self.starts),
            ("stop", &self.stops),
            ("drain", &self.drainings),
            ("check", &self.checks),
        ] {
            if manners.iter().any(|it| *it != Manner::Succeeds) {
                write!(f, ", {what} {manners:?}")?;
            }
        }
        if self.dispose != Manner::Succeeds {
            write!(f, ", dispose {:?}", self.dispose)?;
        }
        if self.tasks != Tasks::WhenClosed {
            write!(f, ", tasks {:?}", self.tasks)?;
        }
        Ok(())
    }
}

impl Sketch {
    /// A registration of it as `name`, which may depend on `others`; without its gate.
    pub(super) fn registration(&self, name: &str, others: &[String]) -> Registration {
        let mut edges = BTreeMap::new();
        for edge in self.edges.iter().filter(|_| !others.is_empty()) {
            let target = usize::from(edge.target) % others.len();
            edges.entry(target).or_insert(*edge);
        }
        let edges = edges.into_iter().map(|(target, edge)| Dependency {
            name: others[target].clone(),
            kind: edge.kind,
            on_loss: edge.on_loss,
            hold: edge.hold,
        });
        let plain = match (self.is_factory, self.drains) {
            (true, _) => fresh(name),
            (false, true) => participant(name),
            (false, false) => registration(name),
        };
        let mut registration = plain
            .dependencies(edges)
            .criticality(self.criticality)
            .start_retry(retry(&self.start))
            .stop_retry(retry(&self.stop))
            .restart(restart(&self.restart))
            .drain_timeout(ms(self.drain_timeout))
            .dispose_timeout(ms(self.dispose_timeout))
            .abort_grace(ms(self.grace));
        registration.health_check = self.check.as_ref().map(health_check);
        registration
    }

    /// The gate of it, with a margin that lets `longest` pass.
    pub(super) fn gate(&self, longest: Nanos) -> Option<Gate> {
        let (gate, more) = self.gate?;
        let bounded = longest < Nanos::from_secs(3_600);
        let margin = longest.saturating_add(ms(more));
        bounded.then(|| Gate::new(gate_name(gate), margin))
    }
}

impl Case {
    /// The first plan. What would take for ever to go down is behind no gate.
    pub(super) fn plan(&self) -> std::sync::Arc<Plan> {
        let names: Vec<String> = (0..self.sketches.len())
            .map(|it| format!("c{it}"))
            .collect();
        let registrations = || {
            let sketches = self.sketches.iter().enumerate();
            sketches.map(|(index, it)| it.registration(&names[index], &names[..index]))
        };
        let compile = |registrations| {
            Plan::compile(registrations, self.defaults())
                .expect("a legal graph")
                .plan
        };
        let open = compile(registrations().collect());
        let mut longest = vec![Nanos::ZERO; names.len()];
        for &id in open.order().iter().rev() {
            let falling = open.dependents(id).iter().filter(|it| it.takes_down());
            let above = falling.map(|it| longest[it.component.index()]).max();
            let own = open.policies(id).longest_fall();
            longest[id.index()] = own.saturating_add(above.unwrap_or(Nanos::ZERO));
        }
        let gated = registrations().zip(&self.sketches).zip(longest);
        let gated = gated.map(|((mut registration, sketch), longest)| {
            registration.gate = sketch.gate(longest);
            registration
        });
        compile(gated.collect())
    }

    fn defaults(&self) -> Defaults {
        Defaults {
            shutdown_timeout: ms(self.shutdown_timeout),
            force_timeout: ms(self.force_timeout),
            settle: ms(self.settle),
            ..Defaults::default()
        }
    }
}

/// A drain with a deadline.
pub(super) fn drain_until(deadline: Time) -> NodeCommand {
    NodeCommand::Drain {
        deadline: Some(deadline),
    }
}
