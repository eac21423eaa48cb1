//! The program, asked by `curl`.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

/// The program; killed when the test is over.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dispatcher"));
    command.args(arguments).env("NO_COLOR", "1");
    command
}

/// The program on a free port, and its URL.
fn started() -> (Program, String) {
    let mut command = program(&["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut program = Program(child.expect("it runs"));
    let output = program.0.stdout.take().expect("it is piped");
    let line = BufReader::new(output).lines().next().expect("a line");
    let line = line.expect("text");
    let url = line.strip_prefix("http-inbound:0 ").expect("the inbound's");
    (program, url.to_owned())
}

/// What `curl` prints, with the status in the last line.
fn curl(url: &str, arguments: &[&str]) -> String {
    let output = Command::new("curl")
        .args([
            "--silent",
            "--max-time",
            "20",
            "--write-out",
            "\n%{http_code} %{http_version}",
        ])
        .args(arguments)
        .arg(url)
        .output();
    let output = output.expect("curl is installed");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn it_echoes_to_curl_over_both_versions_and_ends_cleanly_on_sigterm() {
    let (mut program, url) = started();
    let call = ["-H", "Rpc-Procedure: echo", "-d", "hello"];
    assert_eq!(curl(&url, &call), "hello\n200 1.1");
    let call = [&call[..], &["--http2-prior-knowledge"]].concat();
    assert_eq!(curl(&url, &call), "hello\n200 2");
    let call = ["-H", "Rpc-Procedure: swallow", "-d", "hello"];
    assert_eq!(curl(&url, &call), "\n202 1.1");
    let call = ["-H", "Rpc-Procedure: nothing", "-d", ""];
    let answer = curl(&url, &call);
    assert!(answer.contains("\"status\":\"UNIMPLEMENTED\""), "{answer}");
    assert!(answer.ends_with("\n501 1.1"), "{answer}");

    let id = program.0.id().to_string();
    let signalled = Command::new("kill").args(["-TERM", &id]).status();
    assert!(signalled.expect("kill is there").success());
    assert_eq!(program.0.wait().expect("it ends").code(), Some(0));
}

#[test]
fn a_port_in_use_ends_it_with_70_and_wrong_usage_with_64() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    for (taken, free) in [("--http", "--grpc"), ("--grpc", "--http")] {
        let arguments = [taken, &address, free, "127.0.0.1:0"];
        let output = program(&arguments).output().expect("it runs");
        assert_eq!(output.status.code(), Some(70));
        assert_eq!(output.stdout, b"");
    }
    let output = program(&["--htpp", "x"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(64));
}
