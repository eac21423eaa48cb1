//! [`Stream`]: leadership as server-sent events.
//!
//! A stream begins with a snapshot and goes on with changes. Who reads too slowly is told how many it has missed, and begins
//! anew. Each event says its kind in its data too, for readers that know data alone.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderName;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use diagnostics::server::Line;
use lifecycle_core::engine::{DrainState, OrchestratorState};
use lifecycle_runtime::{Status, StatusWatch};
use mesh::leadership::{Notice, Subscription};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use crate::leaders::Document;

/// How long a stream is silent before it says that it is still there.
const SILENCE: Duration = Duration::from_secs(15);

/// When a stream ends that has no end of its own.
pub(super) enum Ending {
    /// When its listener closes.
    Line(Line),
    /// When the node is drained or stopped, of which its listener is a part.
    Drain(StatusWatch),
}

impl Ending {
    pub(super) fn of_line(line: Line) -> Self {
        line.is_endless();
        Self::Line(line)
    }

    pub(super) const fn of_drain(status: StatusWatch) -> Self {
        Self::Drain(status)
    }

    async fn comes(&mut self) {
        match self {
            Self::Line(line) => line.closes().await,
            Self::Drain(status) => {
                // An error says that nobody drives the orchestrator any more.
                let _ = status.wait_for(goes).await;
            }
        }
    }
}

fn goes(status: &Status) -> bool {
    status.drain == DrainState::Draining || status.state == OrchestratorState::Stopping
}

/// What is sent.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Beginning {
    Snapshot(Document),
    Gap { missed: u64 },
}

/// One reader's stream.
pub(super) struct Stream {
    /// `None` where nobody leads anything.
    events: Option<Subscription>,
    ending: Ending,
    /// What is ready to be sent.
    frame: Option<String>,
    _permit: OwnedSemaphorePermit,
}

impl Stream {
    pub(super) fn new(
        events: Option<Subscription>,
        ending: Ending,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let mut begin = "retry: 1000\n\n".to_owned();
        if events.is_none() {
            begin.push_str(&frame("snapshot", &Beginning::Snapshot(None.into())));
        }
        Self {
            events,
            ending,
            frame: Some(begin),
            _permit: permit,
        }
    }

    /// The next thing to be sent; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        if let Some(frame) = self.frame.take() {
            return Some(frame);
        }
        let events = &mut self.events;
        let notice = async {
            match events {
                Some(events) => events.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            notice = notice => notice.map(told),
            () = self.ending.comes() => None,
            () = tokio::time::sleep(SILENCE) => Some(": still here\n\n".to_owned()),
        }
    }
}

impl IntoResponse for Stream {
    fn into_response(self) -> Response {
        let frames = futures_util::stream::unfold(self, async |mut stream| {
            let frame = stream.next().await?;
            Some((Ok::<_, Infallible>(frame), stream))
        });
        let headers = [
            (CONTENT_TYPE, "text/event-stream"),
            // A proxy that collects an answer before it passes it on would show nothing.
            (HeaderName::from_static("x-accel-buffering"), "no"),
        ];
        (headers, Body::from_stream(frames)).into_response()
    }
}

fn told(notice: Notice) -> String {
    match notice {
        Notice::Snapshot(snapshot) => {
            frame("snapshot", &Beginning::Snapshot(Some(snapshot).into()))
        }
        Notice::Event(event) => frame("change", &event),
        Notice::Missed(missed) => frame("gap", &Beginning::Gap { missed }),
    }
}

fn frame(name: &str, data: &impl Serialize) -> String {
    match serde_json::to_string(data) {
        // It has no line break: JSON escapes them.
        Ok(json) => format!("event: {name}\ndata: {json}\n\n"),
        Err(error) => {
            tracing::error!(%error, "an event cannot be written");
            ": an event cannot be written\n\n".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_missed_something_is_told_how_much() {
        let expected = "event: gap\ndata: {\"kind\":\"gap\",\"missed\":3}\n\n";
        assert_eq!(told(Notice::Missed(3)), expected);
    }
}
