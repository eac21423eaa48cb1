//! One run of a published peer; see the library `bench`.
//!
//! Each is used as its documentation recommends. Who has no order of dependencies gets a barrier between two layers, written
//! here; who cannot even have that is not asked.

mod appcore_supervisor;
mod kameo;
mod pingora_core;
mod ractor;
mod rust_tokio_supervisor;
mod supervised;
mod task_supervisor;
mod tokio_graceful_shutdown;

use std::process::ExitCode;

use bench::Contender;

const CONTENDERS: &[Contender] = &[
    supervised::CONTENDER,
    task_supervisor::CONTENDER,
    tokio_graceful_shutdown::CONTENDER,
    ractor::CONTENDER,
    kameo::CONTENDER,
    appcore_supervisor::CONTENDER,
    rust_tokio_supervisor::CONTENDER,
    pingora_core::CONTENDER,
];

fn main() -> ExitCode {
    bench::run(CONTENDERS)
}
