//! [`Leaders`]: who says that it leads, and with which fencing token.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

use super::station::Station;
use super::{Findings, Stations};
use crate::hosts::{get, rest};
use crate::process::say;

/// Between two looks at all hosts.
const PACE: Duration = Duration::from_millis(200);

/// An answer that took longer says nothing of now: the host slept in between.
const FRESH: Duration = Duration::from_millis(500);

/// For so long after a greater token was seen the one before may still be told of.
const OVERLAP: Duration = Duration::from_secs(1);

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Leaders(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// Who had which token, and when that was seen first.
    tokens: BTreeMap<u64, (String, Instant)>,
    /// When anybody was seen to lead last.
    last: Option<Instant>,
    longest_gap: Duration,
    looks: u64,
}

impl Leaders {
    pub(super) fn watch(&self, stations: &Stations, over: &AtomicBool, findings: &Findings) {
        while !over.load(Ordering::Relaxed) {
            for plane in stations.iter().filter(|it| it.is_plane()) {
                let asked = Instant::now();
                let token = claimed(plane);
                let mut seen = self.0.lock().expect("nobody panics while it is locked");
                seen.looks += 1;
                let Some(token) = token.filter(|_| asked.elapsed() < FRESH) else {
                    continue;
                };
                if let Some(what) = seen.take(&plane.name, token, asked) {
                    findings.add(&what);
                }
            }
            rest(PACE);
        }
    }

    /// Whether anybody was seen to lead since then.
    pub(super) fn led_since(&self, since: Instant) -> bool {
        let seen = self.0.lock().expect("nobody panics while it is locked");
        seen.last.is_some_and(|it| it > since)
    }

    pub(super) fn tell(&self) -> Result<()> {
        let seen = self.0.lock().expect("nobody panics while it is locked");
        say(format_args!(
            "{} tenancies, each with a greater token; nobody seen to lead for {:.1} s at most",
            seen.tokens.len(),
            seen.longest_gap.as_secs_f64()
        ))
    }

    pub(super) fn document(&self) -> Value {
        let seen = self.0.lock().expect("nobody panics while it is locked");
        let tokens = seen.tokens.iter();
        let tokens: Vec<_> = tokens
            .map(|(token, (who, _))| json!([token, who]))
            .collect();
        json!({
            "tokens": tokens,
            "longest_gap_s": seen.longest_gap.as_secs_f64(),
            "looks": seen.looks,
        })
    }
}

impl Seen {
    /// What is wrong with `who` leading with `token` at a moment that is not before `asked`, if anything.
    fn take(&mut self, who: &str, token: u64, asked: Instant) -> Option<String> {
        if let Some(last) = self.last {
            self.longest_gap = self.longest_gap.max(asked.saturating_duration_since(last));
        }
        self.last = Some(asked);
        let greater = self.tokens.range(token + 1..).next();
        let stale = greater.filter(|(_, (_, since))| asked > *since + OVERLAP);
        if let Some((greater, (other, _))) = stale {
            return Some(format!(
                "{who} leads with token {token} although {other} has had {greater}"
            ));
        }
        let new = (who.to_owned(), asked);
        let (holder, _) = self.tokens.entry(token).or_insert(new);
        (holder != who).then(|| format!("{who} and {holder} both lead with token {token}"))
    }
}

/// The token with which a host says that it leads itself.
fn claimed(plane: &Station) -> Option<u64> {
    let answer = get(plane.diagnostics, "/control/leaders", FRESH).ok()?;
    let document: Value = serde_json::from_str(&answer.body).ok()?;
    let row = &document["leaders"][0];
    let token = row["fenceToken"]
        .as_str()
        .filter(|_| row["isLocal"] == true);
    token?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_leaders_with_one_token_and_a_token_of_yesterday_are_found() {
        let now = Instant::now();
        let mut seen = Seen::default();
        assert_eq!(seen.take("a", 4, now), None);
        assert_eq!(seen.take("b", 7, now + OVERLAP), None);
        assert!(seen.take("c", 7, now + OVERLAP).is_some());
        assert_eq!(seen.take("a", 4, now + OVERLAP), None, "it is being told");
        assert!(seen.take("a", 4, now + 3 * OVERLAP).is_some());
        assert!(seen.take("c", 5, now + 3 * OVERLAP).is_some(), "they grow");
        assert_eq!(seen.take("b", 7, now + 3 * OVERLAP), None);
    }
}
