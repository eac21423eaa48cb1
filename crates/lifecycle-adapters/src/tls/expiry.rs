//! [`Ends`]: until when certificates are good, as a metric.

use std::time::Duration;

use metrics::Gauge;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

const EXPIRY: &str = "lifecycle_certificate_expiry_timestamp_seconds";

/// Until when what was read is good, since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ends {
    /// Of what is presented: the first end in the chain, for nothing of it may be over.
    pub(super) certificate: Option<Duration>,
    /// Of the CAs: the last end among them, for a file has an old one beside the new one while they are changed.
    pub(super) ca: Option<Duration>,
}

/// The first of the ends of `chain`.
pub(super) fn first_end(chain: &[CertificateDer<'_>]) -> Option<Duration> {
    chain.iter().filter_map(end).min()
}

/// The last of the ends of `roots`.
pub(super) fn last_end(roots: &[CertificateDer<'_>]) -> Option<Duration> {
    roots.iter().filter_map(end).max()
}

/// `None` for what is no certificate: whoever uses it says so.
fn end(certificate: &CertificateDer<'_>) -> Option<Duration> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let end = parsed.validity().not_after.timestamp();
    Some(Duration::from_secs(u64::try_from(end).unwrap_or(0)))
}

/// The series of one owner. There is none for what it does not have.
pub(super) struct Meters {
    certificate: Option<Gauge>,
    ca: Option<Gauge>,
}

impl Meters {
    /// Makes the series of `owner`, for what `ends` has, and sets them.
    pub(super) fn new(owner: &str, ends: Ends) -> Self {
        metrics::describe_gauge!(
            EXPIRY,
            metrics::Unit::Seconds,
            "When what a component has of certificates ends, by part: the chain that it presents, or the last of its CAs."
        );
        let owner = owner.to_owned();
        let of = |part: &'static str| metrics::gauge!(EXPIRY, "component" => owner.clone(), "part" => part);
        let meters = Self {
            certificate: ends.certificate.map(|_| of("certificate")),
            ca: ends.ca.map(|_| of("ca")),
        };
        meters.set(ends);
        meters
    }

    pub(super) fn set(&self, ends: Ends) {
        for (gauge, end) in [(&self.certificate, ends.certificate), (&self.ca, ends.ca)] {
            if let (Some(gauge), Some(end)) = (gauge, end) {
                gauge.set(end.as_secs_f64());
            }
        }
    }
}
