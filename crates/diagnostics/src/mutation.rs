//! [`Mutation`]: a request that changes something.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, FromRequest, Request};
use axum::http::header::{CONTENT_TYPE, HeaderMap};
use axum::http::{Extensions, StatusCode};
use lifecycle_core::engine::Intent;
use serde::de::DeserializeOwned;

use crate::audit::{Entry, is_unprintable};
use crate::credentials::Caller;
use crate::problem::Problem;

/// The most characters of a reason.
pub(crate) const REASON_LIMIT: usize = 512;

/// What [`is_unprintable`] does not refuse, for the description; blanks around a reason are dropped first.
pub(crate) const REASON: &str =
    r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]*$";

/// Who wants something, from where, and what was sent; looked into by the handler, so that it can say who sent nonsense.
#[derive(Debug)]
pub(crate) struct Mutation {
    who: Arc<str>,
    peer: Option<SocketAddr>,
    body: Result<Bytes, Problem>,
}

impl<S: Send + Sync> FromRequest<S> for Mutation {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Some(caller) = request.extensions().get::<Caller>() else {
            // A host has mounted the routes without what stands before them.
            let detail =
                "this listener asks nobody who they are, so nobody may change anything here";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, detail));
        };
        let who = Arc::clone(&caller.who);
        let peer = peer(request.extensions());
        let is_json = is_json(request.headers());
        let body = Bytes::from_request(request, state).await;
        let body = body.map_err(|it| Problem::new(it.status(), it.body_text()));
        let body = body.and_then(|it| match is_json || it.is_empty() {
            true => Ok(it),
            false => Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body is to be JSON; send it as application/json",
            )),
        });
        Ok(Self { who, peer, body })
    }
}

impl Mutation {
    /// The audit line of this request, as far as it is known.
    pub(crate) fn entry(&self, what: impl Into<Cow<'static, str>>) -> Entry {
        Entry {
            who: self.who.to_string(),
            peer: self.peer,
            what: what.into(),
            component: None,
            reason: None,
        }
    }

    /// The body as `T`; an empty one is an object without fields.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let body: &[u8] = match self.body.as_ref() {
            Ok(body) if body.is_empty() => b"{}",
            Ok(body) => body,
            Err(problem) => return Err(problem.clone()),
        };
        // As a list the fields would be read by their order.
        if !body.trim_ascii_start().starts_with(b"{") {
            let detail = "the body is to be a JSON object, as in {\"reason\": \"…\"}";
            return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
        }
        let read = Json::from_bytes(body);
        let Json(value) =
            read.map_err(|it| Problem::new(StatusCode::BAD_REQUEST, it.body_text()))?;
        Ok(value)
    }

    /// Who wants it and why, as the orchestrator keeps and shows it.
    pub(crate) fn intent(&self, reason: Option<&str>) -> Result<Intent, Problem> {
        let reason = checked_reason(reason)?;
        let intent = Intent {
            by: None,
            reason: reason.map(Arc::from),
        };
        Ok(intent.by(Arc::clone(&self.who)))
    }
}

/// Trimmed; a blank one is none.
fn checked_reason(reason: Option<&str>) -> Result<Option<&str>, Problem> {
    let Some(reason) = reason.map(str::trim).filter(|it| !it.is_empty()) else {
        return Ok(None);
    };
    if reason.chars().count() > REASON_LIMIT {
        let detail = format!("a reason may have {REASON_LIMIT} characters; name a ticket instead");
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    if reason.contains(is_unprintable) {
        let detail = "a reason is one line of text, without control characters";
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    Ok(Some(reason))
}

/// Where a request came from, if the listener tells.
pub(crate) fn peer(extensions: &Extensions) -> Option<SocketAddr> {
    let info = extensions.get::<ConnectInfo<SocketAddr>>();
    info.map(|ConnectInfo(address)| *address)
}

fn is_json(headers: &HeaderMap) -> bool {
    let named = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let essence = named.and_then(|it| it.split(';').next()).unwrap_or("");
    essence.trim().eq_ignore_ascii_case("application/json")
}
