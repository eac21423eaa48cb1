mod cluster;

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::leadership::lease::Claim;
use crate::leadership::scope::Scope;

const RULES: Rules = Rules {
    ttl: Nanos::from_millis(4_000),
    renewal_lead: Nanos::from_millis(2_600),
    clock_margin: Nanos::from_millis(250),
    evaluation: Nanos::from_millis(750),
    backoff: Nanos::from_millis(500),
    window: Nanos::from_millis(5_000),
};

fn at(millis: u64) -> Time {
    Time::new(Nanos::from_millis(millis))
}

fn lease(term: u64) -> Lease {
    Lease {
        claim: Claim {
            scope: Scope::global_control(),
            holder: "a".to_owned(),
            claimant: 1,
            ttl: RULES.ttl,
        },
        term,
        token: FencingToken::new(term),
        session: 0,
    }
}

fn incumbent(holder: &str, term: u64, remaining: Option<u64>) -> Incumbent {
    Incumbent {
        holder: holder.to_owned(),
        term,
        token: FencingToken::new(term),
        remaining: remaining.map(Duration::from_millis),
    }
}

fn no_answer() -> LeaseError {
    LeaseError::unavailable("no answer")
}

/// One election, driven by hand.
struct Run {
    election: Election,
    call: Option<CallId>,
    now: Time,
}

impl Run {
    fn new() -> Self {
        let mut run = Self {
            election: Election::new(at(0), "a".to_owned(), RULES, 7),
            call: None,
            now: at(0),
        };
        run.election.handle_standing(at(0), Ok(()));
        run
    }

    /// One that leads with term 1 by a call that was sent at 0.
    fn leading() -> Self {
        let mut run = Self::new();
        assert_eq!(run.asks(), "acquire");
        run.answers(Answer::Acquired(Ok(lease(1))));
        assert_eq!(run.tells(), "elected a@1");
        run
    }

    fn passes(&mut self, millis: u64) -> &mut Self {
        self.now = at(millis);
        self.election.handle_timeout(self.now);
        self
    }

    /// What the store is asked now.
    #[track_caller]
    fn asks(&mut self) -> String {
        let Some((id, request)) = self.election.poll_request() else {
            return "nothing".to_owned();
        };
        assert_eq!(self.election.poll_request(), None, "one call at a time");
        self.call = Some(id);
        match request {
            Request::Acquire => "acquire".to_owned(),
            Request::Renew(lease) => format!("renew {}", lease.token),
            Request::Release(lease) => format!("release {}", lease.token),
            Request::Get => "get".to_owned(),
        }
    }

    #[track_caller]
    fn answers(&mut self, answer: Answer) {
        let id = self.call.take().expect("a call is under way");
        self.election.handle_answer(self.now, id, answer);
    }

    /// What has happened since.
    fn tells(&mut self) -> String {
        let told = std::iter::from_fn(|| self.election.poll_occurrence());
        let told = told.map(|it| {
            let kind = match it.kind {
                OccurrenceKind::Observed => "observed",
                OccurrenceKind::Elected { .. } => "elected",
                OccurrenceKind::Renewed => "renewed",
                OccurrenceKind::Lost => "lost",
                OccurrenceKind::Expired => "expired",
                OccurrenceKind::SteppedDown => "stepped down",
            };
            let leader = it.leader.map_or("nobody".to_owned(), |it| {
                format!("{}@{}", it.holder, it.token)
            });
            let reason = it.reason.map_or_else(String::new, |it| format!(" ({it})"));
            format!("{kind} {leader}{reason}")
        });
        told.collect::<Vec<_>>().join(", ")
    }

    fn leads(&self) -> bool {
        self.election.held().is_some()
    }
}

#[test]
fn a_free_scope_is_acquired_at_once() {
    let run = Run::leading();
    let held = run.election.held().unwrap();
    assert_eq!(
        held.until,
        at(3_750),
        "from before the call, less the margin"
    );
}

#[test]
fn a_leader_renews_in_time_and_keeps_its_token() {
    let mut run = Run::leading();
    assert_eq!(run.passes(1_399).asks(), "nothing");
    assert_eq!(run.passes(1_400).asks(), "renew 1");
    run.now = at(1_450);
    run.answers(Answer::Renewed(Ok(())));
    assert_eq!(run.tells(), "renewed a@1");
    assert_eq!(run.election.held().unwrap().until, at(1_400 + 3_750));
}

