//! [`Troubles`]: what is wrong with any scope, as one sentence for readiness.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use lifecycle_core::Reporter;

use crate::leadership::scope::Scope;

/// Collects what the campaigns of one generation complain about, and reports it.
pub(crate) struct Troubles {
    reporter: Reporter,
    known: Mutex<BTreeMap<Scope, String>>,
}

impl Troubles {
    pub(crate) fn new(reporter: Reporter) -> Self {
        Self {
            reporter,
            known: Mutex::default(),
        }
    }

    /// `trouble` is what is wrong with `scope` from now on.
    pub(crate) fn set(&self, scope: &Scope, trouble: Option<String>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = known.get(scope) != trouble.as_ref();
        if !is_news {
            return;
        }
        match trouble {
            Some(trouble) => {
                tracing::warn!(%scope, trouble, "leadership is in trouble");
                known.insert(scope.clone(), trouble);
            }
            None => {
                tracing::info!(%scope, "leadership is out of trouble");
                known.remove(scope);
            }
        }
        match summary(&known) {
            Some(summary) => self.reporter.degraded(summary),
            None => self.reporter.healthy(),
        }
    }
}

/// The first trouble, and how many scopes have one.
fn summary(known: &BTreeMap<Scope, String>) -> Option<String> {
    let (scope, trouble) = known.first_key_value()?;
    Some(match known.len() {
        1 => format!("{scope}: {trouble}"),
        scopes => format!("{scope}: {trouble} (and {} more scopes)", scopes - 1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_trouble_is_told_with_the_number_of_the_others() {
        let scope = |name: &str| name.parse::<Scope>().unwrap();
        let mut known = BTreeMap::new();
        assert_eq!(summary(&known), None);
        known.insert(scope("b"), "nobody leads".to_owned());
        assert_eq!(summary(&known).unwrap(), "b: nobody leads");
        known.insert(scope("a"), "no answer".to_owned());
        assert_eq!(summary(&known).unwrap(), "a: no answer (and 1 more scopes)");
    }
}
