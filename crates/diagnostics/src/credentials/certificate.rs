//! [`CertificateScopes`]: what client certificates are good for.

use std::collections::BTreeMap;
use std::sync::Arc;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use crate::audit::is_unprintable;
use crate::credentials::{Refusal, Scope};

/// What stands before the name of who is known by a certificate, in the log and in documents: a token cannot be called so.
pub(super) const PREFIX: &str = "cert:";

/// What is named to mean every certificate.
const EVERY: &str = "*";

/// The most bytes of a name that is of any use.
const LONGEST_NAME: usize = 256;

/// What client certificates are good for, by the names in them: the common names of the subject, and of the alternative names those
/// of DNS, URI and mail. Names are compared as they are, letter by letter. Unless something is granted, nothing.
///
/// ```
/// use diagnostics::{CertificateScopes, Scope};
///
/// let scopes = CertificateScopes::default()
///     .grant("alice", Scope::Operate)
///     .grant("spiffe://example.org/grafana", Scope::Read);
/// let anybody_of_our_ca = CertificateScopes::default().grant("*", Scope::Read);
/// # let _ = (scopes, anybody_of_our_ca);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateScopes {
    named: BTreeMap<String, Scope>,
    every: Option<Scope>,
}

impl CertificateScopes {
    /// Makes certificates with `name` good for `scope`, or with `*` every certificate: the CA alone says then who is let in. The last
    /// word on a name counts. A certificate with several names has the greatest scope among them.
    #[must_use]
    pub fn grant(mut self, name: impl Into<String>, scope: Scope) -> Self {
        let name = name.into();
        if name == EVERY {
            self.every = Some(scope);
        } else {
            self.named.insert(name, scope);
        }
        self
    }

    /// Who shows `certificate`, in DER, and what it is good for.
    pub(super) fn judge(&self, certificate: &[u8]) -> Result<(Arc<str>, Scope), Refusal> {
        let names = names(certificate);
        let first = names.first().ok_or(Refusal::NamelessCertificate)?;
        let granted = names
            .iter()
            .filter_map(|it| Some((it, *self.named.get(it)?)));
        // Of equals the first, by which it is known anyway.
        let best = granted.reduce(|best, it| if it.1 > best.1 { it } else { best });
        let of_every = self.every.map(|it| (first, it));
        let (name, scope) = match (best, of_every) {
            (Some(best), Some(every)) if every.1 > best.1 => (best.0, every.1),
            (Some(best), _) => best,
            (None, Some(every)) => every,
            (None, None) => {
                return Err(Refusal::UnknownCertificate {
                    who: known_as(first),
                });
            }
        };
        Ok((known_as(name), scope))
    }
}

fn known_as(name: &str) -> Arc<str> {
    format!("{PREFIX}{name}").into()
}

/// The names in `certificate`, in DER, that are of use; common names first.
fn names(certificate: &[u8]) -> Vec<String> {
    // What cannot be read has no names; rustls has read it before.
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    let common = certificate.subject().iter_common_name();
    let common = common.filter_map(|it| it.as_str().ok());
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let alternative = alternative.iter().flat_map(|it| &it.value.general_names);
    let alternative = alternative.filter_map(|it| match it {
        GeneralName::DNSName(name) | GeneralName::URI(name) | GeneralName::RFC822Name(name) => {
            Some(*name)
        }
        _ => None,
    });
    common
        .chain(alternative)
        .filter(|it| is_of_use(it))
        .map(str::to_owned)
        .collect()
}

/// Whether `name` can be shown as it is, and be told from others.
fn is_of_use(name: &str) -> bool {
    let fits = !name.is_empty() && name.len() <= LONGEST_NAME && name.trim() == name;
    fits && !name.contains(is_unprintable)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    /// A certificate of `common`, if that is something, and the URI `uri`.
    fn certificate(common: &str, uri: Option<&str>) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if !common.is_empty() {
            params.distinguished_name.push(DnType::CommonName, common);
        }
        let uri = uri.map(|it| SanType::URI(it.try_into().unwrap()));
        params.subject_alt_names.extend(uri);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    fn judged(scopes: &CertificateScopes, certificate: &[u8]) -> Result<(String, Scope), Refusal> {
        let judged = scopes.judge(certificate);
        judged.map(|(who, scope)| (who.to_string(), scope))
    }

    #[test]
    fn a_certificate_is_good_for_the_greatest_scope_of_its_names() {
        let scopes = CertificateScopes::default()
            .grant("alice", Scope::Read)
            .grant("spiffe://a/ops", Scope::Operate);
        let alice = Ok(("cert:alice".to_owned(), Scope::Read));
        assert_eq!(judged(&scopes, &certificate("alice", None)), alice);
        let both = certificate("alice", Some("spiffe://a/ops"));
        let ops = Ok(("cert:spiffe://a/ops".to_owned(), Scope::Operate));
        assert_eq!(judged(&scopes, &both), ops);
        let who = "cert:bob".into();
        let unknown = Err(Refusal::UnknownCertificate { who });
        assert_eq!(judged(&scopes, &certificate("bob", None)), unknown);
        assert!(judged(&scopes, &certificate("Alice", None)).is_err());
    }

    #[test]
    fn what_every_certificate_is_good_for_takes_nothing_from_who_is_named() {
        let every = |scope| CertificateScopes::default().grant("*", scope);
        let (alice, bob) = (certificate("alice", None), certificate("bob", None));
        let scopes = every(Scope::Read).grant("alice", Scope::Operate);
        let judged = |scopes, certificate| judged(scopes, certificate).unwrap();
        assert_eq!(
            judged(&scopes, &alice),
            ("cert:alice".into(), Scope::Operate)
        );
        assert_eq!(judged(&scopes, &bob), ("cert:bob".into(), Scope::Read));
        let scopes = every(Scope::Operate).grant("alice", Scope::Read);
        assert_eq!(
            judged(&scopes, &alice),
            ("cert:alice".into(), Scope::Operate)
        );
    }

    #[test]
    fn a_certificate_whose_names_cannot_be_shown_is_of_nobody() {
        let scopes = CertificateScopes::default().grant("*", Scope::Operate);
        let long = "a".repeat(257);
        for name in ["", " alice", "ali\nce", "ali\u{202e}ce", &long] {
            let refused = judged(&scopes, &certificate(name, None));
            assert_eq!(refused, Err(Refusal::NamelessCertificate), "{name:?}");
        }
        assert_eq!(
            judged(&scopes, b"nonsense"),
            Err(Refusal::NamelessCertificate)
        );
        let named_elsewhere = certificate("ali\nce", Some("spiffe://a/b"));
        let (who, _) = judged(&scopes, &named_elsewhere).unwrap();
        assert_eq!(who, "cert:spiffe://a/b");
    }
}
