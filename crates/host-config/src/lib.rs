//! Configuration of a host program: from a file, the environment and flags to checked values, once.
//!
//! A program says which keys there are in a [`Schema`], and what they come to in a type that is a [`Configuration`]. [`load`] reads
//! every source, lays them over one another, and checks each value against the table, so that a report names **all** faults with
//! their place, the rule and the remedy, and the nearest key where one is unknown; only then it becomes typed values. From the same
//! table come `config show` with the origin of every value, the reference page and the JSON schema, so that they cannot differ from
//! what is read. [`cli`] has the flags and the subcommands that every host has.
//!
//! What the service manager has opened for the process is configuration, too: [`Sockets`].
//!
//! Sections that hosts have in common are in [`sections`]: their keys, what they come to as plain values, and their checks.
//! What these values build is not known here, nor is any host.
//!
//! ```
//! use host_config::Initial::Is;
//! use host_config::Node::Leaf;
//! use host_config::{Configuration, Group, Kind, Layers, Report, Schema, Sources, WithoutAFile, key, load};
//!
//! #[derive(serde::Deserialize)]
//! struct Config {
//!     greeting: String,
//! }
//!
//! const SCHEMA: Schema = Schema {
//!     title: "Configuration of the greeter",
//!     introduction: "# Configuration of the greeter\n",
//!     prefix: "GREETER__",
//!     without_a_file: WithoutAFile { is: "the defaults", document: "" },
//!     document: Group {
//!         title: "Outside of sections",
//!         text: "",
//!         always: true,
//!         keys: &[&[key("greeting", Leaf(Kind::Text, Is("\"hello\"")), "what is said")]],
//!     },
//! };
//!
//! impl Configuration for Config {
//!     const SCHEMA: &'static Schema = &SCHEMA;
//!     fn settle(&mut self, _: &Layers, _: &Sources) {}
//!     fn check(&self, _: &mut Report<'_>) {}
//! }
//!
//! let mut sources = Sources::default();
//! assert_eq!(load::<Config>(&sources)?.config.greeting, "hello");
//!
//! sources.environment.push(("GREETER__GREETNG".into(), "hi".into()));
//! let error = load::<Config>(&sources).err().expect("a fault");
//! assert_eq!(
//!     error.faults[0].to_string(),
//!     "environment GREETER__GREETNG: greetng: there is no such key; did you mean \"greeting\"?"
//! );
//! # Ok::<(), host_config::ConfigError>(())
//! ```

#![cfg_attr(not(test), deny(clippy::unwrap_used))]

pub mod cli;
mod document;
mod fault;
mod json_schema;
mod key;
mod kind;
mod layers;
mod load;
mod reference;
mod report;
mod schema;
pub mod sections;
mod sockets;

pub use crate::fault::{ConfigError, Fault, Flaw, Place};
pub use crate::key::Key;
pub use crate::kind::{Kind, nearest};
pub use crate::layers::Layers;
pub use crate::load::{Configuration, Flag, Loaded, Sources, load};
pub use crate::report::Report;
pub use crate::schema::{Entry, Group, Initial, Names, Node, Schema, WithoutAFile, key};
pub use crate::sockets::{SocketError, Sockets};
