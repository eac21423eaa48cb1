//! What leadership tells about itself to whoever collects metrics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use mesh::leadership::MemoryStore;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

use crate::kit::{Ledger, Node};

/// Keeps every series by its full name.
#[derive(Default)]
pub(crate) struct Series(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Series {
    fn cell(&self, key: &Key) -> Arc<AtomicU64> {
        let labels = key
            .labels()
            .map(|it| format!("{}={}", it.key(), it.value()));
        let labels = labels.collect::<Vec<_>>().join(",");
        let name = format!("{}{{{labels}}}", key.name());
        Arc::clone(self.0.lock().unwrap().entry(name).or_default())
    }

    pub(crate) fn count(&self, name: &str) -> Option<u64> {
        let series = self.0.lock().unwrap();
        series.get(name).map(|it| it.load(Ordering::Relaxed))
    }

    pub(crate) fn gauge(&self, name: &str) -> Option<f64> {
        self.count(name).map(f64::from_bits)
    }
}

impl Recorder for Series {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.cell(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.cell(key))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

// On one thread, so that the recorder of this thread sees everything.
#[tokio::test(start_paused = true)]
async fn changes_of_leadership_and_calls_of_the_store_are_counted() {
    let series = Series::default();
    let _guard = metrics::set_default_local_recorder(&series);
    let node = Node::start("a", MemoryStore::new(), &Ledger::default()).await;
    node.leads().await;
    let held = "mesh_leadership_held{scope=global-control}";
    assert_eq!(series.gauge(held), Some(1.0));
    let elected = "mesh_leadership_transitions_total{scope=global-control,kind=elected}";
    assert_eq!(series.count(elected), Some(1));

    node.handle.stop().await.expect("stops");
    assert_eq!(series.gauge(held), Some(0.0));
    let left = "mesh_leadership_transitions_total{scope=global-control,kind=stepped-down}";
    assert_eq!(series.count(left), Some(1));
    let released = "mesh_leadership_store_calls_total{operation=release,outcome=ok}";
    assert_eq!(series.count(released), Some(1));
}
