//! What is wrong with a set of registrations: every fault with its place and its remedy.

use std::fmt;

use crate::name::{ComponentName, NameError};
use crate::time::Nanos;

/// One fault of a set of registrations. Nothing was built; the message says what to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GraphFault {
    /// A name breaks the naming rule.
    #[error("registration {position}: {error}")]
    Name {
        /// The position of the registration, counted from 1.
        position: usize,
        /// What is wrong with the name.
        error: NameError,
    },
    /// Two registrations, or an alias and another name, are equal without regard to case.
    #[error(
        "registration {position}: the name \"{name}\" is taken by \"{taken_by}\" (case does not count); rename one of them"
    )]
    DuplicateName {
        /// The position of the later registration, counted from 1.
        position: usize,
        /// The name as the later registration spells it.
        name: ComponentName,
        /// The component that has it already.
        taken_by: ComponentName,
    },
    /// An edge names a component that nobody registered.
    #[error("\"{component}\" depends on \"{dependency}\", which is not registered; {remedy}", remedy = suggestion(.nearest.as_ref()))]
    UnknownDependency {
        /// The dependent.
        component: ComponentName,
        /// The name that nobody has.
        dependency: String,
        /// The registered name that is spelled most like it, if one is near.
        nearest: Option<ComponentName>,
    },
    /// A component depends on itself.
    #[error("\"{component}\" depends on itself; remove that dependency")]
    SelfDependency {
        /// The component.
        component: ComponentName,
    },
    /// Two edges between the same two components say different things.
    #[error(
        "\"{component}\" declares two different edges to \"{dependency}\" ({first} and {second}); keep one of them"
    )]
    ContradictoryEdges {
        /// The dependent.
        component: ComponentName,
        /// The dependency.
        dependency: ComponentName,
        /// The kind of one edge.
        first: &'static str,
        /// The kind of the other edge.
        second: &'static str,
    },
    /// An edge that never takes its dependent down says how it shall.
    #[error(
        "\"{component}\" says \"{on_loss}\" of its {kind} dependency on \"{dependency}\", which never takes it down; make the dependency hard, or drop it"
    )]
    PointlessReaction {
        /// The dependent.
        component: ComponentName,
        /// The dependency, as it is spelled there.
        dependency: String,
        /// The kind of the edge.
        kind: &'static str,
        /// What it says.
        on_loss: &'static str,
    },
    /// A gate's name breaks the naming rule.
    #[error("\"{component}\", gate: {error}")]
    GateName {
        /// The component.
        component: ComponentName,
        /// What is wrong with the name.
        error: NameError,
    },
    /// What a gate stops may take longer to stop than the gate leaves time for.
    #[error(
        "\"{component}\" is gated by \"{gate}\" with a margin of {margin}, but stopping {} may take {longest} by what is declared; declare shorter stop attempts, disposes and abort graces, or raise the margin",
        Chain(.path)
    )]
    GateMargin {
        /// The gated component.
        component: ComponentName,
        /// Its gate.
        gate: String,
        /// The time that the gate leaves.
        margin: Nanos,
        /// The longest declared stop.
        longest: Nanos,
        /// The components on that path, the first to stop first.
        path: Vec<ComponentName>,
    },
    /// Components wait for each other in a circle.
    #[error("these components wait for each other: {}; remove one of the edges", CyclePath(.path))]
    Cycle {
        /// The circle, each component depending on the next, the last on the first.
        path: Vec<ComponentName>,
    },
    /// A policy contradicts itself or is out of range.
    #[error("\"{component}\", {phase}: {fault}")]
    Policy {
        /// The component.
        component: ComponentName,
        /// Which policy: `start`, `stop`, `restart`, `health-check`, or the name of a limit.
        phase: &'static str,
        /// What is wrong, and what to do about it.
        fault: String,
    },
    /// A default contradicts itself or is out of range.
    #[error("defaults, {phase}: {fault}")]
    Defaults {
        /// Which default.
        phase: &'static str,
        /// What is wrong, and what to do about it.
        fault: String,
    },
    /// The same instance is registered under several names with different policies.
    #[error(
        "\"{name}\" is the same instance as \"{first}\" but declares policies or criticality of its own; declare them once, on \"{first}\""
    )]
    ContradictoryInstance {
        /// The later name.
        name: ComponentName,
        /// The first name of the instance.
        first: ComponentName,
    },
    /// A component that everything is ordered after has dependencies.
    #[error(
        "everything is ordered after \"{component}\", so it may depend on nothing; remove its dependencies"
    )]
    FirstHasDependencies {
        /// The component.
        component: ComponentName,
    },
    /// A value that is to be added is there already, under another name.
    #[error("\"{name}\" is a value that is registered already; add a value of its own")]
    InstanceTaken {
        /// The name under which it was to be added.
        name: String,
    },
    /// A component that everything shall be ordered after comes when others are there already.
    #[error(
        "\"{component}\" shall come before everything, but others are there already; register it before the orchestrator is built"
    )]
    FirstTooLate {
        /// The component.
        component: ComponentName,
    },
    /// There are more components or edges than an id can count.
    #[error(
        "{count} {what} are more than the {} that can be counted; split the orchestrator",
        u32::MAX
    )]
    TooMany {
        /// Components or edges.
        what: &'static str,
        /// How many there are.
        count: usize,
    },
}

fn suggestion(nearest: Option<&ComponentName>) -> String {
    match nearest {
        Some(name) => format!("did you mean \"{name}\"?"),
        None => "register it or remove the dependency".to_owned(),
    }
}

/// Components in the order in which they stop.
pub(crate) struct Chain<'a>(pub(crate) &'a [ComponentName]);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, name) in self.0.iter().enumerate() {
            let joint = if position > 0 { ", then " } else { "" };
            write!(f, "{joint}{name}")?;
        }
        Ok(())
    }
}

struct CyclePath<'a>(&'a [ComponentName]);

impl fmt::Display for CyclePath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in self.0 {
            write!(f, "{name} -> ")?;
        }
        self.0.first().map_or(Ok(()), |first| write!(f, "{first}"))
    }
}

/// Every fault of a set of registrations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildError {
    /// The faults: names first, then edges, cycles, policies; never empty.
    pub faults: Vec<GraphFault>,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.faults[..] {
            [only] => write!(f, "the components cannot be orchestrated: {only}"),
            faults => {
                write!(
                    f,
                    "the components cannot be orchestrated, {} faults:",
                    faults.len()
                )?;
                faults.iter().try_for_each(|it| write!(f, "\n  - {it}"))
            }
        }
    }
}

impl std::error::Error for BuildError {}
