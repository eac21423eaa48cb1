//! That what goes wrong is logged by the dispatcher's orchestrator, by stable names, without anybody having asked for it.

use std::time::Duration;

use lifecycle_core::{Backoff, Criticality, Jitter, Nanos, Restart, Retry};
use lifecycle_testkit::{Act, Scripted, simulate};
use tokio_util::sync::CancellationToken;

use crate::log::{self, Line};
use crate::subject::Subject;

fn within(millis: u64) -> Retry {
    Retry::attempts(2)
        .with_backoff(Backoff::Fixed(Nanos::from_millis(10)))
        .with_jitter(Jitter::None)
        .with_attempt_timeout(Nanos::from_millis(millis))
}

/// Level, event, component and attempt of each line that is not about an ordinary step; the delay before what is tried again,
/// and of what has failed the error.
fn troubles(lines: &[Line]) -> Vec<String> {
    let ordinary = ["starting", "started", "stopping", "stopped"];
    let said = |line: &Line| {
        let event = line.event.strip_prefix("component.")?;
        let level = line.level?.as_str().to_lowercase();
        let (component, attempt) = (&line.component, line.attempt);
        let error = match &*line.error {
            "" if event == "retry_scheduled" => format!(" in {} ms", line.duration_ms),
            "" => String::new(),
            error => format!(": {error}"),
        };
        let is_trouble = !ordinary.contains(&event);
        is_trouble.then(|| format!("{level} {event} {component} {attempt}{error}"))
    };
    lines.iter().filter_map(said).collect()
}

#[test]
fn contract_b09_what_goes_wrong_is_logged_by_stable_names_by_default() {
    log::capture();
    let lines = simulate(async {
        let flaky = Scripted::new("flaky")
            .starts([Act::fail(), Act::succeed()])
            .stops([Act::fail(), Act::succeed()])
            .disposes([Act::fail()]);
        let slow = Scripted::new("slow").starts([Act::hang_until_cancelled(), Act::succeed()]);
        let hanging = Scripted::new("hanging").starts(Act::hang_until_cancelled().times(2));
        let skipped = Scripted::new("skipped");
        let degradable = Criticality::Degradable;
        let registrations = vec![
            flaky
                .registration()
                .start_retry(within(1_000))
                .stop_retry(within(1_000)),
            slow.registration().start_retry(within(50)),
            hanging
                .registration()
                .start_retry(within(50))
                .restart(Restart::never())
                .criticality(degradable),
            skipped
                .registration()
                .depends_on(["hanging"])
                .criticality(degradable),
        ];
        let subject = Subject::assemble(registrations, Retry::none(), Retry::none());
        let started = subject.start(CancellationToken::new()).await;
        started.expect("it goes on without what is degradable");
        tokio::time::sleep(Duration::from_secs(1)).await;
        subject
            .stop(None)
            .await
            .expect("the second attempt succeeds");
        log::take()
    });
    let late = "start was still at work at its limit: attempt timeout";
    let expected = [
        "warn start_failed flaky 1: start of flaky failed",
        "info retry_scheduled flaky 1 in 10 ms",
        "warn cancelled slow 1",
        "warn cancelled hanging 1",
        &format!("warn start_timed_out slow 1: {late}"),
        "info retry_scheduled slow 1 in 10 ms",
        &format!("warn start_timed_out hanging 1: {late}"),
        "info retry_scheduled hanging 1 in 10 ms",
        "warn cancelled hanging 2",
        &format!("warn start_timed_out hanging 2: {late}"),
        &format!("warn faulted hanging 2: {late}"),
        // It was never tried, and says for want of what.
        &format!("warn faulted skipped 0: {late}"),
        "warn stop_failed flaky 1: stop of flaky failed",
        "info retry_scheduled flaky 1 in 10 ms",
        "warn dispose_failed flaky 2: dispose of flaky failed",
    ];
    assert_eq!(troubles(&lines), expected);
}
