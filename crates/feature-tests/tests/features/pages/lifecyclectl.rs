//! docs/lifecyclectl.md, but for its consoles, which are what the tests of lifecyclectl have seen.

use crate::page::{Page, sections};

pub(super) const PAGE: Page = Page::without_consoles("docs/lifecyclectl.md");

sections! {
    PAGE;
    it_is_run_from_the_checkout: "",
    it_drains_a_host_that_lets_in_by_certificates: "For every command",
    its_completions_are_taken_by_bash: "Others",
}

mod scenes {
    use std::fs;

    use crate::page::Play;
    use crate::pages::machine;
    use crate::process::Process;
    use crate::shell::Shell;

    pub(super) fn it_is_run_from_the_checkout(play: &mut Play) {
        let shell = machine();
        let mut host = shell.begin("control-plane-host");
        host.address("diagnostics");
        play.next(&shell).says("ready       yes");
    }

    /// Has openssl make a certificate that is its own authority: `NAME.pem`, `NAME.key`.
    fn issue(shell: &Shell, name: &str, host: &str) {
        let line = format!(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={name} \
             -addext subjectAltName=DNS:{host} -addext basicConstraints=critical,CA:FALSE -keyout {name}.key -out {name}.pem"
        );
        shell.run(&line).ended(0);
    }

    pub(super) fn it_drains_a_host_that_lets_in_by_certificates(play: &mut Play) {
        let shell = Shell::alone();
        issue(&shell, "plane", "localhost");
        issue(&shell, "alice", "alice");
        let place = |file: &str| shell.folder().join(file).display().to_string();
        let file = format!(
            "[diagnostics]\nclient-scopes = {{ alice = 'mesh.operate' }}\n[diagnostics.tls]\n\
             certificate = '{}'\nkey = '{}'\nclient-ca = '{}'\n",
            place("plane.pem"),
            place("plane.key"),
            place("alice.pem")
        );
        fs::write(place("host.toml"), file).expect("it is written");
        let mut host = Process::control_plane(&["--config", &place("host.toml")]);
        let port = host.address("diagnostics").port();
        let shell = shell.stands_for("node-1:9180", &format!("localhost:{port}"));
        play.next(&shell);
        host.logged(&["cert:alice", "a new disk"]);
        host.logged(&["node.drained"]);
    }

    pub(super) fn its_completions_are_taken_by_bash(play: &mut Play) {
        let shell = Shell::alone();
        let home = shell.folder().display().to_string();
        let shell = shell.variable("HOME", &home);
        play.several(2, &shell);
        let file = "~/.local/share/bash-completion/completions/lifecyclectl";
        let taken = shell.run(&format!("bash -c '. {file} && complete -p lifecyclectl'"));
        taken.ended(0).says("_lifecyclectl");
    }
}
