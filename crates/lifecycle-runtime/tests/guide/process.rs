//! An example as a process of its own.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Once, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running example. Killed when dropped, so that no failed test leaves one behind.
pub(crate) struct Process {
    child: Child,
    lines: mpsc::Receiver<String>,
    seen: Vec<String>,
    deadline: Instant,
}

/// How an example has ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    /// What it wrote to standard output and standard error, as a terminal would show it.
    pub(crate) lines: Vec<String>,
}

impl Process {
    pub(crate) fn of(example: &str) -> Self {
        let (reader, writer) = std::io::pipe().unwrap();
        let child = Command::new(path_of(example))
            .env_remove("NOTIFY_SOCKET")
            .env_remove("RUST_LOG")
            .stdout(writer.try_clone().unwrap())
            .stderr(writer)
            .spawn()
            .expect("examples are built with the tests");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            BufReader::new(reader)
                .lines()
                .map_while(Result::ok)
                .try_for_each(|it| sender.send(it))
        });
        Self {
            child,
            lines,
            seen: Vec::new(),
            deadline: Instant::now() + PATIENCE,
        }
    }

    /// Waits for a line with `text` in it, and gives that line.
    #[track_caller]
    pub(crate) fn reaches(&mut self, text: &str) -> String {
        loop {
            let Some(line) = self.next_line() else {
                panic!("no {text:?} in {:#?}", self.seen);
            };
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Asks it to end.
    pub(crate) fn terminate(&mut self) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", "TERM", &id]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn end(mut self) -> Ended {
        while self.next_line().is_some() {}
        let lines = std::mem::take(&mut self.seen);
        assert!(Instant::now() < self.deadline, "no end: {lines:#?}");
        let code = self.child.wait().unwrap().code();
        Ended { code, lines }
    }

    fn next_line(&mut self) -> Option<String> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let line = self.lines.recv_timeout(left).ok()?;
        self.seen.push(line.clone());
        Some(line)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Examples stand beside the folder that tests stand in. A run of this file alone does not build them, so that is made
/// up for when one is missing or older than its source.
fn path_of(example: &str) -> PathBuf {
    static BUILD: Once = Once::new();
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap();
    let path = folder.join("examples").join(example);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/{example}.rs"));
    let changed = |path: &Path| path.metadata().and_then(|it| it.modified()).ok();
    if changed(&path) < changed(&source) {
        BUILD.call_once(|| build_examples(folder));
    }
    path
}

fn build_examples(folder: &Path) {
    let profile = match folder.file_name().and_then(|it| it.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", env!("CARGO_PKG_NAME")])
        .args(["--examples", "--profile", profile])
        .status();
    assert!(built.unwrap().success());
}
