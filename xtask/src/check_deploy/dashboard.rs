//! The dashboard: what its panels ask for exists.

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::check_deploy::File;
use crate::check_deploy::prometheus::unknown_in;
use crate::check_deploy::rule::Violation;
use crate::check_deploy::source_names::SourceNames;

/// Every expression of every panel.
pub(crate) fn expressions(dashboard: &File) -> Result<Vec<String>> {
    let document: Value = serde_json::from_str(&dashboard.content)
        .with_context(|| format!("{} is no JSON", dashboard.path))?;
    let mut found = Vec::new();
    collect(&document, &mut found);
    Ok(found)
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(
                fields
                    .get("expr")
                    .and_then(Value::as_str)
                    .map(str::to_owned),
            );
            fields.values().for_each(|it| collect(it, found));
        }
        Value::Array(items) => items.iter().for_each(|it| collect(it, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

pub(crate) fn violations(dashboard: &File, names: &SourceNames) -> Result<Vec<Violation>> {
    let expressions = expressions(dashboard)?;
    let unknown = expressions
        .iter()
        .flat_map(|it| unknown_in(dashboard, it, names));
    Ok(unknown.collect())
}
