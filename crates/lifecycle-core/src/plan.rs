//! The compiled graph: what the engine runs by, and what diagnostics show.

use std::fmt;
use std::sync::Arc;

use crate::component::Component;
use crate::defaults::Defaults;
use crate::fault::{BuildError, GraphFault};
use crate::graph::{Adjacency, Edge, Graph};
use crate::name::{self, ComponentName};
use crate::policy::{Policies, limit_fault};
use crate::registration::{Criticality, EdgeKind, Registration};
use crate::time::Nanos;

/// How many distinct policies are compared before a component gets its own copy.
const INTERNED_POLICIES: usize = 16;

/// A component of one plan, by number; only a plan makes one, and it is never used again for another component.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentId(u32);

impl ComponentId {
    pub(crate) fn at(index: usize) -> Self {
        Self(u32::try_from(index).expect("components are counted before ids are made"))
    }

    pub(crate) fn all(count: usize) -> impl Iterator<Item = Self> {
        (0..count).map(Self::at)
    }

    /// The position in registration order, counted from 0; for tables beside the plan.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// What the plan knows of one component beside its edges.
#[derive(Clone, Debug)]
struct Spec {
    policies: Arc<Policies>,
    criticality: Criticality,
    is_factory: bool,
    labels: Box<[(String, String)]>,
}

/// Something legal that is probably not meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanWarning {
    /// An essential component cannot run without one whose loss is said not to matter.
    #[error(
        "\"{component}\" is essential but depends on \"{dependency}\", which is optional; make \"{dependency}\" essential or the edge soft"
    )]
    EssentialNeedsOptional {
        /// The essential component.
        component: ComponentName,
        /// The optional one.
        dependency: ComponentName,
    },
}

/// The compiled graph of an orchestrator: names, edges, order, policies and worst paths. Immutable.
///
/// The same registrations give the same plan in every process (invariant 2). Building takes time and memory linear in
/// components and edges, apart from sorting the names.
#[derive(Debug)]
pub struct Plan {
    names: Box<[ComponentName]>,
    by_name: Box<[ComponentId]>,
    aliases: Box<[(ComponentName, ComponentId)]>,
    specs: Box<[Spec]>,
    dependencies: Adjacency,
    dependents: Adjacency,
    depths: Box<[u32]>,
    order: Box<[ComponentId]>,
    ranks: Box<[u32]>,
    /// For each component, the longest declared stop and dispose below it.
    tails: Box<[Nanos]>,
    defaults: Defaults,
    warnings: Vec<PlanWarning>,
}

/// A plan, and the components that it orders, by [`ComponentId::index`].
#[derive(Debug)]
pub struct Compiled {
    /// The plan.
    pub plan: Arc<Plan>,
    /// The components.
    pub components: Vec<Component>,
}

impl Plan {
    /// Checks `registrations` and compiles them.
    ///
    /// # Errors
    ///
    /// [`BuildError`] with every fault that can be found at once; nothing was built.
    pub fn compile(
        registrations: Vec<Registration>,
        defaults: Defaults,
    ) -> Result<Compiled, BuildError> {
        let mut faults = Vec::new();
        let graph = Graph::check(&registrations, &mut faults);
        check_policies(&registrations, &defaults, &mut faults);
        match graph {
            Some(graph) if faults.is_empty() => Ok(assemble(graph, registrations, defaults)),
            _ => Err(BuildError { faults }),
        }
    }

    /// How many components there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are no components; such an orchestrator starts and stops all the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// How many edges there are, implicit ones counted.
    #[must_use]
    pub fn edge_count(&self) -> usize {
        self.dependencies.edge_count()
    }

    /// All components in registration order.
    pub fn ids(&self) -> impl Iterator<Item = ComponentId> + use<> {
        ComponentId::all(self.len())
    }

    /// All components in plan order: by depth, then registration.
    #[must_use]
    pub fn order(&self) -> &[ComponentId] {
        &self.order
    }

    /// All components by name, without regard to case.
    #[must_use]
    pub fn by_name(&self) -> &[ComponentId] {
        &self.by_name
    }

    /// The name of `id`.
    #[must_use]
    pub fn name(&self, id: ComponentId) -> &ComponentName {
        &self.names[id.index()]
    }

    /// The component called `name`, by its name or an alias, without regard to case; takes O(log n).
    #[must_use]
    pub fn find(&self, name: &str) -> Option<ComponentId> {
        let name = name.trim();
        let named = self
            .by_name
            .binary_search_by(|id| name::compare(self.name(*id).as_str(), name));
        if let Ok(position) = named {
            return Some(self.by_name[position]);
        }
        let aliased = self
            .aliases
            .binary_search_by(|(alias, _)| name::compare(alias.as_str(), name));
        aliased.ok().map(|position| self.aliases[position].1)
    }

