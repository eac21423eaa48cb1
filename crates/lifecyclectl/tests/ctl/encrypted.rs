//! Hosts that speak TLS, and what is wrong with certificates.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use diagnostics::{CertificateScopes, Credentials, Scope, Token};
use lifecycle_adapters::tls::{Pem, ServerTls};
use lifecycle_core::{BoxError, DrainContext, Lifecycle, Registration, StartContext, StopContext};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, date_time_ymd,
};
use tempfile::TempDir;

use crate::kit::{Run, command};
use crate::real::{Host, good};
use crate::server::Server;

const OPERATOR: &str = "operator-0123456789";

/// An authority, and files of what it has issued.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("ca"), certificate.pem()).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            folder,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn ca(&self) -> PathBuf {
        self.file("ca")
    }

    /// The files of a certificate and its key, of the common name `name`.
    fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> [PathBuf; 2] {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = [format!("{name}.pem"), format!("{name}.key")].map(|it| self.file(&it));
        fs::write(&files[0], certificate.pem()).unwrap();
        fs::write(&files[1], key.serialize_pem()).unwrap();
        files
    }

    fn client(&self, name: &str) -> [PathBuf; 2] {
        self.issue(name, |it| {
            it.extended_key_usages
                .push(ExtendedKeyUsagePurpose::ClientAuth);
        })
    }

    fn expired(&self, name: &str) -> [PathBuf; 2] {
        self.issue(name, |it| {
            it.not_before = date_time_ymd(2020, 1, 1);
            it.not_after = date_time_ymd(2020, 2, 1);
            it.extended_key_usages
                .push(ExtendedKeyUsagePurpose::ClientAuth);
        })
    }

    /// A host over TLS with a certificate of this authority, for the name `localhost`. It lets in a token, and `deployer`.
    fn host(&self, registrations: Vec<Registration>) -> Host {
        let [certificate, key] = self.issue("host", |it| {
            let name = "localhost".try_into().unwrap();
            it.subject_alt_names.push(rcgen::SanType::DnsName(name));
        });
        let tls = ServerTls::new(Pem::file(certificate), Pem::file(key));
        let tls = tls.optional_client_ca(Pem::file(self.ca()));
        let token = Token::new("alice", Scope::Operate, OPERATOR).unwrap();
        let scopes = CertificateScopes::default().grant("deployer", Scope::Operate);
        let credentials = Credentials::tokens([token]).certificates(scopes);
        Host::starting_with(registrations, |it| it.tls(tls).credentials(credentials))
    }

    /// The program, which trusts this authority.
    fn trusted(&self) -> Command {
        let mut command = command();
        command.env("LIFECYCLECTL_CA", self.ca());
        command
    }
}

fn url(host: &Host) -> String {
    format!("https://localhost:{}", host.address.port())
}

fn run(command: &mut Command, host: &Host, line: &str) -> Run {
    command.env("LIFECYCLECTL_ENDPOINT", url(host));
    command.args(line.split_whitespace());
    command.output().unwrap().into()
}

/// A line of what, a line of what to do, and no more.
#[track_caller]
fn one_error(run: &Run) {
    let lines: Vec<_> = run.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{}", run.stderr);
    assert!(lines[0].starts_with("error: "), "{}", run.stderr);
    assert!(lines[1].starts_with("  try: "), "{}", run.stderr);
}

#[test]
fn a_host_is_asked_over_tls_by_token_or_by_certificate() {
    let authority = Authority::new();
    let host = authority.host(vec![Registration::new("db", good())]);
    let wait = "wait --for ready --timeout 20s";
    run(&mut authority.trusted(), &host, wait).ended(0);
    run(&mut authority.trusted(), &host, "status").failed(4, "or a client certificate");

    let mut by_token = authority.trusted();
    by_token.env("LIFECYCLECTL_TOKEN", OPERATOR);
    let status = run(&mut by_token, &host, "status").ended(0);
    assert!(status.stdout.starts_with("ready       yes\n"));
    assert_eq!(status.stderr, "", "the token does not travel in clear text");

    let [certificate, key] = authority.client("deployer");
    let mut by_flags = command();
    let files = [
        ("--ca", &authority.ca()),
        ("--cert", &certificate),
        ("--key", &key),
    ];
    for (flag, file) in files {
        by_flags.arg(flag).arg(file);
    }
    run(&mut by_flags, &host, "cordon --reason disk").ended(0);
    let mut by_environment = authority.trusted();
    by_environment
        .env("LIFECYCLECTL_CERT", &certificate)
        .env("LIFECYCLECTL_KEY", &key);
    let node = run(&mut by_environment, &host, "mesh upgrade status -o json").ended(0);
    assert!(node.stdout.contains("cert:deployer"), "{}", node.stdout);
}

