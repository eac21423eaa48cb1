//! The surface over TLS, and who is let in by a certificate.

use std::fs;
use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use diagnostics::server::Limits;
use diagnostics::{CertificateScopes, Credentials, DiagnosticsBuilder, Scope, Token};
use lifecycle_adapters::tls::{Pem, ServerTls};
use tempfile::TempDir;

use crate::certificates::{Authority, Caller, Issued};
use crate::support::{Answer, DEADLINE, Rig, assert_closed, connect};

const READER: &str = "reader-0123456789";
const OPERATOR: &str = "operator-0123456789";

fn tokens() -> Credentials {
    Credentials::tokens([
        Token::new("grafana", Scope::Read, READER).unwrap(),
        Token::new("alice", Scope::Operate, OPERATOR).unwrap(),
    ])
}

fn certificates() -> CertificateScopes {
    CertificateScopes::default()
        .grant("scraper", Scope::Read)
        .grant("deployer", Scope::Operate)
}

/// Serves over TLS, and asks for certificates of `authority`.
fn encrypted(authority: &Authority, credentials: Credentials) -> Rig {
    let tls = authority.asking();
    let rig = Rig::with(Vec::new(), |it| it.tls(tls).credentials(credentials));
    rig.start();
    rig
}

#[test]
fn each_route_lets_in_who_has_its_scope_by_token_or_certificate_and_a_token_counts_alone() {
    let authority = Authority::new();
    let rig = encrypted(&authority, tokens().certificates(certificates()));
    let who = |it: Option<Issued>| authority.trusting(it.as_ref());
    let issued = |name| Some(authority.client(name));
    // What each is good for by its certificate: nothing at all, not even by name, or a scope.
    let callers = [
        (who(None), 401, 401),
        (who(issued("stranger")), 403, 403),
        (who(issued("scraper")), 200, 403),
        (who(issued("deployer")), 200, 200),
    ];
    let by_token = [
        ("wrong-0123456789", 401, 401),
        (READER, 200, 403),
        (OPERATOR, 200, 200),
    ];
    for (caller, read, operate) in &callers {
        let statuses = |token| {
            [
                caller.status(&rig, "GET", "/readyz", token),
                caller.status(&rig, "GET", "/control/lifecycle", token),
                caller.status(&rig, "POST", "/control/upgrade/uncordon", token),
            ]
        };
        assert_eq!(statuses(None), [200, *read, *operate]);
        for (token, read, operate) in by_token {
            assert_eq!(statuses(Some(token)), [200, read, operate], "{token}");
        }
    }
    rig.stop();
}

#[test]
fn a_certificate_of_another_authority_or_time_is_refused_before_anything_is_asked() {
    let (ours, other) = (Authority::new(), Authority::new());
    let rig = encrypted(&ours, tokens().certificates(certificates()));
    let token = format!("Authorization: Bearer {OPERATOR}");
    for wrong in [
        other.client("deployer"),
        ours.expired("deployer"),
        // What a server may present is nothing that a client may.
        ours.server(),
    ] {
        let caller = ours.trusting(Some(&wrong));
        for lines in [&[][..], &[token.as_str()]] {
            let refused = caller.ask(&rig, "GET", "/livez", lines);
            refused.expect_err("it is not let in");
        }
    }
    let caller = ours.trusting(Some(&ours.client("deployer")));
    assert_eq!(caller.status(&rig, "GET", "/control/lifecycle", None), 200);
    rig.stop();
}

