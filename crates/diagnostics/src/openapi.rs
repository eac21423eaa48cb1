//! `/openapi.json`: what this crate answers, described by OpenAPI 3.1.
//!
//! The schemas are derived from the types that are written and read. What a type cannot say, which paths and codes there
//! are, is one row of [`operations`] each; a test compares them with the routes.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::router::Shared;
use crate::{
    dry_run, graph, health, logging, operations as orders, problem, snapshot, timeline, upgrade,
    why,
};

/// Where schemas with a name are kept.
const SCHEMAS: &str = "/components/schemas";

/// The description.
pub(crate) async fn show(State(surface): State<Shared>) -> Response {
    Json(document(&surface.mounted)).into_response()
}

/// Who may ask.
#[derive(Clone, Copy, Debug)]
enum Scope {
    /// Everybody.
    Open,
    /// Whoever may see the mesh.
    Read,
    /// Whoever may act on it.
    Operate,
}

/// An event of a stream, as a client reads it.
#[derive(JsonSchema)]
#[schemars(rename = "ServerSentEvent")]
#[expect(dead_code, reason = "a description; events are written as text")]
struct Sent {
    /// `snapshot`, `change` or `gap`.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    /// What to go on after.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// A document as JSON.
    data: String,
}

/// A schema, made by a generator that collects those with a name.
type Shape = fn(&mut SchemaGenerator) -> Schema;

/// One method of one path, as `/openapi.json` describes it.
///
/// A host that [mounts](crate::DiagnosticsBuilder::merge) a route says what it answers, so that the description has all there is:
///
/// ```
/// use diagnostics::Described;
///
/// let described = Described::get("/control/weather", "How the weather is")
///     .query(&[("place", "where; everywhere, unless given")])
///     .json::<String>()
///     .problems(&[(400, "there is no such parameter")]);
/// ```
#[derive(Clone, Debug)]
pub struct Described {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    scope: Scope,
    query: &'static [(&'static str, &'static str)],
    headers: &'static [(&'static str, &'static str)],
    body: Option<Shape>,
    /// Whether there must be a body.
    needs_body: bool,
    /// What is answered with 202: it goes on.
    begun: Option<Shape>,
    /// The media type and the schema of what is answered with 200.
    answers: Vec<(&'static str, Shape)>,
    /// Further codes that are answered with the same document, or without one.
    also: &'static [(u16, &'static str)],
    /// Codes that are answered with a problem document.
    problems: &'static [(u16, &'static str)],
}

const GONE: (u16, &str) = (503, "nobody drives the orchestrator any more");
const UNKNOWN: (u16, &str) = (404, "there is no such component");

const BAD: (u16, &str) = (400, "the body cannot be read, or says what there is not");
const LARGE: (u16, &str) = (413, "the body is too large");
const OTHER_TYPE: (u16, &str) = (415, "the body is not declared as JSON");
const BUSY: (u16, &str) = (429, "too much is under way already");

/// One row for each route and method.
fn operations() -> Vec<Described> {
    let mut rows = shown();
    rows.extend(ordered());
    rows
}

/// What can be done.
fn ordered() -> Vec<Described> {
    let component = |path, summary| {
        post(path, summary)
            .order::<orders::Wish>()
            .begun::<orders::Document<'_>>()
            .problems(&[
                BAD,
                UNKNOWN,
                (409, "it cannot be done now; the detail says what helps"),
                (412, "the plan is another one"),
                LARGE,
                OTHER_TYPE,
                BUSY,
                GONE,
            ])
    };
    let node = |operation: Described| {
        operation
            .json::<upgrade::Document<'_>>()
            .begun::<upgrade::Begun<'_>>()
            .problems(&[
                BAD,
                (409, "it cannot be done now; the detail says what helps"),
                LARGE,
                OTHER_TYPE,
                BUSY,
                GONE,
            ])
    };
    let command = |path, summary| node(post(path, summary).order::<upgrade::Wish>());
    vec![
        component(
            "/control/lifecycle/components/{name}/restart",
            "Stops a component, with what its edges take down with it, and starts it again",
        ),
        component(
            "/control/lifecycle/components/{name}/stop",
            "Stops a component until it is started",
        ),
        component(
            "/control/lifecycle/components/{name}/start",
            "Starts a component that was stopped or has failed",
        ),
        get("/control/lifecycle/operations", "The last operations").json::<orders::Listing<'_>>(),
        get("/control/lifecycle/operations/{id}", "One operation")
            .json::<orders::Document<'_>>()
            .problems(&[(404, "there is no such operation (any more)")]),
        get(
            "/control/upgrade",
            "The node, and who takes part in its drains",
        )
        .json::<upgrade::Document<'_>>()
        .problems(&[GONE]),
        command(
            "/control/upgrade/cordon",
            "Makes the node unready; what runs goes on",
        ),
        command("/control/upgrade/uncordon", "Takes that back"),
        node(
            post(
                "/control/upgrade/drain",
                "Takes no new work, and finishes what is open",
            )
            .order::<upgrade::DrainWish>(),
        ),
        command("/control/upgrade/resume", "Takes work again"),
        command(
            "/control/upgrade/cancel",
            "Ends a drain under way, and takes work again",
        ),
        command("/control/upgrade/force", "Cuts off what a drain waits for"),
        get("/omnirelay/control/logging", "The filter of log lines")
            .json::<logging::Document>()
            .problems(&[(404, "this process has no log of ours")]),
        post("/omnirelay/control/logging", "Sets the filter of log lines")
            .body::<logging::Wish>()
            .operate()
            .json::<logging::Document>()
            .problems(&[
                BAD,
                (404, "this process has no log of ours"),
                LARGE,
                OTHER_TYPE,
                GONE,
            ]),
    ]
}