    /// The further names of `id`.
    pub fn aliases(&self, id: ComponentId) -> impl Iterator<Item = &ComponentName> {
        self.aliases
            .iter()
            .filter(move |(_, target)| *target == id)
            .map(|(alias, _)| alias)
    }

    /// The labels of `id`.
    #[must_use]
    pub fn labels(&self, id: ComponentId) -> &[(String, String)] {
        &self.specs[id.index()].labels
    }

    /// What `id` is ordered after.
    #[must_use]
    pub fn dependencies(&self, id: ComponentId) -> &[Edge] {
        self.dependencies.of(id)
    }

    /// What is ordered after `id`.
    #[must_use]
    pub fn dependents(&self, id: ComponentId) -> &[Edge] {
        self.dependents.of(id)
    }

    /// The longest path from a component without dependencies to `id`.
    #[must_use]
    pub fn depth(&self, id: ComponentId) -> u32 {
        self.depths[id.index()]
    }

    /// The position of `id` in plan order.
    #[must_use]
    pub fn rank(&self, id: ComponentId) -> usize {
        self.ranks[id.index()] as usize
    }

    /// The policies of `id`.
    #[must_use]
    pub fn policies(&self, id: ComponentId) -> &Policies {
        &self.specs[id.index()].policies
    }

    /// What the final loss of `id` means.
    #[must_use]
    pub fn criticality(&self, id: ComponentId) -> Criticality {
        self.specs[id.index()].criticality
    }

    /// Whether each attempt of `id` gets a fresh value.
    #[must_use]
    pub fn is_factory(&self, id: ComponentId) -> bool {
        self.specs[id.index()].is_factory
    }

    /// The longest that stop and dispose of `id` may take by declaration, each at most the whole shutdown: a component
    /// without a limit of its own takes no more of the time than one that declares all of it.
    #[must_use]
    pub fn weight(&self, id: ComponentId) -> Nanos {
        weight(self.policies(id), &self.defaults)
    }

    /// The longest declared path of stop and dispose below `id`, without `id` itself (semantics 18).
    #[must_use]
    pub fn tail(&self, id: ComponentId) -> Nanos {
        self.tails[id.index()]
    }

    /// What holds where a component says nothing, and for the whole.
    #[must_use]
    pub fn defaults(&self) -> &Defaults {
        &self.defaults
    }

    /// What is legal but probably not meant.
    #[must_use]
    pub fn warnings(&self) -> &[PlanWarning] {
        &self.warnings
    }
}

fn weight(policies: &Policies, defaults: &Defaults) -> Nanos {
    let whole = defaults.shutdown_timeout;
    let stop = policies.stop.longest().min(whole);
    stop.saturating_add(policies.dispose_timeout.min(whole))
}

fn check_policies(
    registrations: &[Registration],
    defaults: &Defaults,
    faults: &mut Vec<GraphFault>,
) {
    faults.extend(
        defaults
            .faults()
            .into_iter()
            .map(|(phase, fault)| GraphFault::Defaults { phase, fault }),
    );
    for registration in registrations.iter().filter(|it| !it.has_no_policies()) {
        // A registration without a valid name is reported for that; its policies have no name to stand under.
        let Ok(component) = ComponentName::new(&registration.name) else {
            continue;
        };
        faults.extend(
            policy_faults(registration)
                .into_iter()
                .map(|(phase, fault)| GraphFault::Policy {
                    component: component.clone(),
                    phase,
                    fault,
                }),
        );
    }
}

fn policy_faults(registration: &Registration) -> Vec<(&'static str, String)> {
    let mut faults = Vec::new();
    faults.extend(
        registration
            .start
            .faults()
            .into_iter()
            .map(|it| ("start", it)),
    );
    faults.extend(
        registration
            .stop
            .faults()
            .into_iter()
            .map(|it| ("stop", it)),
    );
    for (field, length) in [
        ("dispose-timeout", registration.dispose_timeout),
        ("abort-grace", registration.abort_grace),
    ] {
        let fault = length.and_then(|it| limit_fault(field, it));
        faults.extend(fault.map(|it| (field, it)));
    }
    faults
}

