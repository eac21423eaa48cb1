//! The routes, in one table, and what they share.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{MethodRouter, get, post};
use lifecycle_core::engine::Snapshot;
use lifecycle_runtime::{Handle, Status};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Semaphore;

use crate::problem::Problem;
use crate::readiness::{Provider, Readiness};
use crate::timeline::Timelines;
use crate::troubles::Troubles;
use crate::{dry_run, events, graph, health, metrics, openapi, snapshot, timeline, why};

/// What every handler is given.
pub(crate) type Shared = Arc<Surface>;

/// Where answers come from.
pub(crate) struct Surface {
    pub(crate) handle: Handle,
    pub(crate) troubles: Troubles,
    pub(crate) timelines: Timelines,
    pub(crate) providers: Vec<Provider>,
    pub(crate) recorder: Option<PrometheusHandle>,
    /// How many components have series of their own.
    pub(crate) listed_components: usize,
    /// Tells the event sequences of this process from those of the one before.
    pub(crate) instance: u64,
    /// One permit for each event stream that may be open at once.
    pub(crate) streams: Arc<Semaphore>,
}

impl Surface {
    pub(crate) fn status(&self) -> Status {
        self.handle.status().get()
    }

    /// The orchestrator at this moment.
    ///
    /// # Errors
    ///
    /// 503 when nobody drives it any more.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, Problem> {
        let snapshot = self.handle.snapshot().await;
        snapshot.map_err(|_| {
            let detail = "the orchestrator is gone: nobody knows the state of its components";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
        })
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

/// Every path, with its handlers; what they take and answer is described in [`openapi`].
pub(crate) fn table() -> Vec<(&'static str, MethodRouter<Shared>)> {
    vec![
        ("/livez", get(health::live)),
        ("/healthz", get(health::live)),
        ("/readyz", get(health::ready)),
        ("/startupz", get(health::started)),
        ("/metrics", get(metrics::scrape)),
        ("/control/lifecycle", get(snapshot::show)),
        ("/control/lifecycle/components/{name}", get(why::show)),
        (
            "/control/lifecycle/components/{name}/why",
            get(why::explain),
        ),
        ("/control/lifecycle/graph", get(graph::show)),
        ("/control/lifecycle/events", get(events::open)),
        ("/control/lifecycle/timeline", get(timeline::show)),
        ("/control/lifecycle/plan", post(dry_run::plan)),
        ("/openapi.json", get(openapi::show)),
    ]
}

/// The path of every route of this crate, with `{name}` for a name. What a listener that mounts them should answer while it
/// is drained, too: see [`serves`].
pub fn paths() -> impl Iterator<Item = &'static str> {
    table().into_iter().map(|(path, _)| path)
}

/// Whether `path`, as a request has it, is that of a route of this crate; [`paths`] has patterns for those with names.
#[must_use]
pub fn serves(path: &str) -> bool {
    paths().any(|pattern| {
        let (wanted, given) = (pattern.split('/'), path.split('/'));
        wanted.clone().count() == given.clone().count()
            && wanted.zip(given).all(|(wanted, given)| {
                wanted == given || (wanted.starts_with('{') && !given.is_empty())
            })
    })
}

/// All routes of this crate.
pub(crate) fn routes(surface: Shared) -> Router {
    let add = |router: Router<Shared>, (path, handlers)| router.route(path, handlers);
    let routes = table().into_iter().fold(Router::new(), add);
    routes.with_state(surface)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_a_name_is_known_by_its_pattern() {
        for known in [
            "/livez",
            "/control/lifecycle",
            "/control/lifecycle/components/db%3Amain",
            "/control/lifecycle/components/db/why",
        ] {
            assert!(serves(known), "{known}");
        }
        for unknown in [
            "/",
            "/livez/",
            "/control/lifecycle/components/",
            "/control/lifecycle/components/db/why/not",
            "/control/peers",
        ] {
            assert!(!serves(unknown), "{unknown}");
        }
    }
}