/// What can be seen.
fn shown() -> Vec<Described> {
    vec![
        get("/livez", "Whether the process serves")
            .open()
            .json::<health::Health<'_>>(),
        get("/healthz", "The same as /livez")
            .open()
            .json::<health::Health<'_>>(),
        get("/readyz", "Whether traffic may be sent here")
            .open()
            .query(&[("verbose", "adds details of each issue")])
            .json::<health::Health<'_>>()
            .also(&[(503, "not ready; the issues say why")]),
        get("/startupz", "Whether a start has ever finished")
            .open()
            .json::<health::Health<'_>>()
            .also(&[(503, "not yet")]),
        get("/metrics", "Metrics for Prometheus")
            .open()
            .text("text/plain")
            .text("application/openmetrics-text"),
        get("/openapi.json", "This description")
            .open()
            .json::<Value>(),
        get(
            "/control/lifecycle",
            "The whole orchestrator at this moment",
        )
        .headers(&[("If-None-Match", "the entity tag of what the reader has")])
        .json::<snapshot::Document<'_>>()
        .also(&[(304, "the reader has it")])
        .problems(&[GONE]),
        get(
            "/control/lifecycle/components/{name}",
            "One component, and why it is as it is",
        )
        .json::<why::Shown<'_>>()
        .problems(&[UNKNOWN, GONE]),
        get(
            "/control/lifecycle/components/{name}/why",
            "Why a component is as it is, down to the root cause, and who suffers from it",
        )
        .json::<why::Explanation<'_>>()
        .problems(&[UNKNOWN, GONE]),
        get(
            "/control/lifecycle/graph",
            "The plan with the states of this moment",
        )
        .query(&[("format", "json (unless given) or dot")])
        .json::<graph::Document<'_>>()
        .text("text/vnd.graphviz")
        .problems(&[(400, "there is no such format"), GONE]),
        get(
            "/control/lifecycle/events",
            "A snapshot, then changes, as server-sent events",
        )
        .headers(&[("Last-Event-ID", "the event after which to go on")])
        .events()
        .problems(&[(503, "all streams are taken, or this listener drains")]),
        get(
            "/control/lifecycle/timeline",
            "How the time of the start and of the stop was spent",
        )
        .json::<timeline::Document<'_>>()
        .problems(&[(503, "not followed yet")]),
        post(
            "/control/lifecycle/plan",
            "What an operation would do; nothing is done",
        )
        .body::<dry_run::Wanted>()
        .json::<dry_run::Document<'_>>()
        .problems(&[
            (400, "the body is no order"),
            UNKNOWN,
            LARGE,
            OTHER_TYPE,
            GONE,
        ]),
    ]
}

const fn get(path: &'static str, summary: &'static str) -> Described {
    Described::get(path, summary)
}

const fn post(path: &'static str, summary: &'static str) -> Described {
    Described::new("post", path, summary)
}

impl Described {
    /// Asking for `path`, which needs the scope `mesh.read`; a part in braces, as in `{name}`, stands for any one part.
    #[must_use]
    pub const fn get(path: &'static str, summary: &'static str) -> Self {
        Self::new("get", path, summary)
    }

