//! [`Load`]: the components of one run, and the watch over their order.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::contender::Keeps;
use crate::shape::{Part, Shape};

const CREATED: u8 = 0;
const BUSY: u8 = 1;
const UP: u8 = 2;
const DOWN: u8 = 3;

/// What is to be orchestrated, and what each component has done so far.
///
/// Made before anything is measured; it costs every contender the same.
#[derive(Debug)]
pub struct Load {
    shape: Shape,
    keeps: Keeps,
    parts: Vec<Part>,
    dependents: Vec<Box<[u32]>>,
    layers: Vec<Range<usize>>,
    /// In which of them a component is.
    depths: Vec<u32>,
    states: Vec<AtomicU8>,
    crashed: Vec<AtomicBool>,
    crash: CancellationToken,
    all: Gate,
    gates: Vec<Gate>,
    disorder: AtomicUsize,
}

/// Opens when so many have passed.
#[derive(Debug)]
struct Gate {
    left: AtomicUsize,
    open: Notify,
}

/// The one failure of a component.
#[derive(Clone, Copy, Debug)]
pub struct Crashed;

impl std::fmt::Display for Crashed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it fails once")
    }
}

impl std::error::Error for Crashed {}

impl Load {
    /// So many components in a shape, for somebody who keeps their order in some way.
    #[must_use]
    pub fn new(shape: Shape, count: usize, keeps: Keeps) -> Self {
        let parts = shape.parts(count);
        let depths = depths(&parts);
        let layers = layers(&depths);
        let is_barrier = keeps == Keeps::Barrier;
        Self {
            shape,
            keeps,
            dependents: dependents(&parts),
            states: parts.iter().map(|_| AtomicU8::new(CREATED)).collect(),
            crashed: parts.iter().map(|_| AtomicBool::new(false)).collect(),
            crash: CancellationToken::new(),
            all: Gate::new(count),
            gates: layers
                .iter()
                .filter(|_| is_barrier)
                .map(|it| Gate::new(it.len()))
                .collect(),
            disorder: AtomicUsize::new(0),
            layers,
            depths,
            parts,
        }
    }

    /// Which shape it has.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// How many components there are; they are numbered from zero.
    #[must_use]
    pub fn count(&self) -> usize {
        self.parts.len()
    }

    /// What a component depends on.
    #[must_use]
    pub fn dependencies(&self, index: usize) -> &[u32] {
        &self.parts[index].dependencies
    }

    /// What depends on a component.
    #[must_use]
    pub fn dependents(&self, index: usize) -> &[u32] {
        &self.dependents[index]
    }

    /// The components by depth, for who has a barrier between two layers.
    ///
    /// Every shape is numbered in this order.
    #[must_use]
    pub fn layers(&self) -> &[Range<usize>] {
        &self.layers
    }

    /// Whether a stop may take longer than its deadline.
    #[must_use]
    pub fn hangs(&self) -> bool {
        self.shape == Shape::Hung
    }

    /// Whether the stop of a component never ends.
    #[must_use]
    pub fn hangs_at(&self, index: usize) -> bool {
        self.parts[index].hangs
    }

    /// How many components never end.
    #[must_use]
    pub fn hung(&self) -> usize {
        self.parts.iter().filter(|it| it.hangs).count()
    }

    /// How long a start takes at least, whoever orders it.
    #[must_use]
    pub fn critical_path(&self) -> Duration {
        let mut ends: Vec<Duration> = Vec::with_capacity(self.count());
        for part in &self.parts {
            let below = part.dependencies.iter().map(|it| ends[*it as usize]);
            ends.push(below.max().unwrap_or_default() + part.start);
        }
        ends.into_iter().max().unwrap_or_default()
    }

    /// How long it takes with a barrier between two layers.
    #[must_use]
    pub fn barrier(&self) -> Duration {
        let slowest = |it: &Range<usize>| self.parts[it.clone()].iter().map(|it| it.start).max();
        self.layers.iter().filter_map(slowest).sum()
    }

