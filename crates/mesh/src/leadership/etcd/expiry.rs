//! Until when the certificates for etcd are good, as a metric.

use std::fs;
use std::path::Path;
use std::time::Duration;

use x509_parser::pem::Pem;

use crate::leadership::config::EtcdOptions;

/// As that of other certificates of a host, which the adapters for TLS tell.
const EXPIRY: &str = "lifecycle_certificate_expiry_timestamp_seconds";

/// Says of `options` until when what is in the files now is good: the first end of what is presented, and the last of the CAs. What
/// cannot be read is told by the next connection.
pub(super) fn show(options: &EtcdOptions) {
    metrics::describe_gauge!(
        EXPIRY,
        metrics::Unit::Seconds,
        "When what a component has of certificates ends, by part: the chain that it presents, or the last of its CAs."
    );
    let presented = options.certificate.as_deref().map(ends);
    let trusted = options.ca.as_deref().map(ends);
    set("certificate", presented.and_then(|it| it.into_iter().min()));
    set("ca", trusted.and_then(|it| it.into_iter().max()));
}

fn set(part: &'static str, end: Option<Duration>) {
    let Some(end) = end else { return };
    let gauge = metrics::gauge!(EXPIRY, "component" => "mesh-leadership", "part" => part);
    gauge.set(end.as_secs_f64());
}

/// Since the epoch.
fn ends(path: &Path) -> Vec<Duration> {
    let Ok(bytes) = fs::read(path) else {
        return Vec::new();
    };
    let blocks = Pem::iter_from_buffer(&bytes).filter_map(Result::ok);
    let ends = blocks.filter_map(|block| {
        let end = block.parse_x509().ok()?.validity().not_after.timestamp();
        Some(Duration::from_secs(u64::try_from(end).unwrap_or(0)))
    });
    ends.collect()
}
