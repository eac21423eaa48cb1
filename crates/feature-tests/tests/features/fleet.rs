//! [`Fleet`]: hosts on several addresses of this machine, and what restarts them as a service manager does.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::thread;
use std::time::Duration;

use crate::metrics::Metrics;
use crate::process::{Process, fixed_port};
use crate::programs;
use crate::shell::Shell;

/// Hosts of one kind, called by their kind and a number from 1: `plane-1`, `plane-2`.
pub(crate) struct Fleet {
    members: Arc<[Mutex<Member>]>,
    supervisor: SocketAddr,
}

/// A host that is started anew with the same arguments.
struct Member {
    /// By which it is restarted: its address, and its name.
    names: [String; 2],
    start: fn(&[&str]) -> Process,
    arguments: Vec<String>,
    process: Process,
    /// A setting that does not fit, until it is taken out again.
    broken: bool,
    /// Those before this process, the first one first.
    past: Vec<Past>,
}

/// What a process has left.
pub(crate) struct Past {
    /// The last that were seen.
    pub(crate) metrics: Metrics,
    pub(crate) log: String,
}

impl Fleet {
    /// Two control-plane hosts that know each other.
    pub(crate) fn start() -> Self {
        Self::planes(2, &[])
    }

    /// Control-plane hosts that know each other, with these settings beside those of their places.
    pub(crate) fn planes(count: u8, settings: &[&str]) -> Self {
        let hosts: Vec<_> = (1..=count).map(|it| format!("127.0.0.{it}")).collect();
        let ports: Vec<_> = hosts
            .iter()
            .map(|_| [(); 4].map(|()| fixed_port()))
            .collect();
        let gossip: Vec<_> = hosts
            .iter()
            .zip(&ports)
            .map(|(host, ports)| format!("{host}:{}", ports[2]))
            .collect();
        let member = |index: usize| {
            let host = &hosts[index];
            let [diagnostics, http, _, grpc] = ports[index].map(|it| format!("{host}:{it}"));
            let name = format!("plane-{}", index + 1);
            let mut arguments = vec![
                ["--diagnostics".to_owned(), diagnostics],
                ["--http".to_owned(), http],
                ["--gossip".to_owned(), gossip[index].clone()],
                ["--node-id".to_owned(), name.clone()],
            ];
            let set = |it: String| ["--set".to_owned(), it];
            arguments.extend([
                set("gossip.gossip-interval=100ms".to_owned()),
                set(format!("grpc.address={grpc}")),
                set(format!("diagnostics.hosts=[\"{host}\"]")),
                set(format!("http.hosts=[\"{host}\"]")),
            ]);
            arguments.extend(settings.iter().map(|it| set((*it).to_owned())));
            let others = gossip.iter().filter(|it| **it != gossip[index]);
            arguments.extend(others.map(|it| ["--seed".to_owned(), it.clone()]));
            Member::start(
                [host.clone(), name],
                Process::control_plane,
                arguments.concat(),
            )
        };
        Self::of((0..hosts.len()).map(member))
    }

    /// Dispatchers with the echo service, with these settings beside those of their places. All listen on the same ports, each at
    /// an address of its own: HTTP, gRPC, diagnostics.
    pub(crate) fn dispatchers(count: u8, ports: [u16; 3], settings: &[&str]) -> Self {
        let member = |number: u8| {
            let host = format!("127.0.0.{number}");
            let [http, grpc, diagnostics] = ports.map(|it| format!("{host}:{it}"));
            let hosts = format!("diagnostics.hosts=[\"{host}\"]");
            let mut arguments = vec![
                ["--http", &http],
                ["--grpc", &grpc],
                ["--diagnostics", &diagnostics],
                ["--set", &hosts],
            ];
            arguments.extend(settings.iter().map(|it| ["--set", it]));
            let arguments = arguments.concat().into_iter().map(str::to_owned).collect();
            let name = format!("dispatcher-{number}");
            Member::start([host, name], Process::dispatcher, arguments)
        };
        Self::of((1..=count).map(member))
    }

    fn of(members: impl Iterator<Item = Member>) -> Self {
        let members: Arc<[_]> = members.map(Mutex::new).collect();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let supervisor = listener.local_addr().expect("it is bound");
        // It ends with the process of the test, behind the hosts, which must not wait for that.
        let supervised = Arc::downgrade(&members);
        thread::spawn(move || supervise(&listener, &supervised));
        Self {
            members,
            supervisor,
        }
    }

