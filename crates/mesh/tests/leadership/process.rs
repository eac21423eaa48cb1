//! Candidates as processes of their own, and what they wrote.

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rusqlite::Connection;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// One candidate; killed when the test is over.
pub(crate) struct Candidate {
    pub(crate) node: String,
    child: Child,
    lines: Receiver<Line>,
    kept: RefCell<Vec<Line>>,
    complaints: Receiver<String>,
}

/// What a candidate told, and when by the clock of all candidates.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) at: i64,
    pub(crate) what: String,
    pub(crate) token: u64,
}

/// How a candidate is started.
pub(crate) struct Start<'a> {
    node: &'a str,
    resource: &'a Path,
    by: &'a [String],
}

impl<'a> Start<'a> {
    pub(crate) fn new(node: &'a str, resource: &'a Path) -> Self {
        Self {
            node,
            resource,
            by: &[],
        }
    }

    /// By a program with its arguments, which becomes the candidate.
    pub(crate) fn entering(self, by: &'a [String]) -> Self {
        Self { by, ..self }
    }

    pub(crate) fn sqlite(self, leases: &Path) -> Candidate {
        self.with("sqlite", &leases.display().to_string())
    }

    pub(crate) fn with(self, kind: &str, place: &str) -> Candidate {
        let resource = self.resource.display().to_string();
        self.program("candidate", &[self.node, &resource, kind, place])
    }

    fn program(&self, example: &str, arguments: &[&str]) -> Candidate {
        let program = path_of(example).display().to_string();
        let mut words = self.by.iter().chain([&program]);
        let mut child = Command::new(words.next().expect("the program at least"))
            .args(words)
            .args(arguments)
            .env("RUST_LOG", "warn")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the example is there");
        let lines = lines_of(child.stdout.take().expect("piped"), |it| parse(&it));
        let complaints = lines_of(child.stderr.take().expect("piped"), Some);
        Candidate {
            node: self.node.to_owned(),
            child,
            lines,
            kept: RefCell::default(),
            complaints,
        }
    }
}

/// What is read from `stream`, as it comes.
fn lines_of<T: Send + 'static>(
    stream: impl Read + Send + 'static,
    read: fn(String) -> Option<T>,
) -> Receiver<T> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let lines = BufReader::new(stream).lines().map_while(Result::ok);
        lines.filter_map(read).try_for_each(|it| sender.send(it))
    });
    receiver
}

impl Candidate {
    pub(crate) fn start(node: &str, resource: &Path, kind: &str, place: &str) -> Self {
        Start::new(node, resource).with(kind, place)
    }

    /// One that takes and gives back leases in `leases` until it is killed.
    pub(crate) fn contending(claimant: u64, leases: &Path) -> Self {
        let (node, leases) = (format!("node-{claimant}"), leases.display().to_string());
        let arguments = [&*node, &claimant.to_string(), &leases];
        Start::new(&node, Path::new("")).program("contender", &arguments)
    }

    /// Kills it, and says what it told until then.
    pub(crate) fn killed(mut self) -> Vec<Line> {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it is ours");
        let rest = self.lines.iter();
        self.kept.take().into_iter().chain(rest).collect()
    }

    /// The next line of its log with these words.
    #[track_caller]
    pub(crate) fn complains(&self, words: &str) -> String {
        let until = Instant::now() + PATIENCE;
        let mut others = Vec::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.complaints.recv_timeout(left) {
                Ok(line) if line.contains(words) => return line,
                Ok(line) => others.push(line),
                Err(error) => panic!("{} complains of {others:#?}: {error}", self.node),
            }
        }
    }

    /// The next line of this kind. Others are kept: who leads and who writes are told by tasks of their own.
    #[track_caller]
    pub(crate) fn tells(&self, what: &str) -> Line {
        let mut kept = self.kept.borrow_mut();
        if let Some(index) = kept.iter().position(|it| it.what == what) {
            return kept.remove(index);
        }
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.what == what => return line,
                Ok(line) => kept.push(line),
                Err(error) => panic!("{} tells {kept:?}, and not {what:?}: {error}", self.node),
            }
        }
    }

    /// What it has told until now and was not asked for yet.
    pub(crate) fn told(&self) -> Vec<Line> {
        let mut told = self.kept.take();
        told.extend(self.lines.try_iter());
        told
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// The exit code, once it has ended.
    #[track_caller]
    pub(crate) fn ends(mut self) -> Option<i32> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().expect("it is ours") {
                return status.code();
            }
            std::thread::yield_now();
        }
        panic!("{} does not end", self.node);
    }

    /// What becomes of a leader of yesterday that wakes up.
    #[track_caller]
    pub(crate) fn wakes_up(mut self) -> Woken {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().expect("it is ours") {
                return Woken::Ended(status.code());
            }
            if let Some(line) = self.told().into_iter().find(|it| it.what == "refused") {
                return Woken::Refused(line.token);
            }
            std::thread::yield_now();
        }
        panic!("{} goes on", self.node);
    }
}

