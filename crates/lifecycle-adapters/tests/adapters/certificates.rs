//! Certificates of authorities that exist for one test.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, date_time_ymd,
};

/// A year that no test sees.
const NEVER: i32 = 4096;

/// Whose certificates others may trust.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub(crate) pem: String,
}

/// A certificate with its key.
pub(crate) struct Issued {
    pub(crate) certificate: Certificate,
    pub(crate) key: KeyPair,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self {
            issuer: Issuer::new(params, key),
            pem: certificate.pem(),
        }
    }

    /// For a server that is called `localhost`, `127.0.0.1` or `::1`.
    pub(crate) fn server(&self) -> Issued {
        let names = ["localhost", "127.0.0.1", "::1"];
        self.issue(&names, ExtendedKeyUsagePurpose::ServerAuth, NEVER)
    }

    pub(crate) fn client(&self, name: &str) -> Issued {
        self.client_until(name, NEVER)
    }

    /// As [`client`](Self::client), good until this year begins.
    pub(crate) fn client_until(&self, name: &str, year: i32) -> Issued {
        self.issue(&[name], ExtendedKeyUsagePurpose::ClientAuth, year)
    }

    fn issue(&self, names: &[&str], usage: ExtendedKeyUsagePurpose, until: i32) -> Issued {
        let names: Vec<_> = names.iter().map(|it| (*it).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.extended_key_usages.push(usage);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Issued { certificate, key }
    }
}

impl Issued {
    /// Writes certificate and key into `folder`, over those that are there.
    pub(crate) fn write(&self, folder: &Path) -> (PathBuf, PathBuf) {
        (
            write(folder, "certificate.pem", &self.certificate.pem()),
            write(folder, "key.pem", &self.key.serialize_pem()),
        )
    }
}

pub(crate) fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).expect("it is written");
    path
}
