//! What gossip tells about itself to whoever collects metrics.

use std::sync::Arc;

use lifecycle_core::Nanos;
use mesh::gossip::{Gossip, Membership, Options};

use crate::support::{DEADLINE, Run, Series};

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
