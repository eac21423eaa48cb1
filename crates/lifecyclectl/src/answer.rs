//! [`Answer`]: what a host has said, and what that means to a command.

use std::fmt;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::DATE;
use hyper::{Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::client::{Silence, deepest};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::text::plain;

/// How large an answer may be: that of a hundred thousand components is half of it.
const LARGEST: usize = 256 * 1024 * 1024;

/// What a host has said.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// When, by the host's own clock: ours may be wrong.
    pub(crate) now: Timestamp,
    body: Bytes,
}

/// An RFC 9457 document, as far as it is read.
#[derive(Debug, Default, Deserialize)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Schema {
    schema_version: Option<String>,
}

impl Answer {
    pub(crate) async fn read(response: Response<Incoming>) -> Result<Self, Silence> {
        let (head, body) = response.into_parts();
        let date = head.headers.get(DATE).and_then(|it| it.to_str().ok());
        let date = date.and_then(|it| jiff::fmt::rfc2822::parse(it).ok());
        let date = date.map(|it| it.timestamp());
        let collected = Limited::new(body, LARGEST).collect().await;
        let collected = collected.map_err(|it| Silence::Broken(deepest(&*it)))?;
        Ok(Self {
            status: head.status,
            now: clock(date, Timestamp::now()),
            body: collected.to_bytes(),
        })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as a document of the schema that this client knows.
    ///
    /// # Errors
    ///
    /// When it is another one, or none.
    pub(crate) fn document<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let strange = |why: &dyn fmt::Display| {
            Failure::new(
                Exit::Failed,
                format!("the answer is no document that this client knows: {why}"),
                "use the lifecyclectl of the host's version, or --output json where it is only shown",
            )
        };
        let schema: Schema = serde_json::from_slice(&self.body).map_err(|it| strange(&it))?;
        match schema.schema_version.as_deref() {
            Some("v1") | None => serde_json::from_slice(&self.body).map_err(|it| strange(&it)),
            Some(other) => Err(strange(&format_args!("its schema is {other:?}"))),
        }
    }

    /// What an answer that is no success means to a command.
    pub(crate) fn refusal(&self, path: &str) -> Failure {
        let problem: Problem = serde_json::from_slice(&self.body).unwrap_or_default();
        let title = problem.title.unwrap_or_else(|| self.title());
        let what = match problem.detail {
            Some(detail) => format!("{title}: {detail}"),
            None => format!("{title}: the host says no more"),
        };
        let path = path.split('?').next().unwrap_or_default();
        let (exit, remedy) = remedy(self.status, path);
        Failure::new(exit, plain(&what), remedy)
    }

    fn title(&self) -> String {
        let words = self.status.canonical_reason().unwrap_or("status");
        format!("{words} ({})", self.status.as_u16())
    }
}

/// How far the host's clock may be from ours for ours to say more: it is told in whole seconds, and an answer takes a while.
const AGREEMENT: SignedDuration = SignedDuration::from_secs(2);

/// The host's clock.
fn clock(date: Option<Timestamp>, own: Timestamp) -> Timestamp {
    let agrees = |date: &Timestamp| own.duration_since(*date).abs() <= AGREEMENT;
    date.filter(|it| !agrees(it)).unwrap_or(own)
}

fn remedy(status: StatusCode, path: &str) -> (Exit, String) {
    match status {
        StatusCode::UNAUTHORIZED => (
            Exit::Refused,
            "give a token by --token-file, or LIFECYCLECTL_TOKEN".to_owned(),
        ),
        StatusCode::FORBIDDEN => (
            Exit::Refused,
            "use a token with the scope: mesh.read to look, mesh.operate to act".to_owned(),
        ),
        StatusCode::NOT_FOUND if path.starts_with("/control/lifecycle/components/") => (
            Exit::NotFound,
            "`lifecyclectl tree` lists the names".to_owned(),
        ),
        StatusCode::NOT_FOUND => (
            Exit::NotFound,
            format!("{path} may be on another listener of the host: --endpoint names it"),
        ),
        StatusCode::CONFLICT => (
            Exit::Refused,
            "`lifecyclectl status` says how it is now".to_owned(),
        ),
        StatusCode::PRECONDITION_FAILED => (
            Exit::Refused,
            "the graph has changed: ask for the plan again".to_owned(),
        ),
        StatusCode::SERVICE_UNAVAILABLE => (
            Exit::Failed,
            "ask again; the host may be on its way up or down".to_owned(),
        ),
        _ => (Exit::Failed, "the host's log may say more".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_by_the_clock_of_the_host_unless_ours_agrees() {
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let own = at("2026-11-28T06:50:12.700Z");
        let agreeing = Some(at("2026-11-28T06:50:12Z"));
        let other = at("2026-11-28T06:50:10Z");
        assert_eq!(clock(agreeing, own), own);
        let slow = Some(at("2026-11-28T06:50:11Z"));
        assert_eq!(clock(slow, own), own);
        assert_eq!(clock(Some(other), own), other);
        assert_eq!(clock(None, own), own);
    }
}
