//! [`Reach`]: what keeps an upstream from being called.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use lifecycle_core::{BoxError, Reporter};

/// To whom the last connection did not come about, and what is wrong with the files of TLS. Told at its changes alone: calls may be
/// many.
#[derive(Debug)]
pub(super) struct Reach {
    reporter: Reporter,
    wrong: Mutex<Wrong>,
}

#[derive(Debug, Default)]
struct Wrong {
    lost: BTreeSet<String>,
    certificates: Option<String>,
}

impl Reach {
    pub(super) fn new(reporter: Reporter) -> Self {
        Self {
            reporter,
            wrong: Mutex::default(),
        }
    }

    /// Notes whether a connection to `place` has come about.
    pub(super) fn note(&self, place: &str, error: Option<&BoxError>) {
        self.change(|wrong| match error {
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
    fn reason(&self) -> Option<String> {
        let places: Vec<_> = self.lost.iter().map(String::as_str).collect();
        let lost =
            (!places.is_empty()).then(|| format!("cannot be reached: {}", places.join(", ")));
        let reasons: Vec<_> = lost.into_iter().chain(self.certificates.clone()).collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}
