//! `/metrics`, read by `promtool`.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::process::Process;
use crate::shell::Shell;

/// Has `promtool` read what the host exposes; it complains of what does not follow the conventions, too.
#[track_caller]
fn is_well_formed(shell: &Shell, expected: &[&str]) {
    let metrics = shell.run("curl --silent --fail localhost:9180/metrics");
    let metrics = expected
        .iter()
        .fold(metrics.ended(0), |it, name| it.says(name));
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed: `cargo xtask ci --stage tools` does so");
    let mut input = promtool.stdin.take().expect("it is piped");
    let written = input.write_all(metrics.printed.as_bytes());
    written.expect("promtool reads");
    drop(input);
    let output = promtool.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert_eq!((output.status.code(), &*said), (Some(0), ""));
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