    /// The start of a component.
    pub async fn start(&self, index: usize) {
        self.begin_start(index);
        let takes = self.parts[index].start;
        if !takes.is_zero() {
            sleep(takes).await;
        }
        self.states[index].store(UP, Ordering::Release);
        self.all.pass();
        if let Some(gate) = self.gates.get(self.depths[index] as usize) {
            gate.pass();
        }
    }

    /// The stop of a component.
    pub async fn stop(&self, index: usize) {
        self.begin_stop(index);
        let part = &self.parts[index];
        if part.hangs {
            std::future::pending::<()>().await;
        }
        if !part.stop.is_zero() {
            sleep(part.stop).await;
        }
        self.states[index].store(DOWN, Ordering::Release);
    }

    /// A component as a task: it starts, runs until it is told to stop, and stops. In a storm it fails instead, once.
    ///
    /// # Errors
    ///
    /// [`Crashed`], when it has failed and is to be run again.
    pub async fn run(
        &self,
        index: usize,
        stopped: impl Future<Output = ()> + Send,
    ) -> Result<(), Crashed> {
        self.start(index).await;
        self.serve(index, stopped).await?;
        self.stop(index).await;
        Ok(())
    }

    /// What lies between the two: it waits until it is told to stop.
    ///
    /// # Errors
    ///
    /// [`Crashed`], when it has failed and is to be run again.
    pub async fn serve(
        &self,
        index: usize,
        stopped: impl Future<Output = ()> + Send,
    ) -> Result<(), Crashed> {
        let will_crash =
            self.shape == Shape::CrashStorm && !self.crashed[index].load(Ordering::Relaxed);
        if !will_crash {
            stopped.await;
            return Ok(());
        }
        tokio::select! {
            () = self.crash.cancelled() => {
                self.crashed[index].store(true, Ordering::Relaxed);
                Err(Crashed)
            }
            () = stopped => Ok(()),
        }
    }

    /// Waits until every component runs.
    pub async fn all_up(&self) {
        self.all.opened().await;
    }

    /// Waits until every component of a layer runs. Only who keeps order by [`Keeps::Barrier`] may ask.
    pub async fn layer_up(&self, layer: usize) {
        self.gates[layer].opened().await;
    }

    /// Makes everything fail; then [`all_up`](Self::all_up) waits until all run once more.
    pub fn crash(&self) {
        self.all.close(self.count());
        self.crash.cancel();
    }

    /// How many components are down, or began to stop and never will be.
    #[must_use]
    pub fn down(&self) -> usize {
        let state = |it: &&AtomicU8| it.load(Ordering::Acquire) == DOWN;
        self.states.iter().filter(state).count()
    }

    /// How often something was started before what it depends on, or stopped before what depends on it.
    #[must_use]
    pub fn disorder(&self) -> usize {
        match self.keeps {
            Keeps::Order | Keeps::Barrier => self.disorder.load(Ordering::Relaxed),
            Keeps::Nothing => 0,
        }
    }

    fn begin_start(&self, index: usize) {
        let is_up = |it: &u32| self.states[*it as usize].load(Ordering::Acquire) == UP;
        if !self.parts[index].dependencies.iter().all(is_up) {
            self.disorder.fetch_add(1, Ordering::Relaxed);
        }
        self.states[index].store(BUSY, Ordering::Relaxed);
    }

    fn begin_stop(&self, index: usize) {
        // What hangs is given up at the deadline, and what it depends on may be stopped then.
        let is_down = |it: &u32| {
            let index = *it as usize;
            self.states[index].load(Ordering::Acquire) == DOWN || self.parts[index].hangs
        };
        if !self.dependents[index].iter().all(is_down) {
            self.disorder.fetch_add(1, Ordering::Relaxed);
        }
        self.states[index].store(BUSY, Ordering::Relaxed);
    }
}

