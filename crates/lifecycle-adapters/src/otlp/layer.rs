//! [`SpanLayer`]: spans of `tracing`, kept from their begin to their end, and queued then.

use std::borrow::Cow;
use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};
use std::time::{Instant, SystemTime};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::finished::{Finished, Kind, Status, Value};
use super::place::{Place, is_drawn};
use super::worker::Queue;

/// How many attributes a span may have, and how many bytes each text.
const ATTRIBUTES: usize = 64;
const TEXT_BYTES: usize = 1024;

/// Which spans there are for the collector.
pub(super) fn filter() -> FilterFn {
    FilterFn::new(is_wanted as fn(&Metadata<'_>) -> bool).with_max_level_hint(LevelFilter::INFO)
}

fn is_wanted(metadata: &Metadata<'_>) -> bool {
    metadata.is_span()
        && *metadata.level() <= LevelFilter::INFO
        && !metadata.target().starts_with("lifecycle::lasting")
}

/// Takes in spans, and queues them as they end.
pub(super) struct SpanLayer {
    queue: Queue,
    sample_ratio: f64,
}

impl SpanLayer {
    pub(super) const fn new(queue: Queue, sample_ratio: f64) -> Self {
        Self {
            queue,
            sample_ratio,
        }
    }

    /// Where a span is that has said nothing of it. What the orchestrator does is rare, and always sampled.
    fn place(&self, parent: Option<Place>, metadata: &Metadata<'_>) -> Place {
        match parent {
            Some(parent) => parent.child(),
            None => {
                let is_ours = metadata.target() == "lifecycle";
                Place::first(is_ours || is_drawn(self.sample_ratio))
            }
        }
    }
}

/// A span that has not ended.
struct Open {
    place: Place,
    began: SystemTime,
    since: Instant,
    /// Empty unless it is sampled.
    fields: Fields,
}

impl<S> Layer<S> for SpanLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let parent = span.parent().and_then(|it| {
            let extensions = it.extensions();
            extensions.get::<Open>().map(|it| it.place)
        });
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let said = fields.said.place();
        let place = said.unwrap_or_else(|| self.place(parent, attributes.metadata()));
        if !place.is_sampled {
            fields = Fields::default();
        }
        span.extensions_mut().insert(Open {
            place,
            began: SystemTime::now(),
            since: Instant::now(),
            fields,
        });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut extensions = span.extensions_mut();
        if let Some(open) = extensions.get_mut::<Open>()
            && open.place.is_sampled
        {
            values.record(&mut open.fields);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else {
            return;
        };
        let Some(open) = span.extensions_mut().remove::<Open>() else {
            return;
        };
        if !open.place.is_sampled {
            return;
        }
        self.queue.push(Finished {
            name: Cow::Borrowed(span.name()),
            target: span.metadata().target(),
            kind: Kind::Internal,
            status: Status::Unset,
            attributes: open.fields.attributes,
            dropped: open.fields.dropped,
            place: open.place,
            began: open.began,
            lasted: open.since.elapsed(),
        });
    }
}

/// What a span says of itself.
#[derive(Default)]
struct Fields {
    attributes: Vec<(Cow<'static, str>, Value)>,
    dropped: u32,
    said: Said,
}

/// What a span says of where it is.
#[derive(Default)]
struct Said {
    trace: Option<NonZeroU128>,
    span: Option<NonZeroU64>,
    parent: Option<NonZeroU64>,
    is_left_out: bool,
}

impl Said {
    fn place(&self) -> Option<Place> {
        Some(Place {
            trace: self.trace?,
            span: self.span?,
            parent: self.parent,
            is_sampled: !self.is_left_out,
        })
    }
}

impl Fields {
    /// What is said twice holds as it is said last.
    fn set(&mut self, field: &Field, value: Value) {
        let mut known = self.attributes.iter_mut();
        if let Some((_, known)) = known.find(|(key, _)| key == field.name()) {
            *known = value;
        } else if self.attributes.len() < ATTRIBUTES {
            self.attributes.push((field.name().into(), value));
        } else {
            self.dropped += 1;
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, text: &str) {
        match field.name() {
            "trace_id" => self.said.trace = id(text),
            "span_id" => self.said.span = short_id(text),
            "parent_id" => self.said.parent = short_id(text),
            _ => self.set(field, Value::Text(shortened(text).to_owned())),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        match field.name() {
            "sampled" => self.said.is_left_out = !value,
            _ => self.set(field, Value::Flag(value)),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, Value::Whole(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(
            field,
            Value::Whole(i64::try_from(value).unwrap_or(i64::MAX)),
        );
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, Value::Real(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

fn id(text: &str) -> Option<NonZeroU128> {
    let number = u128::from_str_radix(text, 16).ok()?;
    NonZeroU128::new(number)
}

fn short_id(text: &str) -> Option<NonZeroU64> {
    let number = u64::from_str_radix(text, 16).ok()?;
    NonZeroU64::new(number)
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES)]
}
