//! Who is let in.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use axum::routing::post as route_post;
use diagnostics::{Credentials, Scope, Token};
use lifecycle_core::{Criticality, Registration};

use crate::support::{Answer, Rig, ask, idle};

const READER: &str = "reader-0123456789";
const OPERATOR: &str = "operator-0123456789";

fn tokens() -> Credentials {
    Credentials::tokens([
        Token::new("grafana", Scope::Read, READER).unwrap(),
        Token::new("alice", Scope::Operate, OPERATOR).unwrap(),
    ])
}

fn worker() -> Registration {
    Registration::new("worker", idle()).criticality(Criticality::Degradable)
}

/// Asks with a token, if there is one.
fn with_token(address: SocketAddr, method: &str, path: &str, token: Option<&str>) -> Answer {
    let line = token.map(|it| format!("Authorization: Bearer {it}"));
    let lines: Vec<&str> = line.iter().map(String::as_str).collect();
    ask(address, method, path, &lines, None)
}

const OPEN: &[&str] = &["/livez", "/healthz", "/readyz", "/startupz", "/metrics"];

const READ: &[&str] = &[
    "/control/lifecycle",
    "/control/lifecycle/operations",
    "/control/lifecycle/operations/1-1",
    "/control/upgrade",
    "/nowhere",
];

const OPERATE: &[&str] = &[
    "/control/lifecycle/components/worker/restart",
    "/control/lifecycle/components/worker/stop",
    "/control/lifecycle/components/worker/start",
    "/control/upgrade/cordon",
    "/control/upgrade/uncordon",
    "/control/upgrade/drain",
    "/control/upgrade/resume",
    "/control/upgrade/cancel",
    "/control/upgrade/force",
    "/mounted",
    "/nowhere",
];

#[test]
fn each_route_lets_in_who_has_its_scope_and_nobody_else() {
    let mounted = route_post(async || "done");
    let rig = Rig::with(vec![worker()], |it| {
        it.credentials(tokens()).route("/mounted", mounted)
    });
    let address = rig.start();
    let statuses = |method: &str, path: &str| {
        [None, Some("wrong-0123456789"), Some(READER), Some(OPERATOR)]
            .map(|token| with_token(address, method, path, token).status)
    };
    for path in OPEN {
        assert_eq!(
            statuses("GET", path),
            [statuses("GET", path)[0]; 4],
            "{path}"
        );
        assert!(![401, 403].contains(&statuses("GET", path)[0]), "{path}");
    }
    let is_in = |status: u16| ![401, 403].contains(&status);
    for path in READ {
        let [nobody, wrong, reader, operator] = statuses("GET", path);
        assert_eq!((nobody, wrong), (401, 401), "{path}");
        assert!(
            is_in(reader) && reader == operator,
            "{path}: {reader}, {operator}"
        );
    }
    for path in OPERATE {
        let [nobody, wrong, reader, operator] = statuses("POST", path);
        assert_eq!((nobody, wrong, reader), (401, 401, 403), "{path}");
        assert!(is_in(operator), "{path}: {operator}");
    }
    // A dry run changes nothing.
    let [nobody, _, reader, _] = statuses("POST", "/control/lifecycle/plan");
    assert!(nobody == 401 && is_in(reader), "{reader}");
    rig.stop();
}

