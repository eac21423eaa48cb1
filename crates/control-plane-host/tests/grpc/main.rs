//! The control listener of gRPC, with clients of tonic's and of grpcio's.

mod access;
#[path = "../../../lifecycle-adapters/tests/adapters/certificates.rs"]
mod certificates;
mod foreign;
mod health;
mod leadership;
mod lifecycle;
mod stage;
mod tls;
