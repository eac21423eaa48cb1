//! What handles ask of the driver.

use std::sync::Arc;

use lifecycle_core::Time;
use lifecycle_core::engine::{self, Snapshot, StartReport, StopMode, StopReport};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// How many requests may wait. The driver never waits itself, so that a full queue lasts for one of its turns; whoever
/// finds it full waits for that long.
pub(crate) const REQUESTS: usize = 64;

/// Where the result of a start goes.
pub(crate) type StartReply = oneshot::Sender<Result<Arc<StartReport>, Arc<engine::StartError>>>;

/// Something that a handle asks; the sender is where the answer goes.
#[derive(Debug)]
pub(crate) enum Request {
    Start {
        token: Option<CancellationToken>,
        reply: StartReply,
    },
    Stop {
        mode: StopMode,
        deadline: Option<Time>,
        reply: oneshot::Sender<Arc<StopReport>>,
    },
    Snapshot {
        reply: oneshot::Sender<Snapshot>,
    },
}
