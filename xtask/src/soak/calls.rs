//! [`Calls`]: an echo is asked for all the time, of each dispatcher.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::station::{Standing, Station};
use super::{Findings, Stations};
use crate::hosts::{Answer, Failure, post, rest};
use crate::process::say;

/// How long a caller waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two calls to the same dispatcher.
const PACE: Duration = Duration::from_millis(10);

/// What became of the calls.
#[derive(Debug, Default)]
pub(super) struct Calls {
    answered: AtomicU64,
    /// With 503, by one that is drained or disturbed.
    refused: AtomicU64,
    /// Of one that was disturbed.
    failed: AtomicU64,
}

impl Calls {
    /// Calls until it is over.
    pub(super) fn make(stations: &Stations, over: &AtomicBool, findings: &Findings) -> Self {
        let calls = Self::default();
        thread::scope(|scope| {
            for station in stations {
                scope.spawn(|| calls.call(station, over, findings));
            }
        });
        calls
    }

    fn call(&self, station: &Station, over: &AtomicBool, findings: &Findings) {
        let Some(inbound) = station.inbound else {
            return;
        };
        let mut number = 0_u64;
        while !over.load(Ordering::Relaxed) {
            number += 1;
            let said = format!("call {number} of {}", station.name);
            let before = station.stamp();
            let answer = post(inbound, "/", "Rpc-Procedure: echo", &said, PATIENCE);
            let standing = station.standing_since(before);
            if let Some(what) = self.count(&said, answer, standing) {
                findings.add(&what);
            }
            rest(PACE);
        }
    }

    /// What is wrong with an answer, if anything.
    fn count(
        &self,
        said: &str,
        answer: Result<Answer, Failure>,
        standing: Standing,
    ) -> Option<String> {
        let (counter, is_right) = match &answer {
            Ok(Answer { status: 200, body }) => (&self.answered, body == said),
            Ok(Answer { status: 503, .. }) => (&self.refused, standing != Standing::Well),
            Ok(_) => (&self.refused, false),
            Err(_) => (&self.failed, standing == Standing::Disturbed),
        };
        counter.fetch_add(1, Ordering::Relaxed);
        (!is_right).then(|| match answer {
            Ok(answer) => format!("{said}: {answer:?} of a host that is {standing:?}"),
            Err(error) => format!("{said}: {error} by a host that is {standing:?}"),
        })
    }

    pub(super) fn judge(&self, findings: &Findings) {
        if self.answered.load(Ordering::Relaxed) == 0 {
            findings.add("no call was answered at all");
        }
    }

    pub(super) fn tell(&self) -> Result<()> {
        let [answered, refused, failed] = self.read();
        say(format_args!(
            "\n{answered} calls answered, {refused} refused with 503, {failed} failed at hosts to which something was done"
        ))
    }

    pub(super) fn document(&self) -> Value {
        let [answered, refused, failed] = self.read();
        json!({ "answered": answered, "refused": refused, "failed_while_disturbed": failed })
    }

    fn read(&self) -> [u64; 3] {
        [&self.answered, &self.refused, &self.failed].map(|it| it.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn is_found(answer: Result<(u16, &str), ()>, standing: Standing) -> bool {
        let answer = answer
            .map(|(status, body)| Answer {
                status,
                body: body.to_owned(),
            })
            .map_err(|()| Failure::Lost(io::Error::other("reset")));
        Calls::default().count("hello", answer, standing).is_some()
    }

    #[test]
    fn a_call_is_answered_or_refused_unless_something_is_done_to_the_host() {
        assert!(!is_found(Ok((200, "hello")), Standing::Well));
        assert!(is_found(Ok((200, "hell")), Standing::Well));
        assert!(is_found(Ok((503, "")), Standing::Well));
        assert!(!is_found(Ok((503, "")), Standing::Refusing));
        assert!(is_found(Ok((500, "")), Standing::Disturbed));
        assert!(is_found(Err(()), Standing::Refusing));
        assert!(!is_found(Err(()), Standing::Disturbed));
    }
}
