//! What the engine costs by itself: compiling a plan, and each transition of a start and a stop.
//!
//! `cargo bench -p lifecycle-core`. Medians of seven runs; allocations and bytes by the counting allocator.

#![expect(clippy::disallowed_methods, reason = "a measurement needs a clock")]
#![expect(clippy::print_stdout, reason = "printing is what a benchmark is for")]

use std::alloc::System;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lifecycle_core::engine::{Command, Engine, Input, OrchestratorState, RequestId, StopMode};
use lifecycle_core::{
    BoxError, Compiled, Defaults, Lifecycle, Plan, Registration, StartContext, StopContext, Time,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const RUNS: usize = 7;

struct Nothing;

impl Lifecycle for Nothing {
    async fn start(&self, _: &StartContext) -> Result<(), BoxError> {
        Ok(())
    }

    async fn stop(&self, _: &StopContext) -> Result<(), BoxError> {
        Ok(())
    }
}

/// `count` components, each depending on the three before it whose number shares its place in a layer of a thousand.
fn layered(count: usize) -> Vec<Registration> {
    let registration = |index: usize| {
        let names = (1..=3)
            .filter_map(|it| index.checked_sub(1_000 * it))
            .map(|it| format!("component-{it}"));
        Registration::new(format!("component-{index}"), Nothing).depends_on(names)
    };
    (0..count).map(registration).collect()
}

fn compile(registrations: Vec<Registration>) -> Compiled {
    Plan::compile(registrations, Defaults::default()).expect("layers have no cycles")
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn per(total: f64, count: usize) -> f64 {
    total / count as f64
}

fn measure_plan(count: usize) {
    let (times, worked): (Vec<Duration>, Vec<Duration>) = (0..RUNS)
        .map(|_| {
            let registrations = layered(count);
            let (began, worked) = (Instant::now(), worked());
            black_box(compile(registrations));
            (began.elapsed(), self::worked().saturating_sub(worked))
        })
        .unzip();
    let (bytes, edges) = plan_bytes(count);
    println!(
        "plan of {count} components and {edges} edges: {:.1} ms, {:.1} ms of the processor, {bytes:.0} bytes a component",
        millis(median(times)),
        millis(median(worked)),
    );
}

/// How long this thread has had a processor, which other work on the machine hardly changes; known to Linux alone.
fn worked() -> Duration {
    let line = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = line.split(' ').next().and_then(|it| it.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}

/// What a plan holds once its registrations are gone, the component values not counted.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn plan_bytes(count: usize) -> (f64, usize) {
    let region = Region::new(ALLOCATOR);
    let compiled = compile(layered(count));
    drop(compiled.components);
    let stats = region.change();
    let bytes = stats.bytes_allocated - stats.bytes_deallocated;
    (per(bytes as f64, count), compiled.plan.edge_count())
}

/// Answers every call at once, as fast as it can: what remains is the engine.
fn drive(engine: &mut Engine, first: Input) -> usize {
    let mut steps = 1;
    engine.handle(Time::ZERO, first);
    loop {
        while engine.poll_event().is_some() {}
        match engine.poll_command() {
            Some(Command::Call { call, key, .. }) => {
                steps += 1;
                let outcome = Ok(());
                engine.handle(Time::ZERO, Input::CallEnded { call, key, outcome });
            }
            Some(Command::CloseScope { key }) => {
                steps += 1;
                engine.handle(Time::ZERO, Input::ScopeClosed { key });
            }
            Some(_) => {}
            None => return steps,
        }
    }
}

fn start_and_stop(engine: &mut Engine) -> usize {
    let started = drive(
        engine,
        Input::StartRequested {
            request: RequestId(1),
        },
    );
    let stopped = drive(
        engine,
        Input::StopRequested {
            request: RequestId(2),
            mode: StopMode::Graceful,
            deadline: None,
        },
    );
    assert_eq!(engine.state(), OrchestratorState::Stopped);
    started + stopped
}

fn measure_transitions(count: usize) {
    let plan = compile(layered(count)).plan;
    let mut engine = Engine::new(Arc::clone(&plan));
    // The first run sizes the queues; a steady state is what comes after it.
    let steps = start_and_stop(&mut engine);
    let region = Region::new(ALLOCATOR);
    let times = (0..RUNS).map(|_| {
        let began = Instant::now();
        black_box(start_and_stop(&mut engine));
        began.elapsed()
    });
    let time = median(times.collect());
    println!(
        "start and stop of {count} components, engine alone: {:.1} ms, {:.0} ns a step, {} allocations in {RUNS} runs of {steps} steps",
        millis(time),
        per(time.as_secs_f64() * 1e9, steps),
        region.change().allocations
    );
}

fn main() {
    measure_plan(10_000);
    measure_plan(100_000);
    measure_transitions(1_000);
    measure_transitions(10_000);
    measure_transitions(100_000);
}
