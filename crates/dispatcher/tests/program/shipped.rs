//! What is shipped beside the program: configurations that it takes, with deadlines that fit.

use std::fs;

use crate::kit::{curl, file, listening, path, program, run};

fn shipped(path: &str) -> String {
    format!("{}/../../deploy/{path}", env!("CARGO_MANIFEST_DIR"))
}

/// The settings for a machine that has other things to do: free ports, and no waiting for load balancers.
const HERE: [&str; 8] = [
    "--diagnostics",
    "127.0.0.1:0",
    "--set",
    "http-inbounds.main.address=127.0.0.1:0",
    "--set",
    "grpc-inbounds.main.address=127.0.0.1:0",
    "--set",
    "defaults.settle=0s",
];

const ECHO: [&str; 4] = ["-H", "Rpc-Procedure: echo", "-d", "hello"];

#[test]
fn the_configuration_for_pods_starts_answers_probes_and_stops() {
    let tokens = file("prometheus mesh.read 0123456789abcdef\n");
    let tokens = format!("diagnostics.tokens={}", path(&tokens));
    let configuration = shipped("kubernetes/dispatcher/dispatcher.toml");
    let flags = ["--config", &configuration, "--set", &tokens];
    let (mut program, urls) = run(&[&flags[..], &HERE].concat(), 3);
    for probe in ["/livez", "/readyz", "/startupz"] {
        assert!(curl(&format!("{}{probe}", urls[2].1), &[]).ends_with("200 1.1"));
    }
    assert_eq!(curl(&urls[0].1, &ECHO), "hello\n200 1.1");
    program.terminate();
    assert_eq!(program.0.wait().expect("it ends").code(), Some(0));
}

/// The variables of the unit, as systemd would set them: with them it would not start if a stop could take longer.
#[test]
fn the_configuration_of_the_unit_starts_within_the_time_that_it_grants_a_stop() {
    let unit = fs::read_to_string(shipped("systemd/dispatcher.service")).expect("a unit");
    let variables = unit
        .lines()
        .filter_map(|it| it.strip_prefix("Environment=")?.split_once('='));
    let variables: Vec<_> = variables.collect();
    assert!(variables.contains(&("DISPATCHER__KILL_TIMEOUT", "60s")));
    let configuration = shipped("systemd/dispatcher.toml");
    let mut command = program(&[&["--config", &configuration], &HERE[..]].concat());
    command.envs(variables);
    let (mut program, urls) = listening(command, 3);
    assert_eq!(curl(&urls[0].1, &ECHO), "hello\n200 1.1");
    program.terminate();
    assert_eq!(program.0.wait().expect("it ends").code(), Some(0));
}
