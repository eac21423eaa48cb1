//! Certificates of authorities that exist for one test, and who shows them.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use lifecycle_adapters::tls::{Alpn, ClientTls, Pem, ServerTls};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, date_time_ymd,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Answer, DEADLINE, Rig, request};

/// Whose certificates others may trust.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pem: String,
}

/// A certificate with its key.
pub(crate) struct Issued {
    certificate: String,
    key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self {
            issuer: Issuer::new(params, key),
            pem: certificate.pem(),
        }
    }

    pub(crate) fn pem(&self) -> Pem {
        Pem::text(self.pem.as_str())
    }

    /// For a server that is called `localhost`.
    pub(crate) fn server(&self) -> Issued {
        let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        self.issue(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// For a client with this common name.
    pub(crate) fn client(&self, name: &str) -> Issued {
        self.issue(named(name), ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// As [`client`](Self::client), for a time that is over.
    pub(crate) fn expired(&self, name: &str) -> Issued {
        let mut params = named(name);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2020, 2, 1);
        self.issue(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(&self, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose) -> Issued {
        params.extended_key_usages.push(usage);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// What a server presents that asks clients for certificates of this authority, and lets in who has none.
    pub(crate) fn asking(&self) -> ServerTls {
        let Issued { certificate, key } = self.server();
        ServerTls::new(Pem::text(certificate), Pem::text(key)).optional_client_ca(self.pem())
    }

    /// Who trusts this authority, and shows `issued` if there is one.
    pub(crate) fn trusting(&self, issued: Option<&Issued>) -> Caller {
        let tls = ClientTls::trusting(self.pem()).server_name("localhost");
        let shown = |it: &Issued| {
            let certificate = Pem::text(it.certificate.as_str());
            tls.clone()
                .identity(certificate, Pem::text(it.key.as_str()))
        };
        Caller(issued.map_or_else(|| tls.clone(), shown))
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Issued {
    /// Writes certificate and key into `folder`, over those that are there.
    pub(crate) fn write(&self, folder: &Path) {
        fs::write(folder.join("certificate.pem"), &self.certificate).expect("it is written");
        fs::write(folder.join("key.pem"), &self.key).expect("it is written");
    }
}

/// Who asks over TLS.
pub(crate) struct Caller(ClientTls);

impl Caller {
    /// One answer on a connection of its own; an error when there is none.
    pub(crate) fn ask(
        &self,
        rig: &Rig,
        method: &str,
        path: &str,
        further: &[&str],
    ) -> io::Result<Answer> {
        let address = rig.address();
        let body = (method == "POST").then_some("{}");
        let text = request(address, method, path, further, body);
        rig.run(self.exchange(address, &text))
    }

    /// The status of an answer, with a token if there is one.
    #[track_caller]
    pub(crate) fn status(&self, rig: &Rig, method: &str, path: &str, token: Option<&str>) -> u16 {
        let line = token.map(|it| format!("Authorization: Bearer {it}"));
        let lines: Vec<&str> = line.iter().map(String::as_str).collect();
        let answer = self.ask(rig, method, path, &lines);
        answer.expect("it is let in").status
    }

    async fn exchange(&self, address: SocketAddr, request: &str) -> io::Result<Answer> {
        let stream = TcpStream::connect(address).await?;
        let connector = self.0.connector(Alpn::Http1, "client", |_| ()).await;
        let connector = connector.expect("certificates in order");
        let mut stream = connector.connect("localhost", stream).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut text = String::new();
        let read = tokio::time::timeout(DEADLINE, stream.read_to_string(&mut text));
        read.await??;
        Ok(Answer::parse(&text))
    }
}
