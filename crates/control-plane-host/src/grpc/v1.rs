//! `controlplane.v1` as code, made from `proto/controlplane/v1`: messages, the service, and a client of it.

// The documents of what follows are in the protocol.
#![expect(
    missing_docs,
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]

tonic::include_proto!("controlplane.v1");

/// The descriptors of the protocols, as reflection tells them.
pub(crate) const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
