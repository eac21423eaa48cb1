//! docs/deployment.md. What belongs to a machine or a cluster is below a folder of the test: units are verified by systemd's own
//! program and started by a stand-in, manifests are validated and looked up by another.

use crate::page::{Page, sections};

pub(super) const PAGE: Page = Page::of("docs/deployment.md");

sections! {
    PAGE;
    what_is_shipped_is_built_by_xtask: "What is shipped",
    a_unit_is_installed_started_and_put_on_sockets: "systemd",
    manifests_find_the_secret_that_was_created_for_them: "Kubernetes",
}

mod scenes {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::{Path, PathBuf};

    use crate::conformance::PYTHON;
    use crate::page::Play;
    use crate::pages::root;
    use crate::process::fixed_port;
    use crate::programs;
    use crate::shell::Shell;

    pub(super) fn what_is_shipped_is_built_by_xtask(play: &mut Play) {
        play.leave_to_xtask();
    }

    /// A shell in a folder as it is shipped, on a machine below another folder, which is the variable `ROOT`.
    fn machine() -> (Shell, PathBuf) {
        let shell = Shell::alone();
        let (shipped, machine) = (shell.folder(), shell.folder().join("machine"));
        for folder in ["usr/local/bin", "etc/systemd/system"] {
            fs::create_dir_all(machine.join(folder)).expect("a folder");
        }
        symlink(root().join("deploy"), shipped.join("deploy")).expect("a link");
        let program = programs::program("dispatcher");
        fs::create_dir(shipped.join("bin")).expect("a folder");
        symlink(program.get_program(), shipped.join("bin/dispatcher")).expect("a link");
        let below = |path: &str| format!("{}{path}", machine.display());
        let shell = shell
            .stands_for("/usr/local/bin/", &below("/usr/local/bin/"))
            .stands_for("/etc/", &below("/etc/"))
            .variable("ROOT", &below(""));
        (shell, machine)
    }

    fn stand_in(shell: &mut Shell, name: &str, python: &str) {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/features/pages");
        shell.stand_in(
            name,
            &format!("exec '{python}' '{folder}/{name}.py' \"$@\""),
        );
    }

    /// Changes an installed file.
    fn edit(file: &Path, changes: &[(&str, &str)]) {
        let mut text = fs::read_to_string(file).expect("it was installed");
        for (old, new) in changes {
            text = text.replace(old, new);
        }
        fs::write(file, text).expect("it is ours");
    }

    pub(super) fn a_unit_is_installed_started_and_put_on_sockets(play: &mut Play) {
        let (mut shell, machine) = machine();
        stand_in(&mut shell, "systemctl", PYTHON);
        let [calls, grpc, diagnostics] = [(); 3].map(|()| format!("127.0.0.1:{}", fixed_port()));
        let ports = [
            ("0.0.0.0:8080", calls.as_str()),
            ("0.0.0.0:9090", grpc.as_str()),
            ("127.0.0.1:9182", diagnostics.as_str()),
        ];
        play.several(3, &shell);
        let configuration = machine.join("etc/dispatcher/dispatcher.toml");
        edit(&configuration, &ports);
        play.next(&shell);
        let call = format!("curl --silent -H 'Rpc-Procedure: echo' -d hello http://{calls}/");
        shell.run(&call).ended(0).says("hello");
        play.next(&shell).says("Status: \"running\"");
        play.next(&shell);
        let sockets = ["#socket = \"http\"", "#socket = \"grpc\""];
        edit(&configuration, &sockets.map(|it| (it, &it[1..])));
        for socket in ["dispatcher-http.socket", "dispatcher-grpc.socket"] {
            edit(&machine.join("etc/systemd/system").join(socket), &ports);
        }
        play.next(&shell);
        // What it would have opened itself is closed.
        assert_ne!(shell.run(&call).exit, Some(0));
        play.next(&shell);
        shell.run(&call).ended(0).says("hello");
        shell.run("systemctl stop dispatcher").ended(0);
    }

    pub(super) fn manifests_find_the_secret_that_was_created_for_them(play: &mut Play) {
        let (mut shell, _machine) = machine();
        let python = root().join("target/kubernetes-validate/bin/python");
        stand_in(&mut shell, "kubectl", &python.display().to_string());
        let token = "umask 077; echo \"alice mesh.operate $(openssl rand -hex 32)\" > tokens";
        shell.run(token).ended(0);
        let apply = "kubectl apply -k deploy/kubernetes/control-plane-host";
        assert_ne!(shell.run(apply).exit, Some(0), "there is no secret yet");
        play.several(2, &shell);
        shell.run(apply).ended(0);
    }
}
