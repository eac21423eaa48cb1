//! The shape of a graph: depths, plan order, and cycles with their whole path.

use crate::graph::Adjacency;
use crate::plan::ComponentId;

/// Depths, and all components by depth and then registration; fewer than all when there is a cycle.
pub(crate) fn sorted(
    ids: &[ComponentId],
    dependencies: &Adjacency,
    dependents: &Adjacency,
) -> (Vec<u32>, Vec<ComponentId>) {
    let count = dependencies.len();
    let mut missing = vec![0_u32; count];
    for id in ids {
        let edges = dependencies.of(*id).len();
        missing[id.index()] = u32::try_from(edges).expect("edges are counted in 32 bits");
    }
    let mut depths = vec![u32::MAX; count];
    let mut reached: Vec<ComponentId> = ids
        .iter()
        .copied()
        .filter(|id| missing[id.index()] == 0)
        .collect();
    for root in &reached {
        depths[root.index()] = 0;
    }
    let mut next = 0;
    while let Some(&id) = reached.get(next) {
        next += 1;
        for edge in dependents.of(id) {
            let index = edge.component.index();
            missing[index] -= 1;
            if missing[index] == 0 {
                // Found from its deepest dependency, since components are taken by ascending depth.
                depths[index] = depths[id.index()] + 1;
                reached.push(edge.component);
            }
        }
    }
    reached.sort_by_key(|id| (depths[id.index()], *id));
    (depths, reached)
}

/// How many cycles are reported at once; a tangle of edges has exponentially many.
const MOST_CYCLES: usize = 32;

/// Every cycle that one walk over the components without a depth closes, each with its whole path.
pub(crate) fn cycles(dependencies: &Adjacency, depths: &[u32]) -> Vec<Vec<ComponentId>> {
    let mut search = CycleSearch {
        dependencies,
        depths,
        state: vec![Walk::Untouched; depths.len()],
        found: Vec::new(),
    };
    for id in ComponentId::all(depths.len()) {
        if depths[id.index()] == u32::MAX && search.state[id.index()] == Walk::Untouched {
            search.walk_from(id);
        }
    }
    search.found
}

/// Follows dependencies in depth, with its path on the heap: a chain may be 100 000 long.
struct CycleSearch<'a> {
    dependencies: &'a Adjacency,
    depths: &'a [u32],
    state: Vec<Walk>,
    found: Vec<Vec<ComponentId>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Walk {
    Untouched,
    /// On the present path, at this position.
    OnPath(usize),
    Done,
}

impl CycleSearch<'_> {
    fn walk_from(&mut self, start: ComponentId) {
        let mut path = vec![start];
        let mut next_edge = vec![0];
        self.state[start.index()] = Walk::OnPath(0);
        while let (Some(&id), Some(edge)) = (path.last(), next_edge.last_mut()) {
            let Some(dependency) = self.dependencies.of(id).get(*edge) else {
                self.state[id.index()] = Walk::Done;
                path.pop();
                next_edge.pop();
                continue;
            };
            *edge += 1;
            let dependency = dependency.component;
            match self.state[dependency.index()] {
                Walk::Untouched if self.depths[dependency.index()] == u32::MAX => {
                    self.state[dependency.index()] = Walk::OnPath(path.len());
                    path.push(dependency);
                    next_edge.push(0);
                }
                Walk::OnPath(position) if self.found.len() < MOST_CYCLES => {
                    self.found.push(path[position..].to_vec());
                }
                Walk::Untouched | Walk::OnPath(_) | Walk::Done => {}
            }
        }
    }
}
