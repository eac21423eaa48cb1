//! The compiled graph: what the engine runs by, and what diagnostics show.

mod change;
mod fingerprint;

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::component::Component;
use crate::defaults::Defaults;
use crate::fault::{BuildError, Chain, GraphFault};
use crate::gate::{GateName, PlannedGate};
use crate::graph::{Adjacency, Edge, Graph};
use crate::name::{self, ComponentName};
use crate::policy::{Policies, limit_fault};
use crate::registration::{Criticality, EdgeKind, Registration};
use crate::time::Nanos;

use change::{Addition, Rows};

/// How many distinct policies are compared before a component gets its own copy.
const INTERNED_POLICIES: usize = 16;

/// A component of one orchestrator; only a plan makes one, and it is never used again for another component.
///
/// Ids are ordered by registration. The index may be used again once a component was removed; the serial never is, so that
/// whatever speaks of a removed component speaks of nobody.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentId {
    serial: u32,
    index: u32,
}

impl ComponentId {
    /// The id of the registration at `index` of a plan that was compiled at once.
    pub(crate) fn at(index: usize) -> Self {
        let index = u32::try_from(index).expect("components are counted before ids are made");
        Self {
            serial: index,
            index,
        }
    }

    pub(crate) fn all(count: usize) -> impl Iterator<Item = Self> {
        (0..count).map(Self::at)
    }

    /// The position in tables beside the plan, below [`Plan::capacity`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.index as usize
    }
}

impl fmt::Debug for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.serial)
    }
}

/// A gate of one orchestrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GateId(u32);

impl GateId {
    /// The position in registration order, counted from 0; for tables beside the plan.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What the plan knows of one component beside its edges.
#[derive(Clone, Debug)]
struct Spec {
    policies: Arc<Policies>,
    criticality: Criticality,
    is_factory: bool,
    drains: bool,
    is_isolated: bool,
    gate: Option<GateId>,
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
    /// A dependent that does not fall with a gated component delays it all the same when it is on its way down for a
    /// reason of its own. The gate's margin does not leave time for that: the process would end, as if a limit had been
    /// broken (semantics 26).
    #[error(
        "\"{component}\" is gated by \"{gate}\" with a margin of {margin}; while another operation takes its dependents down, stopping {} may take {longest} by what is declared, and the process would end; declare shorter stop attempts, disposes and abort graces, or raise the margin",
        Chain(.path)
    )]
    CrowdedGate {
        /// The gated component.
        component: ComponentName,
        /// Its gate.
        gate: String,
        /// The time that the gate leaves.
        margin: Nanos,
        /// The longest declared stop of it and of all that depends on it, whatever the edge.
        longest: Nanos,
        /// The components on that path, the first to stop first.
        path: Vec<ComponentName>,
    },
}

/// A gated component whose margin is too short, and for what.
struct OverlongFall {
    component: ComponentName,
    gate: String,
    margin: Nanos,
    longest: Nanos,
    path: Vec<ComponentName>,
}

/// The longest that a graceful shutdown may take by declaration, and along which components.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorstStop {
    /// How long it waits before draining.
    pub settle: Nanos,
    /// The longest declared path of drains, limited by nothing else.
    pub drain: Nanos,
    /// The participants on that path, the first to drain first.
    pub drain_path: Vec<ComponentId>,
    /// The longest declared path of stops and disposes.
    pub stop: Nanos,
    /// The components on that path, the first to stop first.
    pub stop_path: Vec<ComponentId>,
}

impl WorstStop {
    /// All of it together.
    #[must_use]
    pub fn total(&self) -> Nanos {
        self.settle
            .saturating_add(self.drain)
            .saturating_add(self.stop)
    }
}

/// The compiled graph of an orchestrator: names, edges, order, policies and worst paths. Immutable: adding or removing a
/// component makes another plan, in which all others keep their ids.
///
/// The same registrations give the same plan in every process (invariant 2). Building takes time and memory linear in
/// components and edges, apart from sorting the names.
#[derive(Debug)]
pub struct Plan {
    /// The component at each index; `None` where one was removed.
    ids: Box<[Option<ComponentId>]>,
    next_serial: u32,
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
    /// Edges that every component added later gets too.
    firsts: Vec<Edge>,
    gates: Vec<Arc<GateName>>,
    gated: Vec<(ComponentId, PlannedGate)>,
    defaults: Defaults,
    fingerprint: OnceLock<u64>,
}

/// A plan, and the components that it orders, by [`ComponentId::index`].
#[derive(Debug)]
pub struct Compiled {
    /// The plan.
    pub plan: Arc<Plan>,
    /// The components.
    pub components: Vec<Component>,
}

