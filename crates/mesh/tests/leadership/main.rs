//! Leadership as its users see it, through the public interface alone.

#[cfg(feature = "etcd")]
mod etcd;
mod events;
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
mod sqlite_processes;
