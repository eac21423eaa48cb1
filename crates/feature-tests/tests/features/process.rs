//! [`Process`]: a host, from its start to its end.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::programs;
use crate::secrets::Secrets;

/// How long a test waits for what must come.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A host as a process; killed when it is dropped before its end. None of the secrets that it was given may be in what it has
/// printed.
pub(crate) struct Process {
    child: Child,
    output: Lines,
    log: Lines,
    folder: TempDir,
    secrets: Secrets,
}

impl Process {
    /// Starts a host.
    pub(crate) fn start(command: Command) -> Self {
        Self::start_with(command, Stdio::null())
    }

    /// Starts a host with that as its standard input.
    pub(crate) fn start_with(mut command: Command, input: Stdio) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        command
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let secrets = Secrets::of(&command);
        let mut child = command.spawn().expect("the program can be run");
        let journal = File::create(folder.path().join("journal")).expect("a file");
        Self {
            output: Lines::of(child.stdout.take().expect("it is piped"), None),
            log: Lines::of(child.stderr.take().expect("it is piped"), Some(journal)),
            child,
            folder,
            secrets,
        }
    }

    /// A control-plane host on free ports, or on those that the arguments name.
    pub(crate) fn control_plane(arguments: &[&str]) -> Self {
        let mut command = programs::program("control-plane-host");
        command.args(free(&["--diagnostics", "--http", "--gossip"], arguments));
        Self::start(command)
    }

    /// The same, and it does not gossip.
    pub(crate) fn control_plane_without_gossip(arguments: &[&str]) -> Self {
        let mut command = programs::program("control-plane-host");
        command.args(free(&["--diagnostics", "--http"], arguments));
        Self::start(command)
    }

    /// A dispatcher with the echo service on free ports.
    pub(crate) fn dispatcher(arguments: &[&str]) -> Self {
        let mut command = programs::program("dispatcher");
        command.args(free(&["--diagnostics", "--http", "--grpc"], arguments));
        Self::start(command)
    }

    /// A host that makes the trouble which the arguments name.
    pub(crate) fn troubled(arguments: &[&str]) -> Self {
        let mut command = programs::trouble_host();
        command.args(arguments);
        Self::start(command)
    }

    /// A host under torture.
    pub(crate) fn tortured(arguments: &[&str]) -> Self {
        let mut command = programs::torture_host();
        command.args(arguments).arg("--until-signal");
        Self::start(command)
    }

    /// The address that was printed for `component`, once everything runs.
    #[track_caller]
    pub(crate) fn address(&mut self, component: &str) -> SocketAddr {
        let begin = format!("{component} ");
        let line = self.output.wait_for(|it| it.starts_with(&begin));
        let (_, address) = line.rsplit_once('/').expect("a URL");
        address.parse().expect("an address")
    }

    /// Where the diagnostics listen, which are there before everything runs.
    #[track_caller]
    pub(crate) fn diagnostics(&mut self) -> SocketAddr {
        let line = self.logged(&["diagnostics are listening"]);
        let (_, address) = line.rsplit_once("address=").expect("an address");
        let address = address.split_whitespace().next();
        address.and_then(|it| it.parse().ok()).expect("an address")
    }

    /// Waits for a log line with all of `parts`.
    #[track_caller]
    pub(crate) fn logged(&mut self, parts: &[&str]) -> String {
        self.log
            .wait_for(|it| parts.iter().all(|part| it.contains(part)))
    }

    /// Waits for a line on standard output with all of `parts`.
    #[track_caller]
    pub(crate) fn printed(&mut self, parts: &[&str]) -> String {
        self.output
            .wait_for(|it| parts.iter().all(|part| it.contains(part)))
    }

    /// The first line on standard output until now with all of `parts`.
    pub(crate) fn has_printed(&mut self, parts: &[&str]) -> Option<String> {
        self.output.catch_up();
        let mut seen = self.output.seen.iter();
        let found = seen.find(|it| parts.iter().all(|part| it.contains(part)));
        found.cloned()
    }

    /// How many lines it has printed on standard output until now.
    pub(crate) fn count(&mut self) -> usize {
        self.output.catch_up();
        self.output.seen.len()
    }

    /// The number of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The file with what it has logged.
    pub(crate) fn journal(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal, by its name without `SIG`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.expect("kill is there").success());
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&mut self) -> bool {
        self.child.try_wait().expect("it is ours").is_some()
    }

    /// Waits for the end: the exit code, if no signal has killed it.
    #[track_caller]
    pub(crate) fn exit(&mut self) -> Option<i32> {
        self.status().code()
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn status(&mut self) -> ExitStatus {
        let begin = Instant::now();
        // The streams close with the process: nothing to poll for until then.
        self.log.rest();
        loop {
            if let Some(status) = self.child.try_wait().expect("it is ours") {
                return status;
            }
            assert!(begin.elapsed() < DEADLINE, "it goes on and on");
            thread::yield_now();
        }
    }

    /// The last line that it has printed before its end.
    #[track_caller]
    pub(crate) fn last_line(&mut self) -> String {
        self.output.rest();
        self.output.seen.last().cloned().expect("it prints")
    }

    /// Everything that it has logged until its end.
    #[track_caller]
    pub(crate) fn whole_log(&mut self) -> String {
        self.exit();
        self.log.seen.join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // One panic says enough.
        if thread::panicking() {
            return;
        }
        for stream in [&mut self.output, &mut self.log] {
            stream.rest();
            self.secrets.are_not_in(&stream.seen.join("\n"));
        }
    }
}

