//! The program over TLS, asked by `curl`, and what is said of files that are not in order.

use std::path::Path;

use tempfile::TempDir;

use crate::certificates::{Authority, write};
use crate::kit::{Program, curl, file, path, program, run};

/// Certificates of an authority: that of the server as `certificate.pem`, and that of a client in the folder `client`.
struct Files {
    authority: Authority,
    folder: TempDir,
}

impl Files {
    fn new() -> Self {
        let (authority, folder) = (Authority::new("ours"), TempDir::new().expect("a folder"));
        write(folder.path(), "ca.pem", &authority.pem);
        authority.server().write(folder.path());
        let client = folder.path().join("client");
        std::fs::create_dir(&client).expect("a folder");
        authority.client("shop").write(&client);
        Self { authority, folder }
    }

    fn folder(&self) -> &str {
        self.folder.path().to_str().expect("text")
    }

    fn client_folder(&self) -> String {
        format!("{}/client", self.folder())
    }
}

/// An inbound's section: what the server presents, and that it asks clients.
fn presented(folder: &str, inbound: &str, more: &str) -> String {
    format!(
        "[{inbound}.tls]\ncertificate = '{folder}/certificate.pem'\nkey = '{folder}/key.pem'\n{more}\n"
    )
}

/// The program with this file, and the URLs of its inbounds.
fn started(text: &str, inbounds: usize) -> (Program, Vec<String>) {
    let file = file(&format!("diagnostics.address = '127.0.0.1:0'\n{text}"));
    let (program, urls) = run(&["--config", path(&file)], inbounds + 1);
    let urls = urls.into_iter().take(inbounds).map(|it| it.1);
    (program, urls.collect())
}

/// An echo service over HTTP and gRPC that asks its clients for certificates.
fn echo(files: &Files, more: &str) -> (Program, Vec<String>) {
    let folder = files.folder();
    let more = format!("client-ca = '{folder}/ca.pem'\n{more}");
    let http = presented(folder, "http-inbounds.0", &more);
    let grpc = presented(folder, "grpc-inbounds.0", &more);
    let text = format!(
        "echo = true\nservice = 'echo'\nhttp-inbounds.0.address = '127.0.0.1:0'\n\
         grpc-inbounds.0.address = '127.0.0.1:0'\n{http}{grpc}"
    );
    started(&text, 2)
}

/// What `curl` does with these certificates; without the status when there is no answer.
fn ask(url: &str, ca: &str, client: Option<&str>, more: &[&str]) -> String {
    let ca = format!("{ca}/ca.pem");
    let mut arguments = vec!["--cacert", &ca, "-H", "Rpc-Procedure: echo", "-d", "hello"];
    let files = client.map(|it| (format!("{it}/certificate.pem"), format!("{it}/key.pem")));
    if let Some((certificate, key)) = &files {
        arguments.extend(["--cert", certificate, "--key", key]);
    }
    arguments.extend(more);
    curl(url, &arguments)
}

#[test]
fn it_echoes_to_curl_over_tls_in_both_versions_and_only_with_a_certificate() {
    let (files, strangers) = (Files::new(), Files::new());
    let (mut program, urls) = echo(&files, "");
    let url = &urls[0];
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let (ca, client) = (files.folder(), files.client_folder());
    let by_alpn = ask(url, ca, Some(&client), &[]);
    assert_eq!(by_alpn, "hello\n200 2");
    let http1 = ask(url, ca, Some(&client), &["--http1.1"]);
    assert_eq!(http1, "hello\n200 1.1");
    for version in ["--tlsv1.3", "--tls-max"] {
        let more = [version, "1.2"];
        let more = if version == "--tls-max" {
            &more[..]
        } else {
            &more[..1]
        };
        assert_eq!(ask(url, ca, Some(&client), more), "hello\n200 2");
    }
    let nothing = "\n000 0";
    for version in ["1.2", "1.3"] {
        let more = ["--tls-max", version];
        assert_eq!(ask(url, ca, None, &more), nothing);
        let foreign = strangers.client_folder();
        assert_eq!(ask(url, ca, Some(&foreign), &more), nothing);
    }
    // Its certificate comes from another authority; it has another name.
    assert_eq!(ask(url, strangers.folder(), Some(&client), &[]), nothing);
    let port = url.rsplit_once(':').expect("a port").1;
    let to = format!("example.org:{port}:127.0.0.1");
    let other = format!("https://example.org:{port}");
    assert_eq!(ask(&other, ca, Some(&client), &["--resolve", &to]), nothing);
    let plain = url.replace("https", "http");
    assert_eq!(
        ask(&plain, ca, None, &["--http0.9"]).lines().last(),
        Some("000 0")
    );
    assert_eq!(ask(url, ca, Some(&client), &[]), "hello\n200 2");

    program.terminate();
    assert_eq!(program.0.wait().expect("it ends").code(), Some(0));
}