/// A plan with one component more.
#[derive(Debug)]
pub struct Extended {
    /// The plan.
    pub plan: Arc<Plan>,
    /// Which component is new.
    pub id: ComponentId,
    /// The component itself.
    pub component: Component,
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
        faults.extend(default_faults(&defaults));
        registrations
            .iter()
            .for_each(|it| check_policies(it, &mut faults));
        let graph = match graph {
            Some(graph) if faults.is_empty() => graph,
            _ => return Err(BuildError { faults }),
        };
        let compiled = assemble(graph, registrations, defaults);
        let faults = compiled.plan.gate_faults();
        if faults.is_empty() {
            return Ok(compiled);
        }
        Err(BuildError { faults })
    }

    /// How many components there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// How long a table beside the plan must be to have a place for every [`ComponentId::index`].
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.ids.len()
    }

    /// Whether `id` is a component of this plan, and not one that was removed or is not there yet.
    #[must_use]
    pub fn contains(&self, id: ComponentId) -> bool {
        self.ids.get(id.index()) == Some(&Some(id))
    }

    /// The component at `index`, if there is one.
    #[must_use]
    pub fn at(&self, index: usize) -> Option<ComponentId> {
        self.ids.get(index).copied().flatten()
    }

    /// Whether there are no components; such an orchestrator starts and stops all the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// How many edges there are, implicit ones counted.
    #[must_use]
    pub fn edge_count(&self) -> usize {
        self.dependencies.edge_count()
    }

    /// A number that tells plans apart: names, aliases, edges and criticalities go into it, policies and labels do not. The
    /// same in every process; counted when it is first asked for.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        *self.fingerprint.get_or_init(|| fingerprint::of(self))
    }

    /// All components by index: in registration order, as long as none was removed.
    pub fn ids(&self) -> impl Iterator<Item = ComponentId> + use<'_> {
        self.ids.iter().copied().flatten()
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

    /// Whether `id` takes part in a drain.
    #[must_use]
    pub fn drains(&self, id: ComponentId) -> bool {
        self.specs[id.index()].drains
    }

    /// Whether `id` has a thread of its own.
    #[must_use]
    pub fn is_isolated(&self, id: ComponentId) -> bool {
        self.specs[id.index()].is_isolated
    }

    /// The gate of `id`, if it has one.
    #[must_use]
    pub fn gate(&self, id: ComponentId) -> Option<GateId> {
        self.specs[id.index()].gate
    }

    /// How many gates there are, or ever were.
    #[must_use]
    pub fn gate_count(&self) -> usize {
        self.gates.len()
    }

    /// The gate at `index`, if there is one.
    #[must_use]
    pub fn gate_at(&self, index: usize) -> Option<GateId> {
        let index = u32::try_from(index).ok()?;
        ((index as usize) < self.gates.len()).then_some(GateId(index))
    }

    /// The gate called `name`, without regard to case.
    #[must_use]
    pub fn find_gate(&self, name: &str) -> Option<GateId> {
        let name = GateName::new(name).ok()?;
        let position = self.gates.iter().position(|it| **it == name)?;
        u32::try_from(position).ok().map(GateId)
    }

    /// The name of `gate`.
    #[must_use]
    pub fn gate_name(&self, gate: GateId) -> &GateName {
        &self.gates[gate.index()]
    }

    /// The components behind `gate`, each with its margin.
    pub fn gated(&self, gate: GateId) -> impl Iterator<Item = (ComponentId, Nanos)> {
        let name = &self.gates[gate.index()];
        let gated = self.gated.iter().filter(move |(_, it)| it.name == *name);
        gated.map(|(id, it)| (*id, it.margin))
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

    /// The longest that a graceful shutdown may take by declaration; the shutdown timeout limits it all the same.
    #[must_use]
    pub fn worst_stop(&self) -> WorstStop {
        let (drain, drain_path) = self.longest_path(|id| {
            let drains = self.drains(id);
            if drains {
                self.policies(id).drain_timeout
            } else {
                Nanos::ZERO
            }
        });
        let (stop, stop_path) = self.longest_path(|id| self.weight(id));
        WorstStop {
            settle: self.defaults.settle,
            drain,
            drain_path: drain_path
                .into_iter()
                .filter(|it| self.drains(*it))
                .collect(),
            stop,
            stop_path,
        }
    }

    /// The path from a component that nothing depends on down to a root on which `weight` adds up to the most.
    fn longest_path(&self, weight: impl Fn(ComponentId) -> Nanos) -> (Nanos, Vec<ComponentId>) {
        let mut below = vec![(Nanos::ZERO, None); self.capacity()];
        let mut longest: Option<ComponentId> = None;
        for &id in &self.order {
            let dependencies = self.dependencies(id).iter().map(|it| it.component);
            let next = dependencies.max_by_key(|it| (below[it.index()].0, std::cmp::Reverse(*it)));
            let rest = next.map_or(Nanos::ZERO, |it| below[it.index()].0);
            below[id.index()] = (weight(id).saturating_add(rest), next);
            if longest.is_none_or(|it| below[it.index()].0 < below[id.index()].0) {
                longest = Some(id);
            }
        }
        let path = std::iter::successors(longest, |it| below[it.index()].1);
        let length = longest.map_or(Nanos::ZERO, |it| below[it.index()].0);
        (length, path.collect())
    }

    /// The plan with `registration` in it. It may depend on what is here; nothing here can depend on it.
    ///
    /// Takes time and memory linear in components and edges.
    ///
    /// # Errors
    ///
    /// [`BuildError`] with every fault that can be found at once.
    pub fn extended(&self, registration: Registration) -> Result<Extended, BuildError> {
        let mut faults = Vec::new();
        check_policies(&registration, &mut faults);
        let addition = Addition::check(self, &registration, &mut faults);
        let addition = match addition {
            Some(addition) if faults.is_empty() => addition,
            _ => return Err(BuildError { faults }),
        };
        let extended = addition.apply(self, registration);
        let faults = extended.plan.gate_faults();
        if faults.is_empty() {
            return Ok(extended);
        }
        Err(BuildError { faults })
    }

    /// The plan without `removed`, and without the edges to them.
    ///
    /// Takes time and memory linear in components and edges.
    #[must_use]
    pub fn without(&self, removed: &[ComponentId]) -> Arc<Self> {
        let mut rows = Rows::of(self);
        for id in removed {
            rows.remove(*id);
        }
        Arc::new(rows.compile(self.defaults.clone()))
    }

    /// Gated components whose longest declared stop is longer than their margin (semantics 26).
    fn gate_faults(&self) -> Vec<GraphFault> {
        let overlong = self.overlong_falls(Edge::takes_down).into_iter();
        let faults = overlong.map(|it| GraphFault::GateMargin {
            component: it.component,
            gate: it.gate,
            margin: it.margin,
            longest: it.longest,
            path: it.path,
        });
        faults.collect()
    }

    /// Gated components for which the margin is too short, when the dependents over edges that `count` must be down first.
    fn overlong_falls(&self, count: impl Fn(&Edge) -> bool) -> Vec<OverlongFall> {
        if self.gated.is_empty() {
            return Vec::new();
        }
        let longest = self.longest_falls(count);
        let overlong = self.gated.iter().filter_map(|(id, gate)| {
            let (length, _) = longest[id.index()];
            (length > gate.margin).then(|| OverlongFall {
                component: self.name(*id).clone(),
                gate: gate.name.to_string(),
                margin: gate.margin,
                longest: length,
                path: self.fall_of(*id, &longest),
            })
        });
        overlong.collect()
    }

    /// For each component, how long it may take until it and its dependents over edges that `count` are down, and who is
    /// next on the longest way there.
    fn longest_falls(&self, count: impl Fn(&Edge) -> bool) -> Vec<(Nanos, Option<ComponentId>)> {
        let mut longest = vec![(Nanos::ZERO, None); self.capacity()];
        for &id in self.order.iter().rev() {
            let falling = self.dependents(id).iter().filter(|it| count(it));
            let above = falling.map(|it| (longest[it.component.index()].0, it.component));
            let above = above.max_by_key(|(length, id)| (*length, std::cmp::Reverse(*id)));
            let rest = above.map_or(Nanos::ZERO, |(length, _)| length);
            let own = self.policies(id).longest_fall();
            longest[id.index()] = (own.saturating_add(rest), above.map(|(_, id)| id));
        }
        longest
    }

    fn fall_of(
        &self,
        id: ComponentId,
        longest: &[(Nanos, Option<ComponentId>)],
    ) -> Vec<ComponentName> {
        let path = std::iter::successors(Some(id), |it| longest[it.index()].1);
        let mut names: Vec<ComponentName> = path.map(|it| self.name(it).clone()).collect();
        names.reverse();
        names
    }

    /// What holds where a component says nothing, and for the whole.
    #[must_use]
    pub fn defaults(&self) -> &Defaults {
        &self.defaults
    }

    /// What is legal but probably not meant. Takes time linear in components and edges at each call.
    #[must_use]
    pub fn warnings(&self) -> Vec<PlanWarning> {
        let mut warnings = self.optional_needs();
        warnings.extend(self.crowded_gates());
        warnings
    }

    fn optional_needs(&self) -> Vec<PlanWarning> {
        let mut warnings = Vec::new();
        let essential = |id: &&ComponentId| self.criticality(**id) == Criticality::Essential;
        for id in self.order.iter().filter(essential) {
            let hard = self.dependencies(*id).iter();
            let hard = hard.filter(|it| it.kind == EdgeKind::Hard);
            let needs = hard.map(|it| it.component);
            let optional = needs.filter(|it| self.criticality(*it) == Criticality::Optional);
            warnings.extend(optional.map(|it| PlanWarning::EssentialNeedsOptional {
                component: self.name(*id).clone(),
                dependency: self.name(it).clone(),
            }));
        }
        warnings
    }

    /// Gated components that may have to wait too long for one that does not fall with them but is on its way down.
    fn crowded_gates(&self) -> Vec<PlanWarning> {
        let overlong = self.overlong_falls(|_| true).into_iter();
        let warnings = overlong.map(|it| PlanWarning::CrowdedGate {
            component: it.component,
            gate: it.gate,
            margin: it.margin,
            longest: it.longest,
            path: it.path,
        });
        warnings.collect()
    }
}