#[test]
fn contract_b26_a_valid_lease_outlives_a_short_outage_of_its_store() {
    let mut run = Run::leading();
    for renewal in [1_400, 1_900, 2_400] {
        assert_eq!(run.passes(renewal).asks(), "renew 1");
        run.answers(Answer::Renewed(Err(no_answer())));
        assert_eq!(run.asks(), "nothing", "the back-off is honoured");
        assert!(run.leads());
    }
    assert_eq!(
        run.election.trouble().as_deref(),
        Some("the lease store is unavailable: no answer")
    );
    assert_eq!(run.passes(2_900).asks(), "renew 1");
    run.answers(Answer::Renewed(Ok(())));
    assert_eq!(run.tells(), "renewed a@1");
    assert_eq!(run.election.trouble(), None);
}

#[test]
fn a_leader_whose_store_is_silent_stops_leading_at_its_local_deadline() {
    let mut run = Run::leading();
    assert_eq!(run.passes(1_400).asks(), "renew 1");
    run.passes(3_749);
    assert!(run.leads());
    assert_eq!(run.election.poll_timeout(), Some(at(3_750)));
    run.passes(3_750);
    assert!(!run.leads());
    assert_eq!(run.tells(), "expired a@1 (not renewed in time)");
}

#[test]
fn a_renewal_that_comes_after_the_deadline_does_not_bring_leadership_back() {
    let mut run = Run::leading();
    assert_eq!(run.passes(1_400).asks(), "renew 1");
    run.now = at(60_000);
    run.answers(Answer::Renewed(Ok(())));
    assert!(!run.leads());
    assert_eq!(run.tells(), "expired a@1 (not renewed in time)");
    assert_eq!(run.election.yielding(), Some(FencingToken::new(1)));
    run.election.handle_rest(at(60_000), FencingToken::new(1));
    assert_eq!(run.asks(), "release 1");
}

#[test]
fn an_acquisition_that_comes_too_late_is_given_back_and_told_nobody() {
    let mut run = Run::new();
    assert_eq!(run.asks(), "acquire");
    run.now = at(3_750);
    run.answers(Answer::Acquired(Ok(lease(1))));
    assert!(!run.leads());
    assert_eq!(run.asks(), "release 1");
    assert_eq!(run.tells(), "");
}

#[test]
fn a_leader_that_was_superseded_is_told_so_and_sees_by_whom() {
    let mut run = Run::leading();
    assert_eq!(run.passes(1_400).asks(), "renew 1");
    let other = incumbent("b", 2, Some(4_000));
    run.answers(Answer::Renewed(Err(LeaseError::NotCurrentLeader(Some(
        other,
    )))));
    assert!(!run.leads());
    assert_eq!(
        run.tells(),
        "lost a@1 (the lease belongs to b), observed b@2"
    );
}

#[test]
fn contract_b23_who_is_cordoned_lets_its_dependents_rest_and_then_releases() {
    let mut run = Run::leading();
    run.election
        .handle_standing(at(100), Err("cordoned".into()));
    assert!(!run.leads());
    assert_eq!(run.tells(), "stepped down a@1 (cordoned)");
    assert_eq!(run.asks(), "nothing", "what it let in still runs");
    run.now = at(300);
    run.election.handle_rest(run.now, FencingToken::new(1));
    assert_eq!(run.asks(), "release 1");
    run.answers(Answer::Released(Ok(())));
    assert_eq!(
        run.passes(20_000).asks(),
        "get",
        "it looks, and does not campaign"
    );
    run.answers(Answer::Seen(Ok(None)));
    run.passes(30_000);
    assert_eq!(run.asks(), "get");
}

#[test]
fn what_does_not_come_to_rest_keeps_the_lease_to_its_end() {
    let mut run = Run::leading();
    run.election
        .handle_standing(at(100), Err("draining".into()));
    assert_eq!(run.passes(3_749).asks(), "nothing");
    run.passes(4_200);
    assert_eq!(run.election.yielding(), None);
    assert_eq!(run.passes(4_900).asks(), "get", "it has run out by itself");
}

#[test]
fn contract_75_a_leader_that_ends_steps_down_for_the_shutdown_and_releases() {
    let mut run = Run::leading();
    run.election.handle_end(at(10));
    assert_eq!(run.tells(), "stepped down a@1 (shutdown)");
    assert!(!run.election.has_ended());
    run.election.handle_rest(at(20), FencingToken::new(1));
    assert_eq!(run.asks(), "release 1");
    run.answers(Answer::Released(Err(no_answer())));
    run.passes(10_000);
    assert!(run.election.has_ended());
}

