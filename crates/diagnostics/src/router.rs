//! The routes, in one table, and what they share.

use std::fmt;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::routing::{MethodRouter, get};
use lifecycle_runtime::{Handle, Status};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::operations::Ledger;
use crate::readiness::{Provider, Readiness};
use crate::troubles::Troubles;
use crate::{health, logging, metrics, operations, snapshot, upgrade};

/// What every handler is given.
pub(crate) type Shared = Arc<Surface>;

/// Where answers come from.
pub(crate) struct Surface {
    pub(crate) handle: Handle,
    pub(crate) troubles: Troubles,
    pub(crate) providers: Vec<Provider>,
    pub(crate) recorder: Option<PrometheusHandle>,
    /// How many components have series of their own.
    pub(crate) listed_components: usize,
    pub(crate) operations: Ledger,
    /// Tells the event sequences of this process from those of the one before.
    pub(crate) instance: u64,
}

impl Surface {
    pub(crate) fn status(&self) -> Status {
        self.handle.status().get()
    }

    /// The verdict, with at most `limit` issues of components, and how many more there are.
    pub(crate) fn readiness(&self, limit: usize) -> (Readiness, usize) {
        let status = self.status();
        let (components, omitted) = self.troubles.issues(limit);
        let provided = self.providers.iter().flat_map(|it| it()).collect();
        (Readiness::judge(&status, components, provided), omitted)
    }
}

impl fmt::Debug for Surface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surface")
            .field("troubles", &self.troubles)
            .field("providers", &self.providers.len())
            .finish_non_exhaustive()
    }
}

fn table() -> impl Iterator<Item = (&'static str, MethodRouter<Shared>)> {
    let here = [
        ("/livez", get(health::live)),
        ("/healthz", get(health::live)),
        ("/readyz", get(health::ready)),
        ("/startupz", get(health::started)),
        ("/metrics", get(metrics::scrape)),
        ("/control/lifecycle", get(snapshot::show)),
    ];
    here.into_iter()
        .chain(operations::table())
        .chain(upgrade::table())
        .chain(logging::table())
}

/// The path of every route of this crate; a part in braces, as in `{name}`, stands for any one part.
pub fn paths() -> impl Iterator<Item = &'static str> {
    table().map(|(path, _)| path)
}

/// Whether a route of this crate has `path`: a listener that mounts them should answer these while it is drained, too.
#[must_use]
pub fn answers(path: &str) -> bool {
    PATTERNS.iter().any(|it| matches(it, path))
}

static PATTERNS: LazyLock<Vec<&'static str>> = LazyLock::new(|| paths().collect());

fn matches(pattern: &str, path: &str) -> bool {
    let (mut wanted, mut parts) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), parts.next()) {
            (None, None) => return true,
            (Some(wanted), Some(part)) if wanted == part => {}
            (Some(wanted), Some(part)) if wanted.starts_with('{') && !part.is_empty() => {}
            (_, _) => return false,
        }
    }
}

/// All routes of this crate.
pub(crate) fn routes(surface: Shared) -> Router {
    let add = |router: Router<Shared>, (path, handlers)| router.route(path, handlers);
    let routes = table().fold(Router::new(), add);
    routes.with_state(surface)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_known_part_by_part() {
        for path in [
            "/livez",
            "/control/upgrade/cancel",
            "/control/lifecycle/components/http-inbound:0/restart",
            "/control/lifecycle/operations/1-2",
        ] {
            assert!(answers(path), "{path}");
        }
        for path in [
            "",
            "/",
            "/livez/",
            "/control/upgrade/cancel/more",
            "/control/lifecycle/components//restart",
            "/control/peers",
        ] {
            assert!(!answers(path), "{path}");
        }
    }
}
