//! [`Shell`]: where an operator types.

use fs::File;
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use tempfile::TempDir;

use crate::process::{DEADLINE, Process, script};
use crate::programs;

/// A shell with `lifecyclectl` on its path.
pub(crate) struct Shell {
    /// What stands in a command, and what it stands for here.
    names: Vec<(String, String)>,
    variables: BTreeMap<String, String>,
    /// How many commands were run.
    runs: AtomicU32,
    folder: TempDir,
}

/// What a command has printed, and its exit code.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) exit: Option<i32>,
    /// Standard output, then standard error; names of this machine are those of the command.
    pub(crate) printed: String,
}

impl Shell {
    /// A shell on a machine without a host.
    pub(crate) fn alone() -> Self {
        Self {
            names: Vec::new(),
            variables: BTreeMap::new(),
            runs: AtomicU32::new(0),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    /// A shell on the machine of `host`, whose diagnostics answer at the port that is asked when nothing else is said, and
    /// whose log is what `journalctl` shows.
    #[track_caller]
    pub(crate) fn beside(host: &mut Process) -> Self {
        let (diagnostics, mut shell) = (host.diagnostics(), Self::alone());
        shell.stand_in("journalctl", &format!("cat '{}'", host.journal().display()));
        shell
            .name("localhost:9180", diagnostics)
            .variable("LIFECYCLECTL_ENDPOINT", &diagnostics.to_string())
            .variable("MAINPID", &host.id().to_string())
    }

    /// Has `name` stand for `address` in commands, and the other way round in what they print.
    pub(crate) fn name(self, name: &str, address: SocketAddr) -> Self {
        self.stands_for(name, &address.to_string())
    }

    /// Has one text stand for another.
    pub(crate) fn stands_for(mut self, name: &str, meant: &str) -> Self {
        self.names.push((name.to_owned(), meant.to_owned()));
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// A folder of its own, which the commands start in.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Puts a program of this name on the path, for one that belongs to the machine.
    pub(crate) fn stand_in(&mut self, name: &str, text: &str) {
        script(&self.tools().join(name), text);
    }

    fn tools(&self) -> PathBuf {
        let tools = self.folder.path().join("tools");
        // It may be there.
        let _ = fs::create_dir(&tools);
        tools
    }

    /// Runs a command line to its end.
    #[track_caller]
    pub(crate) fn run(&self, line: &str) -> Outcome {
        let meant = self
            .names
            .iter()
            .fold(line.to_owned(), |line, (name, meant)| {
                line.replace(name.as_str(), meant)
            });
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        let out = self.folder.path().join(format!("out-{run}"));
        let file = || File::options().append(true).create(true).open(&out);
        let status = Command::new("timeout")
            .args([&DEADLINE.as_secs().to_string(), "sh", "-c", &meant])
            .current_dir(self.folder.path())
            .env_clear()
            .env(
                "PATH",
                format!("{}:{}", self.tools().display(), programs::path()),
            )
            .envs(&self.variables)
            .stdin(Stdio::null())
            .stdout(file().expect("a file"))
            .stderr(file().expect("a file"))
            .status()
            .expect("timeout is there");
        // What `timeout` ends with when it has killed.
        assert_ne!(status.code(), Some(124), "`{line}` does not end");
        let printed = fs::read(&out).expect("it was written");
        let printed = String::from_utf8_lossy(&printed).into_owned();
        // Of two names for the same, the later one is meant.
        let named = self
            .names
            .iter()
            .rev()
            .fold(printed, |text, (name, meant)| {
                text.replace(meant.as_str(), name)
            });
        Outcome {
            exit: status.code(),
            printed: named,
        }
    }

    /// Runs `lifecyclectl` with these words.
    #[track_caller]
    pub(crate) fn ctl(&self, words: &str) -> Outcome {
        self.run(&format!("lifecyclectl {words}"))
    }

    /// Waits until a command prints `wanted`.
    #[track_caller]
    pub(crate) fn until(&self, line: &str, wanted: &str) {
        let end = Instant::now() + DEADLINE;
        loop {
            let outcome = self.run(line);
            if outcome.printed.contains(wanted) {
                return;
            }
            assert!(
                Instant::now() < end,
                "{wanted:?} does not come, but\n{}",
                outcome.printed
            );
        }
    }
}

impl Outcome {
    #[track_caller]
    pub(crate) fn ended(self, exit: i32) -> Self {
        assert_eq!(self.exit, Some(exit), "\n{}", self.printed);
        self
    }

    #[track_caller]
    pub(crate) fn says(self, what: &str) -> Self {
        assert!(
            self.printed.contains(what),
            "{what:?} is not in\n{}",
            self.printed
        );
        self
    }

    /// As a page has it: with the exit code in a last line, unless it is 0.
    pub(crate) fn page(&self) -> String {
        let mut page = self.printed.clone();
        if !page.is_empty() && !page.ends_with('\n') {
            page.push('\n');
        }
        match self.exit {
            Some(0) => page,
            code => format!("{page}(exit code {})\n", code.unwrap_or(-1)),
        }
    }
}
