//! Checked registrations: names resolved, edges in both directions, every fault reported at once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{Hash, Hasher};

use crate::fault::GraphFault;
use crate::name::ComponentName;
use crate::plan::ComponentId;
use crate::registration::{Dependency, EdgeKind, OnLoss, Registration};
use crate::topology;

/// How many unknown names are compared with the known ones for a suggestion; the rest are reported without.
const SUGGESTIONS: usize = 16;

/// One resolved edge, seen from either end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The component at the other end.
    pub component: ComponentId,
    /// What the edge demands.
    pub kind: EdgeKind,
    /// What becomes of the dependent when the dependency goes down; [`OnLoss::Tolerates`] on every edge that is not hard.
    pub on_loss: OnLoss,
    /// Whether it holds the dependency up (semantics 15).
    pub hold: bool,
}

/// Edges of all components in one direction: one array, and where each component's part begins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Adjacency {
    begins: Box<[u32]>,
    edges: Box<[Edge]>,
}

impl Edge {
    /// The edge to something that everything is ordered after.
    fn implicit(component: ComponentId) -> Self {
        Self {
            component,
            kind: EdgeKind::Order,
            on_loss: OnLoss::Tolerates,
            hold: false,
        }
    }

    /// The edge that `dependency` declares, to the component that it names.
    pub(crate) fn declared(component: ComponentId, dependency: &Dependency) -> Self {
        let hard = dependency.kind == EdgeKind::Hard;
        Self {
            component,
            kind: dependency.kind,
            on_loss: if hard {
                dependency.on_loss
            } else {
                OnLoss::Tolerates
            },
            hold: dependency.hold,
        }
    }

    /// What it says, in a word.
    pub(crate) fn describe(&self) -> &'static str {
        match (self.kind, self.on_loss) {
            (EdgeKind::Hard, OnLoss::Tolerates) if self.hold => "hard, tolerates, held",
            (EdgeKind::Hard, OnLoss::Tolerates) => "hard, tolerates",
            (EdgeKind::Hard, OnLoss::Stops) if self.hold => "hard, stops, held",
            (EdgeKind::Hard, OnLoss::Stops) => "hard, stops",
            _ if self.hold => "held",
            (kind, _) => kind.as_str(),
        }
    }

    /// Whether the dependent goes down with the dependency.
    #[must_use]
    pub fn takes_down(&self) -> bool {
        self.kind == EdgeKind::Hard && self.on_loss != OnLoss::Tolerates
    }
}

impl Adjacency {
    /// The edges of each component in turn.
    pub(crate) fn from_lists(lists: Vec<Vec<Edge>>) -> Self {
        let mut begins = Vec::with_capacity(lists.len() + 1);
        let mut edges = Vec::with_capacity(lists.iter().map(Vec::len).sum());
        begins.push(0);
        for list in lists {
            edges.extend(list);
            begins.push(u32::try_from(edges.len()).expect("edges are counted in 32 bits"));
        }
        Self {
            begins: begins.into(),
            edges: edges.into(),
        }
    }

    pub(crate) fn of(&self, id: ComponentId) -> &[Edge] {
        let index = id.index();
        &self.edges[self.begins[index] as usize..self.begins[index + 1] as usize]
    }

    /// How many components there are.
    pub(crate) fn len(&self) -> usize {
        self.begins.len() - 1
    }

    pub(crate) fn edge_count(&self) -> usize {
        self.edges.len()
    }

    /// The same edges, seen from the other end; each list is in the order of the components that hold the edges.
    pub(crate) fn reversed(&self, ids: &[ComponentId]) -> Self {
        let count = self.len();
        let mut begins = vec![0_u32; count + 1];
        for edge in &self.edges {
            begins[edge.component.index() + 1] += 1;
        }
        for index in 0..count {
            begins[index + 1] += begins[index];
        }
        let mut next = begins.clone();
        let mut edges = self.edges.to_vec();
        for &id in ids {
            for edge in self.of(id) {
                let slot = &mut next[edge.component.index()];
                edges[*slot as usize] = Edge {
                    component: id,
                    ..*edge
                };
                *slot += 1;
            }
        }
        Self {
            begins: begins.into(),
            edges: edges.into(),
        }
    }
}

