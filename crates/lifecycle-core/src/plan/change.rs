//! A plan with one component more, or some fewer: the rows of the old one, changed and compiled again.

use std::sync::{Arc, OnceLock};

use crate::component::Component;
use crate::defaults::Defaults;
use crate::fault::GraphFault;
use crate::graph::{self, Adjacency, Edge};
use crate::name::ComponentName;
use crate::registration::Registration;
use crate::topology;

use super::{ComponentId, Extended, Gates, Plan, Spec, by_name, ranks, spec, tails};

/// A registration whose names and edges were checked against a plan.
pub(super) struct Addition {
    name: ComponentName,
    aliases: Vec<ComponentName>,
    edges: Vec<Edge>,
}

impl Addition {
    /// Checks names and edges of `registration` against `plan`, every fault at once.
    pub(super) fn check(
        plan: &Plan,
        registration: &Registration,
        faults: &mut Vec<GraphFault>,
    ) -> Option<Self> {
        let before = faults.len();
        let position = plan.len() + 1;
        let mut names: Vec<ComponentName> = Vec::new();
        for name in std::iter::once(&registration.name).chain(&registration.aliases) {
            match ComponentName::new(name) {
                Err(error) => faults.push(GraphFault::Name { position, error }),
                Ok(name) => {
                    let own = names.iter().find(|it| **it == name).cloned();
                    let taken =
                        own.or_else(|| plan.find(name.as_str()).map(|it| plan.name(it).clone()));
                    faults.extend(taken.map(|taken_by| GraphFault::DuplicateName {
                        position,
                        name: name.clone(),
                        taken_by,
                    }));
                    names.push(name);
                }
            }
        }
        if registration.before_all {
            let name = names.first().cloned()?;
            faults.push(GraphFault::FirstTooLate { component: name });
        }
        let edges = resolve(plan, &names, registration, faults)?;
        let mut names = names.into_iter();
        let name = names.next()?;
        (faults.len() == before).then(|| Self {
            name,
            aliases: names.collect(),
            edges,
        })
    }

    /// The plan with the addition.
    pub(super) fn apply(self, plan: &Plan, registration: Registration) -> Extended {
        let mut rows = Rows::of(plan);
        let (id, component) = rows.add(self, registration, plan.defaults());
        Extended {
            plan: Arc::new(rows.compile(plan.defaults.clone())),
            id,
            component,
        }
    }
}

/// The edges of `registration`, which has `names`, the first of which is its own and the others aliases.
fn resolve(
    plan: &Plan,
    names: &[ComponentName],
    registration: &Registration,
    faults: &mut Vec<GraphFault>,
) -> Option<Vec<Edge>> {
    let component = names.first()?;
    let mut edges = Vec::new();
    for dependency in &registration.dependencies {
        let name = dependency.name.trim();
        if name.is_empty() {
            continue;
        }
        faults.extend(graph::pointless_reaction(component, dependency));
        let is_own = names
            .iter()
            .any(|it| it.as_str().eq_ignore_ascii_case(name));
        match plan.find(name) {
            Some(found) => edges.push(Edge::declared(found, dependency)),
            None if is_own => faults.push(GraphFault::SelfDependency {
                component: component.clone(),
            }),
            None => faults.push(GraphFault::UnknownDependency {
                component: component.clone(),
                dependency: name.to_owned(),
                nearest: graph::nearest(plan.by_name().iter().map(|it| plan.name(*it)), name),
            }),
        }
    }
    let contradictions = graph::collapse(&mut edges, 0).into_iter();
    faults.extend(
        contradictions.map(|(first, second)| GraphFault::ContradictoryEdges {
            component: component.clone(),
            dependency: plan.name(first.component).clone(),
            first: first.describe(),
            second: second.describe(),
        }),
    );
    // A declared edge to the same component says more than the implicit one.
    let declared = edges.clone();
    let implicit = |it: &&Edge| declared.iter().all(|edge| edge.component != it.component);
    edges.extend(plan.firsts.iter().filter(implicit));
    // In the order of a plan that is compiled at once.
    edges.sort_by_key(|it| it.component);
    Some(edges)
}

