//! The line that every request to change something leaves.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::{Mutex, OnceLock};

use diagnostics::{CertificateScopes, Credentials, Scope, Token};
use lifecycle_core::{Criticality, Registration};
use serde_json::Value;

use crate::certificates::Authority;
use crate::support::{Rig, ask, idle};

const READER: &str = "audited-reader-0123456789";
const OPERATOR: &str = "audited-operator-0123456789";

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps all that is logged in this process; other tests log too.
fn listen() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let log = tracing_subscriber::fmt().json().with_writer(|| Log);
        log.init();
    });
}

fn log() -> String {
    String::from_utf8(LOG.lock().unwrap().clone()).unwrap()
}

/// The fields of the audit lines about `component`, in order.
fn audited(component: &str) -> Vec<Value> {
    let log = log();
    let lines = log
        .lines()
        .map(|it| serde_json::from_str::<Value>(it).expect("a line is JSON"));
    let audit = lines.filter(|it| it["target"] == "lifecycle::audit");
    let fields = audit.map(|it| it["fields"].clone());
    let named = |it: &Value| {
        it["component"] == component || it["what"].as_str().unwrap_or("").contains(component)
    };
    fields.filter(named).collect()
}

fn rig(component: &str) -> (Rig, SocketAddr) {
    listen();
    let worker = Registration::new(component, idle()).criticality(Criticality::Degradable);
    let credentials = Credentials::tokens([
        Token::new("grafana", Scope::Read, READER).unwrap(),
        Token::new("alice", Scope::Operate, OPERATOR).unwrap(),
    ]);
    let rig = Rig::with(vec![worker], |it| it.credentials(credentials));
    let address = rig.start();
    (rig, address)
}

#[test]
fn every_request_to_change_something_leaves_one_line_with_who_what_and_why() {
    let (rig, address) = rig("audited");
    let path = "/control/lifecycle/components/audited/restart";
    let restart = |token: Option<&str>, body| {
        let line = token.map(|it| format!("Authorization: Bearer {it}"));
        let lines: Vec<&str> = line.iter().map(String::as_str).collect();
        ask(address, "POST", path, &lines, Some(body)).status
    };
    assert_eq!(restart(Some(OPERATOR), r#"{"reason":"ticket 4711"}"#), 202);
    assert_eq!(
        restart(Some(OPERATOR), r#"{"reason":"x","planId":"another"}"#),
        412
    );
    assert_eq!(restart(Some(OPERATOR), r#"{"reason":"forged\nline"}"#), 400);
    assert_eq!(restart(Some(OPERATOR), "{"), 400);
    assert_eq!(restart(Some(READER), "{}"), 403);
    assert_eq!(restart(Some("audited-wrong-0123456789"), "{}"), 401);
    assert_eq!(restart(None, "{}"), 401);

    let lines = audited("audited");
    let row = |it: &Value| {
        let text = |name: &str| it[name].as_str().unwrap_or("").to_owned();
        (
            text("who"),
            text("what"),
            text("outcome"),
            it["status"].as_u64(),
        )
    };
    let (what, raw) = ("restart".to_owned(), format!("POST {path}"));
    let refused = "refused".to_owned();
    let expected = [
        ("alice", &what, None),
        ("alice", &what, Some(412)),
        ("alice", &what, Some(400)),
        ("alice", &what, Some(400)),
        ("grafana", &raw, Some(403)),
        ("anonymous", &raw, Some(401)),
        ("anonymous", &raw, Some(401)),
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, (who, what, status)) in lines.iter().zip(expected) {
        let (said_who, said_what, outcome, said_status) = row(line);
        assert_eq!(
            (&*said_who, &said_what, said_status),
            (who, what, status),
            "{line}"
        );
        assert_eq!(outcome == refused, status.is_some(), "{line}");
        assert_eq!(line["event"], "audit");
        assert!(
            line["peer"].as_str().unwrap().starts_with("127.0.0.1:"),
            "{line}"
        );
    }
    assert_eq!(lines[0]["reason"], "ticket 4711");
    assert!(["begun", "done"].contains(&lines[0]["outcome"].as_str().unwrap()));
    assert_eq!(lines[2]["reason"], "forged\\u{a}line");
    for secret in [READER, OPERATOR, "audited-wrong-0123456789"] {
        assert!(!log().contains(secret), "no token is logged");
    }
    rig.stop();
}

#[test]
fn who_shows_a_certificate_is_named_in_the_line_and_in_the_operation() {
    listen();
    let worker = Registration::new("certified", idle()).criticality(Criticality::Degradable);
    let authority = Authority::new();
    let (tls, scopes) = (
        authority.asking(),
        CertificateScopes::default()
            .grant("deployer", Scope::Operate)
            .grant("scraper", Scope::Read),
    );
    let credentials = Credentials::default().certificates(scopes);
    let rig = Rig::with(vec![worker], |it| it.tls(tls).credentials(credentials));
    rig.start();
    let restart = |name| {
        let caller = authority.trusting(Some(&authority.client(name)));
        let path = "/control/lifecycle/components/certified/restart";
        let answer = caller.ask(&rig, "POST", path, &[]);
        answer.expect("it is let in")
    };
    let begun = restart("deployer");
    assert_eq!(begun.status, 202);
    assert_eq!(begun.json()["by"], "cert:deployer");
    assert_eq!(restart("scraper").status, 403);
    assert_eq!(restart("stranger").status, 403);
    let lines = audited("certified");
    let who: Vec<_> = lines.iter().map(|it| it["who"].as_str()).collect();
    let expected = ["cert:deployer", "cert:scraper", "cert:stranger"];
    assert_eq!(who, expected.map(Some));
    assert!(!log().contains("PRIVATE KEY"), "no key is logged");
    rig.stop();
}
