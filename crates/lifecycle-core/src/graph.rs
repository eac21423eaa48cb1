//! Checked registrations: names resolved, edges in both directions, every fault reported at once.

mod directory;

use std::collections::HashMap;

use crate::fault::GraphFault;
use crate::name::ComponentName;
use crate::plan::ComponentId;
use crate::registration::{Dependency, EdgeKind, OnLoss, Registration};
use crate::topology;

use directory::{Directory, Search};

/// How many registrations are taken at a time, so that what each needs from memory is waited for together.
const BATCH: usize = 32;

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

/// Which component has which name; several registrations of one instance are one component.
struct Catalogue<'a> {
    names: Vec<ComponentName>,
    aliases: Vec<(ComponentName, ComponentId)>,
    directory: Directory<'a>,
    /// The component of each registration; `None` when its name is at fault.
    components: Vec<Option<ComponentId>>,
    sources: Vec<usize>,
}

impl<'a> Catalogue<'a> {
    fn of(registrations: &'a [Registration], faults: &mut Vec<GraphFault>) -> Self {
        let names = registrations.iter().map(|it| 1 + it.aliases.len()).sum();
        let mut catalogue = Self {
            names: Vec::with_capacity(registrations.len()),
            aliases: Vec::new(),
            directory: Directory::with_room(names),
            components: Vec::with_capacity(registrations.len()),
            sources: Vec::with_capacity(registrations.len()),
        };
        let mut instances = Instances::of(registrations);
        let mut hashes = Vec::with_capacity(BATCH);
        for (batch, begin) in registrations.chunks(BATCH).zip((0..).step_by(BATCH)) {
            let names = batch.iter().map(|it| it.name.trim());
            hashes.extend(names.map(|it| catalogue.directory.hash(it)));
            hashes.iter().for_each(|it| catalogue.directory.fetch(*it));
            for (source, hash) in (begin..).zip(hashes.drain(..)) {
                catalogue.enter(source, hash, registrations, &mut instances, faults);
            }
        }
        catalogue
    }

    /// Takes in one registration; `hash` is that of its name.
    fn enter(
        &mut self,
        source: usize,
        hash: u64,
        registrations: &'a [Registration],
        instances: &mut Instances,
        faults: &mut Vec<GraphFault>,
    ) {
        let registration = &registrations[source];
        let name = Claim {
            source,
            name: &registration.name,
            hash,
        };
        let id = match instances.earlier(registration) {
            Some(id) => self.merge(id, name, registrations, faults),
            None => self.insert(name, faults),
        };
        self.components.push(id);
        if let Some(id) = id {
            instances.note(registration, id);
            self.insert_aliases(id, source, &registration.aliases, faults);
        }
    }

    fn insert(&mut self, name: Claim<'a>, faults: &mut Vec<GraphFault>) -> Option<ComponentId> {
        let id = ComponentId::at(self.names.len());
        let source = name.source;
        let name = self.claim(id, name, faults)?;
        self.names.push(name);
        self.sources.push(source);
        Some(id)
    }

    /// The same instance under a further name: an alias, unless it says something else about policies.
    fn merge(
        &mut self,
        id: ComponentId,
        name: Claim<'a>,
        registrations: &'a [Registration],
        faults: &mut Vec<GraphFault>,
    ) -> Option<ComponentId> {
        let registration = &registrations[name.source];
        let name = self.claim(id, name, faults)?;
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
            let claim = Claim {
                source,
                name: alias,
                hash: self.directory.hash(alias.trim()),
            };
            if let Some(name) = self.claim(id, claim, faults) {
                self.aliases.push((name, id));
            }
        }
    }

    /// Checks the name and gives it to `id`.
    fn claim(
        &mut self,
        id: ComponentId,
        claim: Claim<'a>,
        faults: &mut Vec<GraphFault>,
    ) -> Option<ComponentName> {
        let Claim { source, name, hash } = claim;
        let position = source + 1;
        let checked = match ComponentName::new(name) {
            Ok(checked) => checked,
            Err(error) => {
                faults.push(GraphFault::Name { position, error });
                return None;
            }
        };
        let Err(taken) = self.directory.claim(name.trim(), hash, id) else {
            return Some(checked);
        };
        let taken_by = self.names.get(taken.index()).unwrap_or(&checked).clone();
        faults.push(GraphFault::DuplicateName {
            position,
            name: checked,
            taken_by,
        });
        None
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
        let mut targets = Targets::default();
        for (source, (registration, id)) in registrations.iter().zip(&self.components).enumerate() {
            if source % BATCH == 0 {
                let end = registrations.len().min(source + BATCH);
                targets.look_up(&self.directory, &registrations[source..end]);
            }
            let before = edges.len();
            let found = targets.take(registration.dependencies.len());
            self.resolve_one(registration, *id, found, &mut edges, &mut unknown, faults);
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
        found: &[Option<ComponentId>],
        edges: &mut Vec<Edge>,
        unknown: &mut usize,
        faults: &mut Vec<GraphFault>,
    ) {
        let Some(id) = id else { return };
        for (dependency, found) in registration.dependencies.iter().zip(found) {
            let name = dependency.name.trim();
            if name.is_empty() {
                continue;
            }
            faults.extend(pointless_reaction(&self.names[id.index()], dependency));
            match *found {
                Some(found) if found == id => faults.push(GraphFault::SelfDependency {
                    component: self.names[id.index()].clone(),
                }),
                Some(found) => edges.push(Edge::declared(found, dependency)),
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

/// A name that is to be given to a component.
#[derive(Clone, Copy)]
struct Claim<'a> {
    source: usize,
    /// As it was written.
    name: &'a str,
    hash: u64,
}

/// Which values are registered more than once, and as which component. Mostly none, and then nothing is looked up.
struct Instances {
    known: HashMap<usize, Option<ComponentId>>,
}

impl Instances {
    fn of(registrations: &[Registration]) -> Self {
        let addresses = registrations.iter().filter_map(|it| it.component.address());
        let mut addresses: Vec<usize> = addresses.collect();
        addresses.sort_unstable();
        let repeated = addresses.windows(2).filter(|it| it[0] == it[1]);
        Self {
            known: repeated.map(|it| (it[0], None)).collect(),
        }
    }

    fn earlier(&self, registration: &Registration) -> Option<ComponentId> {
        if self.known.is_empty() {
            return None;
        }
        *self.known.get(&registration.component.address()?)?
    }

    fn note(&mut self, registration: &Registration, id: ComponentId) {
        if self.known.is_empty() {
            return;
        }
        let address = registration.component.address();
        if let Some(known) = address.and_then(|it| self.known.get_mut(&it)) {
            *known = Some(id);
        }
    }
}

/// Whom the dependencies of a batch of registrations name, in their order.
#[derive(Default)]
struct Targets<'a> {
    search: Search<'a>,
    found: Vec<Option<ComponentId>>,
    taken: usize,
}

impl<'a> Targets<'a> {
    fn look_up(&mut self, directory: &Directory<'a>, batch: &'a [Registration]) {
        self.found.clear();
        self.taken = 0;
        let dependencies = batch.iter().flat_map(|it| &it.dependencies);
        let names = dependencies.map(|it| it.name.trim());
        directory.find_all(&mut self.search, names, &mut self.found);
    }

    /// Those of the next `count` dependencies.
    fn take(&mut self, count: usize) -> &[Option<ComponentId>] {
        let begin = self.taken;
        self.taken += count;
        &self.found[begin..self.taken]
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
