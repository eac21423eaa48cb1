//! [`Selector`]: what an expression of Prometheus asks for.

use crate::check_deploy::source_names::{PREFIXES, SourceNames};

/// A metric with what is said of its labels.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Selector {
    pub(crate) metric: String,
    /// Each label, and the alternatives of its value.
    pub(crate) labels: Vec<(String, Vec<String>)>,
}

/// Labels that Prometheus sets.
const NOT_OURS: [&str; 4] = ["instance", "job", "le", "quantile"];

/// Every selector of a metric of ours. No parser: promtool has one, and has read the expression too.
pub(crate) fn selectors(expression: &str) -> Vec<Selector> {
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(start) = next_metric(rest) {
        rest = &rest[start..];
        let end = rest.find(|it: char| !is_word(it)).unwrap_or(rest.len());
        let (metric, after) = rest.split_at(end);
        let inner = after.strip_prefix('{').and_then(|it| it.split('}').next());
        found.push(Selector {
            metric: metric.to_owned(),
            labels: inner.map(labels).unwrap_or_default(),
        });
        rest = after;
    }
    found
}

fn next_metric(text: &str) -> Option<usize> {
    let begins = |at: usize| {
        let first = !text[..at].ends_with(is_word);
        first && PREFIXES.iter().any(|it| text[at..].starts_with(it))
    };
    text.char_indices().map(|(at, _)| at).find(|at| begins(*at))
}

fn is_word(sign: char) -> bool {
    sign.is_ascii_alphanumeric() || sign == '_'
}

/// Values of ours have no comma and no quote.
fn labels(inner: &str) -> Vec<(String, Vec<String>)> {
    let matchers = inner.split(',').filter_map(|matcher| {
        let (name, value) = matcher.split_once('=')?;
        let name = name.trim_end_matches('!').trim();
        let value = value.trim_start_matches('~').trim().trim_matches('"');
        let alternatives = value.split('|').map(str::to_owned).collect();
        Some((name.to_owned(), alternatives))
    });
    matchers
        .filter(|(name, _)| !NOT_OURS.contains(&name.as_str()))
        .collect()
}

impl Selector {
    /// Labels, and values of them, that no source spells so.
    pub(crate) fn unknown_labels(&self, names: &SourceNames) -> Vec<String> {
        let mut unknown = Vec::new();
        for (label, values) in &self.labels {
            if !names.has(label) {
                unknown.push(format!("{label} of {}", self.metric));
            }
            let values = values.iter().filter(|it| !names.has(it));
            unknown.extend(values.map(|it| format!("{label}={it:?} of {}", self.metric)));
        }
        unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_found_with_the_labels_that_are_ours() {
        let found = selectors(
            "sum by (lifecycle) (rate(omnirelay_a_total{job=~\"$job\", code=~\"A|B\"}[5m])) / on (job) up > mesh_b",
        );
        let labels = vec![("code".to_owned(), vec!["A".to_owned(), "B".to_owned()])];
        let expected = [("omnirelay_a_total", labels), ("mesh_b", vec![])];
        let expected = expected.map(|(metric, labels)| Selector {
            metric: metric.to_owned(),
            labels,
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn a_value_that_no_source_spells_is_unknown() {
        let mut names = SourceNames::default();
        names.take("gauge!(\"mesh_b\", \"state\" => \"faulted\")");
        let ask = |text| selectors(text)[0].unknown_labels(&names);
        assert!(ask("mesh_b{state=\"faulted\"}").is_empty());
        assert_eq!(
            ask("mesh_b{state!=\"failed\"}"),
            ["state=\"failed\" of mesh_b"]
        );
        assert_eq!(ask("mesh_b{status=\"faulted\"}"), ["status of mesh_b"]);
    }
}