/// Names, aliases and edges of a set of registrations, all resolved and free of cycles.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) names: Box<[ComponentName]>,
    pub(crate) aliases: Vec<(ComponentName, ComponentId)>,
    pub(crate) dependencies: Adjacency,
    pub(crate) dependents: Adjacency,
    /// Longest path from a component without dependencies.
    pub(crate) depths: Box<[u32]>,
    /// All components, by depth and then by registration.
    pub(crate) order: Box<[ComponentId]>,
    /// For each component, the registration that it comes from.
    pub(crate) sources: Vec<usize>,
    /// What everything else is ordered after, now and later.
    pub(crate) firsts: Vec<Edge>,
}

impl Graph {
    pub(crate) fn check(
        registrations: &[Registration],
        faults: &mut Vec<GraphFault>,
    ) -> Option<Self> {
        if u32::try_from(registrations.len()).is_err() {
            faults.push(GraphFault::TooMany {
                what: "components",
                count: registrations.len(),
            });
            return None;
        }
        let catalogue = Catalogue::of(registrations, faults);
        let firsts = catalogue.firsts(registrations, faults);
        let dependencies = catalogue.resolve(registrations, &firsts, faults)?;
        let ids: Vec<ComponentId> = ComponentId::all(catalogue.names.len()).collect();
        let dependents = dependencies.reversed(&ids);
        let (depths, order) = topology::sorted(&ids, &dependencies, &dependents);
        if order.len() < catalogue.names.len() {
            let cycles = topology::cycles(&dependencies, &depths);
            faults.extend(cycles.into_iter().map(|path| {
                GraphFault::Cycle {
                    path: path
                        .into_iter()
                        .map(|id| catalogue.names[id.index()].clone())
                        .collect(),
                }
            }));
            return None;
        }
        Some(Self {
            names: catalogue.names.into(),
            aliases: catalogue.aliases,
            dependencies,
            dependents,
            depths: depths.into(),
            order: order.into(),
            sources: catalogue.sources,
            firsts,
        })
    }
}

/// A name as a key: bytes compared without regard to ASCII case, borrowed.
#[derive(Clone, Copy, Debug)]
struct FoldedName<'a>(&'a str);

impl PartialEq for FoldedName<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(other.0)
    }
}

impl Eq for FoldedName<'_> {}

impl Hash for FoldedName<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut buffer = [0_u8; 64];
        for chunk in self.0.as_bytes().chunks(buffer.len()) {
            let folded = &mut buffer[..chunk.len()];
            folded.copy_from_slice(chunk);
            folded.make_ascii_lowercase();
            state.write(folded);
        }
    }
}

/// Which component has which name; several registrations of one instance are one component.
struct Catalogue<'a> {
    names: Vec<ComponentName>,
    aliases: Vec<(ComponentName, ComponentId)>,
    ids: HashMap<FoldedName<'a>, ComponentId>,
    /// The component of each registration; `None` when its name is at fault.
    components: Vec<Option<ComponentId>>,
    sources: Vec<usize>,
}

impl<'a> Catalogue<'a> {
    fn of(registrations: &'a [Registration], faults: &mut Vec<GraphFault>) -> Self {
        let mut catalogue = Self {
            names: Vec::with_capacity(registrations.len()),
            aliases: Vec::new(),
            ids: HashMap::with_capacity(registrations.len()),
            components: Vec::with_capacity(registrations.len()),
            sources: Vec::with_capacity(registrations.len()),
        };
        let mut instances = HashMap::with_capacity(registrations.len());
        for (source, registration) in registrations.iter().enumerate() {
            let address = registration.component.address();
            let earlier = address.and_then(|it| instances.get(&it).copied());
            let id = match earlier {
                Some(id) => catalogue.merge(id, source, registrations, faults),
                None => catalogue.insert(source, registration, faults),
            };
            if let (Some(address), Some(id)) = (address, id) {
                instances.insert(address, id);
            }
            catalogue.components.push(id);
            if let Some(id) = id {
                catalogue.insert_aliases(id, source, &registration.aliases, faults);
            }
        }
        catalogue
    }

    fn insert(
        &mut self,
        source: usize,
        registration: &'a Registration,
        faults: &mut Vec<GraphFault>,
    ) -> Option<ComponentId> {
        let id = ComponentId::at(self.names.len());
        let name = self.claim(id, source, &registration.name, faults)?;
        self.names.push(name);
        self.sources.push(source);
        Some(id)
    }

