//! The subject and the [`Model`] on random graphs, scripts and requests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifecycle_core::engine::{self, ComponentState, OrchestratorState};
use lifecycle_core::{BoxError, Lifecycle, Registration, Retry, StartContext, StopContext};
use lifecycle_runtime::{StartError, StopError};
use lifecycle_testkit::simulate;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use tokio_util::sync::CancellationToken;

use crate::model::{Answer, Called, Model, Part, Script, State};
use crate::subject::Subject;

/// What is asked for, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Start,
    Stop,
}

/// A graph, and for each component how long its calls take.
#[derive(Clone, Debug)]
struct Case {
    parts: Vec<Part>,
    lengths: Vec<(u64, u64)>,
    requests: Vec<Request>,
}

impl Case {
    /// Whether each needs the one before, so that nothing is concurrent.
    fn is_chain(&self) -> bool {
        let mut parts = self.parts.iter().enumerate().skip(1);
        parts.all(|(at, it)| it.needs.contains(&(at - 1)))
    }
}

/// One call as the component saw it.
#[derive(Clone, Copy, Debug)]
struct Seen {
    stop: bool,
    part: usize,
    ending: Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Began,
    Succeeded,
    Failed,
    Cancelled,
}

/// What all components of a case share.
#[derive(Debug, Default)]
struct Journal {
    request: usize,
    seen: Vec<Seen>,
}

#[derive(Debug)]
struct Player {
    index: usize,
    part: Part,
    lengths: (u64, u64),
    journal: Arc<Mutex<Journal>>,
}

impl Player {
    /// Notes the begin of a call; which request it belongs to, and which attempt in that it is.
    fn begin(&self, stop: bool) -> (usize, u32) {
        let mut journal = self.journal.lock().unwrap();
        journal.note(stop, self.index, Ending::Began);
        let calls = journal.calls(stop, self.index);
        (journal.request, calls)
    }

    fn end(&self, stop: bool, ending: Ending) -> Result<(), BoxError> {
        self.journal.lock().unwrap().note(stop, self.index, ending);
        match ending {
            Ending::Succeeded => Ok(()),
            _ => Err(format!("{} {ending:?}", self.index).into()),
        }
    }
}

impl Journal {
    fn note(&mut self, stop: bool, part: usize, ending: Ending) {
        self.seen.push(Seen { stop, part, ending });
    }

    /// How many calls there were in this request.
    fn calls(&self, stop: bool, part: usize) -> u32 {
        let begun = |it: &&Seen| it.stop == stop && it.part == part && it.ending == Ending::Began;
        let count = self.seen.iter().filter(begun).count();
        count.try_into().expect("a few")
    }
}

impl Lifecycle for Player {
    async fn start(&self, cx: &StartContext) -> Result<(), BoxError> {
        let (request, attempt) = self.begin(false);
        let length = Duration::from_millis(self.lengths.0);
        let slept = cx
            .token()
            .run_until_cancelled_owned(tokio::time::sleep(length))
            .await;
        let ending = match (slept, self.part.start.fails(request, attempt)) {
            (None, _) => Ending::Cancelled,
            (Some(()), true) => Ending::Failed,
            (Some(()), false) => Ending::Succeeded,
        };
        self.end(false, ending)
    }

    async fn stop(&self, _: &StopContext) -> Result<(), BoxError> {
        let (request, attempt) = self.begin(true);
        tokio::time::sleep(Duration::from_millis(self.lengths.1)).await;
        let ending = match self.part.stop.fails(request, attempt) {
            true => Ending::Failed,
            false => Ending::Succeeded,
        };
        self.end(true, ending)
    }
}

fn name(index: usize) -> String {
    format!("part-{index}")
}

/// Plays a case on the subject, and compares each request with the model.
fn compare(case: &Case) {
    simulate(async {
        let journal = Arc::new(Mutex::new(Journal::default()));
        let registrations = (0..case.parts.len()).map(|it| registration(case, it, &journal));
        let none = Retry::default();
        let subject = Subject::assemble(registrations.collect(), none.clone(), none);
        let mut model = Model::new(case.parts.clone());
        for (number, request) in case.requests.iter().enumerate() {
            *journal.lock().unwrap() = Journal {
                request: number,
                seen: Vec::new(),
            };
            let answer = ask(&subject, *request).await;
            let seen = std::mem::take(&mut journal.lock().unwrap().seen);
            let (calls, expected) = match request {
                Request::Start => {
                    let (schedule, late) = schedule(case, number, &seen);
                    model.start(number, &schedule, &late)
                }
                Request::Stop => model.stop(number),
            };
            assert_eq!(answer, expected, "request {number}: {seen:?}");
            compare_calls(case, &calls, &seen);
            if case.is_chain() {
                assert_eq!(one_by_one(&calls), begun(&seen), "{seen:?}");
            }
            compare_states(&subject, &model, &expected).await;
        }
    });
}

