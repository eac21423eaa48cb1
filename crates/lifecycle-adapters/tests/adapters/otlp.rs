//! What of spans arrives at a collector.

use std::time::{Duration, Instant};

use lifecycle_adapters::otlp::{Endpoint, Exporter, Settings};
use lifecycle_core::{Registration, component};
use lifecycle_runtime::{Orchestrator, Traces as _};
use tracing::{field, info_span};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::collector::{Answer, Collector, Got};

fn settings(collector: &Collector) -> Settings {
    let endpoint = Endpoint::parse(&collector.endpoint()).expect("an endpoint");
    Settings {
        flush_timeout: Duration::from_secs(30),
        ..Settings::to(endpoint)
    }
}

/// Runs `work` with an exporter as its only listener, to the end of the flush.
fn exported(settings: Settings, work: impl FnOnce()) {
    let exporter = Exporter::new(settings);
    let subscriber = tracing_subscriber::registry().with(exporter.layer());
    tracing::subscriber::with_default(subscriber, work);
    exporter.flush();
}

#[track_caller]
fn only<'a>(spans: &'a [Got], name: &str) -> &'a Got {
    let named: Vec<_> = spans.iter().filter(|it| it.name == name).collect();
    assert_eq!(named.len(), 1, "{name}: {spans:#?}");
    named[0]
}

#[test]
fn fields_are_attributes_and_parents_are_those_of_the_code() {
    let collector = Collector::begin(Answer::Taken);
    exported(settings(&collector), || {
        let outer = info_span!(
            "outer",
            size = 3_u64,
            share = 0.5,
            wanted = true,
            late = field::Empty
        );
        outer.record("late", "yes");
        outer.in_scope(|| {
            tracing::debug_span!("too quiet")
                .in_scope(|| drop(info_span!("inner", text = "é".repeat(1_000))));
        });
    });
    let spans = collector.spans();
    assert_eq!(spans.len(), 2, "{spans:#?}");
    let (outer, inner) = (only(&spans, "outer"), only(&spans, "inner"));
    let of_outer = ["size", "share", "wanted", "late"].map(|it| outer.attribute(it));
    assert_eq!(of_outer, ["3", "0.5", "true", "yes"]);
    assert_eq!((&*outer.parent, &inner.parent), ("", &outer.id));
    assert_eq!(inner.trace, outer.trace);
    // A text is cut where a character ends.
    assert_eq!(inner.attribute("text").len(), 1024);
    assert!(outer.began <= inner.began && inner.ended <= outer.ended);
}

#[test]
fn a_span_that_says_where_it_is_is_there_and_takes_along_what_is_in_it() {
    let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let collector = Collector::begin(Answer::Taken);
    exported(settings(&collector), || {
        for (name, sampled) in [("seen", true), ("unseen", false)] {
            let hop = info_span!(
                "hop",
                name,
                trace_id = trace,
                span_id = span,
                parent_id = "0a",
                sampled
            );
            hop.in_scope(|| drop(info_span!("within")));
        }
    });
    let spans = collector.spans();
    assert_eq!(spans.len(), 2, "{spans:#?}");
    let (hop, within) = (only(&spans, "hop"), only(&spans, "within"));
    assert_eq!(
        (&*hop.trace, &*hop.id, &*hop.parent),
        (trace, span, "000000000000000a")
    );
    assert_eq!((&*within.trace, &*within.parent), (trace, span));
    let keys: Vec<_> = hop.attributes.keys().collect();
    assert_eq!(keys, ["name"]);
}

#[test]
fn by_a_ratio_of_nothing_only_the_orchestrator_is_sampled() {
    let collector = Collector::begin(Answer::Taken);
    let none = Settings {
        sample_ratio: 0.0,
        ..settings(&collector)
    };
    exported(none, || {
        drop(info_span!("of somebody"));
        drop(info_span!(target: "lifecycle", "start"));
        drop(info_span!(target: "lifecycle::lasting", "run"));
    });
    let spans = collector.spans();
    assert_eq!(spans.len(), 1, "{spans:#?}");
    only(&spans, "start");
}

#[test]
fn what_a_component_does_as_it_starts_is_within_its_attempt() {
    let collector = Collector::begin(Answer::Taken);
    exported(settings(&collector), || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let opening = component::from_fn(
                async |_| {
                    drop(info_span!("opens its files"));
                    Ok(())
                },
                async |_| Err("it will not".into()),
            );
            let mut builder = Orchestrator::builder();
            builder.register(Registration::new("store", opening));
            let handle = builder.build().expect("one component").spawn();
            handle.start().await.expect("it starts");
            handle.stop().await.expect_err("it will not");
        });
    });
    let spans = collector.spans();
    let (attempt, within) = (only(&spans, "start store"), only(&spans, "opens its files"));
    assert_eq!(
        (&within.parent, &within.trace),
        (&attempt.id, &attempt.trace)
    );
    let refusals = spans.iter().filter(|it| it.name == "stop store");
    for refusal in refusals {
        assert_eq!(refusal.error.as_deref(), Some("it will not"));
        assert_eq!(
            refusal.attribute("error.type"),
            refusal.attribute("lifecycle.outcome")
        );
    }
    let stop = only(&spans, "stop");
    assert_eq!(stop.attribute("lifecycle.outcome"), "unclean");
}

#[test]
fn a_flood_beyond_the_queue_holds_up_nobody_and_what_was_queued_arrives() {
    let collector = Collector::begin(Answer::Never);
    let small = Settings {
        queue: 10,
        batch: 5,
        delay: Duration::from_millis(1),
        timeout: Duration::from_secs(3_600),
        flush_timeout: Duration::from_millis(100),
        ..settings(&collector)
    };
    let begin = Instant::now();
    exported(small, || {
        for _ in 0..100_000 {
            drop(info_span!("one of many"));
        }
        collector.wait_for_requests(1);
    });
    // A hundred thousand spans and the flush: were one of them to wait, it would be an hour.
    assert!(begin.elapsed() < Duration::from_secs(60));
    assert!(collector.spans().is_empty());
}

#[test]
fn a_whole_queue_is_sent_in_batches_at_the_end() {
    let collector = Collector::begin(Answer::Taken);
    let slow = Settings {
        queue: 1_000,
        batch: 64,
        delay: Duration::from_secs(3_600),
        ..settings(&collector)
    };
    exported(slow, || {
        for _ in 0..1_000 {
            drop(info_span!("one of many"));
        }
    });
    assert_eq!(collector.spans().len(), 1_000);
}
