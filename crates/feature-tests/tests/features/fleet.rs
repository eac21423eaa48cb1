//! [`Fleet`]: hosts on several addresses of this machine, and what restarts them as a service manager does.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::thread;

use crate::process::{Process, fixed_port};
use crate::shell::Shell;

/// Two control-plane hosts that know each other: `plane-1` and `plane-2`.
pub(crate) struct Fleet {
    members: Arc<[Mutex<Member>; 2]>,
    supervisor: SocketAddr,
}

/// A host that is started anew with the same arguments.
struct Member {
    /// By which it is restarted: its address, and its name.
    names: [String; 2],
    arguments: Vec<String>,
    process: Process,
    /// A setting that does not fit, until it is taken out again.
    broken: bool,
}

impl Fleet {
    pub(crate) fn start() -> Self {
        let hosts = ["127.0.0.1", "127.0.0.2"];
        let ports = hosts.map(|_| [fixed_port(), fixed_port(), fixed_port()]);
        let member = |index: usize| {
            let [host, other] = [index, 1 - index].map(|it| hosts[it]);
            let [diagnostics, http, gossip] = ports[index].map(|it| format!("{host}:{it}"));
            let seed = format!("{other}:{}", ports[1 - index][2]);
            let arguments = [
                ["--diagnostics", &diagnostics],
                ["--http", &http],
                ["--gossip", &gossip],
                ["--seed", &seed],
                ["--node-id", &format!("plane-{}", index + 1)],
                ["--set", "gossip.gossip-interval=100ms"],
                ["--set", &format!("diagnostics.hosts=[\"{host}\"]")],
                ["--set", &format!("http.hosts=[\"{host}\"]")],
            ];
            let arguments = arguments.concat().into_iter().map(str::to_owned).collect();
            let names = [host.to_owned(), format!("plane-{}", index + 1)];
            Mutex::new(Member::start(names, arguments))
        };
        let members = Arc::new([member(0), member(1)]);
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
            "curl --silent --fail --max-time 60 \"http://{}/$1\" && exit\n\
             echo 'Job for control-plane-host.service failed. See \"journalctl -u control-plane-host\" for details.' >&2\n\
             exit 1",
            self.supervisor
        );
        shell.stand_in("ssh", &restart);
        for (index, name) in [(0, "plane-1"), (1, "plane-2")] {
            let member = &mut self.member(index).process;
            let (diagnostics, http) = (member.diagnostics(), member.address("control-plane:http"));
            shell = shell
                .name(&format!("{name}:9180"), diagnostics)
                .name(&format!("{name}:9181"), http);
        }
        shell
    }

    /// The numbers of the processes.
    pub(crate) fn ids(&self) -> [u32; 2] {
        [0, 1].map(|it| self.member(it).process.id())
    }

    /// Gives the second host a setting that does not fit, or takes it out again.
    pub(crate) fn break_second(&self, broken: bool) {
        self.member(1).broken = broken;
    }
}

impl Member {
    fn start(names: [String; 2], arguments: Vec<String>) -> Self {
        let words: Vec<_> = arguments.iter().map(String::as_str).collect();
        Self {
            process: Process::control_plane(&words),
            names,
            arguments,
            broken: false,
        }
    }

    /// Whether it is up again, as far as a service manager sees at once.
    fn restart(&mut self) -> bool {
        if !self.process.is_over() {
            self.process.terminate();
            self.process.exit();
        }
        let mut words: Vec<_> = self.arguments.iter().map(String::as_str).collect();
        if self.broken {
            words.extend(["--set", "gossip.gossip-interval=1ms"]);
        }
        self.process = Process::control_plane(&words);
        !self.broken || self.process.exit() == Some(0)
    }
}

/// Restarts the host whose address is asked for, and answers when the old process has gone.
fn supervise(listener: &TcpListener, members: &Weak<[Mutex<Member>; 2]>) {
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
