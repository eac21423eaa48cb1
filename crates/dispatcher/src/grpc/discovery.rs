//! Peers that a source says, as they come and go.

use std::sync::Arc;

use futures_util::{FutureExt as _, StreamExt as _};
use http::uri::Authority;

use super::outbound::authority;
use crate::peer::{PeerSource, Peers, Turnover};
use crate::upstream::{Follow, Reach};

/// Keeps `peers` those that `source` says, from each start on.
pub(super) fn following(
    service: &str,
    source: Arc<dyn PeerSource>,
    peers: &Arc<Peers<Authority>>,
) -> Follow {
    let (service, peers) = (service.to_owned(), Arc::clone(peers));
    Box::new(move |reach| {
        let (service, peers) = (service.clone(), Arc::clone(&peers));
        let mut lists = source.places().fuse();
        // What is known already holds for the first call.
        match lists.next().now_or_never().flatten() {
            Some(places) => take(&service, &peers, &reach, &places),
            None => count(&peers, &reach),
        }
        Box::pin(async move {
            while let Some(places) = lists.next().await {
                take(&service, &peers, &reach, &places);
            }
        })
    })
}

/// Makes the peers those at `places`.
fn take(service: &str, peers: &Peers<Authority>, reach: &Reach, places: &[String]) {
    let read = |it: &String| {
        let place = authority(it);
        if let Err(error) = &place {
            tracing::warn!(upstream = service, %error, "a peer that was found is nowhere, and is left out");
        }
        place.ok()
    };
    let places: Vec<_> = places.iter().filter_map(read).collect();
    let Turnover { came, went } = peers.replace(&places);
    for peer in came {
        tracing::info!(event = "peer.added", upstream = service, %peer, "a peer was found");
    }
    for peer in went {
        tracing::info!(event = "peer.removed", upstream = service, %peer, "a peer has gone, and gets no further calls");
    }
    count(peers, reach);
}

fn count(peers: &Peers<Authority>, reach: &Reach) {
    reach.count_only(peers.places().iter().map(ToString::to_string));
}
