//! What gossip tells about itself to whoever collects metrics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use lifecycle_core::Nanos;
use mesh::gossip::{Gossip, Membership, Options};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

use crate::support::{DEADLINE, Run};

/// Keeps every series by its full name.
#[derive(Default)]
struct Series(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Series {
    fn cell(&self, key: &Key) -> Arc<AtomicU64> {
        let labels = key
            .labels()
            .map(|it| format!("{}={}", it.key(), it.value()));
        let labels = labels.collect::<Vec<_>>().join(",");
        let name = format!("{}{{{labels}}}", key.name());
        Arc::clone(self.0.lock().unwrap().entry(name).or_default())
    }

    fn count(&self, name: &str) -> Option<u64> {
        let series = self.0.lock().unwrap();
        series.get(name).map(|it| it.load(Ordering::Relaxed))
    }

    fn gauge(&self, name: &str) -> Option<f64> {
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
#[tokio::test]
async fn members_are_shown_by_status_and_datagrams_by_direction_and_outcome() {
    let series = Series::default();
    let _guard = metrics::set_default_local_recorder(&series);
    let options = Options {
        bind: "127.0.0.1:0".parse().unwrap(),
        gossip_interval: Nanos::from_millis(25),
        ..Options::default()
    };
    let gossip = Arc::new(Gossip::new(options).expect("valid options"));
    let members = gossip.members();
    let run = Run::start(&gossip).await.expect("starts");
    assert_eq!(series.gauge("mesh_gossip_members{status=alive}"), Some(1.0));
    assert_eq!(
        series.gauge("mesh_gossip_members{status=suspect}"),
        Some(0.0)
    );
    assert_eq!(series.gauge("mesh_gossip_members{status=left}"), Some(0.0));

    let stranger = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = members.view().address.expect("it listens");
    stranger.send_to(b"hello", address).await.unwrap();
    let counted = tokio::time::timeout(DEADLINE, async {
        while members.traffic().malformed == 0 {
            tokio::task::yield_now().await;
        }
    });
    counted.await.expect("counted in time");
    let malformed = "mesh_gossip_messages_total{direction=inbound,outcome=malformed}";
    assert_eq!(series.count(malformed), Some(1));

    run.stop().await.expect("stops");
    assert_eq!(
        series.gauge("mesh_gossip_members{status=alive}"),
        Some(0.0),
        "a stopped node sees nobody"
    );
}
