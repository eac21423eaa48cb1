//! Leadership as its users see it, through the public interface alone.

#[cfg(feature = "etcd")]
#[path = "../../../lifecycle-adapters/tests/adapters/certificates.rs"]
mod certificates;
#[cfg(feature = "sqlite")]
mod disk;
#[cfg(feature = "etcd")]
mod etcd;
#[cfg(feature = "etcd")]
mod etcd_access;
#[cfg(feature = "etcd")]
mod etcd_server;
mod events;
#[cfg(feature = "sqlite")]
mod failover;
mod fencing;
mod gates;
mod kit;
mod lifecycle;
mod metrics;
#[cfg(any(feature = "etcd", feature = "sqlite"))]
mod process;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "sqlite")]
mod sqlite_disks;
#[cfg(feature = "sqlite")]
mod sqlite_processes;
