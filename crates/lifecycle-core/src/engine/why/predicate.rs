//! What is said of one component: its state in words. Where another one is behind it, the words end with that one's name, so
//! that "which …" can follow.

use std::fmt::Write as _;

use crate::failure::Failure;
use crate::plan::ComponentId;
use crate::policy::RetryPolicy;
use crate::time::{Nanos, Time};

use super::super::message::Reason;
use super::super::snapshot::ComponentRow;
use super::super::state::{ComponentState, DrainState, Health, OrchestratorState};
use super::Why;

/// How many characters of an error a sentence quotes; the documents have all of it.
const QUOTED: usize = 200;

/// How many names a list has before it only counts.
const LISTED: usize = 3;

impl Why<'_> {
    pub(super) fn predicate(&self, id: ComponentId) -> String {
        let row = self.row(id);
        match row.state {
            ComponentState::Created => "was never started".to_owned(),
            ComponentState::Waiting => self.waits(id, row),
            ComponentState::Starting => self.starts(id, row),
            ComponentState::BackingOff => self.backs_off(id, row),
            ComponentState::Running => self.runs(id, row),
            ComponentState::Stopping => self.stops(id, row),
            ComponentState::Stopped => self.is_stopped(id, row),
            ComponentState::Faulted => self.has_failed(id, row),
        }
    }

    /// `a`, `a and b`, `a, b, c and 4 more`.
    pub(super) fn listed(&self, ids: &[ComponentId]) -> String {
        let names = ids
            .iter()
            .map(|it| self.snapshot.name(*it).as_str().to_owned());
        let mut parts: Vec<String> = names.take(LISTED).collect();
        if ids.len() > LISTED {
            parts.push(format!("{} more", ids.len() - LISTED));
        }
        let Some(last) = parts.pop() else {
            return String::new();
        };
        if parts.is_empty() {
            return last;
        }
        format!("{} and {last}", parts.join(", "))
    }

    fn name_behind(&self, id: ComponentId) -> Option<&str> {
        self.behind(id).map(|it| self.snapshot.name(it).as_str())
    }

    fn waits(&self, id: ComponentId, row: &ComponentRow) -> String {
        let plan = &self.snapshot.plan;
        if let (true, Some(gate)) = (row.gate_closed, plan.gate(id)) {
            return format!(
                "waits behind its gate {}, which is closed",
                plan.gate_name(gate)
            );
        }
        match self.name_behind(id) {
            Some(name) => format!("waits for {name}"),
            None => "is about to start".to_owned(),
        }
    }

    fn starts(&self, id: ComponentId, row: &ComponentRow) -> String {
        if row.leaving || self.snapshot.state == OrchestratorState::Stopping {
            let with = self.with_behind(id);
            return format!("gives up its start{with}");
        }
        let mut text = "is starting".to_owned();
        let policies = self.snapshot.plan.policies(id);
        self.add_work(&mut text, row, &policies.start, row.attempt > 1);
        text
    }

    fn backs_off(&self, id: ComponentId, row: &ComponentRow) -> String {
        let policies = self.snapshot.plan.policies(id);
        let goes_down = row.leaving || self.snapshot.state == OrchestratorState::Stopping;
        let mut text = match (row.retry_at, goes_down) {
            (None, true) => format!("gives up its start{}", self.with_behind(id)),
            (None, false) => "is about to start again".to_owned(),
            (Some(_), true) => format!("backs off before stop {}", next(row, &policies.stop)),
            (Some(_), false) if row.restarting && row.charges > 0 => format!(
                "backs off before restart {} of {}",
                row.charges, policies.restart.budget
            ),
            (Some(_), false) if row.restarting => "backs off before it is started again".to_owned(),
            (Some(_), false) => format!("backs off before {}", next(row, &policies.start)),
        };
        let Some(due) = row.retry_at else {
            return text;
        };
        add_failure(&mut text, row);
        let left = due.since(self.snapshot.at);
        let _ = write!(text, ", next in {}", Brief(left));
        if let Some(name) = self.name_behind(id) {
            let _ = write!(text, ", for want of {name}");
        }
        text
    }

    fn runs(&self, id: ComponentId, row: &ComponentRow) -> String {
        let behind = self.name_behind(id);
        if row.leaving {
            return self.is_leaving(id, row);
        }
        let said = |text: &str| {
            let said = row.degraded.as_deref().map(quoted);
            said.map_or_else(|| text.to_owned(), |it| format!("{text} ({it})"))
        };
        if row.health == Health::Unhealthy {
            let failure = row.check_failure.as_deref();
            let message = failure.map(|it| format!(" ({})", quoted(&it.message)));
            return format!("is unhealthy{}", message.unwrap_or_default());
        }
        match row.drain {
            DrainState::Draining => return drains(row),
            DrainState::Failed => return drain_failed(row),
            DrainState::Active | DrainState::Drained => {}
        }
        if self.snapshot.state == OrchestratorState::Stopping {
            return match behind {
                Some(name) => format!("waits to be stopped until the drain of {name}"),
                None => "waits to be stopped until the host has settled".to_owned(),
            };
        }
        match (behind, row.health) {
            (Some(name), Health::Degraded) => format!("{}, without {name}", said("runs degraded")),
            (Some(name), _) => format!("runs without {name}"),
            (None, Health::Degraded) => said("runs degraded"),
            (None, _) if row.drain == DrainState::Drained => "runs, and is drained".to_owned(),
            (None, _) => format!("runs, for {}", Brief(self.since(row))),
        }
    }

    fn is_leaving(&self, id: ComponentId, row: &ComponentRow) -> String {
        let by = if row.held { " by an operator" } else { "" };
        let blocker = self.worst(&self.blockers(id));
        match self.behind(id).or(blocker) {
            Some(other) => format!(
                "waits to be stopped{by} after {}",
                self.snapshot.name(other)
            ),
            None => format!("is about to be stopped{by}"),
        }
    }

    fn stops(&self, id: ComponentId, row: &ComponentRow) -> String {
        let mut text = match row.reason {
            Reason::OperatorRestart => "is stopping to be restarted by an operator",
            Reason::OperatorStop => "is stopping for an operator",
            Reason::Removed => "is stopping to be removed",
            Reason::GateClosed => "is stopping for its gate, which is closed",
            Reason::Unhealthy => "is stopping to be restarted, since it is unhealthy",
            _ => "is stopping",
        }
        .to_owned();
        let policies = self.snapshot.plan.policies(id);
        let failed = row.attempt > 1 || matches!(row.reason, Reason::Lost | Reason::Failed);
        self.add_work(&mut text, row, &policies.stop, failed);
        text.push_str(&self.with_behind(id));
        text
    }

    fn is_stopped(&self, id: ComponentId, row: &ComponentRow) -> String {
        if row.held {
            return "was stopped by an operator, and is held".to_owned();
        }
        let lost = row.reason == Reason::DependencyLost;
        match (self.name_behind(id), row.reason) {
            (Some(name), _) if lost => format!("went down for good with {name}"),
            (Some(name), _) => format!("was stopped because of {name}"),
            (None, Reason::Completed) => "has completed".to_owned(),
            (None, Reason::Removed) => "is being removed".to_owned(),
            (None, _) => match self.snapshot.state {
                OrchestratorState::Stopping | OrchestratorState::Stopped => {
                    "is stopped, with the whole orchestrator".to_owned()
                }
                OrchestratorState::Created
                | OrchestratorState::Starting
                | OrchestratorState::Running => "is stopped".to_owned(),
            },
        }
    }

    fn has_failed(&self, id: ComponentId, row: &ComponentRow) -> String {
        if let Some(name) = self.name_behind(id) {
            let stays = if row.final_failure { " for good" } else { "" };
            return format!("failed{stays} with {name}");
        }
        let policies = self.snapshot.plan.policies(id);
        let mut text = match row.reason {
            Reason::Held => "is kept up, since a dependent of it could not be confirmed down",
            Reason::Quarantined => "has failed for good, since it blocks a thread",
            Reason::TimedOut => "could not be stopped in time",
            _ if row.leaving && !row.final_failure => "was lost, and waits to be stopped",
            _ if row.final_failure => "has failed for good",
            _ => "has failed",
        }
        .to_owned();
        match row.reason {
            Reason::BudgetExhausted => {
                let restart = &policies.restart;
                let (budget, window) = (restart.budget, Brief(restart.window));
                let _ = write!(text, ", after {budget} restarts within {window}");
            }
            Reason::AttemptsExhausted if row.attempt > 1 => {
                let _ = write!(text, ", after {} attempts", row.attempt);
            }
            _ => {}
        }
        add_failure(&mut text, row);
        text
    }

    fn with_behind(&self, id: ComponentId) -> String {
        let name = self.name_behind(id);
        name.map(|it| format!(" with {it}")).unwrap_or_default()
    }

    /// Which attempt, for how long, what it says, and what the one before failed by.
    fn add_work(&self, text: &mut String, row: &ComponentRow, policy: &RetryPolicy, failed: bool) {
        let most = policy.max_attempts.get();
        text.push_str(" (");
        if most > 1 || row.attempt > 1 {
            let _ = write!(text, "attempt {} of {most}, ", row.attempt);
        }
        let _ = write!(text, "for {}", Brief(self.since(row)));
        if let Some(progress) = &row.progress {
            let _ = write!(text, ", at \"{}\"", quoted(progress));
        }
        if let (true, Some(failure)) = (failed, row.failure.as_deref()) {
            let _ = write!(text, ", after {}", quoted(&failure.message));
        }
        text.push(')');
    }

    fn since(&self, row: &ComponentRow) -> Nanos {
        let at: Time = self.snapshot.at;
        at.since(row.since)
    }
}

