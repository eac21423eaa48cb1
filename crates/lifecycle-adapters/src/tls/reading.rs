//! [`Reading`]: files to certificates and keys, with all faults at once.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::{Error, InconsistentKeys, RootCertStore};

use super::error::{TlsError, TlsFault, TlsFlaw, TlsPart};
use super::expiry::{Ends, first_end, last_end};
use super::pem::Pem;

/// A certificate and its key.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) certificate: Pem,
    pub(super) key: Pem,
}

/// What was read, and what is wrong with it.
#[derive(Default)]
pub(super) struct Reading {
    faults: Vec<TlsFault>,
    /// Each file as it was: whether something has changed since.
    bytes: Vec<Vec<u8>>,
    ends: Ends,
}

/// A configuration, and the bytes that it was made of.
pub(crate) struct Read<C> {
    pub(super) config: Arc<C>,
    pub(super) bytes: Vec<Vec<u8>>,
    pub(super) ends: Ends,
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

impl Reading {
    /// The certificate with its key, if both are in order and belong together.
    pub(super) fn identity(&mut self, identity: &Identity) -> Option<Arc<SingleCertAndKey>> {
        let chain = self.certificates(TlsPart::Certificate, &identity.certificate);
        let key = self.key(&identity.key);
        let (chain, key) = (chain?, key?);
        self.ends.certificate = first_end(&chain);
        let certified = CertifiedKey::new(chain, key);
        let (part, pem, flaw) = match certified.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                return Some(Arc::new(SingleCertAndKey::from(certified)));
            }
            Err(Error::InconsistentKeys(_)) => (TlsPart::Key, &identity.key, TlsFlaw::OtherKey),
            Err(error) => {
                let flaw = TlsFlaw::Unusable(error.to_string());
                (TlsPart::Certificate, &identity.certificate, flaw)
            }
        };
        self.blame(part, pem, flaw);
        None
    }

    /// The certificates that others must come from.
    pub(super) fn roots(&mut self, pem: &Pem) -> Option<RootCertStore> {
        let mut roots = RootCertStore::empty();
        let certificates = self.certificates(TlsPart::Ca, pem)?;
        self.ends.ca = last_end(&certificates);
        for certificate in certificates {
            if let Err(error) = roots.add(certificate) {
                self.blame(TlsPart::Ca, pem, TlsFlaw::Unusable(error.to_string()));
                return None;
            }
        }
        Some(roots)
    }

    pub(super) fn blame(&mut self, part: TlsPart, place: &impl ToString, flaw: TlsFlaw) {
        let place = place.to_string();
        self.faults.push(TlsFault { part, place, flaw });
    }

    /// What `config` makes of it, unless something is wrong.
    pub(super) fn finish<C>(self, config: impl FnOnce() -> C) -> Result<Read<C>, TlsError> {
        if !self.faults.is_empty() {
            return Err(TlsError::new(self.faults));
        }
        Ok(Read {
            config: Arc::new(config()),
            bytes: self.bytes,
            ends: self.ends,
        })
    }

    fn certificates(&mut self, part: TlsPart, pem: &Pem) -> Option<Vec<CertificateDer<'static>>> {
        let bytes = self.read(part, pem)?;
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        match found {
            Ok(found) if !found.is_empty() => return Some(found),
            Ok(_) => self.blame(part, pem, TlsFlaw::NoCertificate),
            // What the error says may be a line of the file.
            Err(_) => self.blame(part, pem, TlsFlaw::Damaged),
        }
        None
    }

    fn key(&mut self, pem: &Pem) -> Option<Arc<dyn SigningKey>> {
        let bytes = self.read(TlsPart::Key, pem)?;
        let flaw = match PrivateKeyDer::from_pem_slice(&bytes) {
            Ok(key) => match provider().key_provider.load_private_key(key) {
                Ok(key) => return Some(key),
                Err(_) => TlsFlaw::Unusable("it is of no kind that is known".to_owned()),
            },
            Err(pem::Error::NoItemsFound) => TlsFlaw::NoKey,
            Err(_) => TlsFlaw::Damaged,
        };
        self.blame(TlsPart::Key, pem, flaw);
        None
    }

    fn read(&mut self, part: TlsPart, pem: &Pem) -> Option<Vec<u8>> {
        match pem.read() {
            Ok(bytes) => {
                self.bytes.push(bytes.clone());
                Some(bytes)
            }
            Err(error) => {
                self.blame(part, pem, TlsFlaw::Unreadable(error.to_string()));
                None
            }
        }
    }
}