#[test]
fn who_ends_while_it_acquires_gives_back_what_it_gets() {
    let mut run = Run::new();
    assert_eq!(run.asks(), "acquire");
    run.election.handle_end(at(10));
    assert!(!run.election.has_ended());
    run.answers(Answer::Acquired(Ok(lease(1))));
    assert_eq!(run.asks(), "release 1");
    run.answers(Answer::Released(Ok(())));
    run.passes(2_000);
    assert!(run.election.has_ended());
    assert_eq!(run.tells(), "");
}

#[test]
fn contract_76_who_may_not_lead_looks_and_never_campaigns() {
    let mut election = Election::new(at(0), "a".to_owned(), RULES, 7);
    election.handle_timeout(at(0));
    let mut run = Run {
        election,
        call: None,
        now: at(0),
    };
    for now in [0, 1_000, 2_000] {
        assert_eq!(run.passes(now).asks(), "get");
        run.answers(Answer::Seen(Ok(None)));
    }
    run.election.handle_standing(at(2_001), Ok(()));
    assert_eq!(run.asks(), "acquire");
}

#[test]
fn a_follower_knows_who_leads_and_is_there_when_the_lease_ends() {
    let mut run = Run::new();
    assert_eq!(run.asks(), "acquire");
    run.answers(Answer::Acquired(Err(LeaseError::Held(incumbent(
        "b",
        3,
        Some(400),
    )))));
    assert_eq!(run.tells(), "observed b@3");
    let next = run.election.poll_timeout().unwrap();
    assert!(next > at(400) && next < at(600), "{next:?}");
    run.now = next;
    run.election.handle_timeout(next);
    assert_eq!(run.tells(), "expired b@3");
    assert_eq!(run.asks(), "acquire");
}

#[test]
fn a_follower_that_is_told_of_a_change_looks_at_once() {
    let mut run = Run::new();
    run.asks();
    run.answers(Answer::Acquired(Err(LeaseError::Held(incumbent(
        "b", 3, None,
    )))));
    run.election.handle_hint(at(100));
    run.now = at(100);
    assert_eq!(run.asks(), "get");
    run.answers(Answer::Seen(Ok(None)));
    assert_eq!(run.tells(), "observed b@3, observed nobody");
    assert_eq!(run.asks(), "acquire");
}

#[test]
fn who_lost_or_gave_up_a_lease_lets_others_go_first() {
    let mut run = Run::leading();
    run.passes(1_400).asks();
    run.answers(Answer::Renewed(Err(LeaseError::Expired)));
    assert_eq!(run.tells(), "lost a@1 (the lease has run out)");
    assert_eq!(run.passes(1_900).asks(), "nothing");
    assert_eq!(run.passes(2_100).asks(), "acquire");
}

#[test]
fn a_store_that_is_down_is_asked_less_and_less_often() {
    let mut run = Run::new();
    let mut last = at(0);
    let mut delays = Vec::new();
    for _ in 0..6 {
        assert_ne!(run.asks(), "nothing");
        run.answers(Answer::Acquired(Err(no_answer())));
        let next = run.election.poll_timeout().unwrap();
        let window = at(5_000);
        let next = if next == window && last < window {
            run.now = window;
            run.election.handle_timeout(window);
            run.election.poll_timeout().unwrap()
        } else {
            next
        };
        delays.push(next.since(last).as_millis() / 500);
        last = next;
        run.now = next;
        run.election.handle_timeout(next);
    }
    assert_eq!(delays, [1, 2, 4, 8, 10, 10]);
}

#[test]
fn a_scope_that_nobody_leads_for_long_is_told() {
    let mut run = Run::new();
    run.asks();
    assert_eq!(run.passes(4_999).election.trouble(), None);
    assert_eq!(
        run.passes(5_000).election.trouble().as_deref(),
        Some("nobody leads")
    );
}

#[test]
fn an_answer_to_no_call_changes_nothing() {
    let mut run = Run::leading();
    let stranger = CallId(99);
    run.election
        .handle_answer(at(1), stranger, Answer::Renewed(Err(LeaseError::Expired)));
    assert!(run.leads());
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Answer(u8),
    Fit(bool),
    Hint,
    Rest,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u64..2_000).prop_map(Step::Pass),
        1 => (0_u64..100_000).prop_map(Step::Pass),
        6 => any::<u8>().prop_map(Step::Answer),
        1 => any::<bool>().prop_map(Step::Fit),
        1 => Just(Step::Hint),
        2 => Just(Step::Rest),
    ]
}