    fn member(&self, index: usize) -> MutexGuard<'_, Member> {
        self.members[index].lock().expect("nobody has panicked")
    }

    /// A shell on the first of the machines, from which `ssh` leads to the service managers of all.
    #[track_caller]
    pub(crate) fn shell(&self) -> Shell {
        let mut shell = Shell::beside(&mut self.member(0).process);
        let restart = format!(
            "{} && exit\n\
             echo 'Job for control-plane-host.service failed. See \"journalctl -u control-plane-host\" for details.' >&2\n\
             exit 1",
            self.restart_of("$1")
        );
        shell.stand_in("ssh", &restart);
        for index in 0..self.members.len() {
            let mut member = self.member(index);
            let name = member.names[1].clone();
            let (diagnostics, http) = (
                member.process.diagnostics(),
                member.process.address("control-plane:http"),
            );
            shell = shell
                .name(&format!("{name}:9180"), diagnostics)
                .name(&format!("{name}:9181"), http);
        }
        shell
    }

    /// The command that restarts a host.
    fn restart_of(&self, host: &str) -> String {
        let supervisor = self.supervisor;
        format!("curl --silent --fail --max-time 60 http://{supervisor}/{host}")
    }

    /// Begins a rolling restart of all by `lifecyclectl`, with these words beside the hosts and the command.
    pub(crate) fn roll(&self, words: &[&str]) -> Process {
        let mut command = programs::program("lifecyclectl");
        command
            .arg("rolling-restart")
            .args(self.diagnostics().map(|it| it.to_string()))
            .args(["--restart-command", &self.restart_of("{host}")])
            .args(words);
        Process::start(command)
    }

    /// The numbers of the processes.
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.each(|it| it.process.id()).collect()
    }

    /// Where the diagnostics are.
    pub(crate) fn diagnostics(&self) -> impl Iterator<Item = SocketAddr> {
        self.each(|it| it.process.diagnostics())
    }

    /// Where the listener of each host is that is called `component`, once everything runs.
    pub(crate) fn addresses(&self, component: &str) -> impl Iterator<Item = SocketAddr> {
        self.each(move |it| it.process.address(component))
    }

    /// Asks each of the hosts, one after the other.
    fn each<T>(&self, ask: impl Fn(&mut Member) -> T) -> impl Iterator<Item = T> {
        let members = self.members.iter();
        members.map(move |it| ask(&mut it.lock().expect("nobody has panicked")))
    }

    /// Tells one of them to end, as its service manager does, and starts it anew when it has.
    #[track_caller]
    pub(crate) fn restart(&self, index: usize) {
        assert!(self.member(index).restart(), "it does not come up");
        self.member(index).process.logged(&["host.started"]);
    }

    /// Ends all, and gives for each host what its processes have left, the first one first.
    pub(crate) fn end(&self) -> Vec<Vec<Past>> {
        thread::scope(|scope| {
            let ends = self.members.iter().map(|member| {
                scope.spawn(|| {
                    let mut member = member.lock().expect("nobody has panicked");
                    member.end();
                    std::mem::take(&mut member.past)
                })
            });
            // All of them are told before the first one is waited for.
            let ends: Vec<_> = ends.collect();
            let ends = ends.into_iter().map(|it| it.join().expect("it ends"));
            ends.collect()
        })
    }

    /// Gives the second host a setting that does not fit, or takes it out again.
    pub(crate) fn break_second(&self, broken: bool) {
        self.member(1).broken = broken;
    }
}

impl Member {
    fn start(names: [String; 2], start: fn(&[&str]) -> Process, arguments: Vec<String>) -> Self {
        let words: Vec<_> = arguments.iter().map(String::as_str).collect();
        Self {
            process: start(&words),
            names,
            start,
            arguments,
            broken: false,
            past: Vec::new(),
        }
    }

    /// Ends the process, unless it has ended by itself.
    fn end(&mut self) {
        if self.process.is_over() {
            return;
        }
        let diagnostics = self.process.diagnostics();
        let mut metrics = Metrics::of(diagnostics).expect("it is up");
        self.process.terminate();
        // It goes on to serve while it settles, and answers to the end.
        while !self.process.is_over() {
            metrics = Metrics::of(diagnostics).unwrap_or(metrics);
            rest();
        }
        let log = self.process.whole_log();
        self.past.push(Past { metrics, log });
    }

    /// Whether it is up again, as far as a service manager sees at once.
    fn restart(&mut self) -> bool {
        self.end();
        let mut words: Vec<_> = self.arguments.iter().map(String::as_str).collect();
        if self.broken {
            words.extend(["--set", "gossip.gossip-interval=1ms"]);
        }
        self.process = (self.start)(&words);
        !self.broken || self.process.exit() == Some(0)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "nobody tells when a call was counted"
)]
fn rest() {
    thread::sleep(Duration::from_millis(100));
}

/// Restarts the host whose address is asked for, and answers when the old process has gone.
fn supervise(listener: &TcpListener, members: &Weak<[Mutex<Member>]>) {
    for stream in listener.incoming().flatten() {
        let Some(members) = members.upgrade() else {
            return;
        };
        let mut line = String::new();
        let mut reader = BufReader::new(&stream);
        let _ = reader.read_line(&mut line);
        let name = line.split(['/', ' ']).nth(2).unwrap_or_default().to_owned();
        let up = members.iter().any(|it| {
            let mut member = it.lock().expect("nobody has panicked");
            member.names.contains(&name) && member.restart()
        });
        let status = if up { "200 OK" } else { "500 Failed" };
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        // Who has gone does not want to know.
        let _ = (&stream).write_all(head.as_bytes());
    }
}

#[test]
fn a_fleet_that_goes_leaves_no_host_behind() {
    let fleet = Fleet::start();
    let ids = fleet.ids();
    drop(fleet);
    for id in ids {
        assert!(!Path::new(&format!("/proc/{id}")).exists(), "{id}");
    }
}
