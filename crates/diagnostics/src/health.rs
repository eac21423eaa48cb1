//! The probes: `/livez`, `/healthz`, `/readyz`, `/startupz`.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use crate::readiness::{Issue, Readiness};
use crate::router::Shared;

/// How many issues of components are listed; the rest are counted.
const LISTED: usize = 50;

/// The body of a probe.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Health<'a> {
    status: &'static str,
    mode: &'static str,
    /// The state of the orchestrator.
    state: &'static str,
    degraded: bool,
    issues: Vec<&'a str>,
    #[serde(skip_serializing_if = "is_zero")]
    omitted_issues: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Vec<Detail<'a>>>,
}

#[derive(Debug, JsonSchema, Serialize)]
struct Detail<'a> {
    issue: &'a str,
    severity: &'static str,
    message: Option<&'a str>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// 200 while the process serves.
pub(crate) async fn live(State(surface): State<Shared>) -> Response {
    let state = surface.status().state;
    let nothing = Readiness {
        ready: true,
        state,
        issues: Vec::new(),
    };
    respond("live", &nothing, 0, Details::Brief)
}

/// 200 or 503 with issues.
pub(crate) async fn ready(State(surface): State<Shared>, RawQuery(query): RawQuery) -> Response {
    let (readiness, omitted) = surface.readiness(LISTED);
    respond(
        "ready",
        &readiness,
        omitted,
        Details::asked_for(query.as_deref()),
    )
}

/// 503 until the first start has finished; 200 ever after, whatever happens then.
pub(crate) async fn started(State(surface): State<Shared>) -> Response {
    let status = surface.status();
    let mut issues = Vec::new();
    if !status.started_once {
        let name = format!("orchestrator:{}", status.state.as_str());
        issues.push(Issue::unavailable(name));
    }
    let startup = Readiness {
        ready: status.started_once,
        state: status.state,
        issues,
    };
    respond("startup", &startup, 0, Details::Brief)
}

fn respond(
    mode: &'static str,
    readiness: &Readiness,
    omitted_issues: usize,
    details: Details,
) -> Response {
    let (code, status) = if readiness.ready {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
    };
    let health = Health {
        status,
        mode,
        state: readiness.state.as_str(),
        degraded: readiness.is_degraded(),
        issues: readiness.issues.iter().map(|it| it.name.as_str()).collect(),
        omitted_issues,
        details: (details == Details::Full).then(|| readiness.issues.iter().map(detail).collect()),
    };
    (code, Json(health)).into_response()
}

fn detail(issue: &Issue) -> Detail<'_> {
    Detail {
        issue: &issue.name,
        severity: issue.severity.as_str(),
        message: issue.message.as_deref(),
    }
}

/// How much a probe says about each issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Details {
    Brief,
    Full,
}

impl Details {
    /// What the query string asks for.
    fn asked_for(query: Option<&str>) -> Self {
        let mut parameters = query.unwrap_or_default().split('&');
        let verbose = |it| matches!(it, "verbose" | "verbose=" | "verbose=true" | "verbose=1");
        if parameters.any(verbose) {
            Self::Full
        } else {
            Self::Brief
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_given_when_asked_for() {
        for query in ["verbose", "a=b&verbose", "verbose=true", "verbose=1&c"] {
            assert_eq!(Details::asked_for(Some(query)), Details::Full, "{query}");
        }
        for query in ["", "verbose=false", "notverbose", "x=verbose"] {
            assert_eq!(Details::asked_for(Some(query)), Details::Brief, "{query}");
        }
        assert_eq!(Details::asked_for(None), Details::Brief);
    }
}
