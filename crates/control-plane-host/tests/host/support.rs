//! Hosts as processes, and a client that speaks plain HTTP/1.1 over a socket.

use std::io::{BufRead as _, BufReader, ErrorKind, Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a test waits for what must come.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A host as a process; killed when it is dropped before its end.
pub(crate) struct Process {
    child: Child,
    output: Lines,
    log: Lines,
}

/// The lines of a stream, as they come.
struct Lines {
    receiver: Receiver<String>,
    seen: Vec<String>,
}

impl Process {
    /// Starts a host with `arguments`, and an environment of nothing but `variables`.
    pub(crate) fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = command(arguments)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary can be run");
        Self {
            output: Lines::of(child.stdout.take().unwrap()),
            log: Lines::of(child.stderr.take().unwrap()),
            child,
        }
    }

    /// Starts a host on free ports.
    pub(crate) fn anywhere(further: &[&str]) -> Self {
        let mut arguments = ANYWHERE.to_vec();
        arguments.extend(further);
        Self::start(&arguments, &[])
    }

    /// The address that was printed for `component`.
    #[track_caller]
    pub(crate) fn address(&mut self, component: &str) -> SocketAddr {
        let begin = format!("{component} ");
        let line = self.output.wait_for(|it| it.starts_with(&begin));
        let (_, address) = line.rsplit_once('/').expect("a URL");
        address.parse().expect("an address")
    }

    /// Waits for a log line with `text`.
    #[track_caller]
    pub(crate) fn logged(&mut self, text: &str) -> String {
        self.logged_as(|it| it.contains(text))
    }

    /// Waits for a log line that `wanted` likes.
    #[track_caller]
    pub(crate) fn logged_as(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        self.log.wait_for(wanted)
    }

    /// Waits for a log line with all of `parts`.
    #[track_caller]
    pub(crate) fn logged_all(&mut self, parts: &[&str]) -> String {
        self.log
            .wait_for(|it| parts.iter().all(|part| it.contains(part)))
    }

    /// Whether a line that is `wanted` has been logged, or is within `limit`.
    pub(crate) fn logs_within(&mut self, limit: Duration, wanted: impl Fn(&str) -> bool) -> bool {
        let before = self.log.seen.len();
        if let Ok(line) = self.log.receiver.recv_timeout(limit) {
            self.log.seen.push(line);
            self.log.seen.extend(self.log.receiver.try_iter());
        }
        self.log.seen[before..].iter().any(|it| wanted(it))
    }

    /// The number of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything that was logged until the end.
    pub(crate) fn whole_log(mut self) -> String {
        self.exit();
        self.log.rest();
        self.log.seen.join("\n")
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        let kill = format!("kill -TERM {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(sent.success());
    }

    /// Ends it at once, so that it can say nothing any more.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it was killed");
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn exit(&mut self) -> ExitStatus {
        let begin = Instant::now();
        // The streams close with the process: nothing to poll for until then.
        self.log.rest();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begin.elapsed() < DEADLINE, "it goes on and on");
            thread::yield_now();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Flags for free ports on loopback.
pub(crate) const ANYWHERE: &[&str] = &[
    "--diagnostics",
    "127.0.0.1:0",
    "--http",
    "127.0.0.1:0",
    "--gossip",
    "127.0.0.1:0",
];

/// The binary with `arguments`, and an empty environment.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_control-plane-host"));
    command.args(arguments).env_clear();
    command
}

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let (sender, receiver) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
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

/// What a server has answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a JSON body")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|it| it.split_once(": "));
        let named = lines.find(|(key, _)| key.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value)
    }
}

#[track_caller]
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, DEADLINE).expect("the port is open");
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

#[track_caller]
pub(crate) fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, "GET", path, None)
}

/// Asks without a body, with a bearer token if there is one.
#[track_caller]
pub(crate) fn ask(address: SocketAddr, method: &str, path: &str, token: Option<&str>) -> Answer {
    let mut stream = connect(address);
    let token = token.map(|it| format!("Authorization: Bearer {it}\r\n"));
    let token = token.unwrap_or_default();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{token}Connection: close\r\n\r\n"
    )
    .unwrap();
    receive(&mut stream)
}

#[track_caller]
pub(crate) fn post(address: SocketAddr, path: &str, body: &str) -> Answer {
    let mut stream = connect(address);
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    receive(&mut stream)
}

#[track_caller]
fn receive(stream: &mut TcpStream) -> Answer {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// Asks again and again until the answer is as wanted.
#[track_caller]
pub(crate) fn get_until(
    address: SocketAddr,
    path: &str,
    wanted: impl Fn(&Answer) -> bool,
) -> Answer {
    let begin = Instant::now();
    loop {
        let answer = get(address, path);
        if wanted(&answer) {
            return answer;
        }
        assert!(begin.elapsed() < DEADLINE, "in vain: {answer:?}");
        thread::yield_now();
    }
}

/// The status of an answer; `None` when the port is closed, or is being closed.
pub(crate) fn try_get(address: SocketAddr, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).ok()?;
    let ask = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(ask.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.split(' ').nth(1)?.parse().ok()
}

/// Asks for the peers again and again until `wanted` likes what `node` is said to be.
#[track_caller]
pub(crate) fn wait_for_peer(address: SocketAddr, node: &str, wanted: &str) {
    let begin = Instant::now();
    loop {
        let peers = get(address, "/control/peers").json()["peers"].clone();
        let status = peers
            .as_array()
            .into_iter()
            .flatten()
            .find(|it| it["nodeId"] == node)
            .map(|it| it["status"].clone());
        if status.as_ref().is_some_and(|it| it == wanted) {
            return;
        }
        assert!(
            begin.elapsed() < DEADLINE,
            "{node} never was {wanted}: {peers}"
        );
        thread::yield_now();
    }
}

#[track_caller]
pub(crate) fn assert_tcp_free(address: SocketAddr) {
    let error = TcpStream::connect_timeout(&address, DEADLINE).expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    TcpListener::bind(address).expect("the port is free");
}

#[track_caller]
pub(crate) fn assert_udp_free(address: SocketAddr) {
    UdpSocket::bind(address).expect("the port is free");
}