    const fn new(method: &'static str, path: &'static str, summary: &'static str) -> Self {
        Self {
            method,
            path,
            summary,
            scope: Scope::Read,
            query: &[],
            headers: &[],
            body: None,
            needs_body: true,
            begun: None,
            answers: Vec::new(),
            also: &[],
            problems: &[],
        }
    }

    const fn open(mut self) -> Self {
        self.scope = Scope::Open;
        self
    }

    const fn operate(mut self) -> Self {
        self.scope = Scope::Operate;
        self
    }

    /// The parameters behind the path, each with what it is for. None has to be given.
    #[must_use]
    pub const fn query(mut self, query: &'static [(&'static str, &'static str)]) -> Self {
        self.query = query;
        self
    }

    const fn headers(mut self, headers: &'static [(&'static str, &'static str)]) -> Self {
        self.headers = headers;
        self
    }

    fn body<T: JsonSchema>(mut self) -> Self {
        self.body = Some(SchemaGenerator::subschema_for::<T>);
        self
    }

    /// It is answered with a document of this type as JSON.
    #[must_use]
    pub fn json<T: JsonSchema>(mut self) -> Self {
        self.answers
            .push(("application/json", SchemaGenerator::subschema_for::<T>));
        self
    }

    fn text(mut self, media_type: &'static str) -> Self {
        self.answers
            .push((media_type, SchemaGenerator::subschema_for::<String>));
        self
    }

    /// It may be said why, and no more has to be.
    fn order<T: JsonSchema>(self) -> Self {
        let mut order = self.body::<T>();
        order.needs_body = false;
        order.scope = Scope::Operate;
        order
    }

    fn begun<T: JsonSchema>(mut self) -> Self {
        self.begun = Some(SchemaGenerator::subschema_for::<T>);
        self
    }

    /// It is answered with server-sent events. The schema is that of each event, as it is when it was read.
    #[must_use]
    pub fn events(mut self) -> Self {
        self.answers
            .push(("text/event-stream", SchemaGenerator::subschema_for::<Sent>));
        self
    }

    const fn also(mut self, also: &'static [(u16, &'static str)]) -> Self {
        self.also = also;
        self
    }

    /// Codes that are answered with a problem document, each with the reason.
    #[must_use]
    pub const fn problems(mut self, problems: &'static [(u16, &'static str)]) -> Self {
        self.problems = problems;
        self
    }

    fn describe(&self, schemas: &mut Schemas) -> Value {
        let mut described = json!({
            "summary": self.summary,
            "operationId": self.id(),
            "parameters": self.parameters(),
            "responses": self.responses(&mut schemas.written),
            "x-scope": match self.scope {
                Scope::Open => Value::Null,
                Scope::Read => "mesh.read".into(),
                Scope::Operate => "mesh.operate".into(),
            },
        });
        if let Some(body) = self.body {
            let schema = body(&mut schemas.read);
            described["requestBody"] = json!({
                "required": self.needs_body,
                "content": {"application/json": {"schema": schema}},
            });
        }
        described
    }

    /// `getControlLifecycleComponentsNameWhy`.
    fn id(&self) -> String {
        let words = self.path.split(|it: char| !it.is_ascii_alphanumeric());
        let words = words.filter(|it| !it.is_empty()).map(|word| {
            let (first, rest) = word.split_at(1);
            first.to_ascii_uppercase() + rest
        });
        std::iter::once(self.method.to_owned())
            .chain(words)
            .collect()
    }

    fn parameters(&self) -> Vec<Value> {
        let names = self.path.split('/').filter_map(|it| {
            let name = it.strip_prefix('{')?.strip_suffix('}')?;
            Some(parameter("path", name, "a name, percent-encoded"))
        });
        let query = self
            .query
            .iter()
            .map(|(name, text)| parameter("query", name, text));
        let headers = self
            .headers
            .iter()
            .map(|(name, text)| parameter("header", name, text));
        names.chain(query).chain(headers).collect()
    }

    fn responses(&self, generator: &mut SchemaGenerator) -> Map<String, Value> {
        let content: Map<String, Value> = self
            .answers
            .iter()
            .map(|(media_type, shape)| {
                let schema = json!({"schema": shape(generator)});
                ((*media_type).to_owned(), schema)
            })
            .collect();
        let mut responses = Map::new();
        if !content.is_empty() {
            let whole = json!({"description": "what was asked for", "content": content});
            responses.insert("200".to_owned(), whole);
        }
        if let Some(begun) = self.begun {
            let content = json!({"application/json": {"schema": begun(generator)}});
            let begun = json!({"description": "it has begun, and goes on", "content": content});
            responses.insert("202".to_owned(), begun);
        }
        for (code, text) in self.also {
            let mut response = json!({"description": text});
            if *code != 304 {
                response["content"] = Value::Object(content.clone());
            }
            responses.insert(code.to_string(), response);
        }
        let problem = generator.subschema_for::<problem::Document<'_>>();
        for (code, text) in self.problems {
            let response = json!({
                "description": text,
                "content": {"application/problem+json": {"schema": problem}},
            });
            responses.insert(code.to_string(), response);
        }
        responses
    }
}

