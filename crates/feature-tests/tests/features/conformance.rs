//! What the hosts answer, held against the description that they give of themselves, by `schemathesis`.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::process::{Process, fixed_port};
use crate::shell::Shell;

/// Where `cargo xtask ci` puts an interpreter with what `requirements.txt` lists.
pub(crate) const PYTHON: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../target/python/bin/python"
);

/// How many requests are made up for an operation, beside those that every field is tried with.
const EXAMPLES: &str = "25";

/// What is asked of each answer. Not that what the description does not allow is refused, and what it allows is taken: a
/// reason is trimmed before it is looked at, and what is a filter of log lines no schema can say.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,unsupported_method,allow_header_conformance,\
    missing_required_header,use_after_free,ensure_resource_availability";

/// Asks everything that the description at `address` has, but events, whose answer does not end: `selected`, as schemathesis
/// counts.
#[track_caller]
fn conforms(address: SocketAddr, selected: &str) {
    let url = format!("http://{address}/openapi.json");
    let (code, said) = schemathesis(&[&url, "--exclude-path-regex", "/events"]);
    assert_eq!(
        code,
        Some(0),
        "{said}\nif it is not there: `cargo xtask ci --stage tools` installs it, and so do\n\
         python3 -m venv target/python\n\
         target/python/bin/pip install -r crates/feature-tests/tests/conformance/requirements.txt"
    );
    // That it has looked at all of it.
    for phase in ["Coverage", "Fuzzing", "Stateful"] {
        assert!(said.contains(&format!("✅  {phase}")), "{phase} in\n{said}");
    }
    let selected = format!("Operations:       {selected}");
    assert!(said.contains(&selected), "{said}");
}

/// Its exit code, and what it says.
fn schemathesis(arguments: &[&str]) -> (Option<i32>, String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let output = Command::new("timeout")
        .args(["90", PYTHON, "-m", "schemathesis.cli", "--config-file"])
        .arg(folder.join("schemathesis.toml"))
        .args(["run", "--phases", "coverage,fuzzing,stateful"])
        .args(["--checks", CHECKS])
        .args(["--seed", "1", "--max-examples", EXAMPLES])
        .args(["--generation-database", "none", "--no-color"])
        .args(arguments)
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("PYTHONPATH", &folder)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null())
        .output()
        .expect("timeout is there");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.code(), said)
}

#[test]
fn a_control_plane_host_answers_as_it_describes() {
    // The diagnostics come back to the same port, if they are restarted.
    let address = format!("127.0.0.1:{}", fixed_port());
    let mut host = Process::control_plane(&["--diagnostics", &address]);
    host.address("control-plane:http");
    // With peers, under two names, and leaders.
    conforms(host.diagnostics(), "28 selected / 30 total");
    host.terminate();
    assert_eq!(host.exit(), Some(0));
}

#[test]
fn a_dispatcher_answers_as_it_describes() {
    let address = format!("127.0.0.1:{}", fixed_port());
    let mut host = Process::dispatcher(&["--diagnostics", &address]);
    host.address("http-inbound:0");
    conforms(host.diagnostics(), "25 selected / 26 total");
    host.terminate();
    assert_eq!(host.exit(), Some(0));
}

#[test]
fn an_answer_that_is_not_as_described_is_found() {
    let mut host = Process::control_plane(&[]);
    host.address("control-plane:http");
    let shell = Shell::beside(&mut host);
    let description = shell.run("curl --silent localhost:9180/openapi.json");
    let mut description: Value =
        serde_json::from_str(&description.ended(0).printed).expect("a document");
    let answers = &mut description["paths"]["/control/upgrade"]["get"]["responses"];
    answers["200"]["content"]["application/json"]["schema"] =
        json!({ "type": "object", "required": ["colour"] });
    let file = shell.folder().join("openapi.json");
    fs::write(&file, description.to_string()).expect("it is written");
    let url = format!("http://{}", host.diagnostics());
    let file = file.display().to_string();
    let one = ["--include-path", "/control/upgrade"];
    let (code, said) = schemathesis(&[&[file.as_str(), "--url", &url], &one[..]].concat());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("colour"), "{said}");
}
