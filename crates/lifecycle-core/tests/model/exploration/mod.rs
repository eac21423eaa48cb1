//! Every interleaving of a small orchestrator and its environment, explored on the real engine.
//!
//! The environment answers calls in any order, well or badly, late or never; loses tasks; requests start, stop, force and
//! cancel at any point, operations on one component, drains and what takes them back, an addition and a removal; opens and
//! closes a gate; and lets time jump to the next deadline. An oracle that knows nothing of the engine's inside keeps book
//! of what was called and answered, and says which invariant a command breaks.
//!
//! Bounds: at most two attempts a phase, two losses, and what a row's budget says of each command. The fingerprint leaves
//! out history, sequence numbers and absolute times.

mod case;
mod oracle;
mod step;
mod world;

pub(crate) use case::Case;

use lifecycle_core::engine::OrchestratorState;
use stateright::{Checker as _, Expectation, HasDiscoveries, Model, Property};
use step::Step;
use world::{World, fingerprint};

/// How often the liveness of a state is tried out: once in this many states.
const LIVENESS_SAMPLE: u64 = 8;

impl Model for Case {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![if self.row().up {
            World::up(self)
        } else {
            World::of(self)
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        world.offer(self, steps);
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        Some(world.after(self, step))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no invariant is broken", |_, world: &World| {
                world.broken.is_none()
            }),
            Property::always(
                "what is asked is answered, whoever stays silent",
                |case: &Self, world: &World| {
                    !fingerprint(world).is_multiple_of(LIVENESS_SAMPLE) || world.is_live(case)
                },
            ),
            Property::always(
                "what is wanted runs again as soon as all goes well",
                |case: &Self, world: &World| {
                    !fingerprint(world).is_multiple_of(LIVENESS_SAMPLE) || world.recovers(case)
                },
            ),
            Property::sometimes("everything runs", |_, world: &World| world.oracle.all_run()),
            Property::sometimes("everything has stopped", |_, world: &World| {
                world.engine.state() == OrchestratorState::Stopped
            }),
        ]
    }
}

/// What the exploration of one case came to.
#[derive(Debug)]
pub(crate) struct Explored {
    pub(crate) states: usize,
    pub(crate) depth: usize,
    /// Every state was seen; otherwise as many as were allowed.
    pub(crate) complete: bool,
    /// The first counterexample, in words.
    pub(crate) broken: Option<String>,
}

/// Explores `case` on `threads` threads, to the end or until about `most` states were seen.
pub(crate) fn explore(case: Case, threads: usize, most: Option<usize>) -> Explored {
    let name = format!("graph {} row {}", case.graph, case.row);
    let again = case.clone();
    let mut builder = case
        .checker()
        .threads(threads)
        .finish_when(HasDiscoveries::AnyFailures);
    if let Some(most) = most {
        builder = builder.target_state_count(most);
    }
    let checker = builder.spawn_bfs().join();
    let complete = most.is_none_or(|most| checker.state_count() < most);
    let mut broken = None;
    for property in case_properties(&again) {
        if let Some(path) = checker.discovery(property) {
            let last = path.last_state().clone();
            let steps: Vec<Step> = path.into_actions();
            broken.get_or_insert(format!(
                "{name}: {property}: {}\nafter {steps:?}",
                last.in_words(&again)
            ));
        }
    }
    let row = again.row();
    let stops = row.budget.stops + row.budget.forces > 0;
    let seen = ["everything runs"].into_iter();
    for property in seen.chain(stops.then_some("everything has stopped")) {
        if complete && broken.is_none() && checker.discovery(property).is_none() {
            broken = Some(format!("{name}: never seen: {property}"));
        }
    }
    Explored {
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        complete,
        broken,
    }
}

/// The names of what must hold in every state.
fn case_properties(case: &Case) -> impl Iterator<Item = &'static str> {
    let always = |it: &Property<Case>| it.expectation == Expectation::Always;
    case.properties()
        .into_iter()
        .filter(always)
        .map(|it| it.name)
}
