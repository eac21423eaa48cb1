//! Pods: the deadlines that the host is told, what probes ask, and what a pod may do.

use anyhow::{Context as _, Result};
use serde_json::Value;
use toml::Table;

use crate::check_deploy::rule::{Rule, Violation};
use crate::check_deploy::{File, Host, seconds, units, yaml};

/// What holds for every pod, and for its container behind `/containers/0`.
const SETTINGS: [(&str, &str); 8] = [
    ("/automountServiceAccountToken", "false"),
    ("/securityContext/runAsNonRoot", "true"),
    ("/securityContext/seccompProfile/type", "\"RuntimeDefault\""),
    (
        "/containers/0/securityContext/allowPrivilegeEscalation",
        "false",
    ),
    (
        "/containers/0/securityContext/readOnlyRootFilesystem",
        "true",
    ),
    (
        "/containers/0/securityContext/capabilities/drop",
        "[\"ALL\"]",
    ),
    // SIGTERM settles and drains: what waited before it would only be waited for twice.
    ("/containers/0/lifecycle", "null"),
    // A throttled host misses its deadlines.
    ("/containers/0/resources/limits/cpu", "null"),
];

/// What must be there, whatever it is.
const NEEDED: [&str; 3] = [
    "/containers/0/resources/requests/cpu",
    "/containers/0/resources/requests/memory",
    "/containers/0/resources/limits/memory",
];

const PROBES: [(&str, &str); 3] = [
    ("livenessProbe", "/livez"),
    ("readinessProbe", "/readyz"),
    ("startupProbe", "/startupz"),
];

pub(crate) fn violations(host: &Host) -> Result<Vec<Violation>> {
    let file = &host.manifests;
    let documents = yaml::documents(file)?;
    let pod = documents
        .iter()
        .find_map(|it| it.pointer("/spec/template/spec"));
    let pod = pod.with_context(|| format!("{} has no pods", file.path))?;
    let configuration: Table = host
        .configuration
        .content
        .parse()
        .with_context(|| format!("{} is no TOML", host.configuration.path))?;
    let mut violations = settings(file, pod);
    violations.extend(disruption(file, &documents));
    violations.extend(probes(host, pod, &configuration));
    violations.extend(untold_stop(host, pod, &configuration));
    violations.extend(short_settle(host, pod, &configuration));
    violations.extend(short_start(host, pod));
    Ok(violations)
}

fn settings(file: &File, pod: &Value) -> Vec<Violation> {
    let has = |pointer: &str| pod.pointer(pointer).unwrap_or(&Value::Null).to_string();
    let wrong = SETTINGS
        .iter()
        .filter(|(pointer, value)| has(pointer) != *value)
        .map(|(pointer, value)| format!("{pointer}: {value}"));
    let missing = NEEDED.iter().filter(|it| has(it) == "null");
    wrong
        .chain(missing.map(|it| format!("{it} is not set")))
        .map(|it| file.violation(Rule::PodSetting, it))
        .collect()
}

fn disruption(file: &File, documents: &[Value]) -> Option<Violation> {
    let there = documents
        .iter()
        .any(|it| it["kind"] == "PodDisruptionBudget");
    (!there).then(|| file.violation(Rule::PodSetting, "a PodDisruptionBudget"))
}

fn probes(host: &Host, pod: &Value, configuration: &Table) -> Vec<Violation> {
    let address = text(configuration, "diagnostics", "address").unwrap_or_default();
    let wanted = address.rsplit(':').next().unwrap_or_default();
    let container = &pod["containers"][0];
    let ports = container["ports"].as_array();
    let number = |name: &Value| {
        let port = ports.into_iter().flatten().find(|it| it["name"] == *name);
        port.map_or(String::new(), |it| it["containerPort"].to_string())
    };
    let hits = |probe: &str, path: &str| {
        let asked = &container[probe]["httpGet"];
        asked["path"] == path && number(&asked["port"]) == wanted
    };
    PROBES
        .iter()
        .filter(|(probe, path)| !hits(probe, path))
        .map(|(probe, path)| format!("{probe}: {path} on {wanted}"))
        .map(|it| host.manifests.violation(Rule::ProbeMisses, it))
        .collect()
}

/// The host knows when it would be killed, and refuses to start where a stop may take longer.
fn untold_stop(host: &Host, pod: &Value, configuration: &Table) -> Option<Violation> {
    let granted = pod["terminationGracePeriodSeconds"].as_u64();
    let told = configuration
        .get("kill-timeout")
        .and_then(toml::Value::as_str);
    let fits = granted.is_some() && told.and_then(seconds::parse) == granted;
    let what = format!("terminationGracePeriodSeconds of {granted:?}, kill-timeout of {told:?}");
    (!fits).then(|| host.manifests.violation(Rule::StopUnknown, what))
}

fn short_settle(host: &Host, pod: &Value, configuration: &Table) -> Option<Violation> {
    let settle = text(configuration, "defaults", "settle").and_then(seconds::parse);
    let notices = longest(&pod["containers"][0]["readinessProbe"])?;
    let long_enough = settle.is_some_and(|it| it > notices);
    let what = format!("defaults.settle, for a probe that takes {notices} s");
    (!long_enough).then(|| host.configuration.violation(Rule::SettleTooShort, what))
}

fn short_start(host: &Host, pod: &Value) -> Option<Violation> {
    let probed = longest(&pod["containers"][0]["startupProbe"]);
    let wanted = units::start_limit(&host.unit);
    let what = format!("{probed:?} s in a pod, {wanted:?} s in the unit");
    (probed < wanted || probed.is_none())
        .then(|| host.manifests.violation(Rule::StartTooShort, what))
}

/// How long a probe fails until something follows from it.
fn longest(probe: &Value) -> Option<u64> {
    Some(probe["periodSeconds"].as_u64()? * probe["failureThreshold"].as_u64()?)
}

fn text<'t>(configuration: &'t Table, section: &str, key: &str) -> Option<&'t str> {
    configuration.get(section)?.get(key)?.as_str()
}
