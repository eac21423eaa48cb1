//! Runs the program, and asks it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use tempfile::NamedTempFile;

/// The program; killed when the test is over.
pub(crate) struct Program(pub(crate) Child);

impl Program {
    pub(crate) fn terminate(&self) {
        let id = self.0.id().to_string();
        let signalled = Command::new("kill").args(["-TERM", &id]).status();
        assert!(signalled.expect("kill is there").success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dispatcher"));
    command.args(arguments).env("NO_COLOR", "1");
    command
}

/// The flags of what it listens on.
pub(crate) const PORTS: [&str; 3] = ["--http", "--grpc", "--diagnostics"];

pub(crate) fn free_ports() -> Vec<&'static str> {
    let free = PORTS.into_iter().flat_map(|it| [it, "127.0.0.1:0"]);
    free.collect()
}

/// The program on free ports, with the URL of its HTTP inbound and that of its diagnostics.
pub(crate) fn started() -> (Program, String, String) {
    let (program, urls) = run(&free_ports(), 3);
    let url = |place: usize, name: &str| {
        let (named, url) = &urls[place];
        assert_eq!(named, name);
        url.clone()
    };
    assert_eq!(urls[1].0, "grpc-inbound:0");
    (program, url(0, "http-inbound:0"), url(2, "diagnostics"))
}

/// The program with these arguments, once it has printed so many addresses: each with its name.
pub(crate) fn run(arguments: &[&str], addresses: usize) -> (Program, Vec<(String, String)>) {
    listening(program(arguments), addresses)
}

/// The same of a command that has more than arguments.
pub(crate) fn listening(
    mut command: Command,
    addresses: usize,
) -> (Program, Vec<(String, String)>) {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut program = Program(child.expect("it runs"));
    let output = program.0.stdout.take().expect("it is piped");
    let lines = BufReader::new(output).lines().take(addresses);
    let urls = lines.map(|line| {
        let line = line.expect("text");
        let (name, url) = line.split_once(' ').expect("a name and a URL");
        (name.to_owned(), url.to_owned())
    });
    let urls: Vec<_> = urls.collect();
    assert_eq!(urls.len(), addresses, "{urls:?}");
    (program, urls)
}

/// A file with this text.
pub(crate) fn file(text: &str) -> NamedTempFile {
    let file = tempfile::Builder::new().suffix(".toml").tempfile();
    let mut file = file.expect("a file");
    file.write_all(text.as_bytes()).expect("it is written");
    file
}

/// Its path as an argument.
pub(crate) fn path(file: &NamedTempFile) -> &str {
    file.path().to_str().expect("text")
}

/// What `curl` prints, with the status in the last line.
pub(crate) fn curl(url: &str, arguments: &[&str]) -> String {
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
