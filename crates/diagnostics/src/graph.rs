//! `/control/lifecycle/graph`: the plan with the states of this moment, as JSON or for Graphviz.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use lifecycle_core::engine::{ComponentState, Health, Snapshot};
use lifecycle_core::{ComponentId, EdgeKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::problem::Problem;
use crate::router::Shared;
use crate::snapshot::{SCHEMA, json, plan_id};

/// The media type of Graphviz' language.
const DOT: &str = "text/vnd.graphviz; charset=utf-8";

/// The graph in the format that was asked for.
pub(crate) async fn show(
    State(surface): State<Shared>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Problem> {
    let Ok(Query(wanted)) = wanted else {
        let detail = "the format of a graph is \"json\" or \"dot\"";
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    };
    let snapshot = surface.snapshot().await?;
    Ok(match wanted.format {
        Format::Json => json(&document(&snapshot)),
        Format::Dot => ([(CONTENT_TYPE, DOT)], dot(&snapshot)).into_response(),
    })
}

/// The query.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    #[serde(default)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Json,
    Dot,
}

#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Graph")]
pub(crate) struct Document<'a> {
    schema_version: &'static str,
    plan_id: String,
    /// In plan order.
    nodes: Vec<Node<'a>>,
    edges: Vec<Arrow<'a>>,
}

#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "GraphNode")]
struct Node<'a> {
    name: &'a str,
    state: &'static str,
    /// Whether it runs and says nothing bad of itself.
    healthy: bool,
    criticality: &'static str,
    depth: u32,
    labels: BTreeMap<&'a str, &'a str>,
}

/// From a dependent to what it is ordered after.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "GraphEdge")]
struct Arrow<'a> {
    from: &'a str,
    to: &'a str,
    kind: &'static str,
    /// Null where the edge is not hard.
    on_loss: Option<&'static str>,
}

fn document(snapshot: &Snapshot) -> Document<'_> {
    let plan = &snapshot.plan;
    let order = plan.order().iter().copied();
    Document {
        schema_version: SCHEMA,
        plan_id: plan_id(plan),
        nodes: order.clone().map(|id| node(snapshot, id)).collect(),
        edges: order.flat_map(|id| arrows(snapshot, id)).collect(),
    }
}

fn node(snapshot: &Snapshot, id: ComponentId) -> Node<'_> {
    let plan = &snapshot.plan;
    let row = snapshot.component(id);
    let labels = plan.labels(id).iter();
    Node {
        name: plan.name(id).as_str(),
        state: row.state.as_str(),
        healthy: row.state == ComponentState::Running && row.health == Health::Healthy,
        criticality: plan.criticality(id).as_str(),
        depth: plan.depth(id),
        labels: labels.map(|(key, value)| (&**key, &**value)).collect(),
    }
}

fn arrows(snapshot: &Snapshot, id: ComponentId) -> impl Iterator<Item = Arrow<'_>> {
    let plan = &snapshot.plan;
    plan.dependencies(id).iter().map(move |edge| Arrow {
        from: plan.name(id).as_str(),
        to: plan.name(edge.component).as_str(),
        kind: edge.kind.as_str(),
        on_loss: (edge.kind == EdgeKind::Hard).then(|| edge.on_loss.as_str()),
    })
}

/// The same for Graphviz: what starts first is at the bottom.
fn dot(snapshot: &Snapshot) -> String {
    let Document {
        plan_id,
        nodes,
        edges,
        ..
    } = document(snapshot);
    let mut text = String::from("digraph lifecycle {\n");
    let title = Quoted(&[&format!("plan {plan_id}")]);
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  label={title};");
    text.push_str("  node [shape=box, style=filled];\n");
    for node in &nodes {
        let (name, label) = (Quoted(&[node.name]), Quoted(&[node.name, node.state]));
        let colour = colour(node.state, node.healthy);
        let _ = writeln!(text, "  {name} [label={label}, fillcolor={colour}];");
    }
    for edge in &edges {
        let (from, to) = (Quoted(&[edge.from]), Quoted(&[edge.to]));
        let style = match edge.kind {
            "hard" => "solid",
            "soft" => "dashed",
            _ => "dotted",
        };
        let _ = write!(text, "  {from} -> {to} [style={style}");
        if let Some(on_loss) = edge.on_loss.filter(|it| *it != "follows") {
            let _ = write!(text, ", label={}", Quoted(&[on_loss]));
        }
        text.push_str("];\n");
    }
    text.push_str("}\n");
    text
}

fn colour(state: &str, healthy: bool) -> &'static str {
    match state {
        "running" if healthy => "palegreen",
        "running" => "khaki",
        "faulted" => "salmon",
        "backing-off" => "orange",
        "starting" | "stopping" => "lightblue",
        _ => "lightgrey",
    }
}

/// Lines as one quoted string of Graphviz. A name can hold anything that is printable: quotes would end the string, and
/// backslashes begin escapes.
struct Quoted<'a>(&'a [&'a str]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for (position, line) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str("\\n")?;
            }
            for character in line.chars() {
                match character {
                    '"' | '\\' => write!(f, "\\{character}")?,
                    _ => f.write_char(character)?,
                }
            }
        }
        f.write_str("\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_so_that_none_ends_its_string() {
        assert_eq!(Quoted(&["a:b"]).to_string(), r#""a:b""#);
        let name = r#"x" -> "y\"#;
        assert_eq!(
            Quoted(&[name, "running"]).to_string(),
            r#""x\" -> \"y\\\nrunning""#
        );
    }
}
