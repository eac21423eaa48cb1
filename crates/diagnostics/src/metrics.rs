//! `/metrics`: what the recorder has collected, and the state of each component.
//!
//! Nothing in the recorder is labelled by component, so that a transition stays cheap and cardinality bounded: those
//! series are rendered from a snapshot when they are scraped.

mod open;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_TYPE, VARY};
use axum::response::{IntoResponse, Response};
use lifecycle_core::ComponentId;
use lifecycle_core::engine::{ComponentState, DrainState, Health, Snapshot};
use lifecycle_runtime::TaskCounts;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::router::Shared;

use open::OPEN;

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
pub(crate) async fn scrape(State(surface): State<Shared>, headers: HeaderMap) -> Response {
    let mut text = surface
        .recorder
        .as_ref()
        .map(PrometheusHandle::render)
        .unwrap_or_default();
    let asked = tokio::time::timeout(SNAPSHOT_LIMIT, surface.handle.snapshot());
    if let Ok(Ok(snapshot)) = asked.await {
        let listed = render_components(&mut text, &snapshot, surface.listed_components);
        let asked = tokio::time::timeout(SNAPSHOT_LIMIT, surface.handle.tasks(listed.clone()));
        if let Ok(Ok(counts)) = asked.await {
            render_tasks(&mut text, &snapshot, &listed, &counts);
        }
    }
    // A cache must not give one reader what another has asked for.
    let varies = (VARY, "accept");
    if open::is_preferred(&headers) {
        return ([(CONTENT_TYPE, OPEN), varies], open::converted(&text)).into_response();
    }
    ([(CONTENT_TYPE, TEXT), varies], text).into_response()
}

/// Renders what is told of single components; above `limit` of them the sums of groups, and besides for `limit` of those
/// in trouble their own. Returns who has series of its own.
fn render_components(text: &mut String, snapshot: &Snapshot, limit: usize) -> Vec<ComponentId> {
    let ids: Vec<ComponentId> = snapshot.plan.by_name().to_vec();
    if ids.len() <= limit {
        render_listed(text, snapshot, &ids);
        return ids;
    }
    let troubled = ids.iter().copied().filter(|id| is_troubled(snapshot, *id));
    let listed: Vec<ComponentId> = troubled.take(limit).collect();
    render_listed(text, snapshot, &listed);
    render_groups(text, snapshot, &ids);
    listed
}

/// Tasks come and go without an event, so that they are no part of a snapshot.
fn render_tasks(text: &mut String, snapshot: &Snapshot, ids: &[ComponentId], counts: &TaskCounts) {
    let mut tasks = Family::gauge(
        "lifecycle_tasks",
        "Tasks of the component that are alive in its scope.",
    );
    for (&id, &count) in ids.iter().zip(&counts.components) {
        tasks.add(&[("component", snapshot.name(id).as_str())], count.into());
    }
    tasks.render(text);
    let mut all = Family::gauge(
        "lifecycle_runtime_tasks",
        "Tasks that are alive on the runtime of the orchestrator, whoever has spawned them.",
    );
    all.add(&[], counts.runtime as u64);
    all.render(text);
}

fn render_listed(text: &mut String, snapshot: &Snapshot, ids: &[ComponentId]) {
    let mut states = Family::gauge(
        "lifecycle_component_state",
        "1 for the state that the component is in.",
    );
    let mut restarts = Family::counter(
        "lifecycle_restarts_total",
        "How often the component was started again, by reason.",
    );
    let mut in_flight = Family::gauge(
        "lifecycle_drain_in_flight",
        "What the component has in flight, as it said last; of those that take part in a drain.",
    );
    for &id in ids {
        let name = snapshot.name(id).as_str();
        let row = snapshot.component(id);
        for state in ComponentState::ALL {
            let labels = [("component", name), ("state", state.as_str())];
            states.add(&labels, u64::from(state == row.state));
        }
        for (reason, count) in row.restarts.by_reason() {
            restarts.add(&[("component", name), ("reason", reason)], count.into());
        }
        if snapshot.plan.drains(id) {
            in_flight.add(&[("component", name)], row.in_flight.unwrap_or(0));
        }
    }
    for family in [states, restarts, in_flight] {
        family.render(text);
    }
}

