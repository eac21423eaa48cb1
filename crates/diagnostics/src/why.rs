//! `/control/lifecycle/components/{name}` and `…/why`: one component, and why it is in the state that it is in.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use lifecycle_core::ComponentId;
use lifecycle_core::engine::{OperationError, Snapshot, Why};
use schemars::JsonSchema;
use serde::Serialize;

use crate::problem::Problem;
use crate::router::Shared;
use crate::snapshot::{Component, SCHEMA, Writer};

/// A name as a path gives it, with its percent signs decoded.
pub(crate) type Name = Result<Path<String>, PathRejection>;

/// A component in full, with the sentence.
pub(crate) async fn show(State(surface): State<Shared>, name: Name) -> Result<Response, Problem> {
    let snapshot = surface.snapshot().await?;
    let id = find(&snapshot, name)?;
    let document = Shown {
        schema_version: SCHEMA,
        component: Writer::new(&snapshot, surface.handle.clock()).component(id),
        why: Why::of(&snapshot).sentence(id),
    };
    Ok(Json(document).into_response())
}

/// The sentence, the chain to the root cause, and the victims.
pub(crate) async fn explain(
    State(surface): State<Shared>,
    name: Name,
) -> Result<Response, Problem> {
    let snapshot = surface.snapshot().await?;
    let id = find(&snapshot, name)?;
    Ok(Json(explanation(&snapshot, id)).into_response())
}

/// The component of that name or alias.
///
/// # Errors
///
/// 404 with the name that is spelled most like it.
pub(crate) fn find(snapshot: &Snapshot, name: Name) -> Result<ComponentId, Problem> {
    let Ok(Path(name)) = name else {
        let detail = "the component's name is no UTF-8 once its percent signs are decoded";
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    };
    let plan = &snapshot.plan;
    plan.find(&name).ok_or_else(|| {
        let unknown = OperationError::unknown(plan, &name);
        Problem::new(StatusCode::NOT_FOUND, unknown.to_string())
    })
}

#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ComponentDocument")]
pub(crate) struct Shown<'a> {
    schema_version: &'static str,
    component: Component<'a>,
    why: String,
}

#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Explanation<'a> {
    schema_version: &'static str,
    component: &'a str,
    state: &'static str,
    why: String,
    /// The component at the root, which may be this one; null when nothing is wrong with it.
    root: Option<&'a str>,
    /// From this component to the root.
    chain: Vec<Link<'a>>,
    /// Who is down, waits, or goes on without something because of this one.
    victims: Vec<&'a str>,
}

#[derive(Debug, JsonSchema, Serialize)]
struct Link<'a> {
    component: &'a str,
    state: &'static str,
    why: String,
}

fn explanation(snapshot: &Snapshot, id: ComponentId) -> Explanation<'_> {
    let why = Why::of(snapshot);
    let name = |id: ComponentId| snapshot.name(id).as_str();
    let state = |id: ComponentId| snapshot.component(id).state.as_str();
    let link = |id: ComponentId| Link {
        component: name(id),
        state: state(id),
        why: why.link(id),
    };
    Explanation {
        schema_version: SCHEMA,
        component: name(id),
        state: state(id),
        why: why.sentence(id),
        root: why.root(id).map(name),
        chain: why.chain(id).into_iter().map(link).collect(),
        victims: why.victims(id).into_iter().map(name).collect(),
    }
}
