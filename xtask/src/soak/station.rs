//! [`Station`]: where a host is, and how it is meant to stand.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// What may be expected of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It answers.
    Well,
    /// It answers or refuses, in the protocol of who calls.
    Refusing,
    /// Nothing: something is being done to it.
    Disturbed,
}

/// One host, in whichever process.
#[derive(Debug)]
pub(super) struct Station {
    pub(super) name: String,
    pub(super) diagnostics: SocketAddr,
    /// Where it takes calls, if it is a dispatcher.
    pub(super) inbound: Option<SocketAddr>,
    /// Whether its process lives as long as the soak, so that what grows slowly is seen.
    pub(super) is_veteran: bool,
    process: AtomicU32,
    /// How often the standing has changed, and the standing in the last two bits.
    standing: AtomicU64,
}

/// A standing at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(u64);

impl Station {
    /// One to which something is being done: it is not there yet.
    pub(super) fn new(
        name: String,
        diagnostics: SocketAddr,
        inbound: Option<SocketAddr>,
        is_veteran: bool,
    ) -> Self {
        Self {
            name,
            diagnostics,
            inbound,
            is_veteran,
            process: AtomicU32::new(0),
            standing: AtomicU64::new(Standing::Disturbed as u64),
        }
    }

    pub(super) fn is_plane(&self) -> bool {
        self.inbound.is_none()
    }

    pub(super) fn process(&self) -> u32 {
        self.process.load(Ordering::SeqCst)
    }

    pub(super) fn replace_process(&self, process: u32) {
        self.process.store(process, Ordering::SeqCst);
    }

    pub(super) fn stand(&self, standing: Standing) {
        let changes = self.standing.load(Ordering::SeqCst) >> 2;
        let next = ((changes + 1) << 2) | standing as u64;
        self.standing.store(next, Ordering::SeqCst);
    }

    pub(super) fn stamp(&self) -> Stamp {
        Stamp(self.standing.load(Ordering::SeqCst))
    }

    /// How it stood from `since` until now: disturbed, when that has changed.
    pub(super) fn standing_since(&self, since: Stamp) -> Standing {
        if self.stamp() == since {
            since.standing()
        } else {
            Standing::Disturbed
        }
    }
}

impl Stamp {
    fn standing(self) -> Standing {
        let of = |it: Standing| it as u64 == self.0 & 3;
        let all = [Standing::Well, Standing::Refusing];
        all.into_iter()
            .find(|it| of(*it))
            .unwrap_or(Standing::Disturbed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_meanwhile_is_disturbed_even_if_it_looks_the_same_afterwards() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let station = Station::new("a".to_owned(), address, None, false);
        assert_eq!(station.standing_since(station.stamp()), Standing::Disturbed);
        station.stand(Standing::Well);
        let before = station.stamp();
        assert_eq!(station.standing_since(before), Standing::Well);
        station.stand(Standing::Refusing);
        assert_eq!(station.standing_since(station.stamp()), Standing::Refusing);
        station.stand(Standing::Well);
        assert_eq!(station.standing_since(before), Standing::Disturbed);
    }
}
