//! The routes, in one table, and what they share.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
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

/// All routes of this crate.
pub(crate) fn routes(surface: Shared) -> Router {
    Router::new()
        .route("/livez", get(health::live))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/startupz", get(health::started))
        .route("/metrics", get(metrics::scrape))
        .route("/control/lifecycle", get(snapshot::show))
        .with_state(surface)
}
