//! The end of a process that can no longer keep the promise of a gate.

use std::convert::Infallible;

use super::exit::ExitStatus;
use super::shutdown::end_process;
use crate::handle::Handle;

/// Ends the process at once when something behind a gate is still at work at the gate's close deadline: somebody else
/// may hold by now what the gate stood for (semantics 26). What is left is not stopped, since that takes time.
pub(super) async fn obey(handle: &Handle) -> Infallible {
    let mut watch = handle.status();
    let Ok(status) = watch.wait_for(|it| it.halted.is_some()).await else {
        return std::future::pending().await;
    };
    tracing::error!(
        target: "lifecycle",
        event = "host.halted",
        component = status.halted.as_ref().map(|it| it.as_str()),
        "something is at work behind a closed gate: the process ends without a stop",
    );
    end_process(i32::from(ExitStatus::StopFailed.code()))
}
