//! docs/control-plane-host.md: runs, its configuration, gRPC, sealed gossip.

use crate::page::{Page, sections};

pub(super) const PAGE: Page = Page::of("docs/control-plane-host.md");

sections! {
    PAGE;
    it_runs_with_and_without_a_file_and_says_what_is_configured: "",
    it_tells_a_client_over_grpc_what_its_components_do: "Over gRPC",
    gossip_is_sealed_by_a_file_of_keys_or_a_variable: "Sealed gossip",
    variables_are_keys_of_the_configuration: "Configuration",
}

mod scenes {
    use std::fs;

    use crate::conformance::PYTHON;
    use crate::page::Play;
    use crate::pages::machine;
    use crate::process::Process;
    use crate::shell::Shell;

    /// Begins the next command, and ends it when it runs.
    fn comes_and_goes(play: &mut Play, shell: &Shell) {
        let mut host = play.begin(shell);
        for component in ["diagnostics", "mesh-gossip", "control-plane:http"] {
            host.address(component);
        }
        host.signal("INT");
        assert_eq!(host.exit(), Some(0));
    }

    pub(super) fn it_runs_with_and_without_a_file_and_says_what_is_configured(play: &mut Play) {
        let shell = machine();
        comes_and_goes(play, &shell);
        let file = shell.folder().join("host.toml");
        fs::write(file, "service-name = \"shop\"\n").expect("it is written");
        let mut host = play.begin(&shell);
        host.logged(&["host.started", "shop"]);
        host.signal("INT");
        assert_eq!(host.exit(), Some(0));
        play.next(&shell).says("the configuration is good");
        let shown = play.next(&shell);
        shown.says("CONTROL_PLANE_HOST__HTTP__ADDRESS");
        play.next(&shell).says("\"$schema\"");
    }

    pub(super) fn it_tells_a_client_over_grpc_what_its_components_do(play: &mut Play) {
        let enabled = ["grpc.enabled=true", "grpc.address=127.0.0.1:0"];
        let mut host = Process::control_plane(&enabled.map(|it| ["--set", it]).concat());
        let grpc = host.address("control-plane:grpc");
        let mut shell = Shell::alone().name("127.0.0.1:9182", grpc);
        let client = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/features/pages/grpcurl.py"
        );
        shell.stand_in("grpcurl", &format!("exec '{PYTHON}' '{client}' \"$@\""));
        let mut watching = play.begin(&shell);
        watching.printed(&["snapshot"]);
        watching.printed(&["control-plane:grpc"]);
        watching.signal("INT");
        watching.exit();
    }

    pub(super) fn gossip_is_sealed_by_a_file_of_keys_or_a_variable(play: &mut Play) {
        let shell = machine()
            .variable("OLD", &"0123456789abcdef".repeat(4))
            .variable("NEW", &"fedcba9876543210".repeat(4));
        play.next(&shell);
        let sealed = "control-plane-host --set gossip.keys-file=gossip.keys config check";
        shell.run(sealed).ended(0);
        shell.run("chmod 644 gossip.keys").ended(0);
        shell.run(sealed).ended(78).says("gossip.keys");
        comes_and_goes(play, &shell);
    }

    pub(super) fn variables_are_keys_of_the_configuration(play: &mut Play) {
        let shell = Shell::alone();
        let [seeds, attempts] = [play.take(), play.take()].map(|it| it.command);
        let line = format!("{seeds} {attempts} control-plane-host config show");
        let shown = shell.run(&line).ended(0);
        shown
            .says("gossip.seeds = [\"node-1:17421\", \"node-2:17421\"]")
            .says("CONTROL_PLANE_HOST__GOSSIP__SEEDS")
            .says("start.max-attempts = 5")
            .says("diagnostics.address = \"127.0.0.1:9180\"");
    }
}
