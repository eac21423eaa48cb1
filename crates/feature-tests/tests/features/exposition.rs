//! `/metrics`, read by `promtool`, and as OpenMetrics by Prometheus' own client library.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::conformance::PYTHON;
use crate::process::Process;
use crate::shell::Shell;

/// Reads a whole exposition, and prints how many counters it has.
const PARSE: &str = "import sys\n\
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as families\n\
    print(sum(it.type == 'counter' for it in families(sys.stdin.read())))";

/// Has `promtool` read what the host exposes; it complains of what does not follow the conventions, too. It reads the older
/// format alone, so the other one is read by the library.
#[track_caller]
fn is_well_formed(shell: &Shell, expected: &[&str]) {
    let metrics = shell.run("curl --silent --fail localhost:9180/metrics");
    let metrics = expected
        .iter()
        .fold(metrics.ended(0), |it, name| it.says(name));
    let verdict = read_by(
        Command::new("promtool").args(["check", "metrics"]),
        &metrics.printed,
    );
    assert_eq!(verdict, (Some(0), String::new()));

    let open =
        "curl --silent --fail -H 'Accept: application/openmetrics-text' localhost:9180/metrics";
    let open = shell.run(open).ended(0).printed;
    let counters = metrics
        .printed
        .lines()
        .filter(|it| it.starts_with("# TYPE ") && it.ends_with(" counter"));
    let counters = counters.count();
    assert!(counters > 0);
    let verdict = read_by(Command::new(PYTHON).args(["-c", PARSE]), &open);
    assert_eq!(verdict, (Some(0), format!("{counters}\n")), "{open}");
}

/// How `program` ends that is given `text`, and what it says.
#[track_caller]
fn read_by(program: &mut Command, text: &str) -> (Option<i32>, String) {
    let mut program = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it is installed: `cargo xtask ci --stage tools` does so");
    let mut input = program.stdin.take().expect("it is piped");
    input.write_all(text.as_bytes()).expect("it reads");
    drop(input);
    let output = program.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[test]
fn promtool_has_nothing_against_the_metrics_of_a_dispatcher_that_has_been_called() {
    let mut host = Process::dispatcher(&[]);
    let inbound = host.address("http-inbound:0");
    let shell = Shell::beside(&mut host).name("localhost:8080", inbound);
    let call = "curl --silent -d 3 localhost:8080/ -H 'Rpc-Procedure:";
    shell.run(&format!("{call} echo'")).ended(0);
    shell
        .run(&format!("{call} nothing'"))
        .ended(0)
        .says("UNIMPLEMENTED");
    let events = "-H 'Accept: text/event-stream'";
    shell.run(&format!("{call} count' {events}")).ended(0);
    shell.ctl("restart grpc-inbound:0 --wait").ended(0);
    shell.ctl("drain --wait").ended(0);
    is_well_formed(
        &shell,
        &[
            "# TYPE lifecycle_ready gauge",
            "# TYPE omnirelay_rpc_requests_total counter",
            "code=\"UNIMPLEMENTED\"",
            "lifecycle_restarts_total{component=\"grpc-inbound:0\",reason=\"operator\"} 1",
        ],
    );
}

#[test]
fn promtool_has_nothing_against_the_metrics_of_a_control_plane_host_that_was_operated() {
    let mut host = Process::control_plane(&[]);
    host.address("control-plane:http");
    let shell = Shell::beside(&mut host);
    shell.ctl("restart mesh-gossip --wait").ended(0);
    shell.ctl("drain --wait").ended(0);
    shell.ctl("resume --wait").ended(0);
    is_well_formed(
        &shell,
        &[
            "# TYPE mesh_gossip_members gauge",
            "# TYPE lifecycle_phase_duration_seconds",
            "lifecycle_drain_in_flight{component=\"control-plane:http\"} 0",
            "# TYPE lifecycle_tasks gauge",
            "lifecycle_tasks{component=\"mesh-gossip\"}",
            "# TYPE lifecycle_runtime_tasks gauge",
        ],
    );
}

#[test]
fn promtool_has_nothing_against_the_metrics_of_a_host_in_trouble() {
    let mut host = Process::troubled(&["feed=dies"]);
    host.logged(&["component.faulted", "\"feed\"", "generation=3"]);
    let shell = Shell::beside(&mut host);
    is_well_formed(
        &shell,
        &["lifecycle_component_state{component=\"feed\",state=\"faulted\"} 1"],
    );
}