/// The arguments, with a free port for each of these flags that is not among them.
fn free(flags: &[&str], arguments: &[&str]) -> Vec<String> {
    let missing = flags.iter().filter(|it| !arguments.contains(it));
    let free = missing.flat_map(|it| [*it, "127.0.0.1:0"]);
    free.chain(arguments.iter().copied())
        .map(str::to_owned)
        .collect()
}

/// The lines of a stream, as they come.
struct Lines {
    receiver: Receiver<String>,
    seen: Vec<String>,
}

impl Lines {
    /// Those of `stream`, which are written to `copy` before anybody sees them.
    fn of(stream: impl Read + Send + 'static, mut copy: Option<File>) -> Self {
        let (sender, receiver) = channel();
        // It ends with the process.
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if let Some(copy) = &mut copy {
                    // The folder goes with the test, which may not wait for the end.
                    let _ = writeln!(copy, "{line}");
                }
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            receiver,
            seen: Vec::new(),
        }
    }

    #[track_caller]
    fn wait_for(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        if let Some(line) = self.seen.iter().find(|it| wanted(it)) {
            return line.clone();
        }
        let end = Instant::now() + DEADLINE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.receiver.recv_timeout(left) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if wanted(&line) {
                        return line;
                    }
                }
                Err(error) => panic!("{error} after\n{}", self.seen.join("\n")),
            }
        }
    }

    /// Takes in what has come.
    fn catch_up(&mut self) {
        self.seen.extend(self.receiver.try_iter());
    }

    /// Reads to the end of the stream.
    #[track_caller]
    fn rest(&mut self) {
        loop {
            match self.receiver.recv_timeout(DEADLINE) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("it goes on after\n{}", self.seen.join("\n"))
                }
            }
        }
    }
}

/// A call of the dispatcher that stays open, and keeps it from draining, until this is dropped.
pub(crate) struct OpenCall(Child);

impl OpenCall {
    /// Returns when the call has been let in.
    #[track_caller]
    pub(crate) fn at(inbound: SocketAddr) -> Self {
        let mut curl = Command::new("curl")
            .args(["--silent", "--no-buffer", "--max-time", "120"])
            .args(["--limit-rate", "1k", "-H", "Rpc-Procedure: count"])
            .args(["-H", "Accept: text/event-stream", "-d", "1000000000"])
            .arg(format!("http://{inbound}/"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("curl is installed");
        let mut first = [0];
        // The pipe stays open: else it would end with its next line.
        let output = curl.stdout.as_mut().expect("it is piped");
        output.read_exact(&mut first).expect("the call is let in");
        Self(curl)
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port of loopback for a host that must come back to the same: none of those that the system gives to others.
pub(crate) fn fixed_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    // Tests at the same time are of other processes, or other turns.
    let begin = u16::try_from(std::process::id() % 600).expect("it is small") * 16;
    loop {
        let turn = TAKEN.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + begin + turn;
        let (tcp, udp) = (
            TcpListener::bind(("127.0.0.1", port)),
            UdpSocket::bind(("127.0.0.1", port)),
        );
        if tcp.is_ok() && udp.is_ok() {
            return port;
        }
    }
}

/// Writes a file that a shell can run.
pub(crate) fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).expect("it is written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
}

#[test]
fn a_process_that_prints_a_secret_of_its_own_fails_its_test() {
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = folder.path().join("tokens");
    let token = "0123456789abcdef";
    fs::write(&tokens, format!("alice mesh.read {token}\n")).expect("it is written");
    let run = |line: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", line]).arg(&tokens);
        catch_unwind(AssertUnwindSafe(|| Process::start(command).exit()))
    };
    let quiet = run("cut -d ' ' -f 1,2 \"$0\"");
    assert_eq!(quiet.ok(), Some(Some(0)));
    for line in ["cat \"$0\"", "cat \"$0\" >&2"] {
        assert!(run(line).is_err(), "{line}");
    }
}
