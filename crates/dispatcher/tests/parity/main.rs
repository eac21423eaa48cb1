//! What the dispatcher promises about starting and stopping, as it was before the orchestrator was taken out of it.
//!
//! `traces` has twenty stories, written by hand from the statements of the contract: which calls components get, when, at
//! which attempt, through which states they and the dispatcher pass, what is logged at which level, and what is answered. Each
//! names its statements and says how it follows from them. None was recorded. How a trace is read is said in
//! [`trace`]; [`subject`] makes what it is tried on.
//!
//! [`model`] is a second oracle: the dispatcher before the extraction, which started one after the other and stopped
//! backwards. [`agreement`] compares it with the subject on random graphs, in what concurrency must not change.

mod agreement;
mod log;
mod logging;
mod model;
mod stage;
mod subject;
mod trace;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/parity/traces")
}

/// Plays the trace in `file`, and compares all of it with what is expected there.
#[track_caller]
fn check(file: &str) {
    let path = folder().join(file);
    let text = fs::read_to_string(&path).expect("the trace is there");
    let trace = trace::parse(&text);
    let (expected, observed) = (trace.expected(), stage::play(&trace));
    assert!(
        expected == observed,
        "{file}: {}\n--- expected\n{expected}\n--- observed\n{observed}",
        trace.title
    );
}

/// Each trace is played, by a test of its own; what a test's name claims, its trace says.
#[test]
fn there_are_twenty_traces_and_each_is_played() {
    let source = include_str!("main.rs");
    let entries = fs::read_dir(folder()).expect("the folder is there");
    let files: BTreeSet<_> = entries
        .map(|it| it.expect("it can be read").file_name())
        .map(|it| it.into_string().expect("a name in ASCII"))
        .collect();
    assert_eq!(files.len(), 20);
    for file in files {
        let call = format!("check(\"{file}\")");
        let (before, _) = source.split_once(&call).expect("it is played");
        let claim = before.rsplit("fn contract_").next().expect("by a test");
        let text = fs::read_to_string(folder().join(&file)).expect("it can be read");
        let trace = trace::parse(&text);
        assert!(!trace.title.is_empty() && !trace.why.is_empty(), "{file}");
        let claimed = claim.split("_and_").map_while(|it| it[..2].parse().ok());
        for number in claimed {
            assert!(trace.statements.contains(&number), "{file}: {number}");
        }
    }
}

#[test]
fn contract_07_and_34_and_43_nothing_starts_and_stops() {
    check("01-nothing.txt");
}

#[test]
fn contract_11_and_29_and_38_and_44_a_chain_starts_upwards_stops_downwards_and_starts_anew() {
    check("02-chain.txt");
}

#[test]
fn contract_12_and_30_each_starts_and_stops_as_soon_as_its_own_edges_allow() {
    check("03-no-layers.txt");
}

#[test]
fn contract_13_calls_of_one_moment_are_issued_by_depth_and_registration() {
    check("04-issue-order.txt");
}

#[test]
fn contract_14_and_16_and_18_a_failing_start_is_tried_again_by_its_own_policy() {
    check("05-retried-start.txt");
}

#[test]
fn contract_14_and_15_and_16_the_default_delay_grows_up_to_its_cap() {
    check("06-exponential.txt");
}

#[test]
fn contract_17_and_20_and_25_a_policy_of_none_is_one_attempt_and_fails_the_start() {
    check("07-no-retry.txt");
}

#[test]
fn contract_19_and_21_a_final_failure_cancels_the_starts_in_flight() {
    check("08-cancelled-neighbours.txt");
}

#[test]
fn contract_23_and_24_and_45_a_failing_rollback_goes_on_and_is_a_warning() {
    check("09-failing-rollback.txt");
}

#[test]
fn contract_22_a_rollback_follows_the_stop_policy_and_is_not_cancelled() {
    check("10-uncancellable-rollback.txt");
}

#[test]
fn contract_28_a_cancelled_start_stops_what_had_started_and_can_be_repeated() {
    check("11-cancelled-start.txt");
}

#[test]
fn contract_26_and_27_a_start_out_of_turn_is_refused_and_changes_nothing() {
    check("12-refused-start.txt");
}

#[test]
fn contract_08_what_has_several_names_is_started_once_under_the_first() {
    check("13-several-names.txt");
}

#[test]
fn contract_32_a_failing_stop_is_tried_again_by_its_policy_or_the_default() {
    check("14-retried-stop.txt");
}

#[test]
fn contract_33_and_35_and_37_one_failing_stop_is_the_error_and_is_asked_again() {
    check("15-one-failing-stop.txt");
}

#[test]
fn contract_31_and_33_several_failing_stops_are_one_error_that_lists_each() {
    check("16-several-failing-stops.txt");
}

#[test]
fn contract_31_and_36_a_stop_with_a_deadline_asks_everybody_within_it() {
    check("17-deadline.txt");
}

#[test]
fn contract_39_a_stop_during_a_start_cancels_it_and_answers_both() {
    check("18-stop-during-start.txt");
}

#[test]
fn contract_40_a_second_stop_joins_the_first() {
    check("19-joined-stops.txt");
}

#[test]
fn contract_15_and_24_and_44_what_is_exhausted_is_told_once() {
    check("20-exhausted-rollback.txt");
}
