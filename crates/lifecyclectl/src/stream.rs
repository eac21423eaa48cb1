//! [`Stream`]: a stream of events of one host.

use std::collections::VecDeque;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::sse::{Event, Reader};

/// How long to wait before a connection that was lost is opened again.
pub(crate) const AGAIN: Duration = Duration::from_secs(1);

/// A stream of events that is open.
pub(crate) struct Stream<'a> {
    session: &'a Session,
    body: Incoming,
    reader: Reader,
    ready: VecDeque<Event>,
}

impl<'a> Stream<'a> {
    /// Opens the stream at `path`, after the event `last` when that is given.
    ///
    /// # Errors
    ///
    /// When the host refuses, or cannot be asked.
    pub(crate) async fn open(
        session: &'a Session,
        path: &str,
        last: Option<&str>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            session,
            body: session.client.stream(path, last).await?,
            reader: Reader::default(),
            ready: VecDeque::new(),
        })
    }

    /// The next event, or nothing when the stream has ended.
    ///
    /// # Errors
    ///
    /// When the connection breaks.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, Failure> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            let Some(frame) = self.body.frame().await else {
                return Ok(None);
            };
            let frame = frame.map_err(|it| broken(self.session, &it.to_string()))?;
            if let Some(bytes) = frame.data_ref() {
                let events = self.reader.take(bytes);
                let events = events.map_err(|it| broken(self.session, &it))?;
                self.ready.extend(events);
            }
        }
    }
}

/// Whether who follows tries again: the host may come back, but what it refuses it will refuse again.
pub(crate) fn is_worth_another_try(failure: &Failure) -> bool {
    matches!(failure.exit, Exit::Failed | Exit::TimedOut)
}

/// The document of an event.
///
/// # Errors
///
/// When it is none that this client knows.
pub(crate) fn parsed<T: DeserializeOwned>(event: &Event) -> Result<T, Failure> {
    serde_json::from_str(&event.data).map_err(|error| {
        let what = format!(
            "the event {:?} is none that this client knows: {error}",
            event.name
        );
        let remedy = "use the lifecyclectl of the host's version";
        Failure::new(Exit::Refused, what, remedy)
    })
}

/// That a stream is no good, and why.
pub(crate) fn broken(session: &Session, why: &str) -> Failure {
    let what = format!(
        "the stream of {} is broken: {why}",
        session.client.endpoint()
    );
    Failure::new(Exit::Failed, what, "ask again")
}
