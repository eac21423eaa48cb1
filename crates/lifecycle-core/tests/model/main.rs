//! The quick run of the model checker: every graph of three components, one test a row of policies.

mod exploration;

use exploration::{Case, explore};

#[track_caller]
fn check(row: usize) {
    let mut states = 0;
    for case in Case::all(3).filter(|it| it.row == row) {
        let explored = explore(case, 1);
        assert_eq!(explored.broken, None);
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