#[test]
fn a_relay_by_configuration_alone_goes_over_tls_with_a_certificate_of_its_own() {
    let files = Files::new();
    let (_echo, urls) = echo(&files, "");
    let (ca, client) = (files.folder(), files.client_folder());
    let address = urls[1].strip_prefix("https://").expect("over TLS");
    for (protocol, address) in [("http", &*urls[0]), ("http2", &urls[0]), ("grpc", address)] {
        let text = format!(
            "http-inbounds.0.address = '127.0.0.1:0'\nrelays.echo.unary = ['echo']\n[outbounds.echo]\n\
             protocol = '{protocol}'\naddress = '{address}'\n[outbounds.echo.tls]\nca = '{ca}/ca.pem'\n\
             certificate = '{client}/certificate.pem'\nkey = '{client}/key.pem'\nserver-name = 'localhost'\n"
        );
        let (_relay, urls) = started(&text, 1);
        let call = ["-H", "Rpc-Procedure: echo", "-d", "hello"];
        assert_eq!(curl(&urls[0], &call), "hello\n200 1.1", "{protocol}");
    }
}

#[test]
fn new_files_are_used_without_a_restart() {
    let files = Files::new();
    let (_program, urls) = echo(&files, "reload-interval = '10ms'");
    let (ca, client) = (files.folder(), files.client_folder());
    assert_eq!(ask(&urls[0], ca, Some(&client), &[]), "hello\n200 2");
    let renewed = Authority::new("renewed");
    let folder = TempDir::new().expect("a folder");
    write(folder.path(), "ca.pem", &renewed.pem);
    renewed.server().write(files.folder.path());
    // For as long as the old one is in use, it is not trusted.
    let new = folder.path().to_str().expect("text");
    let mut answer = String::new();
    for _ in 0..200 {
        answer = ask(&urls[0], new, Some(&client), &[]);
        if answer == "hello\n200 2" {
            return;
        }
    }
    panic!("{answer}");
}

/// What `config check` says of `text`.
fn checked(text: &str) -> (Option<i32>, String) {
    let file = file(text);
    let output = program(&["config", "check", "--config", path(&file)]).output();
    let output = output.expect("it runs");
    let said = String::from_utf8([output.stdout, output.stderr].concat()).expect("text");
    (output.status.code(), said.replace(path(&file), "FILE"))
}

#[track_caller]
fn check(text: &str, folder: &Path, expected: &[&str]) {
    let (code, said) = checked(text);
    assert_eq!(code, Some(78), "{said}");
    let said = said.replace(folder.to_str().expect("text"), "FOLDER");
    let lines: Vec<_> = said.lines().skip(1).map(str::trim).collect();
    assert_eq!(lines, expected);
}

#[test]
fn contract_70_what_is_missing_of_tls_is_found_before_anything_is_started() {
    let files = Files::new();
    let folder = files.folder();
    check(
        "http-inbounds.0.address = '127.0.0.1:0'\n[http-inbounds.0.tls]\n",
        files.folder.path(),
        &[
            "FILE:2: http-inbounds.0.tls.certificate: http-inbounds.0.tls has no certificate; say certificate: the file with the certificate, and those between it and its CA",
            "FILE:2: http-inbounds.0.tls.key: http-inbounds.0.tls has no key; say key: the file with its private key, not encrypted",
        ],
    );
    write(files.folder.path(), "empty.pem", "");
    let other = files.authority.server().key.serialize_pem();
    write(files.folder.path(), "other.pem", &other);
    let text = format!(
        "http-inbounds.0.address = '127.0.0.1:0'\ngrpc-inbounds.0.address = '127.0.0.1:0'\n\
         [http-inbounds.0.tls]\ncertificate = '{folder}/missing.pem'\nkey = '{folder}/certificate.pem'\n\
         [grpc-inbounds.0.tls]\ncertificate = '{folder}/certificate.pem'\nkey = '{folder}/other.pem'\n\
         client-ca = '{folder}/empty.pem'\n"
    );
    check(
        &text,
        files.folder.path(),
        &[
            "FILE:4: http-inbounds.0.tls.certificate: the certificate (FOLDER/missing.pem) cannot be read: No such file or directory (os error 2); name a file that is there and that this process may read",
            "FILE:5: http-inbounds.0.tls.key: the key (FOLDER/certificate.pem) has no private key in it; name a file in the form PEM, with a key that is not encrypted",
            "FILE:8: grpc-inbounds.0.tls.key: the key (FOLDER/other.pem) does not belong to the certificate; name the key that the certificate was made for",
            "FILE:9: grpc-inbounds.0.tls.client-ca: the CA (FOLDER/empty.pem) has no certificate in it; name a file in the form PEM, with BEGIN CERTIFICATE",
        ],
    );
    // Running it finds the same.
    let file = file(&text);
    let output = program(&["--config", path(&file)])
        .output()
        .expect("it runs");
    assert_eq!(
        (output.status.code(), &output.stdout[..]),
        (Some(78), &b""[..])
    );
}

