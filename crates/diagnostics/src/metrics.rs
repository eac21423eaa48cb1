//! `/metrics`: what the recorder has collected, and the state of each component.
//!
//! Nothing in the recorder is labelled by component, so that a transition stays cheap and cardinality bounded: those
//! series are rendered from a snapshot when they are scraped.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use lifecycle_core::ComponentId;
use lifecycle_core::engine::{ComponentState, Snapshot};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::router::Shared;

/// The text format of Prometheus.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How often the recorder tidies up; without it histograms grow.
const UPKEEP: Duration = Duration::from_secs(5);

/// How long a scrape waits for the snapshot; without one it goes on, and lacks the components.
const SNAPSHOT_LIMIT: Duration = Duration::from_secs(2);

/// The bounds of histograms in seconds: from a call that does nothing to the longest default timeout and beyond.
const SECONDS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// The label by which components are grouped when there are too many of them, and the group of those without it.
const GROUP_LABEL: &str = "group";
const OTHERS: &str = "other";

/// The process has a recorder already, or the recorder refuses its settings; nothing was installed.
#[derive(Debug, thiserror::Error)]
#[error("cannot install the metrics recorder")]
pub struct InstallError(#[from] BuildError);

/// Installs a recorder for the whole process, and gives what renders it: pass it to
/// [`DiagnosticsBuilder::metrics`](crate::DiagnosticsBuilder::metrics), which also keeps it tidy.
///
/// Call it before the orchestrator is driven: what is registered earlier is lost. Histograms whose names end in
/// `_seconds` have buckets from 1 ms to 30 s, those in `_ms` the same in milliseconds.
///
/// # Errors
///
/// [`InstallError`] when the process has a recorder already.
pub fn install_recorder() -> Result<PrometheusHandle, InstallError> {
    let milliseconds = SECONDS.map(|it| it * 1e3);
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_ms".to_owned()), &milliseconds)?
        .install_recorder()?;
    Ok(handle)
}

/// Tidies the recorder up for as long as it is polled.
pub(crate) async fn keep_tidy(recorder: Option<&PrometheusHandle>) {
    let Some(recorder) = recorder else {
        return std::future::pending().await;
    };
    let mut pulse = tokio::time::interval(UPKEEP);
    loop {
        pulse.tick().await;
        recorder.run_upkeep();
    }
}

/// The scrape.
pub(crate) async fn scrape(State(surface): State<Shared>) -> impl IntoResponse {
    let mut text = surface
        .recorder
        .as_ref()
        .map(PrometheusHandle::render)
        .unwrap_or_default();
    let asked = tokio::time::timeout(SNAPSHOT_LIMIT, surface.handle.snapshot());
    if let Ok(Ok(snapshot)) = asked.await {
        render_components(&mut text, &snapshot, surface.listed_components);
    }
    ([(CONTENT_TYPE, TEXT)], text)
}

/// Renders one series a component and state; above `limit` components one a group and state, and for `limit` of the
/// failing ones their own besides.
fn render_components(text: &mut String, snapshot: &Snapshot, limit: usize) {
    let ids = || snapshot.plan.by_name().iter().copied();
    if snapshot.plan.len() <= limit {
        render_states(text, snapshot, ids());
        return;
    }
    let failing = ids().filter(|id| is_failing(snapshot.component(*id).state));
    render_states(text, snapshot, failing.take(limit));
    render_groups(text, snapshot);
}

fn render_states(text: &mut String, snapshot: &Snapshot, ids: impl Iterator<Item = ComponentId>) {
    text.push_str("# HELP lifecycle_component_state 1 for the state that the component is in.\n");
    text.push_str("# TYPE lifecycle_component_state gauge\n");
    for id in ids {
        let name = escaped(snapshot.name(id).as_str());
        let present = snapshot.component(id).state;
        for state in ComponentState::ALL {
            let value = u8::from(state == present);
            let state = state.as_str();
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "lifecycle_component_state{{component=\"{name}\",state=\"{state}\"}} {value}"
            );
        }
    }
    text.push('\n');
}

fn render_groups(text: &mut String, snapshot: &Snapshot) {
    let mut counts: BTreeMap<(&str, ComponentState), usize> = BTreeMap::new();
    for id in snapshot.plan.ids() {
        let state = snapshot.component(id).state;
        *counts.entry((group(snapshot, id), state)).or_default() += 1;
    }
    text.push_str("# HELP lifecycle_components Components by group and state.\n");
    text.push_str("# TYPE lifecycle_components gauge\n");
    for ((group, state), count) in counts {
        let (group, state) = (escaped(group), state.as_str());
        let _ = writeln!(
            text,
            "lifecycle_components{{group=\"{group}\",state=\"{state}\"}} {count}"
        );
    }
    text.push('\n');
}

fn group(snapshot: &Snapshot, id: ComponentId) -> &str {
    let labels = snapshot.plan.labels(id).iter();
    let mut grouping = labels.filter(|(key, _)| key == GROUP_LABEL);
    grouping.next().map_or(OTHERS, |(_, value)| value)
}

fn is_failing(state: ComponentState) -> bool {
    matches!(state, ComponentState::Faulted | ComponentState::BackingOff)
}

/// A label's value as the text format wants it.
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use lifecycle_core::engine::Engine;
    use lifecycle_core::{Defaults, Plan, Registration, Time, component};

    fn snapshot(names: &[&str]) -> Snapshot {
        let idle = || component::from_fn(async |_| Ok(()), async |_| Ok(()));
        let named = |it: &&str| Registration::new(*it, idle()).label("group", "workers");
        let registrations = names.iter().map(named).collect();
        let compiled = Plan::compile(registrations, Defaults::default()).unwrap();
        Engine::new(compiled.plan).snapshot(Time::ZERO)
    }

    fn rendered(snapshot: &Snapshot, limit: usize) -> String {
        let mut text = String::new();
        render_components(&mut text, snapshot, limit);
        text
    }

    #[test]
    fn each_component_has_one_series_a_state_and_one_of_them_is_1() {
        let text = rendered(&snapshot(&["a", "b"]), 2);
        let series: Vec<&str> = text.lines().filter(|it| !it.starts_with('#')).collect();
        assert_eq!(series.iter().filter(|it| it.contains("\"a\"")).count(), 8);
        assert!(text.contains("lifecycle_component_state{component=\"a\",state=\"created\"} 1"));
        assert!(text.contains("lifecycle_component_state{component=\"b\",state=\"running\"} 0"));
    }

    #[test]
    fn above_the_limit_components_are_counted_by_group() {
        let text = rendered(&snapshot(&["a", "b", "c"]), 2);
        assert!(text.contains("lifecycle_components{group=\"workers\",state=\"created\"} 3"));
        assert!(!text.contains("component=\"a\""), "{text}");
    }

    #[test]
    fn names_are_escaped() {
        assert_eq!(escaped("a\"b\\c"), "a\\\"b\\\\c");
    }
}
