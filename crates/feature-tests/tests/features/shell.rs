//! [`Shell`]: where an operator types.

use fs::File;
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use tempfile::TempDir;

use crate::jobs::Jobs;
use crate::process::{DEADLINE, Process, script};
use crate::programs;
use crate::secrets::Secrets;

/// A shell with `lifecyclectl` on its path.
pub(crate) struct Shell {
    /// What stands in a command, and what it stands for here.
    names: Vec<(String, String)>,
    variables: BTreeMap<String, String>,
    /// How many commands were run.
    runs: AtomicU32,
    /// What no command, and nothing that one has left running, may print.
    secrets: Mutex<Secrets>,
    /// Ends before the folder goes, which they write to.
    jobs: Jobs,
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
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            names: Vec::new(),
            variables: BTreeMap::new(),
            runs: AtomicU32::new(0),
            secrets: Mutex::new(Secrets::new(folder.path())),
            jobs: Jobs::default(),
            folder,
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

    /// What a test has found wrong is told by its own panic.
    fn secrets(&self) -> MutexGuard<'_, Secrets> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tools(&self) -> PathBuf {
        let tools = self.folder.path().join("tools");
        // It may be there.
        let _ = fs::create_dir(&tools);
        tools
    }

    /// Begins a command line that goes on until it is interrupted, as from the keyboard by `SIGINT`: bash becomes the one program
    /// of the line.
    pub(crate) fn begin(&self, line: &str) -> Process {
        let mut bash = Command::new("bash");
        bash.args(["-c", &self.meant(line)]);
        self.surround(&mut bash);
        Process::start(bash)
    }

    /// The line, with what stands for its names here.
    fn meant(&self, line: &str) -> String {
        self.names
            .iter()
            .fold(line.to_owned(), |line, (name, meant)| {
                line.replace(name.as_str(), meant)
            })
    }

    /// Gives a command the folder and the variables of the shell, and no others.
    fn surround(&self, command: &mut Command) {
        let path = format!("{}:{}", self.tools().display(), programs::path());
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", path)
            .envs(&self.variables);
    }

    /// Runs a command line to its end. What it leaves in the background ends with the shell.
    #[track_caller]
    pub(crate) fn run(&self, line: &str) -> Outcome {
        let meant = self.meant(line);
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        let out = self.folder.path().join(format!("out-{run}"));
        let file = || File::options().append(true).create(true).open(&out);
        let mut timeout = Command::new("timeout");
        timeout
            .args([&DEADLINE.as_secs().to_string(), "sh", "-c", &meant])
            .stdin(Stdio::null())
            .stdout(file().expect("a file"))
            .stderr(file().expect("a file"));
        self.surround(&mut timeout);
        let mut child = timeout.spawn().expect("timeout is there");
        let status = child.wait().expect("it is ours");
        // It makes a group of its own, which is called as it is.
        self.jobs.take_over(child.id());
        // What `timeout` ends with when it has killed.
        assert_ne!(status.code(), Some(124), "`{line}` does not end");
        let printed = fs::read(&out).expect("it was written");
        let printed = String::from_utf8_lossy(&printed).into_owned();
        {
            let mut secrets = self.secrets();
            secrets.add(&meant);
            for (name, value) in &self.variables {
                secrets.add(&format!("{name}={value}"));
            }
            secrets.are_not_in(&printed);
        }
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

impl Drop for Shell {
    fn drop(&mut self) {
        self.jobs.end();
        if thread::panicking() {
            return;
        }
        let files = fs::read_dir(self.folder()).expect("it is ours").flatten();
        let logs = files.filter(|it| it.path().extension().is_some_and(|it| it == "log"));
        for log in logs {
            let log = fs::read(log.path()).expect("it was written");
            self.secrets().are_not_in(&String::from_utf8_lossy(&log));
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

#[test]
fn what_a_command_leaves_running_ends_with_the_shell() {
    let shell = Shell::alone();
    let left = shell.run("sleep 600 > sleep.log 2>&1 & echo $!");
    let stat = format!("/proc/{}/stat", left.ended(0).printed.trim());
    assert!(fs::exists(&stat).is_ok_and(|it| it));
    drop(shell);
    // Nobody may have asked for its exit code yet.
    assert!(fs::read_to_string(&stat).map_or(true, |it| it.contains(") Z ")));
}

#[test]
fn a_secret_in_what_a_command_prints_or_its_job_logs_fails_the_test() {
    let write = "echo alice mesh.read 0123456789abcdef > tokens";
    let panics = |line: &'static str| {
        std::panic::catch_unwind(|| {
            let shell = Shell::alone();
            shell.run(write);
            shell.run(line);
        })
        .is_err()
    };
    assert!(!panics("cut -c 1-15 tokens | tee job.log"));
    assert!(panics("cat tokens"));
    assert!(panics("cat tokens > job.log"));
}
