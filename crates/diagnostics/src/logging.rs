//! `/omnirelay/control/logging`: which lines the host writes, read and changed while it runs.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use lifecycle_runtime::{LogFilter, LogFilterError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::audit::{Entry, is_unprintable};
use crate::mutation::{Mutation, REASON, REASON_LIMIT};
use crate::problem::Problem;
use crate::router::Shared;

/// The most bytes of a filter: it is asked for each line that is new.
const LONGEST: usize = 1024;

pub(crate) fn table() -> [(&'static str, MethodRouter<Shared>); 1] {
    [("/omnirelay/control/logging", get(show).post(change))]
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Logging")]
pub(crate) struct Document {
    /// As the original has it.
    minimum_level: String,
    filter: String,
}

impl Document {
    fn of(filter: &LogFilter) -> Self {
        Self {
            minimum_level: filter.level(),
            filter: filter.present(),
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "LoggingOrder")]
pub(crate) struct Wish {
    filter: String,
    #[schemars(length(max = REASON_LIMIT), regex(pattern = REASON))]
    reason: Option<String>,
}

async fn show() -> Response {
    match installed() {
        Ok(filter) => Json(Document::of(filter)).into_response(),
        Err(problem) => problem.into_response(),
    }
}

async fn change(mutation: Mutation) -> Response {
    let mut entry = mutation.entry("logging");
    match set(&mutation, &mut entry) {
        Ok(document) => Json(document).into_response(),
        Err(problem) => {
            entry.refused(&problem);
            problem.into_response()
        }
    }
}

fn set(mutation: &Mutation, entry: &mut Entry) -> Result<Document, Problem> {
    let wish: Wish = mutation.read()?;
    entry.reason.clone_from(&wish.reason);
    mutation.intent(wish.reason.as_deref())?;
    let bad = |detail: String| Problem::new(StatusCode::BAD_REQUEST, detail);
    if wish.filter.len() > LONGEST || wish.filter.contains(is_unprintable) {
        let detail = format!("a filter is one line of at most {LONGEST} bytes");
        return Err(bad(detail));
    }
    let filter = installed()?;
    entry.what = format!("logging: {} to {}", filter.present(), wish.filter).into();
    filter.set(&wish.filter).map_err(|error| match error {
        LogFilterError::Gone => Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        _ => bad(error.to_string()),
    })?;
    entry.done();
    Ok(Document::of(filter))
}

fn installed() -> Result<&'static LogFilter, Problem> {
    LogFilter::installed().ok_or_else(|| {
        let detail =
            "the log output of this process was not set up by its host, which cannot change it";
        Problem::new(StatusCode::NOT_FOUND, detail)
    })
}
