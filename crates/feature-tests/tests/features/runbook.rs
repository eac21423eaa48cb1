//! docs/operations.md: each of its commands is run, against a host in the state that the section is about.

mod scenes;

use crate::page::{Page, sections};

pub(crate) const RUNBOOK: Page = Page::of("docs/operations.md");

sections! {
    RUNBOOK;
    a_host_that_is_not_ready_says_why: "It is not ready",
    a_component_that_backs_off_says_until_when: "A component is backing off",
    what_waits_says_for_whom: "What is it waiting for?",
    what_is_lost_again_and_again_is_shown_and_started_anew: "It restarts again and again",
    a_drain_that_does_not_end_is_given_up_or_forced: "A drain does not end",
    a_stop_that_hangs_says_where: "A stop hangs",
    a_node_is_taken_out_and_comes_back: "A node must be taken out",
    one_component_is_restarted_and_followed: "One component must be restarted",
    hosts_are_restarted_one_after_the_other: "Rolling restart",
    a_rollout_that_was_aborted_goes_on: "The rollout was aborted",
    peers_that_are_missing_are_looked_for: "Peers are missing",
    certificates_that_cannot_be_read_are_found: "A certificate is refused",
    what_took_so_long_is_told: "The start takes long",
    metrics_are_read: "Metrics and alerts",
    the_log_says_more_for_a_while: "More log lines, for a while",
    what_was_done_and_by_whom_is_told: "Who did what",
    a_token_is_made_and_used: "Who may ask",
}

#[test]
fn contract_b28_every_section_of_the_runbook_with_commands_is_played() {
    RUNBOOK.has_only(SECTIONS);
}
