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

/// What a host says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Claim {
    token: u64,
    /// Whether its lease has ended, as it says itself.
    is_over: bool,
}

impl Leaders {
    pub(super) fn watch(&self, stations: &Stations, over: &AtomicBool, findings: &Findings) {
        while !over.load(Ordering::Relaxed) {
            for plane in stations.iter().filter(|it| it.is_plane()) {
                let asked = Instant::now();
                let claim = claimed(plane);
                let mut seen = self.0.lock().expect("nobody panics while it is locked");
                seen.looks += 1;
                let Some(claim) = claim.filter(|_| asked.elapsed() < FRESH) else {
                    continue;
                };
                if let Some(what) = seen.take(&plane.name, claim, asked) {
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
    /// What is wrong with a claim of `who` at a moment that is not before `asked`, if anything.
    fn take(&mut self, who: &str, claim: Claim, asked: Instant) -> Option<String> {
        let token = claim.token;
        if claim.is_over {
            return Some(format!(
                "{who} leads with token {token} by a lease that has ended by its own account"
            ));
        }
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

/// What a host says of a lease of its own, if it has one.
fn claimed(plane: &Station) -> Option<Claim> {
    let answer = get(plane.diagnostics, "/control/leaders", FRESH).ok()?;
    let document: Value = serde_json::from_str(&answer.body).ok()?;
    let row = document["leaders"].get(0)?;
    let token = row["fenceToken"].as_str();
    let token = token.filter(|_| row["isLocal"] == true)?;
    // Both are of the same form, and in the order of time as texts.
    let (now, end) = (
        document["generatedAt"].as_str()?,
        row["expiresAt"].as_str()?,
    );
    Some(Claim {
        token: token.parse().ok()?,
        is_over: end < now,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(token: u64) -> Claim {
        Claim {
            token,
            is_over: false,
        }
    }

    #[test]
    fn two_leaders_with_one_token_and_a_token_of_yesterday_are_found() {
        let now = Instant::now();
        let (later, late) = (now + OVERLAP, now + 3 * OVERLAP);
        let mut seen = Seen::default();
        assert_eq!(seen.take("a", claim(4), now), None);
        assert_eq!(seen.take("b", claim(7), later), None);
        assert!(seen.take("c", claim(7), later).is_some());
        let told = seen.take("a", claim(4), later);
        assert_eq!(told, None, "the answer is on its way");
        assert!(seen.take("a", claim(4), late).is_some());
        assert!(seen.take("c", claim(5), late).is_some(), "they grow");
        assert_eq!(seen.take("b", claim(7), late), None);
    }

    #[test]
    fn a_leader_by_a_lease_that_is_over_is_found_also_when_it_has_just_woken_up() {
        let now = Instant::now();
        let slept = Claim {
            token: 4,
            is_over: true,
        };
        let mut seen = Seen::default();
        assert_eq!(seen.take("a", claim(4), now), None);
        assert!(seen.take("a", slept, now).is_some());
        assert_eq!(seen.last, Some(now), "it is not seen to lead");
    }
}
