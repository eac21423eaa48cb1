//! What a test logs, in memory.

use std::cell::RefCell;
use std::fmt::{Debug, Write as _};
use std::mem;
use std::sync::Once;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

thread_local! {
    static WRITTEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Begins to keep what this thread logs under the target `rpc`: lines as `level field=value …`, and spans likewise. There is
/// one subscriber for all tests of a process: `tracing` remembers across threads who listens, so that one each would disturb
/// the others.
pub(crate) fn capture() {
    static SUBSCRIBER: Once = Once::new();
    SUBSCRIBER.call_once(|| tracing_subscriber::registry().with(Capture).init());
    let _ = take();
}

/// What this thread has logged since the last time.
pub(crate) fn take() -> Vec<String> {
    WRITTEN.with_borrow_mut(mem::take)
}

struct Capture;

impl<S> Layer<S> for Capture
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        if attributes.metadata().target() == "rpc" {
            let mut line = Line(format!("span {}", attributes.metadata().name()));
            attributes.record(&mut line);
            line.keep();
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if context.metadata(id).is_some_and(|it| it.target() == "rpc") {
            let mut line = Line("span records".to_owned());
            values.record(&mut line);
            line.keep();
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if event.metadata().target() != "rpc" {
            return;
        }
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        for span in context.event_scope(event).into_iter().flatten() {
            write!(line.0, " in={}", span.name()).unwrap();
        }
        line.keep();
    }
}

struct Line(String);

impl Line {
    fn keep(self) {
        WRITTEN.with_borrow_mut(|it| it.push(self.0));
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        write!(self.0, " {field}={value}").unwrap();
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() != "message" {
            write!(self.0, " {field}={value:?}").unwrap();
        }
    }
}