/// Puts a checked graph and what the registrations say beside it together.
fn assemble(graph: Graph, registrations: Vec<Registration>, defaults: Defaults) -> Compiled {
    let (specs, components) = specs(&graph, registrations, &defaults);
    let tails = tails(&graph, &specs, &defaults);
    let warnings = warnings(&graph, &specs);
    let mut ranks = vec![0_u32; graph.order.len()];
    for (rank, id) in (0_u32..).zip(&graph.order) {
        ranks[id.index()] = rank;
    }
    let by_name = by_name(&graph.names);
    let mut aliases = graph.aliases;
    aliases.sort_unstable_by(|left, right| left.0.cmp(&right.0));
    let plan = Plan {
        names: graph.names,
        by_name,
        aliases: aliases.into(),
        specs: specs.into(),
        dependencies: graph.dependencies,
        dependents: graph.dependents,
        depths: graph.depths,
        order: graph.order,
        ranks: ranks.into(),
        tails: tails.into(),
        defaults,
        warnings,
    };
    Compiled {
        plan: Arc::new(plan),
        components,
    }
}

/// All components by name. The names are folded once into one run of bytes, since sorting compares each many times.
fn by_name(names: &[ComponentName]) -> Box<[ComponentId]> {
    let mut folded = Vec::with_capacity(names.iter().map(|it| it.as_str().len()).sum());
    let mut sorted = Vec::with_capacity(names.len());
    for (id, name) in ComponentId::all(names.len()).zip(names) {
        let begin = folded.len();
        folded.extend(name.as_str().bytes().map(|it| it.to_ascii_lowercase()));
        sorted.push((begin, folded.len(), id));
    }
    sorted.sort_unstable_by(|left, right| folded[left.0..left.1].cmp(&folded[right.0..right.1]));
    sorted.into_iter().map(|(_, _, id)| id).collect()
}

fn specs(
    graph: &Graph,
    registrations: Vec<Registration>,
    defaults: &Defaults,
) -> (Vec<Spec>, Vec<Component>) {
    let mut interned = vec![defaults.unset()];
    let mut specs = Vec::with_capacity(graph.names.len());
    let mut components = Vec::with_capacity(graph.names.len());
    let mut sources = graph.sources.iter().copied().peekable();
    for (position, registration) in registrations.into_iter().enumerate() {
        // A registration that is no component's source is a further name of an earlier instance.
        if sources.next_if_eq(&position).is_none() {
            continue;
        }
        specs.push(Spec {
            policies: intern(&mut interned, &registration, defaults),
            criticality: registration.criticality,
            is_factory: registration.component.is_factory(),
            labels: registration.labels.into(),
        });
        components.push(registration.component);
    }
    (specs, components)
}

/// Components that say the same share one value: 100 000 of them must not hold 100 000 copies of the defaults.
fn intern(
    interned: &mut Vec<Arc<Policies>>,
    registration: &Registration,
    defaults: &Defaults,
) -> Arc<Policies> {
    if registration.has_no_policies() {
        return Arc::clone(&interned[0]);
    }
    let policies = defaults.resolve(
        &registration.start,
        &registration.stop,
        registration.dispose_timeout,
        registration.abort_grace,
    );
    if let Some(known) = interned.iter().find(|it| ***it == policies) {
        return Arc::clone(known);
    }
    let policies = Arc::new(policies);
    if interned.len() < INTERNED_POLICIES {
        interned.push(Arc::clone(&policies));
    }
    policies
}

/// Dependencies come before dependents in plan order, so one pass in that order sees every tail it needs.
fn tails(graph: &Graph, specs: &[Spec], defaults: &Defaults) -> Vec<Nanos> {
    let mut tails = vec![Nanos::ZERO; specs.len()];
    for id in &graph.order {
        let below = graph.dependencies.of(*id).iter().map(|edge| {
            let dependency = edge.component.index();
            weight(&specs[dependency].policies, defaults).saturating_add(tails[dependency])
        });
        tails[id.index()] = below.max().unwrap_or(Nanos::ZERO);
    }
    tails
}

fn warnings(graph: &Graph, specs: &[Spec]) -> Vec<PlanWarning> {
    let mut warnings = Vec::new();
    let essential = |id: &ComponentId| specs[id.index()].criticality == Criticality::Essential;
    for id in ComponentId::all(specs.len()).filter(essential) {
        for edge in graph.dependencies.of(id) {
            let optional = specs[edge.component.index()].criticality == Criticality::Optional;
            if edge.kind == EdgeKind::Hard && optional {
                warnings.push(PlanWarning::EssentialNeedsOptional {
                    component: graph.names[id.index()].clone(),
                    dependency: graph.names[edge.component.index()].clone(),
                });
            }
        }
    }
    warnings
}
