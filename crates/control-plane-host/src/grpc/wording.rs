//! The engine's values as messages of the protocol.

use diagnostics::Names;
use lifecycle_core::engine::{Event, Snapshot};
use lifecycle_core::{ComponentId, Time};
use lifecycle_runtime::Clock;
use prost_types::Timestamp;

use crate::grpc::v1;

/// How many components one message tells of: by default clients take no message of more than 4 MiB.
const PART: usize = 1_000;

/// The parts of a snapshot, at least one.
pub(super) fn snapshot(
    snapshot: &Snapshot,
    clock: Clock,
    position: v1::Position,
) -> impl Iterator<Item = v1::Snapshot> {
    let order = snapshot.plan.order();
    let parts = order.len().div_ceil(PART).max(1);
    (0..parts).map(move |part| {
        let ids = order.iter().skip(part * PART).take(PART);
        v1::Snapshot {
            position: Some(position),
            at: Some(timestamp(clock, snapshot.at)),
            run: snapshot.run,
            state: snapshot.state.as_str().to_owned(),
            reason: snapshot.reason.as_str().to_owned(),
            ready: snapshot.ready,
            cordoned: snapshot.node.cordoned,
            drain: snapshot.node.drain.as_str().to_owned(),
            components: ids.map(|&id| component(snapshot, clock, id)).collect(),
            continues: part + 1 < parts,
        }
    })
}

fn component(snapshot: &Snapshot, clock: Clock, id: ComponentId) -> v1::Component {
    let (plan, row) = (&snapshot.plan, snapshot.component(id));
    let text = |it: &Option<std::sync::Arc<str>>| it.as_deref().map(str::to_owned);
    let cause = row.cause.filter(|&it| plan.contains(it));
    v1::Component {
        name: plan.name(id).to_string(),
        state: row.state.as_str().to_owned(),
        since: Some(timestamp(clock, row.since)),
        reason: row.reason.as_str().to_owned(),
        cause: cause.map(|it| plan.name(it).to_string()),
        generation: row.generation,
        attempt: row.attempt,
        criticality: plan.criticality(id).as_str().to_owned(),
        health: row.health.as_str().to_owned(),
        degraded: text(&row.degraded),
        progress: text(&row.progress),
        drain: row.drain.as_str().to_owned(),
        in_flight: row.in_flight,
        last_error: row.failure.as_deref().map(|it| v1::Failure {
            kind: it.kind.as_str().to_owned(),
            message: it.message.clone(),
        }),
        dependencies: plan
            .dependencies(id)
            .iter()
            .map(|edge| v1::Dependency {
                component: plan.name(edge.component).to_string(),
                edge: edge.kind.as_str().to_owned(),
            })
            .collect(),
    }
}

pub(super) fn change(
    event: &Event,
    clock: Clock,
    names: &mut Names,
    position: v1::Position,
) -> v1::Change {
    let change = diagnostics::Change::of(event, clock, names);
    v1::Change {
        position: Some(position),
        at: Some(timestamp(clock, event.at)),
        run: change.run,
        kind: change.kind.to_owned(),
        component: change.component,
        from: change.from.map(str::to_owned),
        to: change.to.map(str::to_owned),
        reason: change.reason.to_owned(),
        cause: change.cause,
        generation: change.generation,
        attempt: change.attempt,
        error: change.error.map(|it| v1::Failure {
            kind: it.kind.to_owned(),
            message: it.message.to_owned(),
        }),
        message: change.message,
    }
}

fn timestamp(clock: Clock, time: Time) -> Timestamp {
    clock.system_time(time).into()
}
