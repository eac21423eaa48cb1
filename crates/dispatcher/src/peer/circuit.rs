//! [`Circuit`]: whether a peer may be asked, by what became of the calls before.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// When a peer that fails is left alone, and for how long.
///
/// After so many failures in a row its circuit is open: it gets no calls for a pause. Then it gets one, the probe. If that is answered,
/// all goes on as before; if not, the next pause is twice as long, up to the longest.
///
/// A failure is that no answer came: the peer cannot be reached or says `UNAVAILABLE`, or the call's deadline has passed. Any other
/// error is an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// How many failures in a row open the circuit. Default: 5.
    pub failures: NonZeroU32,
    /// How long the first pause is. Default: 1 s.
    pub first_pause: Duration,
    /// How long a pause is at most. Default: 30 s.
    pub longest_pause: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            failures: NonZeroU32::MIN.saturating_add(4),
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(30),
        }
    }
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Answered,
    Failed,
    /// The caller did not wait for it: nobody knows.
    GivenUp,
}

/// What a call is to the circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Usual,
    /// The one that decides.
    Probe,
}

/// A change that is worth a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Opened(Duration),
    Closed,
}

#[derive(Debug)]
pub(super) struct Circuit {
    breaker: Breaker,
    state: State,
}

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant, pause: Duration },
    Probing { pause: Duration },
}

impl Circuit {
    pub(super) fn new(breaker: Breaker) -> Self {
        Self {
            breaker,
            state: State::Closed { failures: 0 },
        }
    }

    /// Whether a call may be made.
    pub(super) fn admits(&self, now: Instant) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Open { until, .. } => now >= until,
            State::Probing { .. } => false,
        }
    }

    /// Whether nothing speaks against the peer.
    #[cfg(test)]
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// Notes that a call is made which was admitted.
    pub(super) fn begin(&mut self) -> Turn {
        match self.state {
            State::Closed { .. } => Turn::Usual,
            State::Open { pause, .. } | State::Probing { pause } => {
                self.state = State::Probing { pause };
                Turn::Probe
            }
        }
    }

    /// Notes what became of it.
    pub(super) fn end(&mut self, now: Instant, turn: Turn, outcome: Outcome) -> Option<Change> {
        match (&mut self.state, turn, outcome) {
            (State::Closed { failures }, _, Outcome::Failed) => {
                *failures += 1;
                let is_enough = *failures >= self.breaker.failures.get();
                is_enough.then(|| self.open(now, self.breaker.first_pause))
            }
            (State::Closed { failures }, _, Outcome::Answered) => {
                *failures = 0;
                None
            }
            (State::Probing { .. }, Turn::Probe, Outcome::Answered) => {
                self.state = State::Closed { failures: 0 };
                Some(Change::Closed)
            }
            (State::Probing { pause }, Turn::Probe, Outcome::Failed) => {
                let pause = pause.saturating_mul(2);
                Some(self.open(now, pause))
            }
            (State::Probing { pause }, Turn::Probe, Outcome::GivenUp) => {
                // The next call is the probe.
                let pause = *pause;
                self.state = State::Open { until: now, pause };
                None
            }
            // What was begun before says nothing about now.
            (State::Open { .. } | State::Probing { .. }, ..)
            | (State::Closed { .. }, _, Outcome::GivenUp) => None,
        }
    }

    fn open(&mut self, now: Instant, pause: Duration) -> Change {
        let pause = pause.min(self.breaker.longest_pause);
        let until = now + pause;
        self.state = State::Open { until, pause };
        Change::Opened(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BREAKER: Breaker = Breaker {
        failures: NonZeroU32::new(2).unwrap(),
        first_pause: Duration::from_secs(1),
        longest_pause: Duration::from_secs(3),
    };

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn failures_in_a_row_open_it_and_an_answer_between_them_does_not() {
        let (mut circuit, now) = (Circuit::new(BREAKER), Instant::now());
        for outcome in [
            Outcome::Failed,
            Outcome::Answered,
            Outcome::Failed,
            Outcome::GivenUp,
        ] {
            let turn = circuit.begin();
            assert_eq!(circuit.end(now, turn, outcome), None);
            assert!(circuit.admits(now));
        }
        let turn = circuit.begin();
        let opened = circuit.end(now, turn, Outcome::Failed);
        assert_eq!(opened, Some(Change::Opened(Duration::from_secs(1))));
        assert!(!circuit.admits(now));
    }

    fn opened(now: Instant) -> Circuit {
        let mut circuit = Circuit::new(BREAKER);
        for _ in 0..2 {
            let turn = circuit.begin();
            circuit.end(now, turn, Outcome::Failed);
        }
        circuit
    }

    #[test]
    fn after_the_pause_one_call_is_let_through_and_its_answer_closes_it() {
        let now = Instant::now();
        let mut circuit = opened(now);
        assert!(!circuit.admits(after(now, 0)) && circuit.admits(after(now, 1)));
        assert_eq!(circuit.begin(), Turn::Probe);
        assert!(!circuit.admits(after(now, 100)), "one at a time");
        let closed = circuit.end(after(now, 1), Turn::Probe, Outcome::Answered);
        assert_eq!(closed, Some(Change::Closed));
        assert!(circuit.is_closed() && circuit.admits(now));
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut now = Instant::now();
        let mut circuit = opened(now);
        for seconds in [2, 3, 3] {
            now = after(now, 10);
            let turn = circuit.begin();
            let again = circuit.end(now, turn, Outcome::Failed);
            assert_eq!(again, Some(Change::Opened(Duration::from_secs(seconds))));
            assert!(!circuit.admits(after(now, seconds - 1)));
            assert!(circuit.admits(after(now, seconds)));
        }
    }

    #[test]
    fn a_probe_that_is_given_up_is_followed_by_another_at_once() {
        let now = Instant::now();
        let mut circuit = opened(now);
        let turn = circuit.begin();
        circuit.end(after(now, 1), turn, Outcome::GivenUp);
        assert!(circuit.admits(after(now, 1)) && !circuit.is_closed());
        assert_eq!(circuit.begin(), Turn::Probe);
    }

    #[test]
    fn calls_that_were_begun_before_it_opened_change_nothing() {
        let now = Instant::now();
        let mut circuit = opened(now);
        for outcome in [Outcome::Answered, Outcome::Failed, Outcome::GivenUp] {
            assert_eq!(circuit.end(after(now, 9), Turn::Usual, outcome), None);
            assert!(!circuit.is_closed() && circuit.admits(after(now, 1)));
        }
        circuit.begin();
        circuit.end(now, Turn::Usual, Outcome::Answered);
        assert!(!circuit.admits(after(now, 9)), "the probe decides");
    }
}