#[test]
fn where_certificates_alone_count_loopback_is_closed_and_the_answer_says_what_is_missing() {
    let authority = Authority::new();
    let credentials = Credentials::default().certificates(certificates());
    let rig = encrypted(&authority, credentials);
    let cordon = |caller: &Caller| {
        let answer = caller.ask(&rig, "POST", "/control/upgrade/cordon", &[]);
        answer.expect("it is let in")
    };
    let told = |answer: &Answer| answer.json()["detail"].as_str().unwrap().to_owned();
    let nobody = cordon(&authority.trusting(None));
    assert_eq!(nobody.status, 401);
    assert!(nobody.header("www-authenticate").is_some());
    assert_eq!(told(&nobody), "say who you are: show a client certificate");
    let stranger = cordon(&authority.trusting(Some(&authority.client("stranger"))));
    assert_eq!(stranger.status, 403);
    assert!(told(&stranger).contains("cert:stranger"), "{stranger:?}");
    let scraper = cordon(&authority.trusting(Some(&authority.client("scraper"))));
    assert_eq!(scraper.status, 403);
    let said = told(&scraper);
    assert!(
        said.contains("cert:scraper") && said.contains("mesh.operate"),
        "{said}"
    );
    let deployer = cordon(&authority.trusting(Some(&authority.client("deployer"))));
    assert_eq!(deployer.json()["by"], "cert:deployer");
    rig.stop();
}

#[test]
fn a_name_that_was_rebound_and_a_page_from_elsewhere_are_refused_over_tls_too() {
    let authority = Authority::new();
    let rig = encrypted(&authority, tokens().certificates(certificates()));
    let caller = authority.trusting(Some(&authority.client("deployer")));
    let address = rig.address();
    let port = address.port();
    let cordon = |lines: &[&str]| {
        let answer = caller.ask(&rig, "POST", "/control/upgrade/cordon", lines);
        answer.expect("it is let in").status
    };
    assert_eq!(cordon(&[&format!("Host: evil.example:{port}")]), 421);
    assert_eq!(
        cordon(&[&format!("Origin: https://evil.example:{port}")]),
        403
    );
    assert_eq!(cordon(&["Origin: null"]), 403);
    assert_eq!(cordon(&[&format!("Origin: https://{address}")]), 200);
    rig.stop();
}

/// Serves what is in `folder`, which is read when it is said, and not by itself.
fn from_files(folder: &TempDir) -> impl FnOnce(DiagnosticsBuilder) -> DiagnosticsBuilder {
    let file = |name| Pem::file(folder.path().join(name));
    let tls = ServerTls::new(file("certificate.pem"), file("key.pem"));
    move |it| it.tls(tls.reload_interval(DEADLINE * 9))
}

#[test]
fn a_new_certificate_is_in_use_without_a_restart() {
    let (old, new) = (Authority::new(), Authority::new());
    let folder = TempDir::new().unwrap();
    old.server().write(folder.path());
    let rig = Rig::with(Vec::new(), from_files(&folder));
    rig.start();
    let alive = |authority: &Authority| {
        let asked = authority.trusting(None).ask(&rig, "GET", "/livez", &[]);
        asked.map(|it| it.status).ok()
    };
    assert_eq!((alive(&old), alive(&new)), (Some(200), None));
    new.server().write(folder.path());
    rig.run(rig.diagnostics.reload_tls())
        .expect("it is in order");
    assert_eq!((alive(&old), alive(&new)), (None, Some(200)));
    rig.stop();
}

#[test]
fn a_file_that_breaks_leaves_the_certificate_in_use_and_is_told_until_it_is_mended() {
    let authority = Authority::new();
    let folder = TempDir::new().unwrap();
    authority.server().write(folder.path());
    let rig = Rig::with(Vec::new(), from_files(&folder));
    rig.start();
    let caller = authority.trusting(None);
    let readiness_until = |wanted: &dyn Fn(&Answer) -> bool| {
        let begin = Instant::now();
        loop {
            let answer = caller.ask(&rig, "GET", "/readyz?verbose", &[]);
            let answer = answer.expect("the certificate from before is in use");
            if wanted(&answer) {
                return answer;
            }
            assert!(begin.elapsed() < DEADLINE, "in vain: {answer:?}");
        }
    };
    let secret = "s3cr3ts3cr3ts3cr3t";
    fs::write(folder.path().join("key.pem"), secret).unwrap();
    let error = rig.run(rig.diagnostics.reload_tls());
    let error = error.expect_err("it is broken");
    assert_eq!(error.faults.len(), 1);
    let degraded = readiness_until(&|it| !it.issues().is_empty());
    assert_eq!(degraded.status, 200);
    assert_eq!(degraded.issues(), ["diagnostics:degraded"]);
    let issues = &degraded.body;
    assert!(
        issues.contains("key.pem") && !issues.contains(secret),
        "{issues}"
    );

    authority.server().write(folder.path());
    rig.run(rig.diagnostics.reload_tls()).expect("it is mended");
    readiness_until(&|it| it.issues().is_empty());
    rig.stop();
}

