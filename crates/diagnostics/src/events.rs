//! `/control/lifecycle/events`: what happens, as server-sent events.
//!
//! A stream begins with a snapshot, or where a reader that comes back has left off, and goes on with changes. What a reader
//! has missed is said, and followed by a new snapshot: never does it believe a state that is not so. It costs the driver
//! nothing: a stream reads a bounded buffer that overflows, and rests before it asks for a further snapshot.

mod change;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderMap, HeaderName, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use lifecycle_core::engine::{DrainState, Event, EventKind, OrchestratorState};
use lifecycle_runtime::{Notice, Subscription};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use crate::pieces::Pieces;
use crate::problem::Problem;
use crate::router::Shared;
use crate::server::Line;
use crate::snapshot::{self, Components, LISTED};

pub use change::{Change, Names};

/// How many streams are open at once, unless set.
pub(crate) const STREAMS: usize = 32;

/// How long a stream is silent before it says that it is still there.
const SILENCE: Duration = Duration::from_secs(15);

/// How long a stream that has missed events rests before it begins anew.
const REST: Duration = Duration::from_millis(500);

/// The event that a reader has seen last.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Opens a stream.
pub(crate) async fn open(
    State(surface): State<Shared>,
    line: Option<Extension<Line>>,
    headers: HeaderMap,
) -> Response {
    let line = line.map(|Extension(it)| it);
    if let Some(problem) = refusal(&surface, line.as_ref()) {
        return problem.into_response();
    }
    let Ok(permit) = Arc::clone(&surface.streams).try_acquire_owned() else {
        let detail = "all event streams are taken; close one, or ask for /control/lifecycle";
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        return ([(RETRY_AFTER, "5")], problem).into_response();
    };
    let last = headers.get(LAST_EVENT_ID).and_then(|it| it.to_str().ok());
    let last = last.map(|it| it.trim().parse::<EventId>());
    let stream = match Stream::begin(surface, line, permit, last).await {
        Ok(stream) => stream,
        Err(problem) => return problem.into_response(),
    };
    let frames = futures_util::stream::unfold(stream, async |mut stream| {
        // A long snapshot keeps nobody waiting who is answered by the same thread.
        tokio::task::yield_now().await;
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

/// On a listener that is a part of what drains, nothing endless may begin once that has.
fn refusal(surface: &Shared, line: Option<&Line>) -> Option<Problem> {
    let status = surface.status();
    let goes = status.drain == DrainState::Draining || status.state == OrchestratorState::Stopping;
    (line.is_none() && goes).then(|| {
        let detail = "this listener drains; the address of diagnostics still has event streams";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    })
}

/// `<instance>-<sequence>`: an event of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct EventId {
    instance: u64,
    sequence: u64,
}

impl FromStr for EventId {
    type Err = ();

    /// Reads what was written, and nothing that only looks like it.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (instance, sequence) = text.split_once('-').ok_or(())?;
        let read = Self {
            instance: u64::from_str_radix(instance, 16).map_err(drop)?,
            sequence: sequence.parse().map_err(drop)?,
        };
        (read.to_string() == text).then_some(read).ok_or(())
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { instance, sequence } = self;
        write!(f, "{instance:x}-{sequence}")
    }
}

/// Reads the id of an event as a client may have written it, and holds it against what is written.
#[cfg(fuzzing)]
pub(crate) fn fuzz_id(text: &str) {
    if let Ok(id) = text.parse::<EventId>() {
        assert_eq!(id.to_string(), text);
    }
}

/// What a reader has missed. Both ends count to it; null where the events were of another process.
#[derive(Debug, Serialize)]
struct Gap {
    from: Option<u64>,
    to: Option<u64>,
    reason: &'static str,
}

impl Gap {
    /// What came after `last`, up to `to`.
    fn after(last: u64, to: u64, reason: &'static str) -> Self {
        Self {
            from: Some(last + 1),
            to: Some(to),
            reason,
        }
    }

    /// Of events that nobody here can count.
    const fn of_strangers(reason: &'static str) -> Self {
        Self {
            from: None,
            to: None,
            reason,
        }
    }
}

/// One reader's stream.
struct Stream {
    surface: Shared,
    /// `None` on a listener of somebody else.
    line: Option<Line>,
    events: Subscription,
    /// What is ready to be sent.
    frames: VecDeque<Frame>,
    /// The sequence number of the last event that the reader knows of.
    last: u64,
    names: Names,
    ended: bool,
    _permit: OwnedSemaphorePermit,
}

impl Stream {
    async fn begin(
        surface: Shared,
        line: Option<Line>,
        permit: OwnedSemaphorePermit,
        known: Option<Result<EventId, ()>>,
    ) -> Result<Self, Problem> {
        if let Some(line) = &line {
            line.is_endless();
        }
        let mut stream = Self {
            // Before the history is read, so that nothing falls between the two.
            events: surface.handle.subscribe(),
            names: Names::new(surface.handle.clone()),
            line,
            surface,
            frames: VecDeque::new(),
            last: 0,
            ended: false,
            _permit: permit,
        };
        stream
            .frames
            .push_back(Frame::Short("retry: 1000\n\n".to_owned()));
        match known {
            None => stream.show_all(None).await?,
            Some(Ok(id)) if id.instance == stream.surface.instance => {
                stream.resume(id.sequence).await?;
            }
            Some(_) => {
                let gap = Gap::of_strangers("another-process");
                stream.show_all(Some(gap)).await?;
            }
        }
        Ok(stream)
    }

    /// Goes on after the event `last`, if all that came after it is still kept.
    async fn resume(&mut self, last: u64) -> Result<(), Problem> {
        let history = self.surface.handle.history();
        let newest = history.last().map_or(0, |it| it.sequence);
        let oldest = history.first().map_or(0, |it| it.sequence);
        if last > newest {
            let gap = Gap::of_strangers("unknown-event");
            return self.show_all(Some(gap)).await;
        }
        if last + 1 < oldest {
            let gap = Gap::after(last, oldest - 1, "no-longer-kept");
            return self.show_all(Some(gap)).await;
        }
        self.last = last;
        for event in history.iter().filter(|it| it.sequence > last) {
            self.push_change(event);
        }
        Ok(())
    }

    /// Says what is missing, if anything is, and how everything stands.
    async fn show_all(&mut self, gap: Option<Gap>) -> Result<(), Problem> {
        let surface = Arc::clone(&self.surface);
        let snapshot = Arc::new(surface.snapshot().await?);
        if let Some(mut gap) = gap {
            // What the snapshot contains is not told again.
            gap.to = gap.from.map(|_| snapshot.sequence);
            self.push("gap", None, &gap);
        }
        let (readiness, _) = surface.readiness(LISTED);
        let clock = surface.handle.clock();
        let numbered = Numbered {
            sequence: snapshot.sequence,
            document: snapshot::document(&snapshot, clock, &readiness),
        };
        self.last = snapshot.sequence;
        self.names.renew();
        let frame = self.head("snapshot", Some(snapshot.sequence));
        match Pieces::of_json(&numbered, &["]}"], Components::new(&snapshot, clock)) {
            Ok(pieces) => self.frames.push_back(Frame::Long(pieces.framed(&frame))),
            Err(error) => complain(&error),
        }
        Ok(())
    }

    /// The next thing to be sent, or the next piece of it; `None` at the end.
    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(piece) = self.take_piece() {
                return Some(piece);
            }
            if self.ended {
                return None;
            }
            let line = self.line.clone();
            let closes = async {
                match line {
                    Some(line) => line.closes().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = closes => return None,
                notice = self.events.next() => match notice {
                    Some(notice) => self.take(notice).await,
                    // Nobody drives the orchestrator any more.
                    None => return None,
                },
                () = tokio::time::sleep(SILENCE) => return Some(b": still here\n\n".to_vec()),
            }
        }
    }

    fn take_piece(&mut self) -> Option<Vec<u8>> {
        while let Some(frame) = self.frames.front_mut() {
            if let Frame::Long(pieces) = frame {
                match pieces.next() {
                    Ok(None) => {}
                    Ok(piece) => return piece,
                    // Half a frame is sent: the reader must not take what follows for the rest of it.
                    Err(error) => {
                        complain(&error);
                        self.ended = true;
                        self.frames.clear();
                        return None;
                    }
                }
            }
            if let Some(Frame::Short(text)) = self.frames.pop_front() {
                return Some(text.into_bytes());
            }
        }
        None
    }

    async fn take(&mut self, notice: Notice) {
        match notice {
            Notice::Event(event) if event.sequence <= self.last => {}
            Notice::Event(event) => {
                self.push_change(&event);
                self.ended = self.line.is_none() && begins_the_end(&event.kind);
            }
            Notice::Missed(_) => {
                // A burst would make it miss the next ones too.
                tokio::time::sleep(REST).await;
                let gap = Gap::after(self.last, self.last, "too-slow");
                self.ended = self.show_all(Some(gap)).await.is_err();
            }
        }
    }

    fn push_change(&mut self, event: &Event) {
        self.last = event.sequence;
        let clock = self.surface.handle.clock();
        let change = Change::of(event, clock, &mut self.names);
        self.push("change", Some(event.sequence), &change);
    }

    fn push(&mut self, kind: &str, sequence: Option<u64>, data: &impl Serialize) {
        let mut frame = self.head(kind, sequence);
        match serde_json::to_string(data) {
            // It has no line break: JSON escapes them.
            Ok(json) => {
                // Writing to a string cannot fail.
                let _ = write!(frame, "data: {json}\n\n");
                self.frames.push_back(Frame::Short(frame));
            }
            Err(error) => complain(&error),
        }
    }

    /// The lines of an event before its data.
    fn head(&self, kind: &str, sequence: Option<u64>) -> String {
        let Some(sequence) = sequence else {
            return format!("event: {kind}\n");
        };
        let instance = self.surface.instance;
        let id = EventId { instance, sequence };
        format!("event: {kind}\nid: {id}\n")
    }
}