fn parameter(place: &str, name: &str, text: &str) -> Value {
    json!({
        "in": place,
        "name": name,
        "description": text,
        "required": place == "path",
        "schema": {"type": "string"},
    })
}

/// What is written always has all its members; what is read may lack those with a default.
struct Schemas {
    written: SchemaGenerator,
    read: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|it| {
                it.definitions_path = SCHEMAS.into();
                it.meta_schema = None;
            })
        };
        Self {
            written: settings().for_serialize().into_generator(),
            read: settings().for_deserialize().into_generator(),
        }
    }

    fn definitions(mut self) -> Map<String, Value> {
        let mut definitions = self.written.take_definitions(true);
        definitions.extend(self.read.take_definitions(true));
        definitions
    }
}

/// What this crate answers, and what the host has mounted beside it.
fn document(mounted: &[Described]) -> Value {
    let mut schemas = Schemas::new();
    let mut paths = Map::new();
    let own = operations();
    for operation in own.iter().chain(mounted) {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = operation.describe(&mut schemas);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Lifecycle diagnostics",
            "description": "Probes, metrics and the lifecycle of one orchestrator. Times are RFC 3339 in UTC, durations milliseconds.",
            "version": snapshot::SCHEMA,
        },
        "paths": paths,
        "components": {"schemas": schemas.definitions()},
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_described_and_no_other() {
        let routes: BTreeSet<_> = crate::router::paths().collect();
        let described: BTreeSet<_> = operations().iter().map(|it| it.path).collect();
        assert_eq!(described, routes);
    }

    #[test]
    fn operations_have_ids_of_their_own() {
        let ids: BTreeSet<_> = operations().iter().map(Described::id).collect();
        assert_eq!(ids.len(), operations().len());
        assert!(
            ids.contains("getControlLifecycleComponentsNameWhy"),
            "{ids:?}"
        );
    }

    #[test]
    fn what_a_host_mounts_is_described_beside_the_rest() {
        let mounted = Described::get("/control/peers", "Who else there is")
            .query(&[("role", "of which role")])
            .json::<Vec<String>>()
            .problems(&[(400, "there is no such parameter")]);
        let document = document(&[mounted]);
        let described = &document["paths"]["/control/peers"]["get"];
        assert_eq!(described["operationId"], "getControlPeers");
        assert_eq!(described["x-scope"], "mesh.read");
        assert_eq!(described["parameters"][0]["name"], "role");
        let answers = &described["responses"];
        assert!(answers["200"]["content"]["application/json"].is_object());
        assert!(answers["400"]["content"]["application/problem+json"].is_object());
        assert!(document["paths"]["/livez"].is_object());
    }

    #[test]
    fn every_reference_leads_to_a_schema() {
        fn check(value: &Value, schemas: &Value) {
            match value {
                Value::Object(members) => {
                    if let Some(target) = members.get("$ref").and_then(Value::as_str) {
                        let name = target.strip_prefix("#/components/schemas/");
                        let schema = name.and_then(|it| schemas.get(it));
                        assert!(schema.is_some(), "{target} leads nowhere");
                    }
                    members.values().for_each(|it| check(it, schemas));
                }
                Value::Array(values) => values.iter().for_each(|it| check(it, schemas)),
                _ => {}
            }
        }
        let document = document(&[]);
        let schemas = &document["components"]["schemas"];
        assert!(
            schemas["Snapshot"]["properties"]["planId"].is_object(),
            "{schemas}"
        );
        let required = schemas["Order"]["required"].as_array().unwrap();
        assert_eq!(required, &["operation", "component"]);
        let reason = &schemas["NodeOrder"]["properties"]["reason"];
        assert_eq!(reason["maxLength"], 512, "{reason}");
        assert!(reason["pattern"].is_string(), "{reason}");
        let event = &schemas["ServerSentEvent"];
        assert_eq!(event["required"], json!(["data"]), "{event}");
        check(&document, schemas);
    }
}