fn weight(policies: &Policies, defaults: &Defaults) -> Nanos {
    let whole = defaults.shutdown_timeout;
    let stop = policies.stop.longest().min(whole);
    stop.saturating_add(policies.dispose_timeout.min(whole))
}

fn default_faults(defaults: &Defaults) -> impl Iterator<Item = GraphFault> {
    let faults = defaults.faults().into_iter();
    faults.map(|(phase, fault)| GraphFault::Defaults { phase, fault })
}

/// Every fault of what `registration` says beside its name and its edges.
fn check_policies(registration: &Registration, faults: &mut Vec<GraphFault>) {
    if registration.has_no_policies() && registration.gate.is_none() {
        return;
    }
    // A registration without a valid name is reported for that; its policies have no name to stand under.
    let Ok(component) = ComponentName::new(&registration.name) else {
        return;
    };
    let policies = policy_faults(registration).into_iter();
    faults.extend(policies.map(|(phase, fault)| GraphFault::Policy {
        component: component.clone(),
        phase,
        fault,
    }));
    if let Some(gate) = &registration.gate
        && let Err(error) = GateName::new(&gate.name)
    {
        faults.push(GraphFault::GateName { component, error });
    }
}

fn policy_faults(registration: &Registration) -> Vec<(&'static str, String)> {
    let health = registration.health_check.as_ref();
    let groups = [
        ("start", registration.start.faults()),
        ("stop", registration.stop.faults()),
        ("restart", registration.restart.faults()),
        (
            "health-check",
            health.map_or_else(Vec::new, |it| it.faults()),
        ),
    ];
    let mut faults: Vec<(&'static str, String)> = groups
        .into_iter()
        .flat_map(|(phase, faults)| faults.into_iter().map(move |it| (phase, it)))
        .collect();
    for (field, length) in [
        ("drain-timeout", registration.drain_timeout),
        ("dispose-timeout", registration.dispose_timeout),
        ("abort-grace", registration.abort_grace),
        (
            "gate margin",
            registration.gate.as_ref().map(|it| it.margin),
        ),
    ] {
        let fault = length.and_then(|it| limit_fault(field, it));
        faults.extend(fault.map(|it| (field, it)));
    }
    faults
}

/// Puts a checked graph and what the registrations say beside it together.
fn assemble(graph: Graph, registrations: Vec<Registration>, defaults: Defaults) -> Compiled {
    let mut gates = Gates::default();
    let (specs, components) = specs(&graph, registrations, &mut gates, &defaults);
    let count = graph.names.len();
    let ids: Vec<Option<ComponentId>> = ComponentId::all(count).map(Some).collect();
    let tails = tails(&graph.order, &graph.dependencies, &specs, &defaults);
    let mut aliases = graph.aliases;
    aliases.sort_unstable_by(|left, right| left.0.cmp(&right.0));
    let plan = Plan {
        next_serial: u32::try_from(count).expect("components are counted in 32 bits"),
        by_name: by_name(&ids, &graph.names),
        ids: ids.into(),
        names: graph.names,
        aliases: aliases.into(),
        specs: specs.into(),
        dependencies: graph.dependencies,
        dependents: graph.dependents,
        depths: graph.depths,
        ranks: ranks(&graph.order, count),
        order: graph.order,
        tails,
        firsts: graph.firsts,
        gates: gates.names,
        gated: gates.gated,
        defaults,
        fingerprint: OnceLock::new(),
    };
    Compiled {
        plan: Arc::new(plan),
        components,
    }
}

/// The position of each component in `order`, by index.
fn ranks(order: &[ComponentId], capacity: usize) -> Box<[u32]> {
    let mut ranks = vec![0_u32; capacity];
    for (rank, id) in (0_u32..).zip(order) {
        ranks[id.index()] = rank;
    }
    ranks.into()
}

/// All components by name. Most differ within a few bytes behind what all begin with, which are compared as a number.
fn by_name(ids: &[Option<ComponentId>], names: &[ComponentName]) -> Box<[ComponentId]> {
    let live = || ids.iter().copied().flatten();
    let text = |id: ComponentId| names[id.index()].as_str();
    let Some(first) = live().next().map(text) else {
        return Box::default();
    };
    let shared = live().fold(first.len(), |shared, id| {
        name::shared(&first.as_bytes()[..shared], text(id).as_bytes())
    });
    let mut sorted: Vec<(u64, ComponentId)> = live()
        .map(|id| (name::leading(&text(id).as_bytes()[shared..]), id))
        .collect();
    sorted.sort_unstable_by(|(left_leading, left), (right_leading, right)| {
        let leading = left_leading.cmp(right_leading);
        leading.then_with(|| name::compare(text(*left), text(*right)))
    });
    sorted.into_iter().map(|(_, id)| id).collect()
}

/// The gates of a plan, and what is behind each.
#[derive(Clone, Debug, Default)]
struct Gates {
    names: Vec<Arc<GateName>>,
    gated: Vec<(ComponentId, PlannedGate)>,
}

impl Gates {
    /// Notes that `id` is behind the gate of its registration, if it has one; the name was checked before.
    fn enter(&mut self, id: ComponentId, registration: &Registration) -> Option<GateId> {
        let gate = registration.gate.as_ref()?;
        let name = Arc::new(GateName::new(&gate.name).ok()?);
        let known = self.names.iter().position(|it| *it == name);
        let position = known.unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        });
        let planned = PlannedGate {
            name: Arc::clone(&self.names[position]),
            margin: gate.margin,
        };
        self.gated.push((id, planned));
        u32::try_from(position).ok().map(GateId)
    }
}