fn next(row: &ComponentRow, policy: &RetryPolicy) -> String {
    format!("attempt {} of {}", row.attempt + 1, policy.max_attempts)
}

fn drains(row: &ComponentRow) -> String {
    let mut text = "is draining".to_owned();
    let count = row.in_flight.map(|it| format!("{it} in flight"));
    let progress = row.progress.as_deref().map(quoted);
    let parts: Vec<String> = count.into_iter().chain(progress).collect();
    if !parts.is_empty() {
        let _ = write!(text, " ({})", parts.join(", "));
    }
    text
}

fn drain_failed(row: &ComponentRow) -> String {
    let message = row.drain_failure.as_deref().map(|it| quoted(&it.message));
    let message = message.map(|it| format!(" ({it})")).unwrap_or_default();
    format!("runs, and could not be drained{message}")
}

fn add_failure(text: &mut String, row: &ComponentRow) {
    if let Some(Failure { message, .. }) = row.failure.as_deref() {
        let _ = write!(text, " ({})", quoted(message));
    }
}

/// A text in one line, cut where it is too long for a sentence.
fn quoted(text: &str) -> String {
    let mut quoted: String = text
        .chars()
        .take(QUOTED)
        .map(|it| if it.is_control() { ' ' } else { it })
        .collect();
    if text.chars().nth(QUOTED).is_some() {
        quoted.push('…');
    }
    quoted
}

