//! What a component costs in memory: allocations of a start and a stop, and bytes at rest.
//!
//! ```sh
//! cargo bench -p lifecycle-runtime --bench allocations
//! ```
//!
//! Counts everything that the process allocates: names, plan, engine, scopes, tasks, channels. Bytes are those that are still
//! held when everything runs, the component itself and its registration included. The counting slows everything down,
//! so that times are measured elsewhere (`start_stop`).

use std::alloc::System;

use lifecycle_core::component::service;
use lifecycle_core::{
    BoxError, Component, Lifecycle, Registration, ServiceContext, StartContext, StopContext,
};
use lifecycle_runtime::Orchestrator;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::runtime;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const COUNT: usize = 10_000;

fn main() {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be made");
    for (name, make) in [
        ("idle", idle as fn() -> Component),
        ("service", looping as fn() -> Component),
    ] {
        // The first round fills what is kept for ever, such as the blocks of channels.
        runtime.block_on(round(make));
        let cost = runtime.block_on(round(make));
        println_row(&format!(
            "{name:<8} {:.2} allocations to start, {:.2} to stop, {:.0} bytes at rest, {:.0} after the stop",
            cost.start, cost.stop, cost.at_rest, cost.stopped,
        ));
    }
}

/// What one of [`COUNT`] components costs.
struct Cost {
    start: f64,
    stop: f64,
    at_rest: f64,
    stopped: f64,
}

async fn round(make: fn() -> Component) -> Cost {
    let held = Region::new(ALLOCATOR);
    let mut builder = Orchestrator::builder();
    builder.registrations((0..COUNT).map(|it| Registration::new(it.to_string(), make())));
    let orchestrator = builder.build().expect("the registrations are sound");
    let handle = orchestrator.handle();
    let driving = tokio::spawn(orchestrator.run());

    let starting = Region::new(ALLOCATOR);
    handle.start().await.expect("starts succeed");
    let start = allocations(&starting);
    let at_rest = bytes(&held);

    let stopping = Region::new(ALLOCATOR);
    handle.stop().await.expect("stops succeed");
    let cost = Cost {
        start,
        stop: allocations(&stopping),
        at_rest,
        stopped: bytes(&held),
    };
    drop(handle);
    driving.await.expect("the driver ends by itself");
    // What the driver leaves is dropped in a task of its own; the next round must not count that.
    while bytes(&held) > 1.0 {
        tokio::task::yield_now().await;
    }
    cost
}

fn idle() -> Component {
    Component::from(Idle)
}

struct Idle;

impl Lifecycle for Idle {
    const DISPOSES: bool = false;

    async fn start(&self, _cx: &StartContext) -> Result<(), BoxError> {
        Ok(())
    }

    async fn stop(&self, _cx: &StopContext) -> Result<(), BoxError> {
        Ok(())
    }
}

fn looping() -> Component {
    service(async |cx: ServiceContext| {
        cx.ready();
        cx.cancelled().await;
    })
}

#[expect(clippy::cast_precision_loss, reason = "the counts are small")]
fn allocations(region: &Region<'_, System>) -> f64 {
    let change = region.change();
    (change.allocations + change.reallocations) as f64 / COUNT as f64
}

#[expect(clippy::cast_precision_loss, reason = "the counts are small")]
fn bytes(region: &Region<'_, System>) -> f64 {
    let change = region.change();
    change
        .bytes_allocated
        .saturating_sub(change.bytes_deallocated) as f64
        / COUNT as f64
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn println_row(row: &str) {
    println!("{row}");
}
