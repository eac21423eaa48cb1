//! Who may ask the program's diagnostics.

use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::certificates::{Authority, write};
use crate::kit::{curl, file, free_ports, path, run};

const READER: &str = "0123456789abcdef0123456789abcdef";
const OPERATOR: &str = "fedcba9876543210fedcba9876543210";

#[test]
fn with_tokens_the_diagnostics_tell_who_has_one_and_an_operator_drains_and_resumes() {
    let tokens = file(&format!(
        "dora mesh.read {READER}\nalice mesh.operate {OPERATOR}\n"
    ));
    let setting = format!("diagnostics.tokens={}", path(&tokens));
    let ports = free_ports();
    let (_program, urls) = run(&[&ports[..], &["--set", &setting]].concat(), 3);
    let (inbound, diagnostics) = (&urls[0].1, &urls[2].1);
    let status = |answer: String| answer.rsplit('\n').next().map(str::to_owned);
    let ask = |path: &str, token: Option<&str>, further: &[&str]| {
        let header = token.map(|it| format!("Authorization: Bearer {it}"));
        let header = header.as_deref().map_or(vec![], |it| vec!["-H", it]);
        let url = format!("{diagnostics}{path}");
        status(curl(&url, &[&header[..], further].concat())).expect("a status")
    };
    assert_eq!(ask("/readyz", None, &[]), "200 1.1");
    assert_eq!(ask("/metrics", None, &[]), "200 1.1");
    assert_eq!(ask("/control/lifecycle", None, &[]), "401 1.1");
    assert_eq!(ask("/control/lifecycle", Some(READER), &[]), "200 1.1");
    let post = ["-X", "POST"];
    let drain = "/control/upgrade/drain";
    assert_eq!(ask(drain, Some(READER), &post), "403 1.1");
    let call = ["-H", "Rpc-Procedure: echo", "-d", "hello"];
    assert_eq!(curl(inbound, &call), "hello\n200 1.1");
    let begun = ask(drain, Some(OPERATOR), &post);
    assert_eq!(begun, "202 1.1");
    until(|| curl(inbound, &call).ends_with("503 1.1"));
    let begun = ask("/control/upgrade/resume", Some(OPERATOR), &post);
    assert_eq!(begun, "202 1.1");
    until(|| curl(inbound, &call) == "hello\n200 1.1");
}

#[test]
fn over_tls_the_diagnostics_tell_who_shows_a_certificate_and_probes_need_none() {
    let (authority, folder) = (Authority::new("ours"), TempDir::new().expect("a folder"));
    let ca = write(folder.path(), "ca.pem", &authority.pem);
    let (certificate, key) = authority.server().write(folder.path());
    let client = TempDir::new().expect("a folder");
    let (own, own_key) = authority.client("shop").write(client.path());
    let [ca, certificate, key, own, own_key] =
        [&ca, &certificate, &key, &own, &own_key].map(|it| it.to_str().expect("text"));
    let file = file(&format!(
        "http-inbounds.0.address = '127.0.0.1:0'\n[diagnostics]\naddress = '127.0.0.1:0'\n\
         client-scopes.shop = 'mesh.operate'\n\
         [diagnostics.tls]\ncertificate = '{certificate}'\nkey = '{key}'\nclient-ca = '{ca}'\n"
    ));
    let (_program, urls) = run(&["--config", path(&file)], 2);
    let diagnostics = &urls[1].1;
    assert!(
        diagnostics.starts_with("https://127.0.0.1:"),
        "{diagnostics}"
    );
    let ask = |path: &str, further: &[&str]| {
        let trusting = ["--cacert", ca];
        curl(
            &format!("{diagnostics}{path}"),
            &[&trusting[..], further].concat(),
        )
    };
    let showing = ["--cert", own, "--key", own_key];
    assert!(ask("/readyz", &[]).ends_with("\n200 1.1"));
    assert!(ask("/control/lifecycle", &[]).ends_with("\n401 1.1"));
    assert!(ask("/control/lifecycle", &showing).ends_with("\n200 1.1"));
    let cordon = ask(
        "/control/upgrade/cordon",
        &[&showing[..], &["-X", "POST"]].concat(),
    );
    assert!(cordon.contains("\"by\":\"cert:shop\""), "{cordon}");
    // Whom the system trusts is not asked.
    let untrusted = curl(&format!("{diagnostics}/readyz"), &[]);
    assert!(untrusted.ends_with("\n000 0"), "{untrusted}");
}

/// What was ordered goes on by itself; asks until it has come to that.
fn until(mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < end, "it does not come");
    }
}
