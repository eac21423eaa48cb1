//! Files that are not in order.

use std::path::Path;

use axum::Router;
use lifecycle_adapters::HttpServer;
use lifecycle_adapters::tls::{ClientTls, Pem, ServerTls, TlsError, TlsFlaw, TlsPart};
use lifecycle_core::{Class, Failure, Lifecycle as _, StartContext};
use tempfile::TempDir;

use crate::certificates::{Authority, write};
use crate::scope::TestScope;
use crate::support::any_port;

#[tokio::test]
async fn contract_70_tls_without_a_certificate_fails_the_start_for_good_and_names_all_that_is_missing()
 {
    let folder = TempDir::new().unwrap();
    let missing = |name: &str| Pem::file(folder.path().join(name));
    let tls = ServerTls::new(missing("a.pem"), missing("a.key")).client_ca(missing("ca.pem"));
    let server = HttpServer::new(Router::new()).bind(any_port()).tls(tls);
    let start = StartContext::new(TestScope::new() as _);
    let error = server.start(&start).await.expect_err("nothing is there");
    let failure = Failure::from_error(&*error);
    assert_eq!(failure.class, Class::Permanent);
    assert_eq!(server.local_addr(), None);
    let error = error.downcast::<TlsError>().expect("a typed error");
    let parts: Vec<_> = error.faults.iter().map(|it| it.part).collect();
    assert_eq!(parts, [TlsPart::Certificate, TlsPart::Key, TlsPart::Ca]);
    for name in ["a.pem", "a.key", "ca.pem"] {
        let said = format!("{name}) cannot be read: No such file or directory");
        assert!(failure.message.contains(&said), "{}", failure.message);
    }
}

#[test]
fn what_is_in_a_file_is_checked_and_never_shown() {
    let authority = Authority::new("ours");
    let (one, other) = (authority.server(), authority.server());
    let (one_key, other_key) = (one.key.serialize_pem(), other.key.serialize_pem());
    let one_certificate = one.certificate.pem();
    let text = |it: &str| Pem::text(it);
    let server = |certificate: &str, key: &str| ServerTls::new(text(certificate), text(key));
    let broken = one_key.replace("-----END", "hunter2 -----END");
    let short = &one_certificate[..200];
    let hollow = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    let hollow_key = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
    use TlsPart::{Ca, Certificate, Key};
    for (tls, expected) in [
        (
            server("", "hunter2"),
            &[(Certificate, "NoCertificate"), (Key, "NoKey")][..],
        ),
        (
            server(&one_key, &one_certificate),
            &[(Certificate, "NoCertificate"), (Key, "NoKey")],
        ),
        (
            server(short, &broken),
            &[(Certificate, "Damaged"), (Key, "Damaged")],
        ),
        (server(&one_certificate, &other_key), &[(Key, "OtherKey")]),
        (server(hollow, &one_key), &[(Certificate, "Unusable")]),
        (server(&one_certificate, hollow_key), &[(Key, "Unusable")]),
        (
            server(&one_certificate, &other_key).client_ca(text("hunter2")),
            &[(Key, "OtherKey"), (Ca, "NoCertificate")],
        ),
        (
            server(&one_certificate, &one_key).client_ca(text(hollow)),
            &[(Ca, "Unusable")],
        ),
    ] {
        let error = tls.check().expect_err("it is not in order");
        let kind = |it: &TlsFlaw| format!("{it:?}").split('(').next().map(str::to_owned);
        let faults = error.faults.iter();
        let found: Vec<_> = faults
            .map(|it| (it.part, kind(&it.flaw).unwrap()))
            .collect();
        let expected = expected.iter().map(|(part, it)| (*part, (*it).to_owned()));
        assert_eq!(found, expected.collect::<Vec<_>>());
        let secret = one_key.lines().nth(1).expect("a key has lines");
        let shown = format!("{tls:?} {error:?} {}", Failure::from_error(&error).message);
        assert!(
            !shown.contains("hunter2") && !shown.contains(secret),
            "{shown}"
        );
    }
    let sound = server(&one_certificate, &one_key).client_ca(text(&authority.pem));
    sound.check().expect("it is in order");
}

#[test]
fn a_client_is_told_all_that_is_wrong_too() {
    let folder = TempDir::new().unwrap();
    let empty = write(folder.path(), "empty.pem", "");
    let tls = ClientTls::trusting(Pem::file(&empty))
        .identity(Pem::file(&empty), Pem::file(folder.path()))
        .server_name("no name");
    let error = tls.check().expect_err("nothing is in order");
    let parts: Vec<_> = error.faults.iter().map(|it| it.part).collect();
    use TlsPart::{Ca, Certificate, Key, ServerName};
    assert_eq!(parts, [Ca, Certificate, Key, ServerName]);
}

#[test]
fn what_is_no_file_or_too_large_for_one_is_not_read() {
    let (authority, folder) = (Authority::new("ours"), TempDir::new().unwrap());
    let padded = |bytes| authority.pem.clone() + &"\n".repeat(bytes);
    let large = write(folder.path(), "large.pem", &padded(4 << 20));
    let small = write(folder.path(), "small.pem", &padded(3 << 20));
    let flaw = |path: &Path| {
        let checked = ClientTls::trusting(Pem::file(path)).check();
        checked.map_err(|it| it.faults[0].flaw.to_string())
    };
    flaw(&small).expect("it is in order");
    for (path, said) in [
        (&*large, "cannot be read: file too large;"),
        (folder.path(), "cannot be read: it is no file;"),
        (Path::new("/dev/zero"), "cannot be read: it is no file;"),
    ] {
        let flaw = flaw(path).expect_err("it is not read");
        assert!(flaw.starts_with(said), "{flaw}");
    }
}