/// A length of time as one says it: `350 ms`, `1.2 s`, `45 s`, `12 min`, `5 h`, `3 d`.
struct Brief(Nanos);

impl std::fmt::Display for Brief {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = std::time::Duration::from(self.0).as_millis();
        let seconds = millis / 1_000;
        match seconds {
            0 => write!(f, "{millis} ms"),
            1..10 => write!(f, "{}.{} s", seconds, millis % 1_000 / 100),
            10..120 => write!(f, "{seconds} s"),
            120..7_200 => write!(f, "{} min", seconds / 60),
            7_200..172_800 => write!(f, "{} h", seconds / 3_600),
            _ => write!(f, "{} d", seconds / 86_400),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_said_briefly() {
        let said = |millis| Brief(Nanos::from_millis(millis)).to_string();
        assert_eq!(said(0), "0 ms");
        assert_eq!(said(999), "999 ms");
        assert_eq!(said(1_250), "1.2 s");
        assert_eq!(said(59_999), "59 s");
        assert_eq!(said(120_000), "2 min");
        assert_eq!(said(7_200_000), "2 h");
        assert_eq!(said(259_200_000), "3 d");
    }

    #[test]
    fn what_is_quoted_is_one_line_and_not_endless() {
        assert_eq!(quoted("a\nb"), "a b");
        let long = quoted(&"é".repeat(300));
        assert_eq!(long.chars().count(), QUOTED + 1);
        assert!(long.ends_with('…'));
    }
}