fn render_groups(text: &mut String, snapshot: &Snapshot, ids: &[ComponentId]) {
    let mut groups: BTreeMap<&str, Group> = BTreeMap::new();
    for &id in ids {
        groups
            .entry(group(snapshot, id))
            .or_default()
            .add(snapshot, id);
    }
    let mut states = Family::gauge("lifecycle_components", "Components by group and state.");
    let mut restarts = Family::counter(
        "lifecycle_group_restarts_total",
        "How often components of the group were started again, by reason.",
    );
    let mut in_flight = Family::gauge(
        "lifecycle_group_drain_in_flight",
        "What components of the group have in flight, of those that take part in a drain.",
    );
    for (name, group) in groups {
        for (state, count) in group.states {
            states.add(&[("group", name), ("state", state.as_str())], count);
        }
        for (reason, count) in group.restarts {
            restarts.add(&[("group", name), ("reason", reason)], count);
        }
        if let Some(count) = group.in_flight {
            in_flight.add(&[("group", name)], count);
        }
    }
    for family in [states, restarts, in_flight] {
        family.render(text);
    }
}

/// The sums of one group.
#[derive(Default)]
struct Group {
    states: BTreeMap<ComponentState, u64>,
    restarts: BTreeMap<&'static str, u64>,
    /// `None` when nobody takes part in a drain.
    in_flight: Option<u64>,
}

impl Group {
    fn add(&mut self, snapshot: &Snapshot, id: ComponentId) {
        let row = snapshot.component(id);
        *self.states.entry(row.state).or_default() += 1;
        for (reason, count) in row.restarts.by_reason() {
            *self.restarts.entry(reason).or_default() += u64::from(count);
        }
        if snapshot.plan.drains(id) {
            *self.in_flight.get_or_insert(0) += row.in_flight.unwrap_or(0);
        }
    }
}

/// The series of one name.
struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    series: String,
}

impl Family {
    fn gauge(name: &'static str, help: &'static str) -> Self {
        Self::of(name, "gauge", help)
    }

    fn counter(name: &'static str, help: &'static str) -> Self {
        Self::of(name, "counter", help)
    }

    fn of(name: &'static str, kind: &'static str, help: &'static str) -> Self {
        let series = String::new();
        Self {
            name,
            kind,
            help,
            series,
        }
    }

    fn add(&mut self, labels: &[(&str, &str)], value: u64) {
        self.series.push_str(self.name);
        for (position, (key, label)) in labels.iter().enumerate() {
            let joint = if position == 0 { '{' } else { ',' };
            // Writing to a string cannot fail.
            let _ = write!(self.series, "{joint}{key}=\"{}\"", escaped(label));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.series, "{end} {value}");
    }

    /// Nothing at all when there is no series.
    fn render(self, text: &mut String) {
        if self.series.is_empty() {
            return;
        }
        let Self {
            name,
            kind,
            help,
            series,
        } = self;
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{series}");
    }
}

fn group(snapshot: &Snapshot, id: ComponentId) -> &str {
    let labels = snapshot.plan.labels(id).iter();
    let mut grouping = labels.filter(|(key, _)| key == GROUP_LABEL);
    grouping.next().map_or(OTHERS, |(_, value)| value)
}

/// Whether it is worth series of its own among very many.
fn is_troubled(snapshot: &Snapshot, id: ComponentId) -> bool {
    let row = snapshot.component(id);
    let is_failing = matches!(
        row.state,
        ComponentState::Faulted | ComponentState::BackingOff
    );
    let blocks_drain = matches!(row.drain, DrainState::Draining | DrainState::Failed);
    is_failing || blocks_drain || row.health == Health::Unhealthy
}