#[test]
fn files_are_read_again_by_themselves() {
    let (old, new) = (Authority::new(), Authority::new());
    let folder = TempDir::new().unwrap();
    old.server().write(folder.path());
    let file = |name| Pem::file(folder.path().join(name));
    let tls = ServerTls::new(file("certificate.pem"), file("key.pem"));
    let tls = tls.reload_interval(Duration::from_millis(10));
    let rig = Rig::with(Vec::new(), |it| it.tls(tls));
    rig.start();
    new.server().write(folder.path());
    let begin = Instant::now();
    while new.trusting(None).ask(&rig, "GET", "/livez", &[]).is_err() {
        assert!(begin.elapsed() < DEADLINE, "in vain");
    }
    rig.stop();
}

#[test]
fn files_that_are_not_in_order_fail_the_start_and_are_named() {
    let folder = TempDir::new().unwrap();
    let rig = Rig::with(Vec::new(), from_files(&folder));
    let failed = rig.run(rig.handle.start()).expect_err("there is no file");
    let said = format!("{failed:?}");
    assert!(
        said.contains("certificate.pem") && said.contains("key.pem"),
        "{said}"
    );
    assert_eq!(*rig.diagnostics.address().borrow(), None);
}

#[test]
fn who_does_not_come_to_an_end_with_a_handshake_holds_up_nobody_and_makes_room() {
    let authority = Authority::new();
    let (tls, limits) = (
        authority.asking(),
        Limits {
            connections: 2,
            head: Duration::from_millis(300),
            ..Limits::default()
        },
    );
    let rig = Rig::with(Vec::new(), |it| it.tls(tls).limits(limits));
    let address = rig.start();
    let caller = authority.trusting(None);
    let alive = || caller.status(&rig, "GET", "/livez", None);
    let mut silent = connect(address);
    // Beside it there is room for one.
    assert_eq!(alive(), 200);
    let mut half_way = connect(address);
    half_way.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1]).unwrap();
    // And now not, until their time is over.
    assert_eq!(alive(), 200);
    for stream in [&mut silent, &mut half_way] {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(!rest.starts_with(b"HTTP"), "{rest:?}");
    }
    rig.stop();
}

#[test]
fn a_handshake_that_hangs_does_not_hold_up_the_stop() {
    let authority = Authority::new();
    let (tls, limits) = (
        authority.asking(),
        Limits {
            head: DEADLINE * 9,
            drain: DEADLINE * 9,
            ..Limits::default()
        },
    );
    let rig = Rig::with(Vec::new(), |it| it.tls(tls).limits(limits));
    let address = rig.start();
    let _silent = connect(address);
    // An answer on a second connection says that the first is taken.
    let caller = authority.trusting(None);
    assert_eq!(caller.status(&rig, "GET", "/livez", None), 200);
    rig.stop();
    assert_closed(address);
}

#[test]
fn who_speaks_no_tls_is_not_answered() {
    let authority = Authority::new();
    let rig = encrypted(&authority, Credentials::default());
    let mut plain = connect(rig.address());
    write!(plain, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut rest = Vec::new();
    let _ = plain.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP"), "{rest:?}");
    rig.stop();
}