#[test]
fn an_outbound_over_tls_says_whom_it_trusts_and_names_both_files_of_its_own() {
    let files = Files::new();
    let folder = files.folder();
    let text = format!(
        "http-inbounds.0.address = '127.0.0.1:0'\n\
         [outbounds.a]\nprotocol = 'http'\naddress = 'https://a/'\n\
         [outbounds.b]\nprotocol = 'http'\naddress = 'http://b/'\n[outbounds.b.tls]\nca = '{folder}/ca.pem'\n\
         [outbounds.c]\nprotocol = 'grpc'\naddress = 'c:1'\n[outbounds.c.tls]\n\
         certificate = '{folder}/certificate.pem'\nserver-name = 'no name'\n"
    );
    check(
        &text,
        files.folder.path(),
        &[
            "FILE:4: outbounds.a.address: the upstream's scheme is \"https\", and nothing says whom to trust; add a section [outbounds.a.tls] with a ca",
            "FILE:7: outbounds.b.address: the upstream's scheme is \"http\", over which no TLS is spoken; use \"https\"",
            "FILE:14: outbounds.c.tls.ca: outbounds.c.tls has no ca; say ca: the file with the CAs that the server's certificate may come from; those of the system are trusted only when their file is named",
            "FILE:14: outbounds.c.tls.key: a certificate and its key go together; name both files, or neither",
            "FILE:15: outbounds.c.tls.server-name: the server name (no name) is no name that a certificate can have; write a DNS name or an IP address",
        ],
    );
}

#[test]
fn others_may_reach_an_inbound_that_asks_clients_for_certificates_and_no_other() {
    let files = Files::new();
    let folder = files.folder();
    let asks = format!("client-ca = '{folder}/ca.pem'");
    let inbound = |more: &str| {
        let tls = presented(folder, "grpc-inbounds.0", more);
        format!("grpc-inbounds.0.address = '0.0.0.0:0'\n{tls}")
    };
    let (code, said) = checked(&inbound(&asks));
    assert_eq!((code, &*said), (Some(0), "the configuration is good\n"));
    let rule = "FILE:1: grpc-inbounds.0.address: 0.0.0.0:0 can be reached from other machines, and nothing there asks for credentials; \
                use a loopback address, ask clients for certificates by `tls.client-ca`, or set `insecure = true` on a network that you trust";
    check(&inbound(""), files.folder.path(), &[rule]);
    // Diagnostics have no TLS: for them the certificates of an inbound do not count.
    let text = format!("diagnostics.address = '0.0.0.0:1'\n{}", inbound(&asks));
    let (code, said) = checked(&text);
    assert_eq!(code, Some(78));
    assert!(
        said.contains("FILE:1: diagnostics.address: 0.0.0.0:1 can be reached"),
        "{said}"
    );
}

#[test]
fn files_are_named_by_variables_and_flags_too() {
    let files = Files::new();
    let folder = files.folder();
    let key = format!("http-inbounds.0.tls.key={folder}/key.pem");
    let mut command = program(&["config", "show", "--set", &key]);
    let certificate = format!("{folder}/certificate.pem");
    let output = command
        .env(
            "DISPATCHER__HTTP_INBOUNDS__0__TLS__CERTIFICATE",
            &certificate,
        )
        .output();
    let output = output.expect("it runs");
    let shown = String::from_utf8(output.stdout).expect("text");
    for said in [
        format!("http-inbounds.0.tls.certificate = \"{certificate}\""),
        format!("http-inbounds.0.tls.key = \"{folder}/key.pem\""),
        "http-inbounds.0.tls.reload-interval = \"5m\"".to_owned(),
    ] {
        assert!(
            shown.contains(&said),
            "{said} in {shown}{:?}",
            output.stderr
        );
    }
    assert!(!shown.contains("BEGIN"), "{shown}");
}
