//! Who is let in by a host, and what an operator does there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::certificates::{self, Authority};
use crate::support::{Process, ask, command, get, get_until, post};

const READER: &str = "reader-0123456789abcdef";
const OPERATOR: &str = "operator-0123456789abcdef";

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn with_tokens_both_listeners_let_in_who_has_one_and_an_operator_drains_and_resumes_the_node() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    write(
        &path,
        &format!("grafana mesh.read {READER}\nalice mesh.operate {OPERATOR}\n"),
        0o600,
    );
    let setting = format!("diagnostics.tokens={}", path.display());
    let mut host = Process::anywhere(&["--log-format", "json", "--set", &setting]);
    let listeners = [
        host.address("diagnostics"),
        host.address("control-plane:http"),
    ];
    for address in listeners {
        let status = |path: &str, token| ask(address, "GET", path, token).status;
        assert_eq!(status("/readyz", None), 200);
        assert_eq!(status("/metrics", None), 200);
        assert_eq!(status("/control/lifecycle", None), 401);
        assert_eq!(status("/control/lifecycle", Some(READER)), 200);
        let cordon = ask(address, "POST", "/control/upgrade/cordon", Some(READER));
        assert_eq!(cordon.status, 403);
    }
    let [diagnostics, http] = listeners;
    assert_eq!(ask(http, "GET", "/control/peers", None).status, 401);
    assert_eq!(ask(http, "GET", "/control/peers", Some(READER)).status, 200);

    // Also by the listener that is drained itself.
    let operate = |what: &str| {
        ask(
            http,
            "POST",
            &format!("/control/upgrade/{what}"),
            Some(OPERATOR),
        )
    };
    assert_eq!(operate("drain").status, 202);
    get_until(http, "/readyz", |it| it.body.contains("node:drained"));
    assert_eq!(ask(http, "GET", "/control/peers", Some(READER)).status, 503);
    assert_eq!(operate("resume").status, 202);
    get_until(http, "/readyz", |it| it.status == 200);
    let operations = ask(
        diagnostics,
        "GET",
        "/control/lifecycle/operations",
        Some(READER),
    )
    .json();
    let operations = operations["operations"].as_array().unwrap();
    let row = |index: usize| {
        (
            operations[index]["operation"].clone(),
            operations[index]["by"].clone(),
        )
    };
    assert_eq!(row(0), ("resume".into(), "alice".into()));
    assert_eq!(row(1), ("drain".into(), "alice".into()));
    let line = host.logged_all(&["lifecycle::audit", "\"drain\"", "\"alice\""]);
    assert!(line.contains("\"peer\":\"127.0.0.1:"), "{line}");
    host.terminate();
    assert_eq!(host.exit().code(), Some(0));
    let log = host.whole_log();
    assert!(!log.contains(OPERATOR) && !log.contains(READER));
}

#[test]
fn tokens_that_cannot_be_used_are_faults_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    let check = || {
        let setting = format!("diagnostics.tokens={}", path.display());
        let output = command(&["--set", &setting, "config", "check"])
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, said) = check();
    assert_eq!(code, Some(78));
    assert!(
        said.contains("flag --set: diagnostics.tokens: cannot read the tokens in"),
        "{said}"
    );

    write(&path, &format!("alice mesh.operate {OPERATOR}\n"), 0o644);
    let (code, said) = check();
    assert_eq!(code, Some(78));
    assert!(
        said.contains("are open to others (mode 644); chmod 600 it"),
        "{said}"
    );

    write(
        &path,
        &format!("alice {OPERATOR}\nbob mesh.write {OPERATOR}\n"),
        0o600,
    );
    let (code, said) = check();
    assert_eq!(code, Some(78));
    assert!(
        said.contains("tokens:1: diagnostics.tokens: a line has three words"),
        "{said}"
    );
    assert!(
        said.contains("tokens:2: diagnostics.tokens: the second word"),
        "{said}"
    );
    assert!(!said.contains(OPERATOR), "{said}");

    write(&path, &format!("alice mesh.operate {OPERATOR}\n"), 0o600);
    assert_eq!(check().0, Some(0));
    // In clear text, what is sent from other machines could be read by others.
    let setting = format!("diagnostics.tokens={}", path.display());
    let beyond = |further: &[&str]| {
        let arguments = ["--set", &setting, "--http", "0.0.0.0:9181"];
        let output = command(&[&arguments[..], further, &["config", "check"]].concat()).output();
        let output = output.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said)
    };
    let (code, said) = beyond(&[]);
    assert_eq!(code, Some(78));
    let clear = "http.address: 0.0.0.0:9181 can be reached from other machines, and tokens travel there in clear text";
    assert!(said.contains(clear), "{said}");
    assert_eq!(beyond(&["--insecure"]).0, Some(0));
}

