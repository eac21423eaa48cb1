//! [`Reach`]: what keeps an upstream from being called.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use lifecycle_core::{BoxError, Reporter};

/// To whom the last connection did not come about, and what is wrong with the files of TLS. Told at its changes alone: calls may be
/// many.
#[derive(Debug)]
pub(crate) struct Reach {
    reporter: Reporter,
    wrong: Mutex<Wrong>,
}

#[derive(Debug, Default)]
struct Wrong {
    lost: BTreeSet<String>,
    /// Who counts, where they come and go.
    known: Option<BTreeSet<String>>,
    certificates: Option<String>,
}

impl Reach {
    pub(super) fn new(reporter: Reporter) -> Self {
        Self {
            reporter,
            wrong: Mutex::default(),
        }
    }

    /// From now on these places count and no others: of one that is gone nobody wants to know that it cannot be reached.
    pub(crate) fn count_only(&self, places: impl IntoIterator<Item = String>) {
        let known: BTreeSet<_> = places.into_iter().collect();
        self.change(|wrong| {
            let was_empty = wrong.is_alone();
            let before = wrong.lost.len();
            wrong.lost.retain(|it| known.contains(it));
            let is_news = known.is_empty() != was_empty || wrong.lost.len() != before;
            wrong.known = Some(known);
            is_news
        });
    }

    /// Notes whether a connection to `place` has come about.
    pub(super) fn note(&self, place: &str, error: Option<&BoxError>) {
        self.change(|wrong| match error {
            _ if !wrong.counts(place) => false,
            Some(error) => {
                let is_new = wrong.lost.insert(place.to_owned());
                if is_new {
                    tracing::warn!(upstream = place, error, "the upstream cannot be reached");
                }
                is_new
            }
            None => {
                let was_lost = wrong.lost.remove(place);
                if was_lost {
                    tracing::info!(upstream = place, "the upstream can be reached again");
                }
                was_lost
            }
        });
    }

    /// Notes what is wrong with the files of TLS, or that nothing is any more.
    pub(super) fn note_certificates(&self, fault: Option<&str>) {
        self.change(|wrong| {
            wrong.certificates = fault.map(str::to_owned);
            true
        });
    }

    /// Reports under the lock what `change` says has changed, so that the last report is the last state.
    fn change(&self, change: impl FnOnce(&mut Wrong) -> bool) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if !change(&mut wrong) {
            return;
        }
        match wrong.reason() {
            Some(reason) => self.reporter.degraded(reason),
            None => self.reporter.healthy(),
        }
    }
}

impl Wrong {
    fn counts(&self, place: &str) -> bool {
        self.known.as_ref().is_none_or(|it| it.contains(place))
    }

    /// Whether there is nobody to call.
    fn is_alone(&self) -> bool {
        self.known.as_ref().is_some_and(BTreeSet::is_empty)
    }

    fn reason(&self) -> Option<String> {
        let places: Vec<_> = self.lost.iter().map(String::as_str).collect();
        let lost = match places.is_empty() {
            _ if self.is_alone() => Some("no peer is known".to_owned()),
            true => None,
            false => Some(format!("cannot be reached: {}", places.join(", "))),
        };
        let reasons: Vec<_> = lost.into_iter().chain(self.certificates.clone()).collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}
