//! Who is let in by a host, and what an operator does there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

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
    assert!([200, 202].contains(&operate("drain").status));
    get_until(http, "/readyz", |it| it.body.contains("node:drained"));
    assert_eq!(ask(http, "GET", "/control/peers", Some(READER)).status, 503);
    assert!([200, 202].contains(&operate("resume").status));
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
    // With tokens, other machines may reach it.
    let setting = format!("diagnostics.tokens={}", path.display());
    let beyond = [
        "--set",
        &setting,
        "--http",
        "0.0.0.0:9181",
        "config",
        "check",
    ];
    assert_eq!(command(&beyond).output().unwrap().status.code(), Some(0));
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
