//! [`Account`]: what became of spans, for metrics and for the log.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often the same trouble is told of.
const SILENCE: Duration = Duration::from_secs(60);

/// How often what was counted is handed to the metrics.
pub(super) const PERIOD: Duration = Duration::from_secs(1);

const SPANS: &str = "traces_spans_total";

/// What became of spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The collector has taken them.
    Sent,
    /// There was no room for them.
    QueueFull,
    /// The collector has refused them.
    Refused,
    /// The collector was not reached for too long.
    Undelivered,
}

impl Outcome {
    const ALL: [Self; 4] = [
        Self::Sent,
        Self::QueueFull,
        Self::Refused,
        Self::Undelivered,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::QueueFull => "queue-full",
            Self::Refused => "refused",
            Self::Undelivered => "undelivered",
        }
    }
}

/// What became of spans: counted by whoever knows, and told by the exporter's thread.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// By the number of the outcome, since it was handed to the metrics.
    counts: [AtomicU64; Outcome::ALL.len()],
    /// Lost since the log was told.
    lost: AtomicU64,
    /// Queued, and not accounted for yet.
    pending: AtomicU64,
    trouble: Mutex<Trouble>,
}

#[derive(Debug, Default)]
struct Trouble {
    /// What went wrong last, until something goes well.
    error: Option<String>,
    said: Option<Instant>,
}

impl Account {
    /// Takes in that a span is about to be queued.
    pub(super) fn queued(&self) {
        self.pending.fetch_add(1, Relaxed);
    }

    /// Takes in what became of spans. No more than three counts, since whoever closes a span waits for it.
    pub(super) fn ended(&self, outcome: Outcome, spans: u64) {
        self.pending.fetch_sub(spans, Relaxed);
        self.count(outcome, spans);
    }

    /// Takes in that a batch has arrived.
    pub(super) fn went_well(&self) {
        let mut trouble = self.trouble();
        if trouble.error.take().is_some() {
            trouble.said = None;
            let lost = self.lost.swap(0, Relaxed);
            tracing::info!(target: "traces", event = "traces.resumed", lost, "spans are exported again");
        }
    }

    /// Takes in that a batch has not arrived, or not all of it.
    pub(super) fn went_wrong(&self, error: &str) {
        self.trouble().error = Some(error.to_owned());
        self.tell();
    }

    /// Hands what was counted to the metrics, and tells the log of what was lost unless it was told a short while ago.
    pub(super) fn publish(&self) {
        // Each time: whoever renders metrics may have come after the exporter.
        metrics::describe_counter!(
            SPANS,
            "Spans for the collector, by what became of them: all but `sent` are lost."
        );
        for outcome in Outcome::ALL {
            let count = self.counts[outcome as usize].swap(0, Relaxed);
            metrics::counter!(SPANS, "outcome" => outcome.as_str()).increment(count);
        }
        if self.lost.load(Relaxed) > 0 {
            self.tell();
        }
    }

    /// Tells the log of what was lost and not told of yet, and of what is given up now.
    pub(super) fn conclude(&self) {
        let lost = self.lost.swap(0, Relaxed) + self.pending.load(Relaxed);
        if lost > 0 {
            self.warn(self.trouble().error.as_deref(), lost);
        }
    }

    fn count(&self, outcome: Outcome, spans: u64) {
        self.counts[outcome as usize].fetch_add(spans, Relaxed);
        if outcome != Outcome::Sent {
            self.lost.fetch_add(spans, Relaxed);
        }
    }

    fn tell(&self) {
        let mut trouble = self.trouble();
        if trouble.said.is_some_and(|it| it.elapsed() < SILENCE) {
            return;
        }
        trouble.said = Some(Instant::now());
        self.warn(trouble.error.as_deref(), self.lost.swap(0, Relaxed));
    }

    fn warn(&self, error: Option<&str>, lost: u64) {
        let error = error.unwrap_or("more spans than are sent");
        tracing::warn!(target: "traces", event = "traces.not_exported", error, lost, "spans are not exported");
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
