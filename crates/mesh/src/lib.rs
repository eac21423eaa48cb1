//! Gossip membership and leadership as components: who is in the cluster, who is alive, what each member says about itself,
//! and who leads what.
//!
//! [`gossip::registration`] turns [`gossip::Options`] into a registration for an orchestrator and a handle for everyone
//! who wants to know the members; [`leadership::Leadership`] does the same for leases. This crate knows neither host, and no
//! configuration file, environment or signal: it takes values. Only keys, passwords and certificates it reads from files itself, since
//! those may change while it runs.
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
pub mod leadership;
mod secret_file;