/// A store that answers at random, but never gives what it has given before.
fn answer(request: &Request, choice: u8, term: &mut u64) -> Answer {
    let failure = || match choice % 4 {
        0 => LeaseError::Expired,
        1 => LeaseError::NotCurrentLeader(Some(incumbent("b", 1_000, Some(50)))),
        2 => LeaseError::Held(incumbent("b", 1_000, None)),
        _ => no_answer(),
    };
    let fails = choice > 127;
    match request {
        Request::Acquire if fails => Answer::Acquired(Err(failure())),
        Request::Acquire => {
            *term += 1;
            Answer::Acquired(Ok(lease(*term)))
        }
        Request::Renew(_) => Answer::Renewed(if fails { Err(failure()) } else { Ok(()) }),
        Request::Release(_) => Answer::Released(if fails { Err(no_answer()) } else { Ok(()) }),
        Request::Get if fails => Answer::Seen(Err(no_answer())),
        Request::Get => Answer::Seen(Ok(choice
            .is_multiple_of(2)
            .then(|| incumbent("b", 9, Some(99))))),
    }
}

proptest! {
    /// Whatever the store answers and however the clock jumps.
    #[test]
    fn nobody_leads_beyond_what_the_store_has_granted_and_every_tenure_is_told(
        steps in prop::collection::vec(step(), 1..120),
        seed: u64,
    ) {
        let mut election = Election::new(at(0), "a".to_owned(), RULES, seed);
        let mut now = 0;
        let mut fit = false;
        let mut term = 0;
        let mut call: Option<(CallId, Request, u64)> = None;
        // The last moment that the store has granted the newest token for, by the time of sending.
        let mut granted = at(0);
        let mut tenure: Option<FencingToken> = None;
        for step in steps {
            match step {
                Step::Pass(millis) => {
                    now += millis;
                    election.handle_timeout(at(now));
                }
                Step::Answer(choice) => if let Some((id, request, sent)) = call.take() {
                    let answer = answer(&request, choice, &mut term);
                    let grants = matches!(answer, Answer::Acquired(Ok(_)) | Answer::Renewed(Ok(())));
                    if grants {
                        granted = granted.max(at(sent) + RULES.ttl.saturating_sub(RULES.clock_margin));
                    }
                    election.handle_answer(at(now), id, answer);
                },
                Step::Fit(may) => {
                    fit = may;
                    let standing = if may { Ok(()) } else { Err("unfit".into()) };
                    election.handle_standing(at(now), standing);
                }
                Step::Hint => election.handle_hint(at(now)),
                Step::Rest => if let Some(token) = election.yielding() {
                    election.handle_rest(at(now), token);
                },
            }
            if let Some((id, request)) = election.poll_request() {
                prop_assert!(call.is_none(), "one call at a time");
                if request == Request::Acquire {
                    prop_assert!(fit, "who may not lead does not campaign");
                }
                if let Request::Release(_) = request {
                    prop_assert!(election.held().is_none(), "what is held is not released");
                }
                call = Some((id, request, now));
            }
            prop_assert!(election.poll_request().is_none());
            let held = election.held();
            if let Some(held) = held {
                prop_assert!(fit, "who may not lead does not");
                prop_assert!(held.until > at(now) && held.until <= granted);
                prop_assert_eq!(held.token.get(), term, "it leads by the newest lease");
            }
            while let Some(occurrence) = election.poll_occurrence() {
                let token = occurrence.leader.map(|it| it.token);
                match occurrence.kind {
                    OccurrenceKind::Elected { .. } => {
                        prop_assert!(tenure.is_none(), "one tenure ends before the next");
                        tenure = token;
                    }
                    OccurrenceKind::Renewed => prop_assert_eq!(tenure, token),
                    OccurrenceKind::Lost | OccurrenceKind::SteppedDown => {
                        prop_assert_eq!(tenure.take(), token);
                    }
                    OccurrenceKind::Expired if tenure == token => tenure = None,
                    OccurrenceKind::Expired | OccurrenceKind::Observed => {}
                }
            }
            prop_assert_eq!(tenure, held.map(|it| it.token), "what is told is what is so");
            // Nothing is left that could wake it only by chance.
            let waits = call.is_some() || election.yielding().is_some();
            prop_assert!(waits || election.poll_timeout().is_some());
        }
    }
}