impl Gate {
    fn new(count: usize) -> Self {
        Self {
            left: AtomicUsize::new(count),
            open: Notify::new(),
        }
    }

    fn close(&self, count: usize) {
        self.left.store(count, Ordering::Release);
    }

    fn pass(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.open.notify_one();
        }
    }

    async fn opened(&self) {
        // One waits at a time, and a permit is kept for who comes late. An old one may be there still.
        while self.left.load(Ordering::Acquire) > 0 {
            self.open.notified().await;
        }
    }
}

fn depths(parts: &[Part]) -> Vec<u32> {
    let mut depths: Vec<u32> = Vec::with_capacity(parts.len());
    for part in parts {
        let below = part.dependencies.iter().map(|it| depths[*it as usize] + 1);
        depths.push(below.max().unwrap_or(0));
    }
    depths
}

/// Where the depth changes; every shape is numbered by depth.
fn layers(depths: &[u32]) -> Vec<Range<usize>> {
    let mut layers = Vec::new();
    for chunk in depths.chunk_by(|a, b| a == b) {
        let begin = layers.last().map_or(0, |it: &Range<usize>| it.end);
        layers.push(begin..begin + chunk.len());
    }
    layers
}

fn dependents(parts: &[Part]) -> Vec<Box<[u32]>> {
    let mut dependents = vec![Vec::new(); parts.len()];
    for (index, part) in (0..).zip(parts) {
        for it in &part.dependencies {
            dependents[*it as usize].push(index);
        }
    }
    dependents.into_iter().map(Vec::into_boxed_slice).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime can be made").block_on(future)
    }

    #[test]
    fn a_start_before_its_dependency_is_disorder_and_one_after_it_is_not() {
        let load = Load::new(Shape::Chain, 3, Keeps::Order);
        finished(load.start(0));
        finished(load.start(1));
        assert_eq!(load.disorder(), 0);

        let load = Load::new(Shape::Chain, 3, Keeps::Order);
        finished(load.start(1));
        assert_eq!(load.disorder(), 1);
    }

    #[test]
    fn a_stop_before_its_dependents_is_disorder() {
        let load = Load::new(Shape::Chain, 2, Keeps::Order);
        finished(load.start(0));
        finished(load.start(1));
        finished(load.stop(0));
        assert_eq!((load.disorder(), load.down()), (1, 1));
    }

    #[test]
    fn layers_are_what_has_the_same_depth() {
        let layers = |shape, count| Load::new(shape, count, Keeps::Barrier).layers().to_vec();
        assert_eq!(layers(Shape::Flat, 5).len(), 1);
        assert_eq!(layers(Shape::Diamond, 5), [0..1, 1..4, 4..5]);
        assert_eq!(layers(Shape::Chain, 3), [0..1, 1..2, 2..3]);
        assert_eq!(layers(Shape::Layers, 100).len(), 10);
        assert_eq!(layers(Shape::Lanes, 100).len(), 10);
    }

    #[test]
    fn a_barrier_of_skewed_layers_takes_a_second_and_the_critical_path_much_less() {
        let load = Load::new(Shape::Skew, 1_000, Keeps::Order);
        assert_eq!(load.barrier(), Duration::from_secs(1));
        assert!(load.critical_path() >= Duration::from_millis(100));
        assert!(load.critical_path() <= Duration::from_millis(500));
    }

    #[test]
    fn in_a_storm_everything_fails_once_and_then_runs_on() {
        let load = Load::new(Shape::CrashStorm, 1, Keeps::Order);
        finished(async {
            let first = load.run(0, std::future::pending());
            let crash = async {
                load.all_up().await;
                load.crash();
            };
            let (first, ()) = tokio::join!(first, crash);
            assert!(first.is_err());
            assert!(load.run(0, load.all_up()).await.is_ok());
        });
    }
}