    /// The same instance under a further name: an alias, unless it says something else about policies.
    fn merge(
        &mut self,
        id: ComponentId,
        source: usize,
        registrations: &'a [Registration],
        faults: &mut Vec<GraphFault>,
    ) -> Option<ComponentId> {
        let registration = &registrations[source];
        let name = self.claim(id, source, &registration.name, faults)?;
        let first = &registrations[self.sources[id.index()]];
        if !registration.has_no_policies() || registration.criticality != first.criticality {
            faults.push(GraphFault::ContradictoryInstance {
                name: name.clone(),
                first: self.names[id.index()].clone(),
            });
        }
        self.aliases.push((name, id));
        Some(id)
    }

    fn insert_aliases(
        &mut self,
        id: ComponentId,
        source: usize,
        aliases: &'a [String],
        faults: &mut Vec<GraphFault>,
    ) {
        for alias in aliases {
            if let Some(name) = self.claim(id, source, alias, faults) {
                self.aliases.push((name, id));
            }
        }
    }

    /// Checks `name` and gives it to `id`.
    fn claim(
        &mut self,
        id: ComponentId,
        source: usize,
        name: &'a str,
        faults: &mut Vec<GraphFault>,
    ) -> Option<ComponentName> {
        let position = source + 1;
        let checked = match ComponentName::new(name) {
            Ok(checked) => checked,
            Err(error) => {
                faults.push(GraphFault::Name { position, error });
                return None;
            }
        };
        match self.ids.entry(FoldedName(name.trim())) {
            Entry::Vacant(vacant) => {
                vacant.insert(id);
                Some(checked)
            }
            Entry::Occupied(taken) => {
                let taken_by = self
                    .names
                    .get(taken.get().index())
                    .unwrap_or(&checked)
                    .clone();
                faults.push(GraphFault::DuplicateName {
                    position,
                    name: checked,
                    taken_by,
                });
                None
            }
        }
    }

    /// Resolves every edge of every registration whose name is good, so that a bad name hides no cycle among the others.
    fn resolve(
        &self,
        registrations: &[Registration],
        firsts: &[Edge],
        faults: &mut Vec<GraphFault>,
    ) -> Option<Adjacency> {
        let mut lists: Vec<Vec<Edge>> = Vec::new();
        let mut edges =
            Vec::with_capacity(registrations.iter().map(|it| it.dependencies.len()).sum());
        let mut begins = Vec::with_capacity(self.names.len() + 1);
        let merged = self.names.len() != registrations.len();
        if merged {
            lists.resize_with(self.names.len(), Vec::new);
        }
        begins.push(0);
        let mut unknown = 0;
        for (registration, id) in registrations.iter().zip(&self.components) {
            let before = edges.len();
            self.resolve_one(registration, *id, &mut edges, &mut unknown, faults);
            if let Some(id) = *id
                && !registration.before_all
                && !firsts.is_empty()
            {
                // A declared edge to the same component says more than the implicit one.
                let declared = edges[before..].to_vec();
                let implicit = |it: &&Edge| {
                    it.component != id && declared.iter().all(|edge| edge.component != it.component)
                };
                edges.extend(firsts.iter().filter(implicit));
            }
            if merged {
                let resolved = edges.split_off(before);
                if let Some(id) = *id {
                    lists[id.index()].extend(resolved);
                }
                continue;
            }
            self.collapse(*id, &mut edges, before, faults);
            begins.push(edges.len());
        }
        for (index, mut list) in lists.into_iter().enumerate() {
            self.collapse(Some(ComponentId::at(index)), &mut list, 0, faults);
            edges.extend(list);
            begins.push(edges.len());
        }
        self.adjacency(begins, edges, faults)
    }

    fn adjacency(
        &self,
        begins: Vec<usize>,
        edges: Vec<Edge>,
        faults: &mut Vec<GraphFault>,
    ) -> Option<Adjacency> {
        if u32::try_from(edges.len()).is_err() {
            faults.push(GraphFault::TooMany {
                what: "edges",
                count: edges.len(),
            });
            return None;
        }
        let begins: Vec<u32> = begins
            .into_iter()
            .map(|it| u32::try_from(it).expect("the edges were counted above"))
            .collect();
        Some(Adjacency {
            begins: begins.into(),
            edges: edges.into(),
        })
    }

