//! [`DispatcherBuilder`]: collects, then checks everything at once.

use std::collections::HashMap;
use std::fmt;

use lifecycle_core::{BoxError, Registration, Retry};
use tower::{Layer, Service};

use crate::call::{Request, Response};
use crate::dispatcher::{Dispatcher, Parts};
use crate::fault::{BuildError, Fault};
use crate::handler::{Handler, Layers};
use crate::inbound::Inbound;
use crate::introspect::{Makeup, OutboundRow};
use crate::outbound::Outbound;
use crate::procedure::Procedure;
use crate::registrations::{Gate, Moving};
use crate::registry::Registry;
use crate::route::Route;

/// What a component that asks for the dispatcher is made by.
pub(crate) type Bound = Box<dyn FnOnce(Dispatcher) -> Registration + Send>;

/// Collects what a dispatcher shall offer, and what of it moves.
pub struct DispatcherBuilder {
    service: String,
    layers: Layers,
    procedures: Vec<Procedure>,
    moving: Moving,
}

impl DispatcherBuilder {
    pub(crate) fn new(service: String) -> Self {
        Self {
            service,
            layers: Layers::default(),
            procedures: Vec::new(),
            moving: Moving::default(),
        }
    }

    /// Adds a procedure.
    #[must_use]
    pub fn procedure(mut self, procedure: Procedure) -> Self {
        self.procedures.push(procedure);
        self
    }

    /// Puts a layer around every procedure, inside of the layers that are there already. Calls that find no procedure go through it,
    /// too.
    #[must_use]
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Handler> + Send + Sync + 'static,
        L::Service: Service<Request, Response = Response> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request>>::Future: Send + 'static,
        <L::Service as Service<Request>>::Error: Into<BoxError>,
    {
        self.layers.push(layer);
        self
    }

    /// Adds a way to another service.
    #[must_use]
    pub fn outbound(mut self, outbound: impl Into<Outbound>) -> Self {
        self.moving.outbounds.push(outbound.into());
        self
    }

    /// Adds a place where calls come in.
    #[must_use]
    pub fn inbound(mut self, inbound: impl Into<Inbound>) -> Self {
        self.moving.inbounds.push(inbound.into());
        self
    }

    /// Opens inbounds after these components too, whatever becomes of them, and closes them before: the mesh, for example.
    #[must_use]
    pub fn inbounds_after(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let names = names.into_iter().map(Into::into);
        self.moving.inbounds_after.extend(names);
        self
    }

    /// Says when inbounds open. Unset, they open last.
    #[must_use]
    pub fn gate(mut self, gate: Gate) -> Self {
        self.moving.gate = gate;
        self
    }

    /// Adds a component that shall live and die with the dispatcher, with its own edges and policies.
    #[must_use]
    pub fn component(mut self, registration: Registration) -> Self {
        self.moving.components.push(Box::new(|_| registration));
        self
    }

    /// As [`component`](Self::component), for one that asks for the dispatcher: it has it before it is started.
    #[must_use]
    pub fn bound_component(
        mut self,
        make: impl FnOnce(Dispatcher) -> Registration + Send + 'static,
    ) -> Self {
        self.moving.components.push(Box::new(make));
        self
    }

    /// Sets attempts and limits of start for what sets none itself. [`Retry::none`] is one, and so is a limit alone: what else it
    /// leaves unset comes from the orchestrator's defaults.
    #[must_use]
    pub fn start_retry(mut self, retry: Retry) -> Self {
        self.moving.start = retry;
        self
    }

    /// As [`start_retry`](Self::start_retry), for stops.
    #[must_use]
    pub fn stop_retry(mut self, retry: Retry) -> Self {
        self.moving.stop = retry;
        self
    }

    /// Checks everything, and makes the dispatcher and the registrations of what of it moves. These are for an orchestrator, which
    /// checks names and edges in turn, and alone decides when what is started and stopped.
    ///
    /// # Errors
    ///
    /// [`BuildError`] with every fault that can be found at once.
    pub fn build(self) -> Result<(Dispatcher, Vec<Registration>), BuildError> {
        let mut faults = Vec::new();
        let service = self.service.trim().to_owned();
        if service.is_empty() {
            faults.push(Fault::BlankService);
        }
        let outbounds = outbounds(&self.moving.outbounds, &mut faults);
        let mut registry = Registry::default();
        for procedure in self.procedures {
            let added = registry.add(procedure, &self.layers, &outbounds);
            faults.extend(added.err().into_iter().flatten());
        }
        if !faults.is_empty() {
            return Err(BuildError { faults });
        }
        let issues = self.moving.outbounds.iter().flat_map(Outbound::issues);
        let issues = issues.collect();
        let dispatcher = Dispatcher::new(Parts {
            service,
            layers: self.layers,
            registry,
            outbounds,
            issues,
        });
        let outbounds = OutboundRow::all(&self.moving.outbounds);
        let (registrations, components) = self.moving.registrations(&dispatcher);
        dispatcher.describe(Makeup {
            components,
            outbounds,
        });
        Ok((dispatcher, registrations))
    }
}

/// The handlers of the ways out by their names, in lower case.
fn outbounds(outbounds: &[Outbound], faults: &mut Vec<Fault>) -> HashMap<String, Handler> {
    let mut found = HashMap::new();
    for outbound in outbounds {
        let service = outbound.service.trim();
        if service.is_empty() {
            faults.push(Fault::BlankOutbound);
            continue;
        }
        if outbound.shapes.is_empty() {
            let service = service.to_owned();
            faults.push(Fault::ShapelessOutbound { service });
        }
        for (shape, handler) in outbound.shapes.iter().zip(&outbound.handlers) {
            let name = outbound.name(*shape);
            let handler = outbound.handler(handler, Route::outbound(&name, *shape));
            let taken = found.insert(name.to_ascii_lowercase(), handler);
            if taken.is_some() {
                faults.push(Fault::DuplicateOutbound { name });
            }
        }
    }
    found
}

impl fmt::Debug for DispatcherBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DispatcherBuilder")
            .field("service", &self.service)
            .field("procedures", &self.procedures.len())
            .finish_non_exhaustive()
    }
}
