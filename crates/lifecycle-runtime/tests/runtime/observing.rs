//! What logs and metrics tell.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, Once};

use lifecycle_core::Retry;
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use tracing::Level;

use crate::draining::inbound;
use crate::kit::*;

thread_local! {
    static WRITTEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What this thread logs, in memory. There is one subscriber for all tests: with one each, they would disturb each other
/// by what `tracing` remembers of who listens.
#[derive(Clone, Copy, Debug)]
struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        WRITTEN.with_borrow_mut(|it| it.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// Logs of this thread from now on.
    fn capture() -> Self {
        static SUBSCRIBER: Once = Once::new();
        SUBSCRIBER.call_once(|| {
            let subscriber = tracing_subscriber::fmt()
                .with_writer(|| Self)
                .with_max_level(Level::INFO)
                .with_ansi(false)
                .without_time();
            subscriber.init();
        });
        WRITTEN.with_borrow_mut(Vec::clear);
        Self
    }

    fn text(self) -> String {
        WRITTEN.with_borrow(|it| String::from_utf8_lossy(it).into_owned())
    }

    /// Level and event name of each line, in order.
    fn events(self) -> Vec<String> {
        let level = |line: &str| {
            line.split_whitespace()
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        let event = |line: &str| {
            let rest = line.split_once("event=\"")?.1;
            Some(rest.split_once('"')?.0.to_owned())
        };
        let text = self.text();
        let lines = text.lines();
        lines
            .filter_map(|it| Some(format!("{} {}", level(it), event(it)?)))
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn contract_44_and_45_the_normal_transitions_are_information_with_the_name() {
    let lines = Lines::capture();
    let journal = Journal::default();
    let handle = run([plain("pool", &journal)]);
    handle.start().await.unwrap();
    handle.stop().await.unwrap();
    assert_eq!(
        lines.events(),
        [
            "INFO orchestrator.starting",
            "INFO component.starting",
            "INFO component.started",
            "INFO orchestrator.started",
            "INFO orchestrator.stopping",
            "INFO component.stopping",
            "INFO component.stopped",
            "INFO orchestrator.stopped",
        ]
    );
    assert_eq!(lines.text().matches("component=\"pool\"").count(), 4);
}

#[tokio::test(start_paused = true)]
async fn contract_45_failures_and_rollback_failures_are_warnings_with_their_error() {
    let lines = Lines::capture();
    let journal = Journal::default();
    let handle = run([
        scripted(Scripted::new("pool", &journal).stops([Act::Fail])),
        scripted(Scripted::new("worker", &journal).starts([Act::Fail]))
            .depends_on(["pool"])
            .start_retry(Retry::attempts(2)),
    ]);
    refusal(handle.start().await);
    let events = lines.events();
    let warnings: Vec<_> = events.iter().filter(|it| it.starts_with("WARN")).collect();
    assert!(events.contains(&"INFO component.retry_scheduled".to_owned()));
    assert!(
        warnings
            .iter()
            .filter(|it| **it == "WARN component.start_failed")
            .count()
            == 2
    );
    assert!(
        events.contains(&"WARN component.rollback_failed".to_owned()),
        "{events:?}"
    );
    assert!(lines.text().contains("error=start failed"));
}

#[tokio::test(start_paused = true)]
async fn contract_23_and_45_only_the_last_stop_attempt_of_a_rollback_is_its_failure() {
    let lines = Lines::capture();
    let journal = Journal::default();
    let lucky = Scripted::new("lucky", &journal).stops([Act::Fail, Act::Succeed]);
    let failing = Scripted::new("failing", &journal).stops([Act::Fail]);
    let worker = Scripted::new("worker", &journal).starts([Act::Fail]);
    let handle = run([
        scripted(lucky).stop_retry(Retry::attempts(2)),
        scripted(failing).stop_retry(Retry::attempts(2)),
        scripted(worker).depends_on(["lucky", "failing"]),
    ]);
    refusal(handle.start().await);
    let told = |event: &str| lines.events().iter().filter(|it| *it == event).count();
    assert_eq!(told("WARN component.stop_failed"), 3, "an attempt each");
    let text = lines.text();
    let failures = text
        .lines()
        .filter(|it| it.contains("component.rollback_failed"));
    let [failure] = failures.collect::<Vec<_>>()[..] else {
        panic!("{text}");
    };
    for part in ["WARN", "component=\"failing\"", "error=stop failed"] {
        assert!(failure.contains(part), "no {part} in {failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_fails_when_it_was_asked_to_end_is_a_warning_with_its_name() {
    let lines = Lines::capture();
    let flushing = lifecycle_core::component::from_fn(
        async |cx: lifecycle_core::StartContext| {
            let token = cx.run_token();
            cx.spawn("flush", async move {
                token.cancelled().await;
                Err::<(), lifecycle_core::BoxError>("the disk is full".into())
            });
            let token = cx.run_token();
            cx.spawn("quiet", async move { token.cancelled().await });
            Ok(())
        },
        async |_| Ok(()),
    );
    let handle = run([lifecycle_core::Registration::new("log", flushing)]);
    handle.start().await.unwrap();
    handle.stop().await.unwrap();
    let text = lines.text();
    let late = text
        .lines()
        .filter(|it| it.contains("component.task_failed_late"));
    let [line] = late.collect::<Vec<_>>()[..] else {
        panic!("{text}");
    };
    for part in [
        "WARN",
        "component=\"log\"",
        "task=\"flush\"",
        "error=the disk is full",
    ] {
        assert!(line.contains(part), "no {part} in {line}");
    }
}

#[tokio::test(start_paused = true)]
async fn contract_b10_what_a_call_logs_stands_in_the_span_of_its_attempt_within_that_of_the_run() {
    let lines = Lines::capture();
    let speaking = lifecycle_core::component::from_fn(
        async |_| {
            tracing::info!("speaking");
            Ok(())
        },
        async |_| Ok(()),
    );
    let handle = run([lifecycle_core::Registration::new("a", speaking)]);
    handle.start().await.unwrap();
    let text = lines.text();
    let line = text.lines().find(|it| it.contains("speaking")).unwrap();
    assert!(
        line.contains("run{run=1}:start{reason=\"start-requested\"}:attempt{component=\"a\" generation=1 attempt=1 phase=\"start\"}"),
        "{line}"
    );
}

/// One that logs as it starts and as it stops.
fn speaking(name: &'static str) -> lifecycle_core::Registration {
    let component = lifecycle_core::component::from_fn(
        move |_| async move {
            tracing::info!("{name} comes");
            Ok(())
        },
        move |_| async move {
            tracing::info!("{name} goes");
            Ok(())
        },
    );
    lifecycle_core::Registration::new(name, component)
}

#[tokio::test(start_paused = true)]
async fn contract_b10_operations_are_spans_and_whoever_goes_along_is_within_that_of_the_cause() {
    let lines = Lines::capture();
    let handle = run([speaking("a"), speaking("b").depends_on(["a"])]);
    handle.start().await.unwrap();
    handle.restart("a").await.unwrap();
    handle.wait_ready().await.unwrap();
    handle.stop().await.unwrap();
    let text = lines.text();
    for (what, spans) in [
        (
            "a comes",
            [
                "run{run=1}:start{reason=",
                "run{run=1}:restart{component=\"a\" ",
            ],
        ),
        (
            "b comes",
            [
                "run{run=1}:start{reason=",
                "run{run=1}:restart{component=\"a\" ",
            ],
        ),
        (
            "b goes",
            [
                "run{run=1}:restart{component=\"a\" ",
                "run{run=1}:stop{reason=",
            ],
        ),
        (
            "a goes",
            [
                "run{run=1}:restart{component=\"a\" ",
                "run{run=1}:stop{reason=",
            ],
        ),
    ] {
        let said: Vec<_> = text.lines().filter(|it| it.ends_with(what)).collect();
        assert_eq!(said.len(), 2, "{what}: {text}");
        for (line, span) in said.iter().zip(spans) {
            assert!(line.contains(span), "{span}: {line}");
        }
    }
}

/// Metrics in memory, by name and labels.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter(Arc<Mutex<BTreeMap<String, f64>>>);

#[derive(Debug)]
struct Series {
    name: String,
    meter: Meter,
}

impl Meter {
    fn series(&self, key: &Key) -> Arc<Series> {
        let labels: Vec<_> = key
            .labels()
            .map(|it| format!("{}={}", it.key(), it.value()))
            .collect();
        Arc::new(Series {
            name: format!("{}{{{}}}", key.name(), labels.join(",")),
            meter: self.clone(),
        })
    }

    #[track_caller]
    pub(crate) fn value(&self, name: &str) -> f64 {
        let values = self.0.lock().unwrap();
        *values
            .get(name)
            .unwrap_or_else(|| panic!("no {name} in {values:#?}"))
    }
}

impl Series {
    fn update(&self, change: impl FnOnce(f64) -> f64) {
        let mut values = self.meter.0.lock().unwrap();
        let value = values.entry(self.name.clone()).or_default();
        *value = change(*value);
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the counts of these tests are small"
)]
impl CounterFn for Series {
    fn increment(&self, value: u64) {
        self.update(|it| it + value as f64);
    }

    fn absolute(&self, value: u64) {
        self.update(|_| value as f64);
    }
}

impl GaugeFn for Series {
    fn increment(&self, value: f64) {
        self.update(|it| it + value);
    }

    fn decrement(&self, value: f64) {
        self.update(|it| it - value);
    }

    fn set(&self, value: f64) {
        self.update(|_| value);
    }
}

impl HistogramFn for Series {
    fn record(&self, _value: f64) {
        self.update(|it| it + 1.0);
    }
}

impl Recorder for Meter {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.series(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.series(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.series(key))
    }
}

#[tokio::test(start_paused = true)]
async fn contract_b08_metrics_count_what_happened_without_naming_components() {
    let meter = Meter::default();
    let _guard = metrics::set_default_local_recorder(&meter);
    let journal = Journal::default();
    let flaky = Scripted::new("flaky", &journal).starts([Act::Fail, Act::Succeed]);
    let handle = run([
        plain("pool", &journal),
        scripted(flaky).start_retry(Retry::attempts(2)),
    ]);
    handle.start().await.unwrap();
    assert!((meter.value("lifecycle_ready{}") - 1.0).abs() < f64::EPSILON);
    handle.stop().await.unwrap();
    for (name, value) in [
        ("lifecycle_ready{}", 0.0),
        ("lifecycle_orchestrator_state{state=stopped}", 1.0),
        ("lifecycle_orchestrator_state{state=running}", 0.0),
        (
            "lifecycle_attempts_total{phase=start,outcome=succeeded}",
            2.0,
        ),
        ("lifecycle_attempts_total{phase=start,outcome=error}", 1.0),
        (
            "lifecycle_attempts_total{phase=stop,outcome=succeeded}",
            2.0,
        ),
        (
            "lifecycle_attempts_total{phase=dispose,outcome=succeeded}",
            2.0,
        ),
        (
            "lifecycle_phase_duration_seconds{phase=start,outcome=succeeded}",
            2.0,
        ),
        ("lifecycle_backoff_seconds{}", 1.0),
        ("lifecycle_abandoned_tasks_total{}", 0.0),
        (
            "lifecycle_transitions_total{from=starting,to=running,reason=succeeded}",
            2.0,
        ),
    ] {
        assert!(
            (meter.value(name) - value).abs() < f64::EPSILON,
            "{name} is {}",
            meter.value(name)
        );
    }
    let names: Vec<_> = meter.0.lock().unwrap().keys().cloned().collect();
    assert!(
        names
            .iter()
            .all(|it| !it.contains("pool") && !it.contains("flaky"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_drain_and_a_resume_that_succeed_are_counted_with_how_long_they_took() {
    let meter = Meter::default();
    let _guard = metrics::set_default_local_recorder(&meter);
    let (inbound, _work) = inbound(&Journal::default());
    let handle = run([inbound]);
    handle.start().await.unwrap();
    handle.drain().await.unwrap();
    handle.resume().await.unwrap();
    handle.stop().await.unwrap();
    // The stop has drained too.
    for (phase, times) in [("drain", 2.0), ("resume", 1.0)] {
        for metric in [
            "lifecycle_attempts_total",
            "lifecycle_phase_duration_seconds",
        ] {
            let name = format!("{metric}{{phase={phase},outcome=succeeded}}");
            let value = meter.value(&name);
            assert!((value - times).abs() < f64::EPSILON, "{name} is {value}");
        }
    }
}
