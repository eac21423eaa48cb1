//! [`Model`]: the dispatcher before the orchestrator was taken out of it, as far as both must agree.
//!
//! It knows no time and no concurrency: it starts one component after the other, each as often as its policy says, and at the first
//! that fails for good it stops what it had started, backwards. A stop goes on whatever fails, keeps what did, and asks exactly
//! that again the next time. In which order components come up is not its decision, since concurrency changes it: it is
//! told. What follows from that order is: who is called how often, who is stopped, and which errors come back.

/// What the model and its counterpart know of a component.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Those that it depends on, all of them before it.
    pub(crate) needs: Vec<usize>,
    pub(crate) start: Script,
    pub(crate) stop: Script,
}

/// How one kind of call goes.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// How often it is tried at most.
    pub(crate) most: u32,
    /// How many attempts fail before one succeeds, in the first request, the second, and so on; then again from the front.
    pub(crate) failures: Vec<u32>,
}

impl Script {
    /// Whether this attempt of `request` fails; attempts are counted from 1.
    pub(crate) fn fails(&self, request: usize, attempt: u32) -> bool {
        attempt <= self.failures[request % self.failures.len()]
    }

    /// How many attempts are made in `request`, and whether the last one succeeds.
    pub(crate) fn attempts(&self, request: usize) -> (u32, bool) {
        let needed = self.failures[request % self.failures.len()] + 1;
        (needed.min(self.most), needed <= self.most)
    }
}

/// In what state the whole is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// Also before the first start.
    #[default]
    Stopped,
    Running,
    /// Something could not be stopped.
    Stopping,
}

/// How often a component is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Called {
    pub(crate) stop: bool,
    pub(crate) part: usize,
    pub(crate) attempts: u32,
}

/// What a request comes to. Several are listed by their number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    Refused,
    /// The component that failed to start, and those that could not be stopped again.
    StartFailed {
        part: usize,
        stuck: Vec<usize>,
    },
    /// Those that could not be stopped.
    StopFailed {
        stuck: Vec<usize>,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Model {
    parts: Vec<Part>,
    pub(crate) state: State,
    /// What is up, in the order in which it came up.
    up: Vec<usize>,
}

impl Model {
    pub(crate) fn new(parts: Vec<Part>) -> Self {
        Self {
            parts,
            state: State::default(),
            up: Vec::new(),
        }
    }

    /// Starts what is not up in the order `schedule`, which ends with the first that fails for good, if one does. Whoever is in
    /// `late` came up just as that failed: it is asked to stop once, and nothing of it is kept (semantics 7).
    ///
    /// # Panics
    ///
    /// When the schedule is none that the dependencies allow, or does not go to its end.
    pub(crate) fn start(
        &mut self,
        request: usize,
        schedule: &[usize],
        late: &[usize],
    ) -> (Vec<Called>, Answer) {
        if self.state != State::Stopped {
            assert!(schedule.is_empty(), "nothing starts out of turn");
            return (Vec::new(), Answer::Refused);
        }
        let mut calls = Vec::new();
        for &part in schedule {
            let needs = &self.parts[part].needs;
            let missing = needs.iter().find(|it| !self.up.contains(it));
            assert_eq!(missing, None, "{part} came before what it needs");
            assert!(!self.up.contains(&part), "{part} came up twice");

            let (attempts, succeeds) = self.parts[part].start.attempts(request);
            calls.push(Called {
                stop: false,
                part,
                attempts,
            });
            if !succeeds {
                let unkept = self.stop_late(request, late, &mut calls);
                let mut stuck = self.stop_all(request, &mut calls);
                stuck.extend(unkept);
                stuck.sort_unstable();
                return (calls, Answer::StartFailed { part, stuck });
            }
            self.up.push(part);
        }
        assert_eq!(self.up.len(), self.parts.len(), "somebody was forgotten");
        self.state = State::Running;
        (calls, Answer::Done)
    }

    fn stop_late(&mut self, request: usize, late: &[usize], calls: &mut Vec<Called>) -> Vec<usize> {
        for &part in late {
            let (attempts, _) = self.parts[part].start.attempts(request);
            for (stop, attempts) in [(false, attempts), (true, 1)] {
                calls.push(Called {
                    stop,
                    part,
                    attempts,
                });
            }
        }
        let fails = |it: &usize| self.parts[*it].stop.fails(request, 1);
        late.iter().copied().filter(fails).collect()
    }

    /// Stops what is up.
    pub(crate) fn stop(&mut self, request: usize) -> (Vec<Called>, Answer) {
        let mut calls = Vec::new();
        let stuck = self.stop_all(request, &mut calls);
        let answer = match stuck.is_empty() {
            true => Answer::Done,
            false => Answer::StopFailed { stuck },
        };
        (calls, answer)
    }

    /// Backwards, whatever fails on the way; what does stays up.
    fn stop_all(&mut self, request: usize, calls: &mut Vec<Called>) -> Vec<usize> {
        let mut stuck = Vec::new();
        for part in std::mem::take(&mut self.up).into_iter().rev() {
            let (attempts, succeeds) = self.parts[part].stop.attempts(request);
            calls.push(Called {
                stop: true,
                part,
                attempts,
            });
            if !succeeds {
                stuck.push(part);
            }
        }
        self.up = stuck.iter().rev().copied().collect();
        stuck.sort_unstable();
        self.state = match stuck.is_empty() {
            true => State::Stopped,
            false => State::Stopping,
        };
        stuck
    }
}
