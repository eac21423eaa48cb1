//! docs/quickstart.md: each of its commands is run, with what it starts in the background.

mod scenes;

use crate::page::{Page, sections};

pub(crate) const QUICKSTART: Page = Page::of("docs/quickstart.md");

sections! {
    QUICKSTART;
    one_host_comes_up_without_a_configuration_and_stops: "One host",
    of_three_hosts_one_is_drained_and_another_leads_when_the_leader_is_killed: "Three hosts",
    leadership_moves_by_way_of_etcd: "With etcd",
    only_who_shows_a_token_may_look_and_act: "TLS and a token",
}

#[test]
fn contract_b28_every_section_of_the_quickstart_with_commands_is_played() {
    QUICKSTART.has_only(SECTIONS);
}
