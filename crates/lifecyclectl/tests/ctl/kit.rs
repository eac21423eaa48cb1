//! Runs the program.

use std::process::{Child, Command, Output, Stdio};

use crate::server::Server;

/// One run of the program.
pub(crate) struct Run {
    pub(crate) exit: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            exit: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Run {
    #[track_caller]
    pub(crate) fn ended(self, exit: i32) -> Self {
        let Self { stdout, stderr, .. } = &self;
        assert_eq!(self.exit, Some(exit), "\n{stdout}{stderr}");
        self
    }

    #[track_caller]
    pub(crate) fn failed(self, exit: i32, what: &str) -> Self {
        let run = self.ended(exit);
        assert!(
            run.stderr.contains(what),
            "{what:?} is not in\n{}",
            run.stderr
        );
        run
    }
}

/// The program, with nothing of this machine's settings.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lifecyclectl"));
    command.env_clear().stdin(Stdio::null());
    command
}

/// The program that asks `server`.
pub(crate) fn asking(server: &Server) -> Command {
    let mut command = command();
    command.env("LIFECYCLECTL_ENDPOINT", server.url());
    command
}

/// Runs `lifecyclectl` with the words of `line`, against `server`.
pub(crate) fn run(server: &Server, line: &str) -> Run {
    let mut command = asking(server);
    command.args(line.split_whitespace());
    command.output().unwrap().into()
}

/// Begins what [`run`] does.
pub(crate) fn spawn(server: &Server, line: &str) -> Child {
    let mut command = asking(server);
    command.args(line.split_whitespace());
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}