fn specs(
    graph: &Graph,
    registrations: Vec<Registration>,
    gates: &mut Gates,
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
        let id = ComponentId::at(specs.len());
        let policies = intern(&mut interned, &registration, defaults);
        let (spec, component) = spec(id, registration, policies, gates);
        specs.push(spec);
        components.push(component);
    }
    (specs, components)
}

fn spec(
    id: ComponentId,
    registration: Registration,
    policies: Arc<Policies>,
    gates: &mut Gates,
) -> (Spec, Component) {
    let spec = Spec {
        policies,
        criticality: registration.criticality,
        is_factory: registration.component.is_factory(),
        drains: registration.component.drains(),
        is_isolated: registration.isolated,
        gate: gates.enter(id, &registration),
        labels: registration.labels.into(),
    };
    (spec, registration.component)
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
    let policies = defaults.resolve(registration);
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
fn tails(
    order: &[ComponentId],
    dependencies: &Adjacency,
    specs: &[Spec],
    defaults: &Defaults,
) -> Box<[Nanos]> {
    let mut tails = vec![Nanos::ZERO; specs.len()];
    for id in order {
        let below = dependencies.of(*id).iter().map(|edge| {
            let dependency = edge.component.index();
            weight(&specs[dependency].policies, defaults).saturating_add(tails[dependency])
        });
        tails[id.index()] = below.max().unwrap_or(Nanos::ZERO);
    }
    tails.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn names_are_in_the_same_order_however_much_they_begin_alike(
            texts in prop::collection::btree_set("[aB]{0,10}[a-bA-B0.~é]{1,10}", 1..40)
        ) {
            let names = texts.iter().map(|it| ComponentName::new(it).expect("it is printable"));
            let names: Vec<ComponentName> = names.collect();
            let mut expected: Vec<ComponentId> = ComponentId::all(names.len()).collect();
            expected.sort_by(|left, right| names[left.index()].cmp(&names[right.index()]));
            let ids: Vec<Option<ComponentId>> =
                ComponentId::all(names.len()).map(Some).collect();
            let sorted = by_name(&ids, &names);
            let sorted = sorted.iter().map(|it| &names[it.index()]);
            prop_assert!(sorted.eq(expected.iter().map(|it| &names[it.index()])));
        }
    }
}
