//! [`Introspection`]: what a dispatcher consists of.

use std::collections::BTreeMap;

use lifecycle_core::Registration;
use serde::Serialize;

use crate::dispatcher::Dispatcher;
use crate::handler::Layers;
use crate::outbound::{DEFAULT_KEY, Outbound};
use crate::shape::Shape;

/// What a dispatcher consists of, as a document for people and tools: serialize it.
///
/// It has the keys of the original, in camel case: `service`, `status`, `mode`, `capabilities`, `procedures` by shape,
/// `components` with their dependencies, `outbounds` by service and shape, and `middleware`. States and shapes are text, and what is not
/// there is left out. It has no state of single components: the orchestrator's snapshot does.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Introspection {
    service: String,
    status: &'static str,
    /// There is one way to deploy it: in the process of its procedures.
    mode: &'static str,
    /// The shapes that procedures can have.
    capabilities: [&'static str; 5],
    procedures: ByShape<ProcedureRow>,
    components: Vec<ComponentRow>,
    outbounds: Vec<OutboundRow>,
    middleware: MiddlewareRows,
}

/// What of it is known when it is built, and stays.
#[derive(Debug, Default)]
pub(crate) struct Makeup {
    pub(crate) components: Vec<ComponentRow>,
    pub(crate) outbounds: Vec<OutboundRow>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ByShape<T> {
    unary: Vec<T>,
    oneway: Vec<T>,
    stream: Vec<T>,
    client_stream: Vec<T>,
    duplex: Vec<T>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
struct ProcedureRow {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<String>,
    aliases: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ComponentRow {
    name: String,
    component_type: Role,
    dependencies: Vec<String>,
}

/// What a component is to its dispatcher.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Role {
    Inbound,
    Outbound,
    /// It was added.
    Component,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct OutboundRow {
    service: String,
    #[serde(flatten)]
    ways: ByShape<WayRow>,
}

#[derive(Clone, Debug, Serialize)]
struct WayRow {
    key: String,
    middleware: Vec<&'static str>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MiddlewareRows {
    inbound_unary: Vec<&'static str>,
    inbound_oneway: Vec<&'static str>,
    inbound_stream: Vec<&'static str>,
    inbound_client_stream: Vec<&'static str>,
    inbound_duplex: Vec<&'static str>,
    outbound_unary: Vec<&'static str>,
    outbound_oneway: Vec<&'static str>,
    outbound_stream: Vec<&'static str>,
    outbound_client_stream: Vec<&'static str>,
    outbound_duplex: Vec<&'static str>,
}

impl Dispatcher {
    /// What it consists of at the moment.
    #[must_use]
    pub fn introspect(&self) -> Introspection {
        let registry = self.registry();
        let procedures = ByShape::of(|shape| {
            let entries = registry.all().filter(|it| it.shape == shape);
            let mut rows: Vec<_> = entries
                .map(|it| ProcedureRow {
                    name: it.name.clone(),
                    encoding: it.encoding.clone(),
                    aliases: it.aliases.clone(),
                })
                .collect();
            rows.sort_unstable();
            rows
        });
        let makeup = self.makeup();
        Introspection {
            service: self.service().to_owned(),
            status: self.status().as_str(),
            mode: "inproc",
            capabilities: Shape::ALL.map(Shape::as_str),
            procedures,
            components: makeup.map_or_else(Vec::new, |it| it.components.clone()),
            outbounds: makeup.map_or_else(Vec::new, |it| it.outbounds.clone()),
            middleware: MiddlewareRows::of(self.layers()),
        }
    }
}

impl<T> ByShape<T> {
    fn of(mut list: impl FnMut(Shape) -> Vec<T>) -> Self {
        Self {
            unary: list(Shape::Unary),
            oneway: list(Shape::Oneway),
            stream: list(Shape::ServerStream),
            client_stream: list(Shape::ClientStream),
            duplex: list(Shape::Duplex),
        }
    }
}

impl ComponentRow {
    pub(crate) fn new(registration: &Registration, component_type: Role) -> Self {
        let dependencies = registration.dependencies.iter();
        Self {
            name: registration.name.clone(),
            component_type,
            dependencies: dependencies.map(|it| it.name.clone()).collect(),
        }
    }
}

impl OutboundRow {
    /// A row for each service, by name; their ways by key.
    pub(crate) fn all(outbounds: &[Outbound]) -> Vec<Self> {
        let mut services: BTreeMap<String, Vec<&Outbound>> = BTreeMap::new();
        for outbound in outbounds {
            let service = outbound.service.trim().to_owned();
            services.entry(service).or_default().push(outbound);
        }
        let rows = services.into_iter().map(|(service, outbounds)| Self {
            service,
            ways: ByShape::of(|shape| {
                let carrying = outbounds.iter().filter(|it| it.shapes.contains(&shape));
                carrying.map(|it| WayRow::new(it)).collect()
            }),
        });
        rows.collect()
    }
}

impl WayRow {
    fn new(outbound: &Outbound) -> Self {
        let key = Some(outbound.key.trim()).filter(|it| !it.is_empty());
        Self {
            key: key.unwrap_or(DEFAULT_KEY).to_owned(),
            middleware: outbound.layers.names().collect(),
        }
    }
}

impl MiddlewareRows {
    /// Every call that comes in has `layers` around it, whatever its shape. What goes out has those of its outbound alone.
    fn of(layers: &Layers) -> Self {
        let inbound: Vec<_> = layers.names().collect();
        Self {
            inbound_unary: inbound.clone(),
            inbound_oneway: inbound.clone(),
            inbound_stream: inbound.clone(),
            inbound_client_stream: inbound.clone(),
            inbound_duplex: inbound,
            outbound_unary: Vec::new(),
            outbound_oneway: Vec::new(),
            outbound_stream: Vec::new(),
            outbound_client_stream: Vec::new(),
            outbound_duplex: Vec::new(),
        }
    }
}
