//! The control listener of gRPC, with clients of tonic's and of grpcio's.

mod access;
mod foreign;
mod health;
mod leadership;
mod lifecycle;
mod stage;