    /// Edges to the components that everything else is ordered after.
    fn firsts(&self, registrations: &[Registration], faults: &mut Vec<GraphFault>) -> Vec<Edge> {
        let mut firsts = Vec::new();
        for (registration, id) in registrations.iter().zip(&self.components) {
            let (true, Some(id)) = (registration.before_all, *id) else {
                continue;
            };
            if !registration.dependencies.is_empty() {
                faults.push(GraphFault::FirstHasDependencies {
                    component: self.names[id.index()].clone(),
                });
            }
            firsts.push(Edge::implicit(id));
        }
        firsts
    }

    fn resolve_one(
        &self,
        registration: &Registration,
        id: Option<ComponentId>,
        edges: &mut Vec<Edge>,
        unknown: &mut usize,
        faults: &mut Vec<GraphFault>,
    ) {
        let Some(id) = id else { return };
        for dependency in &registration.dependencies {
            let name = dependency.name.trim();
            if name.is_empty() {
                continue;
            }
            faults.extend(pointless_reaction(&self.names[id.index()], dependency));
            match self.ids.get(&FoldedName(name)) {
                Some(&found) if found == id => faults.push(GraphFault::SelfDependency {
                    component: self.names[id.index()].clone(),
                }),
                Some(&found) => edges.push(Edge::declared(found, dependency)),
                None => {
                    *unknown += 1;
                    let search = *unknown <= SUGGESTIONS;
                    faults.push(GraphFault::UnknownDependency {
                        component: self.names[id.index()].clone(),
                        dependency: name.to_owned(),
                        nearest: if search {
                            nearest(self.names.iter(), name)
                        } else {
                            None
                        },
                    });
                }
            }
        }
    }

    /// Sorts the edges from `begin` on and makes one of equal ones; different ones to the same component are a fault.
    fn collapse(
        &self,
        id: Option<ComponentId>,
        edges: &mut Vec<Edge>,
        begin: usize,
        faults: &mut Vec<GraphFault>,
    ) {
        let contradictions = collapse(edges, begin);
        let Some(id) = id else { return };
        faults.extend(contradictions.into_iter().map(|(first, second)| {
            GraphFault::ContradictoryEdges {
                component: self.names[id.index()].clone(),
                dependency: self.names[first.component.index()].clone(),
                first: first.describe(),
                second: second.describe(),
            }
        }));
    }
}

/// The one of `names` that is spelled most like `name`, if one is near.
pub(crate) fn nearest<'a>(
    names: impl Iterator<Item = &'a ComponentName>,
    name: &str,
) -> Option<ComponentName> {
    let limit = 1 + name.len() / 4;
    let name = name.to_ascii_lowercase();
    names
        .map(|it| (edit_distance(&it.as_str().to_ascii_lowercase(), &name), it))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, it)| it.clone())
}

/// A declared reaction to a loss on an edge that never takes its dependent down.
pub(crate) fn pointless_reaction(
    component: &ComponentName,
    dependency: &Dependency,
) -> Option<GraphFault> {
    let pointless = dependency.kind != EdgeKind::Hard && dependency.on_loss != OnLoss::default();
    pointless.then(|| GraphFault::PointlessReaction {
        component: component.clone(),
        dependency: dependency.name.trim().to_owned(),
        kind: dependency.kind.as_str(),
        on_loss: dependency.on_loss.as_str(),
    })
}

/// Sorts the edges from `begin` on and makes one of equal ones. Gives back those that contradict the one that is kept.
pub(crate) fn collapse(edges: &mut Vec<Edge>, begin: usize) -> Vec<(Edge, Edge)> {
    let mut contradictions = Vec::new();
    if edges.len() < begin + 2 {
        return contradictions;
    }
    edges[begin..].sort_by_key(|it| it.component);
    let mut kept = begin;
    for next in begin + 1..edges.len() {
        let (last, edge) = (edges[kept], edges[next]);
        if last.component != edge.component {
            kept += 1;
            edges[kept] = edge;
        } else if last != edge {
            contradictions.push((last, edge));
        }
    }
    edges.truncate(kept + 1);
    contradictions
}

/// How many letters must be changed, added or removed to make one text of the other.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, letter) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, other) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = substituted.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}
