//! The routes, in one table, and what they share.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::routing::{MethodRouter, get};
use lifecycle_runtime::{Handle, Status};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::readiness::{Provider, Readiness};
use crate::troubles::Troubles;
use crate::{health, metrics, snapshot};

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

fn table() -> [(&'static str, MethodRouter<Shared>); 6] {
    [
        ("/livez", get(health::live)),
        ("/healthz", get(health::live)),
        ("/readyz", get(health::ready)),
        ("/startupz", get(health::started)),
        ("/metrics", get(metrics::scrape)),
        ("/control/lifecycle", get(snapshot::show)),
    ]
}

/// The path of every route of this crate: what a listener that mounts them should answer while it is drained, too.
pub fn paths() -> impl Iterator<Item = &'static str> {
    table().into_iter().map(|(path, _)| path)
}

/// All routes of this crate.
pub(crate) fn routes(surface: Shared) -> Router {
    let add = |router: Router<Shared>, (path, handlers)| router.route(path, handlers);
    let routes = table().into_iter().fold(Router::new(), add);
    routes.with_state(surface)
}
