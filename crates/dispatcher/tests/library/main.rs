//! The dispatcher as a library: calls, layers, and what it registers.

mod abuse;
mod calls;
mod grpc;
mod http;
mod kit;
mod layers;
mod lifecycle;
mod outbound;
mod probes;
mod relay;
mod rig;
mod streams;
mod typed;
mod wiring;
