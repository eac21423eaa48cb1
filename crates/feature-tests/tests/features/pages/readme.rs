//! README.md: its first commands.

use crate::page::{Page, sections};

pub(super) const PAGE: Page = Page::of("README.md");

sections! {
    PAGE;
    a_host_a_dispatcher_and_the_gate_are_three_commands: "Three commands",
}

mod scenes {
    use crate::page::Play;
    use crate::pages::machine;

    pub(super) fn a_host_a_dispatcher_and_the_gate_are_three_commands(play: &mut Play) {
        let shell = machine();
        let mut host = play.begin(&shell);
        for component in ["diagnostics", "mesh-gossip", "control-plane:http"] {
            host.address(component);
        }
        shell.until("lifecyclectl leaders", " *  1 ");
        host.signal("INT");
        assert_eq!(host.exit(), Some(0));
        let mut dispatcher = play.begin(&shell);
        for component in ["http-inbound:0", "grpc-inbound:0", "diagnostics"] {
            dispatcher.address(component);
        }
        play.next(&shell).says("hello");
        dispatcher.signal("INT");
        assert_eq!(dispatcher.exit(), Some(0));
        play.leave_to_xtask();
    }
}
