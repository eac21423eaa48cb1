//! `/control/peers`: the members as this node sees them.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use diagnostics::Described;
use mesh::gossip::{Members, Membership as _, Peer};
use schemars::JsonSchema;
use serde::Serialize;

/// The schema of the document; a mere addition keeps it.
const SCHEMA: &str = "v1";

#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Peers")]
struct Document {
    schema_version: &'static str,
    generated_at: String,
    /// `null` when gossip is switched off.
    local_node_id: Option<String>,
    peers: Vec<Peer>,
}

/// The routes, under today's name and the one of old.
pub(crate) fn routes(members: Option<&Members>) -> Router {
    Router::new()
        .route("/control/peers", get(list))
        .route("/omnirelay/control/peers", get(list))
        .with_state(members.cloned())
}

/// What they answer.
pub(crate) fn described() -> [Described; 2] {
    ["/control/peers", "/omnirelay/control/peers"]
        .map(|path| Described::get(path, "The members as this node sees them").json::<Document>())
}

async fn list(State(members): State<Option<Members>>) -> Json<Document> {
    let view = members.map(|it| it.view());
    Json(Document {
        schema_version: SCHEMA,
        generated_at: format!("{:.3}", jiff::Timestamp::now()),
        local_node_id: view.as_ref().map(|it| it.local_node_id.clone()),
        peers: view.map_or_else(Vec::new, |it| it.peers.clone()),
    })
}
