//! [`Complaints`]: what is wrong with a server, in several places.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use lifecycle_core::Reporter;

/// What a server may complain about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum About {
    /// The system refuses connections.
    Connections,
    /// What was read last of the files of TLS.
    #[cfg(feature = "tls")]
    Certificates,
}

/// A component is degraded or it is not: it is as long as there is a complaint about anything.
#[derive(Debug)]
pub(crate) struct Complaints {
    reporter: Reporter,
    open: Mutex<BTreeMap<About, String>>,
}

impl Complaints {
    pub(crate) fn new(reporter: Reporter) -> Self {
        Self {
            reporter,
            open: Mutex::default(),
        }
    }

    pub(crate) fn complain(&self, about: About, reason: impl Into<String>) {
        self.change(|it| {
            it.insert(about, reason.into());
        });
    }

    pub(crate) fn withdraw(&self, about: About) {
        self.change(|it| {
            it.remove(&about);
        });
    }

    /// Reports under the lock, so that the last report is the last state.
    fn change(&self, change: impl FnOnce(&mut BTreeMap<About, String>)) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut open);
        if open.is_empty() {
            return self.reporter.healthy();
        }
        let reasons: Vec<_> = open.values().map(String::as_str).collect();
        self.reporter.degraded(reasons.join("; "));
    }
}

#[cfg(all(test, feature = "tls"))]
mod tests {
    use lifecycle_core::{Report, StartContext};

    use super::*;
    use crate::server::tests::scope::TestScope;

    #[test]
    fn a_server_is_degraded_until_nothing_is_wrong_any_more() {
        let scope = TestScope::new();
        let complaints = Complaints::new(StartContext::new(scope.clone() as _).reporter());
        complaints.complain(About::Certificates, "no key");
        complaints.complain(About::Connections, "no files");
        complaints.withdraw(About::Connections);
        complaints.withdraw(About::Certificates);
        let degraded = |it: &str| Report::Degraded(Some(it.into()));
        assert_eq!(
            scope.reports(),
            [
                degraded("no key"),
                degraded("no files; no key"),
                degraded("no key"),
                Report::Degraded(None),
            ]
        );
    }
}
