//! What the subject logs of its components, in memory.

use std::cell::RefCell;
use std::fmt::Debug;
use std::mem;
use std::sync::Once;

use tokio::time::Instant;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

thread_local! {
    static WRITTEN: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// One log event about a component.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    pub(crate) at: Option<Instant>,
    pub(crate) level: Option<Level>,
    /// The stable name of the event, such as `component.started`.
    pub(crate) event: String,
    pub(crate) component: String,
    pub(crate) attempt: u64,
    pub(crate) duration_ms: u64,
    pub(crate) error: String,
}

/// Begins to keep what this thread logs. There is one subscriber for all tests of a process: `tracing` remembers across threads
/// who listens, so that one each would disturb the others.
pub(crate) fn capture() {
    static SUBSCRIBER: Once = Once::new();
    SUBSCRIBER.call_once(|| tracing_subscriber::registry().with(Capture).init());
    let _ = take();
}

/// What this thread has logged since the last time, at info and above: what a host shows unless told otherwise.
pub(crate) fn take() -> Vec<Line> {
    WRITTEN.with_borrow_mut(mem::take)
}

struct Capture;

impl<S: Subscriber> Layer<S> for Capture {
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = *event.metadata().level();
        if level > Level::INFO {
            return;
        }
        let mut line = Line {
            at: Some(Instant::now()),
            level: Some(level),
            ..Line::default()
        };
        event.record(&mut line);
        if !line.component.is_empty() {
            WRITTEN.with_borrow_mut(|it| it.push(line));
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "event" => self.event = value.to_owned(),
            "component" => self.component = value.to_owned(),
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "attempt" => self.attempt = value,
            "duration_ms" => self.duration_ms = value,
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "error" {
            self.error = format!("{value:?}");
        }
    }
}
