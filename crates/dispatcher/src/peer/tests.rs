//! Peers without sockets, on paused time.

use std::cell::{Cell, RefCell};
use std::num::NonZeroU32;
use std::time::Duration;

use super::*;

/// Peers that answer or not, as they are told.
struct Run {
    peers: Peers<&'static str>,
    /// What each peer says, by its name; nothing, and it answers.
    said: RefCell<Vec<(&'static str, Option<RpcError>)>>,
    log: RefCell<Vec<&'static str>>,
    deadline: Cell<Option<Duration>>,
}

impl Run {
    fn of(names: &[&'static str], chooser: Chooser) -> Self {
        let breaker = Breaker {
            failures: NonZeroU32::new(2).expect("not zero"),
            ..Breaker::default()
        };
        Self {
            peers: Peers::new(names.to_vec(), chooser, breaker),
            said: RefCell::default(),
            log: RefCell::default(),
            deadline: Cell::default(),
        }
    }

    /// The same of peers that may go.
    fn found(names: &[&'static str], chooser: Chooser) -> Self {
        let run = Self::of(&[], chooser);
        run.peers.replace(names);
        run
    }

    fn says(&self, name: &'static str, error: Option<RpcError>) {
        self.said.borrow_mut().retain(|it| it.0 != name);
        self.said.borrow_mut().push((name, error));
    }

    async fn call(&self, again: bool) -> Result<&'static str, RpcError> {
        let deadline = self.deadline.get().map(|it| now() + it);
        self.peers
            .call(deadline, again, async |name, pending| {
                self.log.borrow_mut().push(name);
                let said = self.said.borrow().iter().find(|it| it.0 == name).cloned();
                match said {
                    Some((_, Some(error))) if error.message == "hangs" => {
                        std::future::pending().await
                    }
                    Some((_, Some(error))) if error.message == "our own" => Err(error),
                    Some((_, Some(error))) => {
                        pending.answered();
                        Err(error)
                    }
                    _ => Ok(name),
                }
            })
            .await
    }

    /// Who is asked by so many calls.
    async fn asked(&self, calls: usize) -> String {
        self.log.borrow_mut().clear();
        for _ in 0..calls {
            let _ = self.call(false).await;
        }
        self.log.borrow().join(" ")
    }
}

fn dead() -> Option<RpcError> {
    let error = RpcError::new(Code::Unavailable, "dead");
    Some(error.with_reason("dispatcher.outbound.unreachable"))
}

#[tokio::test(start_paused = true)]
async fn a_dead_peer_is_left_alone_and_found_when_it_is_back() {
    let run = Run::of(&["a", "b"], Chooser::RoundRobin);
    run.says("a", dead());
    assert_eq!(run.asked(4).await, "a b a b");
    assert_eq!(run.asked(3).await, "b b b", "it is open");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(run.asked(3).await, "a b b", "one probe, in vain");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(run.asked(2).await, "b b", "the pause is twice as long");
    run.says("a", None);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(run.asked(4).await, "a b a b");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_has_taken_in_is_tried_elsewhere_once_each() {
    let run = Run::of(&["a", "b", "c"], Chooser::RoundRobin);
    run.says("a", dead());
    let draining = RpcError::new(Code::Unavailable, "draining").with_metadata("retry-after", "1");
    run.says("b", Some(draining.clone()));
    assert_eq!(run.call(true).await, Ok("c"));
    assert_eq!(*run.log.borrow(), ["a", "b", "c"]);
    run.says("c", Some(draining.clone()));
    run.log.borrow_mut().clear();
    assert_eq!(run.call(true).await, Err(draining));
    assert_eq!(run.log.borrow().len(), 3, "each of them once");
    let lost = RpcError::new(Code::Unavailable, "lost half-way");
    run.says("c", Some(lost.clone()));
    run.says("a", Some(lost.clone()));
    run.log.borrow_mut().clear();
    assert_eq!(run.call(true).await, Err(lost));
    assert_eq!(run.log.borrow().len(), 1, "it may have been taken in");
}

#[tokio::test(start_paused = true)]
async fn when_no_peer_may_be_asked_a_call_fails_at_once() {
    let run = Run::of(&["a"], Chooser::TwoRandomChoices);
    run.says("a", dead());
    assert_eq!(run.asked(5).await, "a a");
    assert!(!run.peers.is_any_available());
    let error = run.call(false).await.unwrap_err();
    let reason = error.reason.as_deref();
    assert_eq!(reason, Some("dispatcher.outbound.no_available_peers"));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(run.peers.is_any_available(), "a probe may be made");
}

#[tokio::test(start_paused = true)]
async fn an_error_is_an_answer_and_a_deadline_without_one_is_a_failure() {
    let run = Run::of(&["a"], Chooser::FewestPending);
    run.says("a", Some(RpcError::new(Code::DeadlineExceeded, "told")));
    assert_eq!(run.asked(5).await, "a a a a a");
    run.says("a", Some(RpcError::new(Code::Internal, "hangs")));
    run.deadline.set(Some(Duration::from_secs(1)));
    assert_eq!(run.asked(5).await, "a a");
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_its_caller_drops_does_not_keep_the_peer_out() {
    let run = Run::of(&["a"], Chooser::RoundRobin);
    run.says("a", dead());
    run.asked(2).await;
    tokio::time::advance(Duration::from_secs(1)).await;
    run.says("a", Some(RpcError::new(Code::Internal, "hangs")));
    let dropped = tokio::time::timeout(Duration::from_secs(1), run.call(false)).await;
    assert!(dropped.is_err());
    run.says("a", None);
    assert_eq!(run.call(false).await, Ok("a"));
}

#[tokio::test(start_paused = true)]
async fn an_error_of_our_own_says_nothing_about_the_peer() {
    let run = Run::of(&["a"], Chooser::RoundRobin);
    run.says("a", dead());
    run.asked(1).await;
    run.says("a", Some(RpcError::new(Code::InvalidArgument, "our own")));
    run.asked(1).await;
    run.says("a", dead());
    assert_eq!(run.asked(2).await, "a", "two in a row, all the same");
    tokio::time::advance(Duration::from_secs(1)).await;
    run.says("a", Some(RpcError::new(Code::InvalidArgument, "our own")));
    assert_eq!(run.asked(1).await, "a");
    run.says("a", dead());
    assert_eq!(run.asked(2).await, "a", "it was no answer to the probe");
}

#[tokio::test(start_paused = true)]
async fn a_call_is_in_flight_until_its_answer_is_dropped() {
    let peers = Peers::new(vec!["a", "b"], Chooser::FewestPending, Breaker::default());
    let call = async || {
        let answer = peers.call(None, false, async |name, pending| Ok((name, pending)));
        answer.await.expect("an answer")
    };
    let (first, held) = call().await;
    assert_eq!(first, "a");
    for _ in 0..3 {
        assert_eq!(call().await.0, "b", "it is given back at once");
    }
    drop(held);
    assert_eq!(call().await.0, "a");
}

#[tokio::test(start_paused = true)]
async fn who_stays_keeps_its_circuit_and_its_turn_and_who_comes_back_is_as_new() {
    let run = Run::found(&["a", "b", "c"], Chooser::RoundRobin);
    run.says("a", dead());
    assert_eq!(run.asked(6).await, "a b c a b c");
    let turnover = run.peers.replace(&["d", "c", "a"]);
    let (came, went) = (vec!["d"], vec!["b"]);
    assert_eq!(turnover, Turnover { came, went });
    assert_eq!(run.asked(4).await, "d c d c", "a is left alone as before");
    run.peers.replace(&["c", "d"]);
    run.peers.replace(&["a", "c", "d"]);
    assert_eq!(run.asked(3).await, "d a c");
}

#[tokio::test(start_paused = true)]
async fn calls_in_flight_at_a_peer_that_has_gone_count_for_nobody_else() {
    let run = Run::found(&["a", "b"], Chooser::FewestPending);
    let peers = &run.peers;
    let call = async || {
        let answer = peers.call(None, false, async |name, pending| Ok((name, pending)));
        answer.await.expect("an answer")
    };
    let (first, of_the_old) = call().await;
    assert_eq!(first, "a");
    peers.replace(&["b"]);
    assert_eq!(call().await.0, "b");
    peers.replace(&["b", "a"]);
    let (back, of_the_new) = call().await;
    assert_eq!(back, "a", "it has none in flight, as far as is known");
    drop(of_the_old);
    assert_eq!(call().await.0, "b", "the new one has one in flight");
    drop(of_the_new);
    assert_eq!(call().await.0, "a");
}

#[tokio::test(start_paused = true)]
async fn a_failure_at_a_peer_that_has_gone_is_not_held_against_the_one_that_came_back() {
    let run = Run::found(&["a"], Chooser::RoundRobin);
    run.says("a", dead());
    run.asked(1).await;
    run.says("a", Some(RpcError::new(Code::Internal, "hangs")));
    run.deadline.set(Some(Duration::from_secs(1)));
    let replaced = async {
        run.peers.replace(&[]);
        run.peers.replace(&["a"]);
    };
    let (failed, ()) = futures_util::future::join(run.call(false), replaced).await;
    assert_eq!(failed.unwrap_err().code, Code::DeadlineExceeded);
    run.says("a", dead());
    assert_eq!(run.asked(3).await, "a a", "two in a row, as of a new one");
}

#[tokio::test(start_paused = true)]
async fn fixed_peers_stay_and_when_there_is_nobody_calls_fail_at_once() {
    let run = Run::of(&["a"], Chooser::RoundRobin);
    let turnover = run.peers.replace(&["b", "a", "b"]);
    let (came, went) = (vec!["b"], Vec::new());
    assert_eq!(turnover, Turnover { came, went });
    assert_eq!(run.asked(3).await, "a b a");
    run.peers.replace(&[]);
    assert_eq!(run.asked(2).await, "a a");

    let run = Run::found(&["a"], Chooser::TwoRandomChoices);
    run.peers.replace(&[]);
    assert!(!run.peers.is_any_available());
    let error = run.call(true).await.unwrap_err();
    let reason = error.reason.as_deref();
    assert_eq!(reason, Some("dispatcher.outbound.no_available_peers"));
}
