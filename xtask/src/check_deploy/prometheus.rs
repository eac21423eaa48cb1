//! Alerts: what they ask for exists, and each is explained and tested.

use anyhow::Result;
use serde_json::Value;

use crate::check_deploy::expression::selectors;
use crate::check_deploy::rule::{Rule, Violation};
use crate::check_deploy::source_names::SourceNames;
use crate::check_deploy::{File, yaml};

/// The alerts of a file of rules.
pub(crate) fn alerts(rules: &File) -> Result<Vec<Value>> {
    let documents = yaml::documents(rules)?;
    let groups = documents.iter().flat_map(|it| list(it, "groups"));
    Ok(groups.flat_map(|it| list(it, "rules")).cloned().collect())
}

pub(crate) fn violations(
    rules: &File,
    tests: &File,
    names: &SourceNames,
) -> Result<Vec<Violation>> {
    let mut violations = Vec::new();
    for alert in alerts(rules)? {
        let name = text(&alert, "/alert");
        violations.extend(unknown_in(rules, text(&alert, "/expr"), names));
        for part in [
            "/labels/severity",
            "/annotations/summary",
            "/annotations/description",
        ] {
            if text(&alert, part).is_empty() {
                violations.push(rules.violation(Rule::AlertUnexplained, format!("{name}{part}")));
            }
        }
        if !is_tested(name, tests) {
            violations.push(rules.violation(Rule::AlertUntested, name));
        }
    }
    Ok(violations)
}

/// Shown to come (a sample, or an alert), and shown not to (none): the kit's tests name an alert each time.
fn is_tested(name: &str, tests: &File) -> bool {
    let begins = format!("expr: ALERTS{{alertname=\"{name}\"");
    let mut outcomes = tests.content.split(&begins).skip(1);
    let comes = outcomes.clone().any(|it| expected(it) != Some("[]"));
    let stays_away = outcomes.any(|it| expected(it) == Some("[]"));
    comes && stays_away
}

/// What is said behind the next `exp_samples`.
fn expected(after: &str) -> Option<&str> {
    let line = after
        .lines()
        .find_map(|it| it.trim().strip_prefix("exp_samples:"));
    line.map(str::trim)
}

/// What an expression asks for that no source makes.
pub(crate) fn unknown_in(file: &File, expression: &str, names: &SourceNames) -> Vec<Violation> {
    let mut violations = Vec::new();
    let selectors = selectors(expression);
    if selectors.is_empty() && !expression.contains("up{") {
        violations.push(file.violation(Rule::MetricUnknown, format!("none in {expression:?}")));
    }
    for selector in selectors {
        if names.has_metric(&selector.metric) {
            let labels = selector.unknown_labels(names).into_iter();
            violations.extend(labels.map(|it| file.violation(Rule::LabelUnknown, it)));
        } else {
            violations.push(file.violation(Rule::MetricUnknown, selector.metric));
        }
    }
    violations
}

fn list<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value[key].as_array().into_iter().flatten()
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}
