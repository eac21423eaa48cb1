//! Starting and stopping components that do nothing, next to bare tokio.
//!
//! ```sh
//! cargo bench -p lifecycle-runtime --bench start_stop            # or, after `--`, the counts of components
//! ```
//!
//! *raw* is what one would write without any of this: a task a component, dependencies through `watch`, a token for stop.
//! *ours* is driven on the same runtime of two threads, *apart* beside it on a thread of its own and watched for blocked
//! threads, as a host does it. They run in turn; each figure is the median of seven rounds after a warm-up.
//! The last row is a poll of a task that yields over and over, on one thread, not watched and watched: the best of as many
//! rounds. Absolute times differ between machines, the ratios hardly do. Events and metrics are on, logs are filtered off.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use lifecycle_core::{
    BoxError, Defaults, Lifecycle, Nanos, Plan, Registration, StartContext, StopContext,
};
use lifecycle_runtime::Orchestrator;
use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use tokio::runtime::{self, Runtime};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const ROUNDS: usize = 7;

fn main() {
    metrics::set_global_recorder(Meters).expect("this process has no other recorder");
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be made");
    for count in counts() {
        for shape in [Shape::Flat, Shape::Chain] {
            compare(&runtime, shape, count);
        }
    }
    plan(100_000);
    polls(2_000_000);
}

/// The counts that were asked for; numbers among the arguments, since the bench runner adds flags of its own.
fn counts() -> Vec<usize> {
    let asked: Vec<usize> = std::env::args().filter_map(|it| it.parse().ok()).collect();
    if asked.is_empty() {
        return vec![1_000, 10_000, 100_000];
    }
    asked
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    /// No dependencies.
    Flat,
    /// Each depends on the one before.
    Chain,
}

impl Shape {
    /// What the component at `index` depends on.
    fn dependency(self, index: usize) -> Option<usize> {
        match self {
            Self::Flat => None,
            Self::Chain => index.checked_sub(1),
        }
    }
}

/// How long a start and a stop took.
#[derive(Clone, Copy, Debug)]
struct Times {
    start: Duration,
    stop: Duration,
}

fn compare(runtime: &Runtime, shape: Shape, count: usize) {
    let (mut raw, mut ours, mut apart) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let raw_times = runtime.block_on(spawned(raw_round(shape, count)));
        let our_times = runtime.block_on(spawned(our_round(shape, count, None)));
        let apart_times = beside(runtime, shape, count);
        // The first round warms up.
        if round > 0 {
            raw.push(raw_times);
            ours.push(our_times);
            apart.push(apart_times);
        }
    }
    let phase = |name: &str, of: fn(&Times) -> Duration| {
        let [raw, ours, apart] = [&raw, &ours, &apart].map(|it| millis(median(it, of)));
        println_row(&format!(
            "{shape:?} {count:>7} {name:<5}  raw {raw:>7.2} ms  ours {ours:>7.2} ms = {:.2} raw  apart {apart:>7.2} ms = {:.2} raw",
            ours / raw,
            apart / raw,
        ));
    };
    phase("start", |it| it.start);
    phase("stop", |it| it.stop);
}

/// Ours as a host has it: the driver on a thread of its own, components on the runtime.
fn beside(runtime: &Runtime, shape: Shape, count: usize) -> Times {
    let components = runtime.handle().clone();
    let driving = thread::spawn(move || {
        let driver = runtime::Builder::new_current_thread().enable_all().build();
        let driver = driver.expect("a runtime can be made");
        driver.block_on(our_round(shape, count, Some(components)))
    });
    driving.join().expect("a round does not panic")
}

/// Runs `round` as a task, so that both contenders begin on a worker.
async fn spawned(round: impl Future<Output = Times> + Send + 'static) -> Times {
    tokio::spawn(round).await.expect("a round does not panic")
}