#[test]
fn a_host_is_not_asked_over_tls_without_an_authority_and_the_remedy_is_said() {
    let authority = Authority::new();
    let host = authority.host(Vec::new());
    let refused = run(&mut command(), &host, "status").failed(64, "needs an authority");
    one_error(&refused);
    assert!(refused.stderr.contains("--ca FILE"), "{}", refused.stderr);
    // Before the first of the hosts is touched, too.
    let mut rolling = command();
    rolling.args(["rolling-restart", "127.0.0.1:1", &url(&host)]);
    let refused = Run::from(rolling.output().unwrap());
    one_error(&refused.failed(64, "needs an authority"));
}

#[test]
fn a_host_that_is_not_trusted_is_told_nothing_and_not_waited_for() {
    let (ours, other) = (Authority::new(), Authority::new());
    let host = ours.host(Vec::new());
    for line in ["status", "wait --for ready", "events -f"] {
        let refused = run(&mut other.trusted(), &host, line);
        let refused = refused.failed(4, "is not trusted: invalid peer certificate");
        assert!(refused.stderr.contains("--ca names"), "{}", refused.stderr);
    }
    let mut by_address = ours.trusted();
    by_address.args(["-u", &format!("https://{}", host.address), "status"]);
    let refused = Run::from(by_address.output().unwrap());
    one_error(&refused.failed(4, "not valid for name"));
}

#[test]
fn a_certificate_that_a_host_does_not_take_is_told_with_the_remedy() {
    let (ours, other) = (Authority::new(), Authority::new());
    let host = ours.host(Vec::new());
    for [certificate, key] in [other.client("deployer"), ours.expired("deployer")] {
        let mut wrong = ours.trusted();
        wrong.arg("--cert").arg(certificate).arg("--key").arg(key);
        let refused = run(&mut wrong, &host, "status").failed(4, "does not let us in");
        one_error(&refused);
        assert!(
            refused.stderr.contains("--cert and --key"),
            "{}",
            refused.stderr
        );
    }
}

#[test]
fn files_that_are_not_in_order_are_usage() {
    let authority = Authority::new();
    let host = authority.host(Vec::new());
    let [certificate, key] = authority.client("deployer");
    let with = |words: &[(&str, &PathBuf)]| {
        let mut command = command();
        for (flag, file) in words {
            command.arg(flag).arg(file);
        }
        run(&mut command, &host, "status")
    };
    let (ca, absent) = (authority.ca(), authority.file("absent"));
    one_error(&with(&[("--ca", &absent)]).failed(64, "cannot be read"));
    one_error(&with(&[("--ca", &key)]).failed(64, "has no certificate in it"));
    let alone = with(&[("--ca", &ca), ("--cert", &certificate)]);
    one_error(&alone.failed(64, "--cert and --key go together"));
    let swapped = with(&[("--ca", &ca), ("--cert", &key), ("--key", &certificate)]);
    let swapped = swapped.failed(64, "has no private key in it");
    assert!(!swapped.stderr.contains("PRIVATE"), "{}", swapped.stderr);
}

#[test]
fn who_speaks_http_where_tls_is_spoken_or_the_other_way_round_is_told_so() {
    let authority = Authority::new();
    let host = authority.host(Vec::new());
    let mut plain = command();
    plain.args(["-u", &host.address.to_string(), "status"]);
    let refused = Run::from(plain.output().unwrap());
    one_error(&refused.failed(1, "http or https?"));
    let server = Server::new();
    let mut encrypted = authority.trusted();
    encrypted.args(["-u", &server.url().replace("http:", "https:"), "status"]);
    let refused = Run::from(encrypted.output().unwrap());
    one_error(&refused.failed(1, "http or https?"));
}

/// A participant with nothing in flight.
struct Inbound;

impl Lifecycle for Inbound {
    const DRAINS: bool = true;
    const DISPOSES: bool = false;

    async fn start(&self, _: &StartContext) -> Result<(), BoxError> {
        Ok(())
    }

    async fn stop(&self, _: &StopContext) -> Result<(), BoxError> {
        Ok(())
    }

    async fn drain(&self, _: &DrainContext) -> Result<(), BoxError> {
        Ok(())
    }
}

#[test]
fn hosts_are_restarted_one_after_another_over_tls() {
    let authority = Authority::new();
    let hosts = [(); 2].map(|()| authority.host(vec![Registration::new("inbound", Inbound)]));
    let wait = "wait --for ready --timeout 20s";
    for host in &hosts {
        run(&mut authority.trusted(), host, wait).ended(0);
    }
    let [certificate, key] = authority.client("deployer");
    let mut rolling = authority.trusted();
    rolling
        .env("LIFECYCLECTL_CERT", certificate)
        .env("LIFECYCLECTL_KEY", key)
        .arg("rolling-restart")
        .args(hosts.iter().map(url));
    let run = Run::from(rolling.output().unwrap()).ended(0);
    for host in &hosts {
        for phase in ["cordoned", "drained", "restarted", "ready"] {
            let line = format!("{}: {phase}\n", url(host));
            assert!(run.stdout.contains(&line), "{line}{}", run.stdout);
        }
    }
}
