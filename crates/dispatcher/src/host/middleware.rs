//! The layers that the configuration asks for, in their one order: the first that is put on is the outermost.

use dispatcher::{DispatcherBuilder, Outbound, Procedure};

use crate::config::{Bounds, Config, Way};

/// Around all calls that come in. What tells of calls is outside of what refuses them.
pub(super) fn around_all(builder: DispatcherBuilder, config: &Config) -> DispatcherBuilder {
    let all = &config.middleware;
    let builder = with(
        builder,
        all.tracing(&config.service, config.traces()),
        DispatcherBuilder::layer,
    );
    let builder = with(builder, all.logging(), DispatcherBuilder::layer);
    let builder = with(builder, all.metrics(), DispatcherBuilder::layer);
    let builder = with(builder, all.bounds.deadlines(), DispatcherBuilder::layer);
    let builder = with(
        builder,
        all.bounds.concurrency_limit(),
        DispatcherBuilder::layer,
    );
    with(builder, all.bounds.rate_limit(), DispatcherBuilder::layer)
}

/// Around the procedures of a relay, which share its limits.
pub(super) fn around_relayed(
    procedures: impl Iterator<Item = Procedure>,
    bounds: &Bounds,
) -> impl Iterator<Item = Procedure> {
    let (deadlines, places, rate) = (
        bounds.deadlines(),
        bounds.concurrency_limit(),
        bounds.rate_limit(),
    );
    procedures.map(move |procedure| {
        let procedure = with(procedure, deadlines, Procedure::layer);
        let procedure = with(procedure, places.clone(), Procedure::layer);
        with(procedure, rate.clone(), Procedure::layer)
    })
}

/// Around the calls by an outbound. They are counted as one with all their attempts, and each attempt is a hop and counts in limits.
pub(super) fn around_outbound(outbound: Outbound, way: &Way, config: &Config) -> Outbound {
    let (all, bounds) = (&config.middleware, &way.bounds);
    let retries = way.retries.as_ref().map(|it| it.retries());
    let outbound = with(outbound, all.metrics(), Outbound::layer);
    let outbound = with(outbound, retries, Outbound::layer);
    let tracing = all.tracing(&config.service, config.traces());
    let tracing = tracing.map(|it| it.transport(way.protocol.transport()));
    let outbound = with(outbound, tracing, Outbound::layer);
    let outbound = with(outbound, bounds.concurrency_limit(), Outbound::layer);
    with(outbound, bounds.rate_limit(), Outbound::layer)
}

fn with<T, L>(inner: T, layer: Option<L>, put: impl FnOnce(T, L) -> T) -> T {
    match layer {
        Some(layer) => put(inner, layer),
        None => inner,
    }
}
