//! What leadership tells logs and metrics, in one place.

use metrics::Unit;

use crate::leadership::election::{Answer, Occurrence, OccurrenceKind};
use crate::leadership::event::EventKind;
use crate::leadership::scope::Scope;
use crate::leadership::store::LeaseError;

/// What the metrics mean.
pub(crate) fn describe() {
    metrics::describe_counter!(
        "mesh_leadership_transitions_total",
        "Changes of leadership as this node saw them, by scope and kind; renewals are none."
    );
    metrics::describe_histogram!(
        "mesh_leadership_election_duration_seconds",
        Unit::Seconds,
        "How long a scope had no leader, as far as the node saw that then led it."
    );
    metrics::describe_counter!(
        "mesh_leadership_split_brain_total",
        "Leases whose holder gossip took for gone, by scope."
    );
    metrics::describe_gauge!("mesh_leadership_held", "Whether this node leads a scope.");
    metrics::describe_counter!(
        "mesh_leadership_store_calls_total",
        "Calls of the lease store, by operation and outcome."
    );
}

/// Logs and counts what has happened to `scope` on the node called `node`.
pub(crate) fn record(scope: &Scope, node: &str, occurrence: &Occurrence) {
    let leader = occurrence.leader.as_ref();
    let (holder, term, token) = (
        leader.map(|it| it.holder.as_str()),
        leader.map(|it| it.term),
        leader.map(|it| it.token.get()),
    );
    let reason = occurrence.reason.as_deref();
    let kind = match occurrence.kind {
        OccurrenceKind::Renewed => {
            tracing::debug!(%scope, term, token, "leadership.renewed");
            return;
        }
        OccurrenceKind::Elected { after } => {
            let vacant = after.as_secs_f64();
            metrics::histogram!(
                "mesh_leadership_election_duration_seconds",
                "scope" => scope.to_string()
            )
            .record(vacant);
            tracing::info!(%scope, term, token, vacant, "leadership.elected");
            EventKind::Elected
        }
        OccurrenceKind::Observed => {
            tracing::info!(%scope, leader = holder, term, token, "leadership.observed");
            EventKind::Observed
        }
        OccurrenceKind::Lost => {
            tracing::warn!(%scope, term, token, reason, "leadership.lost");
            EventKind::Lost
        }
        OccurrenceKind::Expired if holder == Some(node) => {
            tracing::warn!(%scope, term, token, reason, "leadership.expired");
            EventKind::Expired
        }
        OccurrenceKind::Expired => {
            tracing::info!(%scope, leader = holder, term, token, "leadership.expired");
            EventKind::Expired
        }
        OccurrenceKind::SteppedDown => {
            tracing::info!(%scope, term, token, reason, "leadership.stepped_down");
            EventKind::SteppedDown
        }
    };
    metrics::counter!(
        "mesh_leadership_transitions_total",
        "scope" => scope.to_string(),
        "kind" => kind.as_str()
    )
    .increment(1);
}

pub(crate) fn hold(scope: &Scope, is_held: bool) {
    metrics::gauge!("mesh_leadership_held", "scope" => scope.to_string()).set(if is_held {
        1.0
    } else {
        0.0
    });
}

pub(crate) fn split_brain(scope: &Scope, holder: &str) {
    tracing::warn!(%scope, leader = holder, "leadership.split_brain");
    metrics::counter!("mesh_leadership_split_brain_total", "scope" => scope.to_string())
        .increment(1);
}

/// Counts an answer of the store.
pub(crate) fn count(answer: &Answer) {
    let (operation, outcome) = match answer {
        Answer::Acquired(answer) => ("acquire", outcome(answer)),
        Answer::Renewed(answer) => ("renew", outcome(answer)),
        Answer::Released(answer) => ("release", outcome(answer)),
        Answer::Seen(answer) => ("get", outcome(answer)),
    };
    metrics::counter!(
        "mesh_leadership_store_calls_total",
        "operation" => operation,
        "outcome" => outcome
    )
    .increment(1);
}

fn outcome<T>(answer: &Result<T, LeaseError>) -> &'static str {
    match answer {
        Ok(_) => "ok",
        Err(LeaseError::Held(_)) => "held",
        Err(LeaseError::Expired) => "expired",
        Err(LeaseError::NotCurrentLeader(_)) => "not_current_leader",
        Err(LeaseError::Unavailable(_)) => "unavailable",
    }
}
