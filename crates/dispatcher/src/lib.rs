//! An RPC dispatcher whose every moving part is an orchestrated component.
//!
//! A [`Dispatcher`] is a value: it looks up [`Procedure`]s of five [`Shape`]s and calls them through layers. What of it moves,
//! inbounds, outbounds and whatever else was added, comes as registrations for an orchestrator, which alone decides what is
//! started and stopped, in which order, how often it is tried and for how long. There is no such code here, and of tokio nothing
//! but timers and a semaphore to write it with. It knows no configuration file, no signal, and not the other host.
//!
//! What it promises about starting and stopping is written down in `tests/parity`, as traces to be read by people.

#![cfg_attr(not(test), deny(clippy::unwrap_used))]

mod builder;
mod call;
mod client;
mod code;
mod codec;
mod dispatcher;
mod error;
mod fault;
#[cfg(fuzzing)]
pub mod fuzzing;
mod grpc;
mod handler;
mod headers;
mod health;
mod http;
mod inbound;
mod introspect;
mod messages;
pub mod middleware;
mod outbound;
mod pattern;
mod peer;
mod procedure;
mod registrations;
mod registry;
mod relay;
mod route;
mod shape;
mod typed;
mod until;
mod upstream;

pub use builder::DispatcherBuilder;
pub use call::{Meta, Request, Response};
pub use client::Client;
pub use code::{Code, UnknownCode};
pub use codec::{Codec, CodecError, Either, Encoding, Json, Proto, Raw};
pub use dispatcher::{Dispatcher, LifecycleError};
pub use error::RpcError;
pub use fault::{BuildError, Fault};
pub use grpc::{GrpcAddressError, GrpcInbound, GrpcOutbound, GrpcPort};
pub use handler::{Handler, handler, handler_fn};
pub use headers::{HeaderError, Headers};
pub use http::{HttpInbound, HttpOutbound, HttpPort, HttpUrlError};
pub use inbound::Inbound;
pub use introspect::Introspection;
pub use messages::Messages;
pub use outbound::{DEFAULT_KEY, Outbound};
pub use peer::{Breaker, Chooser, PeerSource};
pub use procedure::Procedure;
pub use registrations::Gate;
pub use relay::Relay;
pub use route::{Route, RouteKind};
pub use shape::Shape;
pub use typed::{TypedMessages, TypedProcedure, TypedRequest, TypedResponse};
