//! The routes, in one table, and what they share.

use std::fmt;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{MethodRouter, get, post};
use lifecycle_core::engine::Snapshot;
use lifecycle_runtime::{Handle, Status};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Semaphore;

use crate::openapi::Described;
use crate::operations::Ledger;
use crate::problem::Problem;
use crate::readiness::{Provider, Readiness};
use crate::timeline::Timelines;
use crate::troubles::Troubles;
use crate::{
    dry_run, events, graph, health, logging, metrics, openapi, operations, snapshot, timeline,
    upgrade, why,
};

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
    pub(crate) operations: Ledger,
    /// What the host has mounted and described.
    pub(crate) mounted: Vec<Described>,
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
fn table() -> impl Iterator<Item = (&'static str, MethodRouter<Shared>)> {
    let here = [
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