/// What is to be sent.
enum Frame {
    Short(String),
    Long(Pieces),
}

fn complain(error: &serde_json::Error) {
    tracing::error!(%error, "an event cannot be written");
}

#[derive(Serialize)]
struct Numbered<'a> {
    sequence: u64,
    // Behind all else, since the components are its end.
    #[serde(flatten)]
    document: snapshot::Document<'a>,
}

/// Whether a listener that is a part of the orchestrator is about to be drained or stopped.
fn begins_the_end(kind: &EventKind) -> bool {
    match kind {
        EventKind::Orchestrator { to, .. } => *to == OrchestratorState::Stopping,
        EventKind::Node { to, .. } => *to == DrainState::Draining,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use lifecycle_core::engine::{Intent, NodeCommand};
    use lifecycle_core::{Registration, component};
    use lifecycle_runtime::{Handle, Orchestrator, OrchestratorBuilder};
    use serde_json::Value;
    use tokio::sync::Semaphore;

    use crate::router::Surface;
    use crate::timeline::Timelines;
    use crate::troubles::Troubles;

    use super::*;

    /// A stream that is read by hand, over an orchestrator of one component that runs.
    struct Stage {
        handle: Handle,
        surface: Shared,
    }

    impl Stage {
        async fn with(configure: impl FnOnce(&mut OrchestratorBuilder)) -> Self {
            let mut builder = Orchestrator::builder();
            configure(&mut builder);
            let idle = component::from_fn(async |_| Ok(()), async |_| Ok(()));
            builder.register(Registration::new("pool", idle));
            let handle = builder.build().unwrap().spawn();
            handle.start().await.unwrap();
            let surface = Surface {
                handle: handle.clone(),
                operations: crate::operations::Ledger::new(handle.clone()),
                troubles: Troubles::default(),
                timelines: Timelines::default(),
                providers: Vec::new(),
                recorder: None,
                listed_components: 200,
                mounted: Vec::new(),
                instance: 0xbeef,
                streams: Arc::new(Semaphore::new(1)),
            };
            Self {
                handle,
                surface: Arc::new(surface),
            }
        }

        async fn open(&self, last: Option<&str>) -> Stream {
            let permit = Arc::clone(&self.surface.streams).try_acquire_owned();
            let surface = Arc::clone(&self.surface);
            let last = last.map(str::parse);
            let stream = Stream::begin(surface, None, permit.expect("it is free"), last).await;
            stream.expect("the orchestrator is driven")
        }

        async fn restart(&self) {
            self.handle.restart("pool").await.unwrap();
        }
    }

    /// The next event, as `kind id` and its data.
    async fn read(stream: &mut Stream) -> Option<(String, Value)> {
        loop {
            let frame = String::from_utf8(stream.next().await?).expect("text");
            let line = |start: &str| frame.lines().find_map(|it| it.strip_prefix(start));
            let Some(kind) = line("event: ") else {
                continue;
            };
            let head = format!("{kind} {}", line("id: ").unwrap_or("-"));
            let data = serde_json::from_str(line("data: ").expect("data")).expect("JSON");
            return Some((head, data));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_is_too_slow_is_told_what_it_missed_and_sees_everything_anew() {
        let stage = Stage::with(|it| {
            it.event_capacity(2);
        })
        .await;
        let mut stream = stage.open(None).await;
        let (head, snapshot) = read(&mut stream).await.unwrap();
        assert!(head.starts_with("snapshot beef-"), "{head}");
        let seen = snapshot["sequence"].as_u64().unwrap();
        // Nobody reads meanwhile, and the driver waits for nobody.
        stage.restart().await;
        let now = stage.handle.snapshot().await.unwrap().sequence;
        assert!(now > seen + 2);
        let (head, gap) = read(&mut stream).await.unwrap();
        let expected = serde_json::json!({"from": seen + 1, "to": now, "reason": "too-slow"});
        assert_eq!((head.as_str(), gap), ("gap -", expected));
        let (head, snapshot) = read(&mut stream).await.unwrap();
        assert_eq!(head, format!("snapshot beef-{now}"));
        assert_eq!(snapshot["orchestrator"]["sequence"], now);
        // And nothing that the snapshot contains is told again.
        stage.restart().await;
        let (_, next) = read(&mut stream).await.unwrap();
        assert!(next["sequence"].as_u64() > Some(now) || next["from"].as_u64() > Some(now));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_comes_back_is_told_all_that_came_in_between_as_long_as_it_is_kept() {
        let stage = Stage::with(|it| {
            it.history(8);
        })
        .await;
        let seen = stage.handle.snapshot().await.unwrap().sequence;
        stage.restart().await;
        let newest = stage.handle.snapshot().await.unwrap().sequence;
        let oldest = stage.handle.history()[0].sequence;
        assert!(oldest <= seen + 1, "it fits");
        let mut stream = stage.open(Some(&format!("beef-{seen}"))).await;
        for sequence in seen + 1..=newest {
            let (head, change) = read(&mut stream).await.unwrap();
            assert_eq!(head, format!("change beef-{sequence}"));
            assert_eq!(change["sequence"], sequence);
        }
        drop(stream);

        let too_old = format!("beef-{}", oldest - 2);
        let mut stream = stage.open(Some(&too_old)).await;
        let (_, gap) = read(&mut stream).await.unwrap();
        assert_eq!(gap["reason"], "no-longer-kept");
        assert_eq!(gap["from"], oldest - 1);
        let (head, _) = read(&mut stream).await.unwrap();
        assert_eq!(head, format!("snapshot beef-{newest}"));
        drop(stream);

        for (id, reason) in [
            (format!("f00d-{newest}"), "another-process"),
            (format!("beef-{}", newest + 1), "unknown-event"),
            ("nonsense".to_owned(), "another-process"),
        ] {
            let mut stream = stage.open(Some(&id)).await;
            let (_, gap) = read(&mut stream).await.unwrap();
            let expected = serde_json::json!({"from": null, "to": null, "reason": reason});
            assert_eq!(gap, expected, "{id}");
            let (head, _) = read(&mut stream).await.unwrap();
            assert_eq!(head, format!("snapshot beef-{newest}"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn on_a_listener_that_drains_with_the_node_a_stream_ends_with_the_begin_of_that() {
        let stage = Stage::with(|_| {}).await;
        let mut stream = stage.open(None).await;
        read(&mut stream).await.unwrap();
        let begins = |kind: &EventKind| begins_the_end(kind);
        assert!(!begins(&EventKind::Node {
            cordoned: true,
            from: DrainState::Active,
            to: DrainState::Active,
            intent: Intent::default(),
        }));
        let cordon = stage.handle.command(NodeCommand::Cordon, Intent::default());
        cordon.await.unwrap();
        let (_, change) = read(&mut stream).await.unwrap();
        assert_eq!(
            (&change["kind"], &change["to"]),
            (&"node".into(), &"active".into())
        );
        assert!(refusal(&stage.surface, None).is_none());
        stage.handle.stop().await.unwrap();
        let (_, change) = read(&mut stream).await.unwrap();
        assert_eq!(change["to"], "stopping");
        assert_eq!(read(&mut stream).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_says_that_it_is_still_there() {
        let stage = Stage::with(|_| {}).await;
        let mut stream = stage.open(None).await;
        read(&mut stream).await.unwrap();
        assert_eq!(
            stream.next().await.as_deref(),
            Some(&b": still here\n\n"[..])
        );
        assert_eq!(
            stream.next().await.as_deref(),
            Some(&b": still here\n\n"[..])
        );
    }

    #[test]
    fn ids_of_events_are_read_as_they_are_written() {
        let id = EventId {
            instance: 0xbeef,
            sequence: 12,
        };
        assert_eq!("beef-12".parse(), Ok(id));
        for wrong in [
            "", "12", "beef-", "-12", "x-1", "beef-1-2", "+beef-12", "beef-+12", "BEEF-12",
            "0beef-12", "beef-012",
        ] {
            assert_eq!(wrong.parse::<EventId>(), Err(()), "{wrong}");
        }
    }
}