/// What has become of a leader of yesterday.
#[derive(Debug)]
pub(crate) enum Woken {
    /// It has ended, with this code.
    Ended(Option<i32>),
    /// It wrote with this token before anybody had looked at the time, and was refused: its writer has gone by itself, and
    /// there is nothing stale to end.
    Refused(u64),
}

impl Woken {
    /// Fails the test unless nothing is left of who led with `token`.
    #[track_caller]
    pub(crate) fn is_stale(&self, token: u64) {
        match *self {
            Self::Ended(code) => assert_eq!(code, Some(71), "it is not stopped, but ended"),
            Self::Refused(refused) => assert_eq!(refused, token),
        }
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn parse(line: &str) -> Option<Line> {
    let mut words = line.split(' ');
    Some(Line {
        at: words.next()?.parse().ok()?,
        what: words.next()?.to_owned(),
        token: words.next()?.parse().ok()?,
    })
}

pub(crate) fn signal(process: u32, name: &str) {
    let id = process.to_string();
    let sent = Command::new("kill").args(["-s", name, &id]).status();
    assert!(sent.expect("kill is there").success());
}

/// Pauses it while it holds no lock on one of `files`, for then everybody would be paused.
pub(crate) fn pause(candidate: &Candidate, files: &[&Path]) {
    candidate.signal("STOP");
    while files.iter().any(|it| is_locked(it)) {
        candidate.signal("CONT");
        candidate.signal("STOP");
    }
}

fn is_locked(path: &Path) -> bool {
    let connection = Connection::open(path).expect("the file is there");
    connection.busy_timeout(Duration::ZERO).expect("set");
    let locked = connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK");
    locked.is_err()
}

/// Now, by the clock of all candidates.
pub(crate) fn since_boot() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec * 1_000 + now.tv_nsec / 1_000_000
}

/// What was written to the resource: for each token, in order, its first and its last write.
pub(crate) fn written(resource: &Path) -> Vec<(u64, i64, i64)> {
    let resource = Connection::open(resource).expect("the resource is there");
    let written = "SELECT token, min(at), max(at) FROM write GROUP BY token ORDER BY token";
    let mut written = resource.prepare(written).expect("it has its table");
    let rows = written.query_map([], |row| {
        Ok((
            row.get::<_, i64>(0)?.cast_unsigned(),
            row.get(1)?,
            row.get(2)?,
        ))
    });
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

/// Nobody has written while another did, and tokens grew with time.
#[track_caller]
pub(crate) fn assert_one_at_a_time(resource: &Path) -> usize {
    let written = written(resource);
    for pair in written.windows(2) {
        let ((_, _, ended), (_, began, _)) = (pair[0], pair[1]);
        assert!(ended <= began, "{pair:?} of {written:?}");
    }
    written.len()
}

/// Examples stand beside the folder that tests stand in. A run of this file alone does not build them, so that is made
/// up for.
fn path_of(example: &str) -> PathBuf {
    static BUILD: Once = Once::new();
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(|it| it.parent()).unwrap();
    let path = folder.join("examples").join(example);
    if !path.exists() {
        BUILD.call_once(|| build_examples(folder));
    }
    path
}

fn build_examples(folder: &Path) {
    let profile = match folder.file_name().and_then(|it| it.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let mut build = Command::new(env!("CARGO"));
    build
        .args(["build", "--quiet", "--package", env!("CARGO_PKG_NAME")])
        .args(["--examples", "--profile", profile]);
    if cfg!(feature = "etcd") {
        build.args(["--features", "etcd"]);
    }
    assert!(build.status().unwrap().success());
}