/// Every attempt by itself, as whether it is a stop and of whom.
fn one_by_one(calls: &[Called]) -> Vec<(bool, usize)> {
    let attempts = |it: &Called| vec![(it.stop, it.part); it.attempts as usize];
    calls.iter().flat_map(attempts).collect()
}

fn begun(seen: &[Seen]) -> Vec<(bool, usize)> {
    let begun = seen.iter().filter(|it| it.ending == Ending::Began);
    begun.map(|it| (it.stop, it.part)).collect()
}

fn registration(case: &Case, index: usize, journal: &Arc<Mutex<Journal>>) -> Registration {
    let part = case.parts[index].clone();
    let (start, stop) = (part.start.most, part.stop.most);
    let needs: Vec<_> = part.needs.iter().map(|it| name(*it)).collect();
    let player = Player {
        index,
        part,
        lengths: case.lengths[index],
        journal: Arc::clone(journal),
    };
    Registration::new(name(index), player)
        .depends_on(needs)
        .start_retry(Retry::attempts(start))
        .stop_retry(Retry::attempts(stop))
}

async fn ask(subject: &Subject, request: Request) -> Answer {
    match request {
        Request::Start => match subject.start(CancellationToken::new()).await {
            Ok(report) => {
                assert_eq!(report.degraded, []);
                Answer::Done
            }
            Err(StartError::Failed(error)) => start_failed(&error),
            Err(other) => panic!("{other}"),
        },
        Request::Stop => match subject.stop(None).await {
            Ok(_) => Answer::Done,
            Err(StopError::Unclean(error)) => Answer::StopFailed {
                stuck: stuck(&error.report),
            },
            Err(other) => panic!("{other}"),
        },
    }
}

fn start_failed(error: &engine::StartError) -> Answer {
    match error {
        engine::StartError::FailedPrecondition { .. } => Answer::Refused,
        engine::StartError::Failed {
            component,
            failure,
            rollback,
            ..
        } => {
            let part = index(component.as_str());
            assert_eq!(failure.message, format!("{part} Failed"));
            Answer::StartFailed {
                part,
                stuck: stuck(rollback),
            }
        }
        other => panic!("{other}"),
    }
}

fn index(name: &str) -> usize {
    let number = name.strip_prefix("part-").expect("one of ours");
    number.parse().expect("one of ours")
}

/// Whose stop has failed, by number; each with its own error.
fn stuck(report: &engine::StopReport) -> Vec<usize> {
    let told = report.troubles.iter().map(|it| {
        let part = index(it.component.as_str());
        assert_eq!(it.outcome, engine::StopOutcome::Failed);
        let failure = it.failure.as_ref().expect("it says how");
        assert_eq!(failure.message, format!("{part} Failed"));
        part
    });
    let mut stuck: Vec<_> = told.collect();
    stuck.sort_unstable();
    stuck
}

/// In which order components came up, and at the end the first that failed for good; and who came up in the same moment, but
/// after it.
fn schedule(case: &Case, request: usize, seen: &[Seen]) -> (Vec<usize>, Vec<usize>) {
    let ended: Vec<_> = seen
        .iter()
        .filter(|it| !it.stop && matches!(it.ending, Ending::Succeeded | Ending::Failed))
        .collect();
    let mut failures = BTreeMap::new();
    let fatal = ended.iter().position(|it| {
        if it.ending == Ending::Succeeded {
            return false;
        }
        let count: &mut u32 = failures.entry(it.part).or_default();
        *count += 1;
        let (attempts, succeeds) = case.parts[it.part].start.attempts(request);
        *count == attempts && !succeeds
    });
    let (before, after) = ended.split_at(fatal.unwrap_or(ended.len()));
    let up = |it: &&&Seen| it.ending == Ending::Succeeded;
    let mut schedule: Vec<_> = before.iter().filter(up).map(|it| it.part).collect();
    schedule.extend(after.first().map(|it| it.part));
    let late = after.iter().filter(up).map(|it| it.part);
    (schedule, late.collect())
}

