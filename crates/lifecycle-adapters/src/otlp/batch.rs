//! Batches of spans as messages of the protocol.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::{Duration, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use super::finished::{Finished, Kind, Status as Ending, Value};

/// The bit that says that a span is sampled.
const SAMPLED: u32 = 1;

/// What is said of the process as a whole.
pub(super) fn resource(attributes: &[(String, String)]) -> Resource {
    let attributes = attributes.iter();
    let attributes =
        attributes.map(|(key, text)| attribute(key.clone(), Value::Text(text.clone())));
    Resource {
        attributes: attributes.collect(),
        ..Resource::default()
    }
}

/// A request with all of `spans`, by the part of the program that each is from.
pub(super) fn request(resource: Resource, spans: Vec<Finished>) -> ExportTraceServiceRequest {
    let mut scopes = BTreeMap::<&'static str, Vec<Span>>::new();
    for span in spans {
        scopes.entry(span.target).or_default().push(message(span));
    }
    let scopes = scopes.into_iter().map(|(name, spans)| ScopeSpans {
        scope: Some(InstrumentationScope {
            name: name.to_owned(),
            ..InstrumentationScope::default()
        }),
        spans,
        ..ScopeSpans::default()
    });
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource),
            scope_spans: scopes.collect(),
            ..ResourceSpans::default()
        }],
    }
}

fn message(span: Finished) -> Span {
    let began = nanos(span.began.duration_since(UNIX_EPOCH).unwrap_or_default());
    let parent = span.place.parent.map(NonZeroU64::get);
    let attributes = span.attributes.into_iter();
    Span {
        trace_id: span.place.trace.get().to_be_bytes().to_vec(),
        span_id: span.place.span.get().to_be_bytes().to_vec(),
        parent_span_id: parent.map_or_else(Vec::new, |it| it.to_be_bytes().to_vec()),
        flags: SAMPLED,
        name: span.name.into_owned(),
        kind: kind(span.kind).into(),
        start_time_unix_nano: began,
        end_time_unix_nano: began.saturating_add(nanos(span.lasted)),
        attributes: attributes
            .map(|(key, it)| attribute(key.into_owned(), it))
            .collect(),
        dropped_attributes_count: span.dropped,
        status: match span.status {
            Ending::Unset => None,
            Ending::Error(message) => Some(Status {
                message,
                code: StatusCode::Error.into(),
            }),
        },
        ..Span::default()
    }
}

const fn kind(kind: Kind) -> SpanKind {
    match kind {
        Kind::Internal => SpanKind::Internal,
        Kind::Server => SpanKind::Server,
        Kind::Client => SpanKind::Client,
    }
}

fn attribute(key: String, value: Value) -> KeyValue {
    let value = match value {
        Value::Text(text) => any_value::Value::StringValue(text),
        Value::Whole(number) => any_value::Value::IntValue(number),
        Value::Real(number) => any_value::Value::DoubleValue(number),
        Value::Flag(flag) => any_value::Value::BoolValue(flag),
    };
    KeyValue {
        key,
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
