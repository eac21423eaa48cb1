//! Why a datagram goes no further, and how often that is said.

use std::time::{Duration, Instant};

use crate::gossip::replay::Replay;
use crate::gossip::traffic::Outcome;

/// How often one kind of refusal is logged at most: who floods the port shall not flood the log.
const QUIET: Duration = Duration::from_secs(60);

/// Why a datagram was not taken in. It was neither answered nor shown to the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("a datagram is larger than any that a node sends")]
    Oversize,
    /// With what was wrong.
    #[error("a datagram is not gossip that this node reads: {0}")]
    Malformed(String),
    #[error("a node of another cluster gossips with this one")]
    Foreign,
    #[error("a datagram is sealed with key {key_id}, which this node does not have")]
    UnknownKey { key_id: u8 },
    #[error(
        "a datagram is not sealed with this node's key {key_id} for its cluster: its sender has another key of that id, is \
         of another cluster, or it was changed on its way"
    )]
    Forged { key_id: u8 },
    #[error("a datagram of {sender:?} {}", .replay.rule())]
    Replayed { sender: String, replay: Replay },
}

impl Refusal {
    pub(crate) const fn outcome(&self) -> Outcome {
        match self {
            Self::Oversize => Outcome::OversizeReceived,
            Self::Malformed(_) => Outcome::Malformed,
            Self::Foreign => Outcome::Foreign,
            Self::UnknownKey { .. } => Outcome::UnknownKey,
            Self::Forged { .. } => Outcome::Forged,
            Self::Replayed { .. } => Outcome::Replayed,
        }
    }
}

impl Replay {
    const fn rule(self) -> &'static str {
        match self {
            Self::OlderStart => {
                "is of an earlier start of it: it was recorded and sent again, its clock was set back, or two nodes have one name"
            }
            Self::Again => "was here before: it was sent again",
            Self::ForAnother => {
                "answers what this start has not asked: it was recorded and sent again, or this node was restarted in between"
            }
        }
    }
}

/// Says of each outcome when it is to be logged again.
#[derive(Debug, Default)]
pub(crate) struct LogLimit {
    outcomes: [Said; Outcome::COUNT],
}

#[derive(Clone, Copy, Debug, Default)]
struct Said {
    last: Option<Instant>,
    /// How often it was not said since.
    unsaid: u64,
}

impl LogLimit {
    /// Whether `outcome` is to be logged at `now`; then how often it was not logged since the last time.
    pub(crate) fn due(&mut self, now: Instant, outcome: Outcome) -> Option<u64> {
        let said = &mut self.outcomes[outcome as usize];
        let quiet = said
            .last
            .is_some_and(|it| now.saturating_duration_since(it) < QUIET);
        if quiet {
            said.unsaid += 1;
            return None;
        }
        said.last = Some(now);
        Some(std::mem::take(&mut said.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_logged_once_a_minute_with_the_number_of_those_left_out() {
        let mut limit = LogLimit::default();
        let now = Instant::now();
        assert_eq!(limit.due(now, Outcome::Forged), Some(0));
        assert_eq!(limit.due(now, Outcome::Forged), None);
        assert_eq!(limit.due(now, Outcome::Replayed), Some(0));
        let almost = now + QUIET - Duration::from_millis(1);
        assert_eq!(limit.due(almost, Outcome::Forged), None);
        assert_eq!(limit.due(now + QUIET, Outcome::Forged), Some(2));
        assert_eq!(limit.due(now + QUIET * 2, Outcome::Forged), Some(0));
    }
}