/// Who is called, and how often; and no stop before those of the dependents have ended.
fn compare_calls(case: &Case, expected: &[Called], seen: &[Seen]) {
    let mut counts: BTreeMap<(bool, usize), u32> = BTreeMap::new();
    for it in seen.iter().filter(|it| it.ending == Ending::Began) {
        *counts.entry((it.stop, it.part)).or_default() += 1;
    }
    for it in expected {
        let count = counts.remove(&(it.stop, it.part));
        assert_eq!(count, Some(it.attempts), "{it:?} in {seen:?}");
    }
    for ((stop, part), count) in counts {
        // A neighbour of what failed; it has not come up.
        assert!(!stop, "{part} was stopped, but was not up: {seen:?}");
        assert!(count <= case.parts[part].start.most, "{seen:?}");
    }
    for (dependent, part) in case.parts.iter().enumerate() {
        for need in &part.needs {
            let of = |part: usize| {
                seen.iter()
                    .enumerate()
                    .filter(move |(_, it)| it.stop && it.part == part)
            };
            let last = of(dependent).next_back().map(|(at, _)| at);
            let first = of(*need).next().map(|(at, _)| at);
            if let (Some(last), Some(first)) = (last, first) {
                assert!(last < first, "{need} before {dependent}: {seen:?}");
            }
        }
    }
}

async fn compare_states(subject: &Subject, model: &Model, answer: &Answer) {
    let snapshot = subject.snapshot().await;
    let state = match snapshot.state {
        OrchestratorState::Created | OrchestratorState::Stopped => State::Stopped,
        OrchestratorState::Running => State::Running,
        OrchestratorState::Stopping => State::Stopping,
        OrchestratorState::Starting => panic!("the start was answered"),
    };
    assert_eq!(state, model.state);
    let (Answer::StopFailed { stuck } | Answer::StartFailed { stuck, .. }) = answer else {
        return;
    };
    for part in stuck {
        let id = snapshot.plan.find(&name(*part)).expect("one of ours");
        let row = snapshot.component(id);
        assert_eq!(row.state, ComponentState::Faulted);
        assert!(row.failure.is_some());
    }
}

fn script() -> impl Strategy<Value = Script> {
    let failures = prop_oneof![4 => Just(0), 2 => 1..3_u32, 1 => Just(3)];
    (1..4_u32, vec(failures, 1..4)).prop_map(|(most, failures)| Script { most, failures })
}

/// A graph of parts in which each may need some of those before it.
fn parts(most: usize) -> impl Strategy<Value = Vec<Part>> {
    let part = (vec(any::<prop::sample::Index>(), 0..4), script(), script());
    vec(part, 0..most).prop_map(|parts| {
        let parts = parts.into_iter().enumerate();
        let needs = |at: usize, wanted: Vec<prop::sample::Index>| {
            let mut needs: Vec<_> = wanted.iter().map(|it| it.index(at.max(1))).collect();
            needs.retain(|it| *it < at);
            needs.sort_unstable();
            needs.dedup();
            needs
        };
        parts
            .map(|(at, (wanted, start, stop))| Part {
                needs: needs(at, wanted),
                start,
                stop,
            })
            .collect()
    })
}

fn case(most: usize) -> impl Strategy<Value = Case> {
    let request = prop_oneof![Just(Request::Start), Just(Request::Stop)];
    let lengths = vec((0..40_u64, 0..40_u64), most);
    (parts(most), lengths, vec(request, 1..8)).prop_map(|(parts, lengths, requests)| Case {
        parts,
        lengths,
        requests,
    })
}

/// What failed is kept, and tried first the next time.
fn config() -> ProptestConfig {
    let seeds = FileFailurePersistence::Direct("tests/parity/proptest-regressions.txt");
    ProptestConfig {
        cases: 2_000,
        failure_persistence: Some(Box::new(seeds)),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn who_is_stopped_how_often_and_which_errors_come_back_is_as_before_the_extraction(case in case(9)) {
        compare(&case);
    }

    /// In a chain nothing is concurrent: the calls are the same ones in the same order.
    #[test]
    fn in_a_chain_every_call_is_the_one_of_before_the_extraction(case in case(7)) {
        let mut case = case;
        for (at, part) in case.parts.iter_mut().enumerate() {
            part.needs = at.checked_sub(1).into_iter().collect();
        }
        prop_assert!(case.is_chain());
        compare(&case);
    }
}
