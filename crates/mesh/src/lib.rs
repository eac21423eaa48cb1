//! Gossip membership as a component: who is in the cluster, who is alive, and what each member says about itself.
//!
//! [`gossip::registration`] turns [`gossip::Options`] into a registration for an orchestrator and a handle for everyone
//! who wants to know the members. This crate knows neither host, and no configuration file, environment or signal: it
//! takes values. Only keys it reads from a file itself, since that may change while it runs.
//!
//! ```
//! use mesh::gossip::{self, Membership, Options};
//!
//! let options = Options { role: "gateway".into(), ..Options::default() };
//! let (registration, members) = gossip::registration(options)?;
//! assert_eq!(registration.name, "mesh-gossip");
//! assert!(members.peers().is_empty(), "nobody is known before the component has started");
//! # Ok::<(), gossip::InvalidOptions>(())
//! ```

#![cfg_attr(not(test), deny(clippy::unwrap_used))]

pub mod gossip;
