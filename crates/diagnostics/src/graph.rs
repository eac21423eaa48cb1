//! `/control/lifecycle/graph`: the plan with the states of this moment, as JSON or for Graphviz.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use lifecycle_core::engine::{ComponentState, Health, Snapshot};
use lifecycle_core::{ComponentId, EdgeKind, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pieces::{List, Pieces, Rows, json};
use crate::problem::Problem;
use crate::router::Shared;
use crate::snapshot::{SCHEMA, plan_id};

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
        Format::Json => json(Pieces::of_json(
            &document(&snapshot.plan),
            &["],\"edges\":[", "]}"],
            Json(snapshot),
        )),
        Format::Dot => {
            let head = dot_head(&snapshot.plan).into_bytes();
            Pieces::new(head, &["", "}\n"], Dot(snapshot)).into_response(DOT)
        }
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
    /// In plan order. The nodes and the edges are the last members: they are written one by one ([`Json`]).
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

/// All but the nodes and the edges, which are the end of it.
fn document(plan: &Plan) -> Document<'static> {
    Document {
        schema_version: SCHEMA,
        plan_id: plan_id(plan),
        nodes: Vec::new(),
        edges: Vec::new(),
    }
}

/// The nodes and the edges as JSON.
struct Json(Snapshot);

impl Rows for Json {
    fn write(&self, list: usize, place: usize, text: &mut List<'_>) -> serde_json::Result<bool> {
        let Some(id) = self.0.plan.order().get(place).filter(|_| list < 2) else {
            return Ok(false);
        };
        if list == 0 {
            text.push(&node(&self.0, *id))?;
        } else {
            arrows(&self.0.plan, *id).try_for_each(|it| text.push(&it))?;
        }
        Ok(true)
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

fn arrows(plan: &Plan, id: ComponentId) -> impl Iterator<Item = Arrow<'_>> {
    plan.dependencies(id).iter().map(move |edge| Arrow {
        from: plan.name(id).as_str(),
        to: plan.name(edge.component).as_str(),
        kind: edge.kind.as_str(),
        on_loss: (edge.kind == EdgeKind::Hard).then(|| edge.on_loss.as_str()),
    })
}

/// The same for Graphviz: what starts first is at the bottom.
fn dot_head(plan: &Plan) -> String {
    let title = format!("plan {}", plan_id(plan));
    let label = Quoted(&[&title]);
    format!("digraph lifecycle {{\n  label={label};\n  node [shape=box, style=filled];\n")
}

/// The nodes and the edges as statements of Graphviz.
struct Dot(Snapshot);

impl Rows for Dot {
    fn write(&self, list: usize, place: usize, text: &mut List<'_>) -> serde_json::Result<bool> {
        let Some(id) = self.0.plan.order().get(place).filter(|_| list < 2) else {
            return Ok(false);
        };
        if list == 0 {
            text.push_str(&dot_node(&node(&self.0, *id)));
        } else {
            arrows(&self.0.plan, *id).for_each(|it| text.push_str(&dot_edge(&it)));
        }
        Ok(true)
    }
}

fn dot_node(node: &Node<'_>) -> String {
    let (name, label) = (Quoted(&[node.name]), Quoted(&[node.name, node.state]));
    let colour = colour(node.state, node.healthy);
    format!("  {name} [label={label}, fillcolor={colour}];\n")
}

fn dot_edge(edge: &Arrow<'_>) -> String {
    let (from, to) = (Quoted(&[edge.from]), Quoted(&[edge.to]));
    let style = match edge.kind {
        "hard" => "solid",
        "soft" => "dashed",
        _ => "dotted",
    };
    let lost = edge.on_loss.filter(|it| *it != "follows");
    let label = lost.map(|it| format!(", label={}", Quoted(&[it])));
    let label = label.unwrap_or_default();
    format!("  {from} -> {to} [style={style}{label}];\n")
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
