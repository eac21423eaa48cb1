//! docs/dispatcher.md: the echo service, its configuration, its streams.

use crate::page::{Page, sections};

pub(super) const PAGE: Page = Page::of("docs/dispatcher.md");

sections! {
    PAGE;
    it_echoes_over_http_and_grpc_without_a_configuration: "An echo service",
    its_configuration_is_checked_shown_and_described: "Configuration",
    a_stream_is_read_by_curl: "Calls over HTTP",
}

mod scenes {
    use crate::conformance::PYTHON;
    use crate::page::Play;
    use crate::pages::machine;
    use crate::process::Process;
    use crate::shell::Shell;

    pub(super) fn it_echoes_over_http_and_grpc_without_a_configuration(play: &mut Play) {
        let mut shell = machine();
        shell.stand_in("python3", &format!("exec '{PYTHON}' \"$@\""));
        let mut dispatcher = play.begin(&shell);
        dispatcher.address("diagnostics");
        play.next(&shell).says("hello");
        let split = play.next(&shell).ended(0);
        assert_eq!(split.printed, "[b'one', b'two', b'three']\n");
        dispatcher.signal("INT");
        assert_eq!(dispatcher.exit(), Some(0));
        // Where it listens when nobody says otherwise.
        let shown = Shell::alone().run("dispatcher config show").ended(0);
        shown
            .says("http-inbounds.0.address = \"127.0.0.1:8080\"")
            .says("grpc-inbounds.0.address = \"127.0.0.1:9090\"")
            .says("diagnostics.address = \"127.0.0.1:9182\"");
    }

    pub(super) fn its_configuration_is_checked_shown_and_described(play: &mut Play) {
        let shell = Shell::alone();
        play.next(&shell);
        play.next(&shell).says("the configuration is good");
        let shown = play.next(&shell);
        shown.says("outbounds.billing.chooser = \"two-random-choices\"");
        play.next(&shell).says("\"$schema\"");
        shell.run("echo 'servize = \"a\"' > relay.toml").ended(0);
        let faulty = shell.run("dispatcher config check --config relay.toml");
        faulty.ended(78).says("relay.toml:1").says("\"service\"");
    }

    pub(super) fn a_stream_is_read_by_curl(play: &mut Play) {
        let mut dispatcher = Process::dispatcher(&[]);
        let inbound = dispatcher.address("http-inbound:0");
        let shell = Shell::alone().name("127.0.0.1:8080", inbound);
        let read = play.next(&shell);
        assert_eq!(read.printed.matches("data: ").count(), 3, "{read:?}");
    }
}
