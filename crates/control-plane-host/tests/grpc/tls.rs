//! The listener over TLS, as grpcio meets it: by whose certificate it is let in, and certificates that change meanwhile.

use std::path::{Path, PathBuf};
use std::time::Duration;

use diagnostics::{CertificateScopes, Credentials, Scope};
use lifecycle_adapters::tls::{Pem, ServerTls};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

use crate::certificates::{Authority, Issued, write};
use crate::foreign::Client;
use crate::stage::{DEADLINE, Stage};

/// What it means to be let in, and to be let in by name.
const UNKNOWN: &str = "SERVING UNAUTHENTICATED";
const KNOWN: &str = "SERVING snapshot";
const REFUSED: &str = "UNAVAILABLE";

/// A stage that speaks TLS, and the files of it and of its clients.
struct Encrypted {
    stage: Stage,
    client: Client,
    folder: TempDir,
}

impl Encrypted {
    /// Presents a certificate of `authority`, asks for those of its clients, and looks at its files all the time.
    async fn by(authority: &Authority) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| Pem::file(folder.path().join(name));
        let tls = ServerTls::new(at("certificate.pem"), at("key.pem"))
            .optional_client_ca(at("clients.pem"))
            .reload_interval(Duration::from_millis(20));
        replace(folder.path(), authority);
        let reader = CertificateScopes::default().grant("reader", Scope::Read);
        let stage = Stage::start(|it| {
            it.tls = Some(tls);
            it.credentials = Credentials::default().certificates(reader);
        });
        let stage = stage.await;
        Self {
            client: Client::start("connect", &stage).await,
            stage,
            folder,
        }
    }

    /// How far a client gets that trusts `trusted`, and shows what it was issued.
    async fn attempt(&mut self, trusted: &Authority, shown: Option<&Issued>) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let mut files = vec![write(folder.path(), "ca.pem", &trusted.pem)];
        if let Some(issued) = shown {
            let (certificate, key) = issued.write(folder.path());
            files.extend([certificate, key]);
        }
        let files: Vec<_> = files
            .iter()
            .map(PathBuf::as_path)
            .map(Path::display)
            .collect();
        let files: Vec<_> = files.iter().map(ToString::to_string).collect();
        let line = format!("attempt {}\n", files.join(" "));
        let sent = self.client.input.write_all(line.as_bytes()).await;
        sent.expect("it reads");
        let said = self.client.line().await.expect("it answers");
        said.strip_prefix("attempt ")
            .expect("so it says")
            .to_owned()
    }

    /// Tries until it gets so far.
    async fn until(&mut self, trusted: &Authority, shown: &Issued, wanted: &str) {
        let begin = Instant::now();
        loop {
            let got = self.attempt(trusted, Some(shown)).await;
            if got == wanted {
                return;
            }
            assert!(begin.elapsed() < DEADLINE, "{got}, and never {wanted}");
        }
    }
}

/// Puts a new certificate of `authority` in place, and lets in the clients that it vouches for.
fn replace(folder: &Path, authority: &Authority) {
    write(folder, "clients.pem", &authority.pem);
    authority.server().write(folder);
}

#[tokio::test]
async fn grpcio_is_let_in_by_a_certificate_of_the_right_authority_and_time_and_name() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let mut encrypted = Encrypted::by(&ours).await;
    for (trusted, shown, reached) in [
        (&ours, Some(ours.client("reader")), KNOWN),
        // Probes need none, and whoever wants more is told so.
        (&ours, None, UNKNOWN),
        (
            &ours,
            Some(ours.client("stranger")),
            "SERVING PERMISSION_DENIED",
        ),
        (&ours, Some(other.client("reader")), REFUSED),
        (&ours, Some(ours.client_until("reader", 2020)), REFUSED),
        (&ours, Some(ours.server()), REFUSED),
        // It is the client that refuses here.
        (&other, Some(ours.client("reader")), REFUSED),
    ] {
        assert_eq!(encrypted.attempt(trusted, shown.as_ref()).await, reached);
    }
    encrypted.stage.stop().await;
}

#[tokio::test]
async fn certificates_of_server_and_clients_are_read_again_while_it_runs() {
    let (ours, next) = (Authority::new("ours"), Authority::new("next"));
    let mut encrypted = Encrypted::by(&ours).await;
    let (old, new) = (ours.client("reader"), next.client("reader"));
    assert_eq!(encrypted.attempt(&ours, Some(&old)).await, KNOWN);
    assert_eq!(encrypted.attempt(&next, Some(&new)).await, REFUSED);
    replace(encrypted.folder.path(), &next);
    encrypted.until(&next, &new, KNOWN).await;
    assert_eq!(encrypted.attempt(&next, Some(&old)).await, REFUSED);
    assert_eq!(encrypted.attempt(&ours, Some(&old)).await, REFUSED);
    // What cannot be used changes nothing.
    write(encrypted.folder.path(), "certificate.pem", "nonsense");
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(encrypted.attempt(&next, Some(&new)).await, KNOWN);
    encrypted.stage.stop().await;
}
