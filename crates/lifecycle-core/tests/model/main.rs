//! The quick run of the model checker: every graph of three components, one test a row of policies.

mod exploration;

use exploration::{Case, explore};

#[track_caller]
fn check(row: usize) {
    let mut states = 0;
    for case in Case::all(3).filter(|it| it.row == row) {
        let explored = explore(case, 1, None);
        assert_eq!(explored.broken, None);
        assert!(explored.complete, "nothing cut it off");
        assert!(explored.depth > 4, "the exploration went nowhere");
        states += explored.states;
    }
    assert!(
        states > 10_000,
        "{states} states are fewer than this row is known to have"
    );
}

#[test]
fn no_invariant_breaks_when_everything_is_essential_and_started_twice() {
    check(0);
}

#[test]
fn no_invariant_breaks_with_retries_and_losses() {
    check(1);
}

#[test]
fn no_invariant_breaks_with_fresh_values_panics_and_a_cancelled_start() {
    check(2);
}

#[test]
fn no_invariant_breaks_with_lingering_tasks_held_edges_and_force() {
    check(3);
}

#[test]
fn no_invariant_breaks_with_retries_of_fresh_values_and_force() {
    check(4);
}

#[test]
fn no_invariant_breaks_with_slow_disposes_and_losses() {
    check(5);
}

#[test]
fn no_invariant_breaks_when_a_failed_stop_is_repeated_and_forced() {
    check(6);
}

#[test]
fn no_invariant_breaks_when_a_back_off_is_forced_and_the_clock_is_late() {
    check(7);
}

#[test]
fn no_invariant_breaks_when_followers_fall_and_come_back_within_their_budgets() {
    check(8);
}

#[test]
fn no_invariant_breaks_when_edges_tolerate_losses_and_everything_stops() {
    check(9);
}

#[test]
fn no_invariant_breaks_when_an_operator_stops_and_starts_and_edges_stop_for_good() {
    check(10);
}

#[test]
fn no_invariant_breaks_when_an_operator_restarts_and_edges_hold() {
    check(11);
}

#[test]
fn no_invariant_breaks_when_a_gate_closes_at_its_deadline_and_something_is_lost() {
    check(12);
}

#[test]
fn no_invariant_breaks_when_a_gate_closes_and_opens_while_everything_stops() {
    check(13);
}

#[test]
fn no_invariant_breaks_when_a_drain_is_cancelled_and_resumed() {
    check(14);
}

#[test]
fn no_invariant_breaks_when_a_stop_joins_a_drain() {
    check(15);
}

#[test]
fn no_invariant_breaks_when_components_come_and_go_and_something_is_lost() {
    check(16);
}

#[test]
fn no_invariant_breaks_when_components_come_and_go_while_everything_stops() {
    check(17);
}

#[test]
fn no_invariant_breaks_when_a_drain_is_resumed_and_something_is_lost() {
    check(18);
}