/// A label's value as the text format wants it.
fn escaped(value: &str) -> Cow<'_, str> {
    if !value.contains(['\\', '"', '\n']) {
        return Cow::Borrowed(value);
    }
    let value = value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    Cow::Owned(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lifecycle_core::engine::Engine;
    use lifecycle_core::{
        BoxError, Defaults, Lifecycle, Plan, Registration, StartContext, StopContext, Time,
        component,
    };

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
        let of_a = "lifecycle_component_state{component=\"a\",";
        assert_eq!(text.lines().filter(|it| it.starts_with(of_a)).count(), 8);
        assert!(text.contains("lifecycle_component_state{component=\"a\",state=\"created\"} 1"));
        assert!(text.contains("lifecycle_component_state{component=\"b\",state=\"running\"} 0"));
    }

    /// As [`snapshot`], where the first component was restarted and every one takes part in drains.
    fn troubled(names: &[&str]) -> Snapshot {
        struct Participant;
        impl Lifecycle for Participant {
            const DRAINS: bool = true;
            async fn start(&self, _: &StartContext) -> Result<(), BoxError> {
                Ok(())
            }
            async fn stop(&self, _: &StopContext) -> Result<(), BoxError> {
                Ok(())
            }
        }
        let registrations = names.iter().map(|it| Registration::new(*it, Participant));
        let compiled = Plan::compile(registrations.collect(), Defaults::default()).unwrap();
        let mut snapshot = Engine::new(compiled.plan).snapshot(Time::ZERO);
        let first = &mut snapshot.components[0];
        first.restarts.lost = 3;
        first.in_flight = Some(7);
        first.drain = DrainState::Draining;
        snapshot
    }

    #[test]
    fn contract_b08_restarts_are_counted_by_component_and_reason_and_what_is_in_flight_is_shown() {
        let text = rendered(&troubled(&["a", "b"]), 2);
        for line in [
            "# TYPE lifecycle_restarts_total counter",
            "lifecycle_restarts_total{component=\"a\",reason=\"lost\"} 3",
            "lifecycle_restarts_total{component=\"b\",reason=\"operator\"} 0",
            "lifecycle_drain_in_flight{component=\"a\"} 7",
            "lifecycle_drain_in_flight{component=\"b\"} 0",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in\n{text}");
        }
        assert!(!rendered(&snapshot(&["a"]), 2).contains("drain_in_flight"));
    }

    #[test]
    fn above_the_limit_components_are_counted_by_group_and_those_in_trouble_have_their_own() {
        let text = rendered(&snapshot(&["a", "b", "c"]), 2);
        assert!(text.contains("lifecycle_components{group=\"workers\",state=\"created\"} 3"));
        assert!(!text.contains("component=\"a\""), "{text}");

        let text = rendered(&troubled(&["a", "b", "c"]), 2);
        for line in [
            "lifecycle_restarts_total{component=\"a\",reason=\"lost\"} 3",
            "lifecycle_drain_in_flight{component=\"a\"} 7",
            "lifecycle_group_restarts_total{group=\"other\",reason=\"lost\"} 3",
            "lifecycle_group_drain_in_flight{group=\"other\"} 7",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in\n{text}");
        }
        assert!(!text.contains("component=\"b\""), "{text}");
    }

    #[test]
    fn each_family_is_described_once_and_stands_together() {
        let text = rendered(&troubled(&["a", "b", "c"]), 2);
        let mut families = Vec::new();
        for line in text
            .lines()
            .filter(|it| !it.is_empty() && !it.starts_with('#'))
        {
            let (name, _) = line.split_once('{').expect("labels");
            if families.last() != Some(&name) {
                families.push(name);
            }
        }
        let mut distinct = families.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(families.len(), distinct.len(), "{families:?}");
        for name in families {
            assert_eq!(
                text.matches(&format!("# TYPE {name} ")).count(),
                1,
                "{name}"
            );
        }
    }

    #[test]
    fn names_are_escaped() {
        assert_eq!(escaped("a\"b\\c"), "a\\\"b\\\\c");
        assert_eq!(escaped("control-plane:http"), "control-plane:http");
    }
}