#[test]
fn who_is_turned_away_is_told_what_is_missing() {
    let rig = Rig::with(vec![worker()], |it| it.credentials(tokens()));
    let address = rig.start();
    let drain = |token| with_token(address, "POST", "/control/upgrade/drain", token);
    let nobody = drain(None);
    assert_eq!(
        nobody.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(
        nobody.header("www-authenticate"),
        Some("Bearer realm=\"lifecycle\"")
    );
    let wrong = drain(Some("wrong-0123456789"));
    let challenge = wrong.header("www-authenticate").unwrap();
    assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    assert!(!wrong.body.contains("wrong-0123456789"));
    let reader = drain(Some(READER));
    let challenge = reader.header("www-authenticate").unwrap();
    assert!(challenge.contains("scope=\"mesh.operate\""), "{challenge}");
    let detail = reader.json()["detail"].to_string();
    assert!(
        detail.contains("grafana") && detail.contains("mesh.operate"),
        "{detail}"
    );
    // The node has not been touched.
    let node = with_token(address, "GET", "/control/upgrade", Some(READER));
    assert_eq!(node.json()["state"], "active");
    let by = with_token(address, "POST", "/control/upgrade/cordon", Some(OPERATOR));
    assert_eq!(by.json()["by"], "alice");
    rig.stop();
}

#[test]
fn metrics_can_be_closed() {
    let rig = Rig::with(Vec::new(), |it| it.credentials(tokens()).close_metrics());
    let address = rig.start();
    assert_eq!(with_token(address, "GET", "/metrics", None).status, 401);
    assert_ne!(
        with_token(address, "GET", "/metrics", Some(READER)).status,
        401
    );
    assert_eq!(with_token(address, "GET", "/readyz", None).status, 200);
    rig.stop();
}

#[test]
fn beyond_loopback_without_credentials_only_the_probes_answer_unless_everybody_is_let_in() {
    let beyond = "0.0.0.0:0".parse().unwrap();
    let statuses = |rig: &Rig| {
        let port = rig.start().port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let status = |method, path| with_token(address, method, path, Some(OPERATOR)).status;
        [
            status("GET", "/livez"),
            status("GET", "/readyz"),
            status("GET", "/control/lifecycle"),
            status("POST", "/control/upgrade/cordon"),
        ]
    };
    let closed = Rig::with(Vec::new(), |it| it.bind(beyond));
    assert_eq!(statuses(&closed), [200, 200, 401, 401]);
    closed.stop();
    let everybody = Rig::with(Vec::new(), |it| {
        it.bind(beyond).credentials(Credentials::everybody())
    });
    assert_eq!(statuses(&everybody), [200, 200, 200, 200]);
    everybody.stop();
}

#[test]
fn a_web_page_changes_nothing_by_a_name_that_was_rebound_nor_from_elsewhere() {
    let rig = Rig::of(vec![worker()]);
    let address = rig.start();
    let port = address.port();
    let cordon = |lines: &[&str]| ask(address, "POST", "/control/upgrade/cordon", lines, None);
    let (rebound, from_there) = (
        format!("Host: evil.example:{port}"),
        format!("Origin: http://evil.example:{port}"),
    );
    assert_eq!(cordon(&[&rebound, &from_there]).status, 421);
    assert_eq!(cordon(&[&from_there]).status, 403);
    assert_eq!(cordon(&["Origin: null"]).status, 403);
    let node = with_token(address, "GET", "/control/upgrade", None);
    assert_eq!(node.json()["cordoned"], false);
    let own = format!("Origin: http://{address}");
    assert_eq!(cordon(&[&own]).status, 200);
    rig.stop();
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn tokens_in_a_file_are_exchanged_while_it_runs() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("tokens");
    let (old, new) = ("old-0123456789abc", "new-0123456789abc");
    write(&path, &format!("alice mesh.operate {old}\n"));
    let credentials = Credentials::from_file(&path).unwrap();
    let rig = Rig::with(Vec::new(), |it| it.credentials(credentials.clone()));
    let address = rig.start();
    let status = |token| with_token(address, "GET", "/control/lifecycle", Some(token)).status;
    assert_eq!((status(old), status(new)), (200, 401));
    write(&path, &format!("alice mesh.operate {new}\n"));
    credentials.reload().unwrap();
    assert_eq!((status(old), status(new)), (401, 200));

    // By itself, too, within a second or so.
    write(
        &path,
        &format!("# both\nalice mesh.operate {new}\nalice mesh.read {old}\n"),
    );
    let begin = std::time::Instant::now();
    while status(old) != 200 {
        assert!(begin.elapsed() < crate::support::DEADLINE, "in vain");
    }
    rig.stop();
}
