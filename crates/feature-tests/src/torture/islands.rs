//! [`Islands`]: a graph of any size whose parts are small, so that what one loss takes down is known to be little.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use clap::ValueEnum;
use lifecycle_core::{Criticality, Dependency, EdgeKind};
use serde::Serialize;

/// How many components an island has.
const SIZE: usize = 40;

/// How wide the layers of an island are.
const WIDTH: usize = 4;

/// What an island looks like inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Shape {
    /// No edge at all
    Flat,
    /// Each needs the one before
    Chain,
    /// One, two that need it, one that needs both, and so on
    Diamond,
    /// Ten layers of four, each of which needs two of the layer before
    Layers,
    /// Edges of every kind to any two before
    Mixed,
}

/// The edges of so many components, drawn from a seed. Between islands there are only edges by which nothing goes down.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Islands {
    pub(crate) shape: Shape,
    pub(crate) seed: u64,
}

impl Islands {
    pub(crate) fn name(index: usize) -> String {
        format!("c{index}")
    }

    /// One in sixteen ends the host when it is lost, so it must not be, and needs nobody who may be.
    pub(crate) fn criticality(self, index: usize) -> Criticality {
        match index % 16 {
            5 if self.shape == Shape::Mixed => Criticality::Essential,
            remainder if remainder % 2 == 0 => Criticality::Degradable,
            _ => Criticality::Optional,
        }
    }

    pub(crate) fn dependencies(self, index: usize) -> Vec<Dependency> {
        let mut edges = self.inside(index);
        edges.extend(self.between(index));
        // Two edges to one and the same are a fault of a registration.
        edges.sort_by(|a, b| a.name.cmp(&b.name));
        edges.dedup_by(|a, b| a.name == b.name);
        if self.criticality(index) == Criticality::Essential {
            for edge in edges.iter_mut().filter(|it| it.kind == EdgeKind::Hard) {
                *edge = Dependency::soft(edge.name.clone());
            }
        }
        edges
    }

    fn inside(self, index: usize) -> Vec<Dependency> {
        let (first, place) = (index - index % SIZE, index % SIZE);
        let hard = |place: usize| Dependency::hard(Self::name(first + place));
        match self.shape {
            Shape::Flat => Vec::new(),
            Shape::Chain => place.checked_sub(1).map(hard).into_iter().collect(),
            Shape::Diamond => {
                let above = match place % 4 {
                    0 => place.checked_sub(1).into_iter().collect(),
                    3 => vec![place - 2, place - 1],
                    _ => vec![place - place % 4],
                };
                above.into_iter().map(hard).collect()
            }
            Shape::Layers => {
                let Some(layer) = (place / WIDTH).checked_sub(1) else {
                    return Vec::new();
                };
                let one = self.draw(index, "one", WIDTH);
                let other = (one + 1 + self.draw(index, "other", WIDTH - 1)) % WIDTH;
                let of_layer = |it| hard(layer * WIDTH + it);
                [one, other].map(of_layer).into()
            }
            Shape::Mixed if place == 0 => Vec::new(),
            Shape::Mixed => ["one", "other"]
                .map(|which| {
                    let name = Self::name(first + self.draw(index, which, place));
                    match self.draw(index, &format!("kind of {which}"), 6) {
                        0 | 1 => Dependency::hard(name),
                        2 => Dependency::hard(name).tolerates(),
                        3 => Dependency::hard(name).stops(),
                        4 => Dependency::soft(name),
                        _ => Dependency::order(name),
                    }
                })
                .into(),
        }
    }

    /// One in four has an edge to another island. They make a tree of islands: in a row the longest path would be through all of
    /// them, and each component would have a share of nothing in the time of a stop.
    fn between(self, index: usize) -> Option<Dependency> {
        let island = index / SIZE;
        let above = island.checked_sub(1)? / 2 * SIZE;
        if self.shape == Shape::Flat || self.draw(index, "bridge", 4) > 0 {
            return None;
        }
        let name = Self::name(above + self.draw(index, "pier", SIZE));
        Some(match self.draw(index, "kind of bridge", 2) {
            0 => Dependency::soft(name),
            _ => Dependency::order(name),
        })
    }

    /// A number below `end`. The standard library's hash of no key is the same in every process.
    fn draw(self, index: usize, what: &str, end: usize) -> usize {
        let mut hasher = DefaultHasher::new();
        (self.seed, index, what).hash(&mut hasher);
        let drawn = hasher.finish() % u64::try_from(end).unwrap_or(u64::MAX);
        usize::try_from(drawn).expect("it is below a usize")
    }
}

#[cfg(test)]
mod tests {
    use lifecycle_core::{Defaults, Plan, Registration, component};

    use super::*;

    fn plan(shape: Shape) -> std::sync::Arc<Plan> {
        let islands = Islands { shape, seed: 7 };
        let registration = |index| {
            let nothing = component::from_fn(async |_| Ok(()), async |_| Ok(()));
            Registration::new(Islands::name(index), nothing)
                .dependencies(islands.dependencies(index))
        };
        let registrations = (0..1_000).map(registration).collect();
        let compiled = Plan::compile(registrations, Defaults::default());
        compiled.expect("a graph without faults").plan
    }

    #[test]
    fn every_shape_is_a_plan_whose_islands_cannot_take_each_other_down() {
        for &shape in Shape::value_variants() {
            let plan = plan(shape);
            for (index, id) in plan.by_name().iter().enumerate() {
                let own = island(plan.name(*id).as_str());
                let edges = plan.dependents(*id).iter();
                let fallen = edges.filter(|it| it.takes_down());
                let islands = fallen.map(|it| island(plan.name(it.component).as_str()));
                assert!(islands.into_iter().all(|it| it == own), "{shape:?} {index}");
            }
            let expected = (shape == Shape::Flat, plan.edge_count() == 0);
            assert_eq!(expected.0, expected.1, "{shape:?}");
        }
    }

    fn island(name: &str) -> usize {
        name[1..].parse::<usize>().expect("a number") / SIZE
    }
}