#[test]
fn tokens_may_be_in_a_variable_that_must_be_set() {
    let named = ["--set", "diagnostics.tokens-env=PLANE_TOKENS"];
    let check = |value: Option<&str>| {
        let mut command = command(&[&named[..], &["config", "check"]].concat());
        command.envs(value.map(|it| ("PLANE_TOKENS", it)));
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said)
    };
    for (value, said) in [
        (
            None,
            "diagnostics.tokens-env: the variable PLANE_TOKENS, which shall have tokens, is not set",
        ),
        (Some(" "), "PLANE_TOKENS, which shall have tokens, is blank"),
        (
            Some("alice secret-0123456789abcdef"),
            "line 1: a line has three words",
        ),
    ] {
        let (code, printed) = check(value);
        assert_eq!(code, Some(78));
        assert!(printed.contains(said), "{said} in\n{printed}");
        assert!(!printed.contains("secret"), "{printed}");
    }
    let tokens = format!("grafana mesh.read {READER}; alice mesh.operate {OPERATOR}");
    let arguments = ["--http", "127.0.0.1:0", "--diagnostics", "127.0.0.1:0"];
    let arguments = [&arguments[..], &["--set", "gossip.enabled=false"], &named].concat();
    let mut host = Process::start(&arguments, &[("PLANE_TOKENS", &tokens)]);
    let address = host.address("diagnostics");
    let status = |token| ask(address, "GET", "/control/lifecycle", token).status;
    assert_eq!((status(None), status(Some(READER))), (401, 200));
    host.terminate();
    assert_eq!(host.exit().code(), Some(0));
    assert!(!host.whole_log().contains(READER));
}

#[test]
fn over_tls_both_listeners_let_in_who_shows_a_certificate_and_probes_need_none() {
    let (authority, folder) = (Authority::new("ours"), tempfile::tempdir().unwrap());
    let ca = certificates::write(folder.path(), "ca.pem", &authority.pem);
    let (certificate, key) = authority.server().write(folder.path());
    let client = tempfile::tempdir().unwrap();
    let (own, own_key) = authority.client("deployer").write(client.path());
    let file = folder.path().join("plane.toml");
    let text = format!(
        "[diagnostics]\nclient-scopes = {{ deployer = 'mesh.operate' }}\n[diagnostics.tls]\n\
         certificate = {certificate:?}\nkey = {key:?}\nclient-ca = {ca:?}\n"
    );
    fs::write(&file, text).unwrap();
    let mut host = Process::anywhere(&["--config", file.to_str().unwrap()]);
    for component in ["diagnostics", "control-plane:http"] {
        let address = host.address(component);
        let status = |path: &str, shown: &[&Path]| {
            let mut curl = Command::new("curl");
            curl.args(["-s", "-m", "20", "-o", "/dev/null", "-w", "%{http_code}"]);
            curl.arg("--cacert")
                .arg(&ca)
                .arg(format!("https://{address}{path}"));
            for (flag, file) in ["--cert", "--key"].iter().zip(shown) {
                curl.arg(flag).arg(file);
            }
            String::from_utf8(curl.output().unwrap().stdout).unwrap()
        };
        assert_eq!(status("/readyz", &[]), "200", "{component}");
        assert_eq!(status("/control/lifecycle", &[]), "401", "{component}");
        assert_eq!(
            status("/control/lifecycle", &[&own, &own_key]),
            "200",
            "{component}"
        );
    }
    host.terminate();
    assert_eq!(host.exit().code(), Some(0));
    // What is wrong with the files is said where they are named.
    fs::write(&key, "nonsense").unwrap();
    let checked = command(&["--config", file.to_str().unwrap(), "config", "check"]).output();
    let said = String::from_utf8(checked.unwrap().stderr).unwrap();
    assert!(
        said.contains("plane.toml:5: diagnostics.tls.key: the key ("),
        "{said}"
    );
}

#[test]
fn the_log_filter_is_read_and_changed_while_the_host_runs() {
    for format in ["json", "text"] {
        let mut host = Process::anywhere(&["--log-format", format]);
        let address = host.address("diagnostics");
        let path = "/omnirelay/control/logging";
        let shown = get(address, path).json();
        assert_eq!(
            (&shown["filter"], &shown["minimumLevel"]),
            (&"info".into(), &"info".into())
        );
        let cordon = |reason: &str| {
            let body = format!(r#"{{"reason":"{reason}"}}"#);
            post(address, "/control/upgrade/cordon", &body).status
        };
        let wrong = post(address, path, r#"{"filter":"info,lifecycle=loud"}"#);
        assert_eq!(wrong.status, 400);
        assert!(
            wrong.json()["detail"]
                .as_str()
                .unwrap()
                .contains("is not a filter")
        );
        let changed = post(address, path, r#"{"filter":"warn"}"#);
        assert_eq!(
            (changed.status, &changed.json()["filter"]),
            (200, &"warn".into())
        );
        assert_eq!(cordon("nobody hears"), 200);
        assert_eq!(
            post(address, path, r#"{"filter":"info,hyper=warn"}"#).status,
            200
        );
        assert_eq!(cordon("loud and clear"), 200);
        host.logged("loud and clear");
        assert_eq!(get(address, path).json()["minimumLevel"], "info");
        host.terminate();
        assert_eq!(host.exit().code(), Some(0));
        let log = host.whole_log();
        assert!(!log.contains("nobody hears"), "{log}");
    }
}
