//! What subscribers cost the driver, in allocations: the only thing of theirs that can be measured without a clock.

use std::alloc::System;

use lifecycle_core::{BoxError, Lifecycle, Registration, StartContext, StopContext};
use lifecycle_runtime::{Handle, Notice, Orchestrator, Subscription};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

struct Idle;

impl Lifecycle for Idle {
    async fn start(&self, _cx: &StartContext) -> Result<(), BoxError> {
        Ok(())
    }

    async fn stop(&self, _cx: &StopContext) -> Result<(), BoxError> {
        Ok(())
    }
}

const COMPONENTS: usize = 100;

/// How many events a subscriber of these tests may be behind, and how many are kept.
const CAPACITY: usize = 16;

async fn round(handle: &Handle) {
    handle.start().await.expect("starts do nothing");
    handle.stop().await.expect("stops do nothing");
}

/// Allocations of a start and a stop, once everything that is kept has its size.
fn allocations(
    subscribe: impl FnOnce(&Handle) -> Option<Subscription>,
) -> (usize, Handle, Option<Subscription>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime can be made");
    runtime.block_on(async {
        let mut builder = Orchestrator::builder();
        builder.event_capacity(CAPACITY).history(CAPACITY);
        let names = (0..COMPONENTS).map(|it| it.to_string());
        builder.registrations(names.map(|it| Registration::new(it, Idle)));
        let handle = builder
            .build()
            .expect("the registrations are sound")
            .spawn();
        let subscription = subscribe(&handle);
        for _ in 0..3 {
            round(&handle).await;
        }
        let region = Region::new(ALLOCATOR);
        round(&handle).await;
        let change = region.change();
        (
            change.allocations + change.reallocations,
            handle,
            subscription,
        )
    })
}

#[test]
fn a_stuck_subscriber_costs_the_driver_no_allocation_and_learns_how_much_it_missed() {
    let (alone, ..) = allocations(|_| None);
    let (subscribed, handle, stuck) = allocations(|it| Some(it.subscribe()));
    assert!(alone > 0);
    assert_eq!(subscribed, alone);

    let mut stuck = stuck.expect("it has subscribed");
    let history = handle.history();
    assert_eq!(history.len(), CAPACITY);
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let missed = runtime
        .expect("a runtime can be made")
        .block_on(stuck.next());
    let last = history.last().expect("events are kept").sequence;
    assert_eq!(missed, Some(Notice::Missed(last - CAPACITY as u64)));
}
