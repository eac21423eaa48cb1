//! The dispatcher as a library: calls, layers, and what it registers.

mod calls;
mod grpc;
mod http;
mod kit;
mod layers;
mod lifecycle;
mod wiring;
