//! A stop that does not end: what is seen of it while it lasts, and what is left of it.

use std::time::{Duration, Instant};

use crate::golden::check;
use crate::process::{OpenCall, Process};
use crate::shell::Shell;

#[test]
fn a_dispatcher_whose_stream_never_ends_says_so_and_is_gone_after_its_drain_deadline() {
    let mut host = Process::dispatcher(&[
        "--set",
        "defaults.drain-timeout=4s",
        "--set",
        "defaults.await-interval=500ms",
        "--set",
        "defaults.shutdown-timeout=10s",
    ]);
    let call = OpenCall::at(host.address("http-inbound:0"));
    let shell = Shell::beside(&mut host);
    let begin = Instant::now();
    host.terminate();
    shell.until("lifecyclectl status", "blocked by");
    check("stop-draining", &shell, "status", 1);
    let why = shell.ctl("why http-inbound:0").ended(0);
    why.says("http-inbound:0 is draining (1 in flight");
    let waits = "wait --for stopped --timeout 200ms";
    check("stop-draining-wait", &shell, waits, 2);
    check("stop-draining-order", &shell, "restart announcer", 4);
    let awaited = host.logged(&["orchestrator.awaiting", "http-inbound:0"]);
    assert!(awaited.contains("1 request in flight"), "{awaited}");
    host.logged(&["component.cancelled", "http-inbound:0", "phase=\"drain\""]);
    // What is cut off in the end was no fault of the host.
    assert_eq!(host.exit(), Some(0));
    assert!(
        begin.elapsed() < Duration::from_secs(11),
        "{:?}",
        begin.elapsed()
    );
    check("stop-over", &shell, "wait --for stopped", 0);
    drop(call);
    let log = host.whole_log();
    assert!(log.contains("node.drain_failed"), "{log}");
    assert!(
        log.contains("connections that did not end in time are cut off"),
        "{log}"
    );
}

#[test]
fn contract_b18_a_component_that_hangs_in_its_stop_is_named_while_it_does_and_in_the_report() {
    let mut host = Process::troubled(&["exporter=hangs"]);
    let shell = Shell::beside(&mut host);
    shell.ctl("wait --for ready").ended(0);
    host.terminate();
    host.logged(&["component.stopped", "\"feed\""]);
    shell.until("lifecyclectl status --all", "page 7/9");
    check("stop-hanging", &shell, "status", 1);
    check("stop-hanging-all", &shell, "status --all", 1);
    check("stop-hanging-why", &shell, "why exporter", 0);
    check("stop-hanging-why-pool", &shell, "why pool", 0);
    // Which of the two was asked first is not the same each time.
    let timeline = shell.ctl("timeline --stop").ended(0);
    timeline
        .says("the stop is under way for ")
        .says("exporter ");
    let waits = "wait --for stopped --timeout 200ms";
    check("stop-hanging-wait", &shell, waits, 2);
    host.logged(&["orchestrator.awaiting", "exporter (stop for", "page 7/9"]);
    assert_eq!(host.exit(), Some(71));
    let log = host.whole_log();
    for part in [
        "component.aborted",
        "\"exporter\" aborted: stop was still at work at its limit",
        "at \"page 7/9\"",
        "closed over it: diagnostics, ledger",
    ] {
        assert!(log.contains(part), "{part} is not in\n{log}");
    }
}

#[test]
fn a_second_signal_ends_at_once_what_hangs_and_the_host_says_so() {
    let mut host = Process::troubled(&["exporter=hangs"]);
    let shell = Shell::beside(&mut host);
    shell.ctl("wait --for ready").ended(0);
    host.terminate();
    host.logged(&["component.stopping", "\"exporter\""]);
    let begin = Instant::now();
    host.terminate();
    assert_eq!(host.exit(), Some(71));
    assert!(
        begin.elapsed() < Duration::from_secs(3),
        "{:?}",
        begin.elapsed()
    );
    let log = host.whole_log();
    assert!(log.contains("force-requested"), "{log}");
}

#[test]
fn contract_b18_a_component_that_blocks_its_thread_in_its_stop_is_named_and_left_behind() {
    let mut host = Process::troubled(&["exporter=blocks"]);
    let shell = Shell::beside(&mut host);
    shell.ctl("wait --for ready").ended(0);
    host.terminate();
    host.logged(&["component.blocked", "component=\"exporter\"", "page 7/9"]);
    let metrics = "curl --silent localhost:9180/metrics";
    shell.until(metrics, "lifecycle_blocked_polls 1");
    host.logged(&["component.stopped", "\"feed\""]);
    check("stop-blocking", &shell, "status", 1);
    assert_eq!(host.exit(), Some(71));
    let log = host.whole_log();
    assert!(log.contains("\"exporter\" abandoned"), "{log}");
    assert!(log.contains("host.left_behind"), "{log}");
}