fn median(times: &[Times], of: fn(&Times) -> Duration) -> Duration {
    let mut sorted: Vec<_> = times.iter().map(of).collect();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Stage {
    Waiting,
    Running,
    Down,
}

/// What the tasks of the raw contender share.
struct Raw {
    stages: Vec<watch::Sender<Stage>>,
    stop: CancellationToken,
    starting: AtomicU64,
    started: Notify,
}

async fn raw_round(shape: Shape, count: usize) -> Times {
    let began = Instant::now();
    let raw = Arc::new(Raw {
        stages: (0..count)
            .map(|_| watch::Sender::new(Stage::Waiting))
            .collect(),
        stop: CancellationToken::new(),
        starting: AtomicU64::new(count as u64),
        started: Notify::new(),
    });
    let mut tasks = JoinSet::new();
    for index in 0..count {
        let dependency = shape.dependency(index).map(|it| raw.stages[it].subscribe());
        let dependent = (index + 1 < count)
            .then_some(index + 1)
            .filter(|it| shape.dependency(*it) == Some(index))
            .map(|it| raw.stages[it].subscribe());
        tasks.spawn(raw_component(
            Arc::clone(&raw),
            index,
            dependency,
            dependent,
        ));
    }
    raw.started.notified().await;
    let start = began.elapsed();

    let began = Instant::now();
    raw.stop.cancel();
    while tasks.join_next().await.is_some() {}
    Times {
        start,
        stop: began.elapsed(),
    }
}

async fn raw_component(
    raw: Arc<Raw>,
    index: usize,
    dependency: Option<watch::Receiver<Stage>>,
    dependent: Option<watch::Receiver<Stage>>,
) {
    reach(dependency, Stage::Running).await;
    raw.stages[index].send_replace(Stage::Running);
    if raw.starting.fetch_sub(1, Ordering::AcqRel) == 1 {
        raw.started.notify_one();
    }
    raw.stop.cancelled().await;
    reach(dependent, Stage::Down).await;
    raw.stages[index].send_replace(Stage::Down);
}

async fn reach(other: Option<watch::Receiver<Stage>>, stage: Stage) {
    if let Some(mut other) = other {
        let reached = other.wait_for(|it| *it >= stage).await;
        reached.expect("the senders live as long as the tasks");
    }
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

async fn our_round(shape: Shape, count: usize, components: Option<runtime::Handle>) -> Times {
    let mut builder = Orchestrator::builder();
    // Of the usual 45 s, each of a chain of 100 000 would have a share of 5 ms, and a busy machine takes more at times.
    builder.defaults(Defaults {
        shutdown_timeout: Nanos::from_secs(3_600),
        ..Defaults::default()
    });
    builder.registrations((0..count).map(|index| {
        let dependency = shape.dependency(index).map(|it| it.to_string());
        Registration::new(index.to_string(), Idle).depends_on(dependency)
    }));
    if let Some(components) = components {
        builder.components_on(components);
        builder.watch_blocked(Duration::from_secs(1));
    }
    let handle = builder
        .build()
        .expect("the registrations are sound")
        .spawn();

    let began = Instant::now();
    let report = handle.start().await.expect("starts do nothing");
    let start = began.elapsed();
    assert_eq!(report.running, count);

    let began = Instant::now();
    handle.stop().await.expect("stops do nothing");
    Times {
        start,
        stop: began.elapsed(),
    }
}

/// What it costs to watch, poll by poll.
fn polls(count: u32) {
    let best = |watched: bool| {
        let rounds = (0..=ROUNDS).map(|_| poll_round(count, watched));
        rounds.min().map_or(0.0, |it| it.as_secs_f64() * 1e9) / f64::from(count)
    };
    let (unwatched, watched) = (best(false), best(true));
    println_row(&format!(
        "Polls  unwatched {unwatched:.1} ns  watched {watched:.1} ns = {:.2} unwatched",
        watched / unwatched,
    ));
}

fn poll_round(count: u32, watched: bool) -> Duration {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    runtime.block_on(async {
        let mut builder = Orchestrator::builder();
        let (done, told) = oneshot::channel();
        builder.register(Registration::new("yielding", Yielding::new(count, done)));
        if watched {
            builder.watch_blocked(Duration::from_secs(1));
        }
        let handle = builder.build().expect("it is sound").spawn();
        handle.start().await.expect("it starts");
        let took = told.await.expect("the task ends by itself");
        handle.stop().await.expect("it stops");
        took
    })
}

/// Yields so many times in a task, and tells how long that took.
struct Yielding(Mutex<Option<(u32, oneshot::Sender<Duration>)>>);

impl Yielding {
    fn new(count: u32, done: oneshot::Sender<Duration>) -> Self {
        Self(Mutex::new(Some((count, done))))
    }
}

impl Lifecycle for Yielding {
    async fn start(&self, cx: &StartContext) -> Result<(), BoxError> {
        let (count, done) = self
            .0
            .lock()
            .expect("nobody panics")
            .take()
            .ok_or("again")?;
        cx.spawn("yield", async move {
            let began = Instant::now();
            for _ in 0..count {
                tokio::task::yield_now().await;
            }
            let _ = done.send(began.elapsed());
        });
        Ok(())
    }

    async fn stop(&self, _cx: &StopContext) -> Result<(), BoxError> {
        Ok(())
    }
}

/// How long it takes to check and compile `count` registrations with three dependencies each.
fn plan(count: usize) {
    let mut times: Vec<_> = (0..=ROUNDS)
        .map(|_| {
            let registrations: Vec<_> = (0..count).map(layered).collect();
            let began = Instant::now();
            let compiled = Plan::compile(registrations, Defaults::default());
            let took = began.elapsed();
            black_box(compiled.expect("the registrations are sound"));
            took
        })
        .skip(1)
        .collect();
    times.sort_unstable();
    let took = millis(times[times.len() / 2]);
    println_row(&format!(
        "Plan  {count:>7} components with 3 dependencies each: {took:.0} ms"
    ));
}

/// The component at `index` of layers of a thousand.
fn layered(index: usize) -> Registration {
    let below = index.saturating_sub(1_000);
    let count = if index < 1_000 { 0 } else { 3 };
    let dependencies =
        (0..count).map(|it| (below - below % 1_000 + (index * 7 + it) % 1_000).to_string());
    Registration::new(index.to_string(), Idle).depends_on(dependencies)
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn println_row(row: &str) {
    println!("{row}");
}

/// Metrics as a recorder keeps them: one atomic a series.
#[derive(Debug)]
struct Meters;

#[derive(Debug)]
struct Last(AtomicU64);

impl HistogramFn for Last {
    fn record(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }
}

impl Recorder for Meters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::new(AtomicU64::new(0)))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Arc::new(AtomicU64::new(0)))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(Last(AtomicU64::new(0))))
    }
}
