//! What is shipped beside the program: configurations that it takes, with deadlines that fit.

use std::fs;
use std::io::Write as _;

use crate::support::{ANYWHERE, Process, command, get};

fn shipped(path: &str) -> String {
    format!("{}/../../deploy/{path}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_configuration_for_pods_starts_answers_probes_and_stops() {
    let mut tokens = tempfile::NamedTempFile::new().unwrap();
    writeln!(tokens, "prometheus mesh.read 0123456789abcdef").unwrap();
    let tokens = format!("diagnostics.tokens={}", tokens.path().display());
    let configuration = shipped("kubernetes/control-plane-host/control-plane-host.toml");
    let flags = ["--config", &configuration, "--set", &tokens];
    // Nobody is there to be waited for, and no name server knows the names of the pods.
    let here = ["--set", "defaults.settle=0s", "--set", "gossip.seeds="];
    let mut host = Process::start(
        &[&flags[..], &here, ANYWHERE].concat(),
        &[
            (
                "CONTROL_PLANE_HOST__GOSSIP__NODE_ID",
                "control-plane-host-0",
            ),
            ("CONTROL_PLANE_HOST__GOSSIP__ADVERTISE", "127.0.0.1:17421"),
        ],
    );
    let diagnostics = host.address("diagnostics");
    host.address("control-plane:http");
    for probe in ["/livez", "/readyz", "/startupz"] {
        assert_eq!(get(diagnostics, probe).status, 200, "{probe}");
    }
    host.terminate();
    assert_eq!(host.exit().code(), Some(0));
}

#[test]
fn the_configuration_for_pods_is_good_where_other_machines_are_too() {
    let mut tokens = tempfile::NamedTempFile::new().unwrap();
    writeln!(tokens, "prometheus mesh.read 0123456789abcdef").unwrap();
    let tokens = format!("diagnostics.tokens={}", tokens.path().display());
    let configuration = shipped("kubernetes/control-plane-host/control-plane-host.toml");
    let mut check = command(&[
        "config",
        "check",
        "--config",
        &configuration,
        "--set",
        &tokens,
    ]);
    check.env(
        "CONTROL_PLANE_HOST__GOSSIP__NODE_ID",
        "control-plane-host-0",
    );
    check.env("CONTROL_PLANE_HOST__GOSSIP__ADVERTISE", "192.0.2.1:17421");
    let output = check.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
}

/// The variables of the unit, as systemd would set them.
#[test]
fn the_configuration_of_the_unit_starts_within_the_time_that_it_grants_a_stop() {
    let unit = fs::read_to_string(shipped("systemd/control-plane-host.service")).unwrap();
    let configuration = shipped("systemd/control-plane-host.toml");
    let variables: Vec<_> = unit
        .lines()
        .filter_map(|it| it.strip_prefix("Environment=")?.split_once('='))
        .collect();
    assert!(variables.contains(&("CONTROL_PLANE_HOST__KILL_TIMEOUT", "60s")));
    let flags = ["--config", &configuration];
    let mut host = Process::start(&[&flags[..], ANYWHERE].concat(), &variables);
    host.address("control-plane:http");
    host.terminate();
    assert_eq!(host.exit().code(), Some(0));
}