/// What a plan is compiled from, one row an index.
pub(super) struct Rows {
    ids: Vec<Option<ComponentId>>,
    next_serial: u32,
    names: Vec<ComponentName>,
    aliases: Vec<(ComponentName, ComponentId)>,
    specs: Vec<Spec>,
    edges: Vec<Vec<Edge>>,
    firsts: Vec<Edge>,
    gates: Gates,
}

impl Rows {
    pub(super) fn of(plan: &Plan) -> Self {
        let edges = plan.ids.iter().map(|id| match id {
            Some(id) => plan.dependencies(*id).to_vec(),
            None => Vec::new(),
        });
        Self {
            ids: plan.ids.to_vec(),
            next_serial: plan.next_serial,
            names: plan.names.to_vec(),
            aliases: plan.aliases.to_vec(),
            specs: plan.specs.to_vec(),
            edges: edges.collect(),
            firsts: plan.firsts.clone(),
            gates: Gates {
                names: plan.gates.clone(),
                gated: plan.gated.clone(),
            },
        }
    }

    /// Takes `id` out, with every edge to it. Its name stays in its row until that is used again, for those who speak of
    /// it late.
    pub(super) fn remove(&mut self, id: ComponentId) {
        self.ids[id.index()] = None;
        self.edges[id.index()].clear();
        for edges in &mut self.edges {
            edges.retain(|it| it.component != id);
        }
        self.aliases.retain(|(_, target)| *target != id);
        self.firsts.retain(|it| it.component != id);
        self.gates.gated.retain(|(gated, _)| *gated != id);
    }

    fn add(
        &mut self,
        addition: Addition,
        registration: Registration,
        defaults: &Defaults,
    ) -> (ComponentId, Component) {
        let vacant = self.ids.iter().position(Option::is_none);
        let index = vacant.unwrap_or(self.ids.len());
        let id = ComponentId {
            serial: self.next_serial,
            index: u32::try_from(index).expect("there are fewer places than serials"),
        };
        self.next_serial = self
            .next_serial
            .checked_add(1)
            .expect("a process ends before four billion components were added");
        let policies = if registration.has_no_policies() {
            defaults.unset()
        } else {
            Arc::new(defaults.resolve(&registration))
        };
        let (spec, component) = spec(id, registration, policies, &mut self.gates);
        let Addition {
            name,
            aliases,
            edges,
        } = addition;
        self.aliases.extend(aliases.into_iter().map(|it| (it, id)));
        if index == self.ids.len() {
            self.ids.push(Some(id));
            self.names.push(name);
            self.specs.push(spec);
            self.edges.push(edges);
        } else {
            self.ids[index] = Some(id);
            self.names[index] = name;
            self.specs[index] = spec;
            self.edges[index] = edges;
        }
        (id, component)
    }

    pub(super) fn compile(mut self, defaults: Defaults) -> Plan {
        let mut live: Vec<ComponentId> = self.ids.iter().copied().flatten().collect();
        live.sort_unstable();
        let dependencies = Adjacency::from_lists(self.edges);
        let dependents = dependencies.reversed(&live);
        let (depths, order) = topology::sorted(&live, &dependencies, &dependents);
        self.aliases
            .sort_unstable_by(|left, right| left.0.cmp(&right.0));
        Plan {
            by_name: by_name(&self.ids, &self.names),
            tails: tails(&order, &dependencies, &self.specs, &defaults),
            ranks: ranks(&order, self.ids.len()),
            ids: self.ids.into(),
            next_serial: self.next_serial,
            names: self.names.into(),
            aliases: self.aliases.into(),
            specs: self.specs.into(),
            dependencies,
            dependents,
            depths: depths.into(),
            order: order.into(),
            firsts: self.firsts,
            gates: self.gates.names,
            gated: self.gates.gated,
            defaults,
            fingerprint: OnceLock::new(),
        }
    }
}
