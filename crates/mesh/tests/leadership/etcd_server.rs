//! A real etcd, of one member or several, and whom it lets in.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use mesh::leadership::{EtcdOptions, EtcdStore};
use tempfile::TempDir;

use crate::kit::DEADLINE;
use crate::process::{Candidate, signal};

/// One etcd, or several that are one; ended with the test.
pub(crate) struct Etcd {
    members: Vec<Member>,
    folder: TempDir,
    guard: Guard,
}

/// Whom etcd lets in; everybody, unless it is said.
#[derive(Default)]
pub(crate) struct Guard {
    /// Further arguments of every member.
    pub(crate) arguments: Vec<String>,
    /// What etcdctl and our nodes show: the authority of etcd, a certificate and its key.
    pub(crate) tls: Option<[PathBuf; 3]>,
    /// As whom etcdctl asks, once there are users.
    pub(crate) root: Option<&'static str>,
}

struct Member {
    name: String,
    client: u16,
    peer: u16,
    process: Option<Child>,
}

impl Etcd {
    pub(crate) fn start(members: usize) -> Self {
        Self::guarded(members, Guard::default())
    }

    pub(crate) fn guarded(members: usize, guard: Guard) -> Self {
        let ports = free_ports(members * 2);
        let member = |index: usize| Member {
            name: format!("etcd-{index}"),
            client: ports[2 * index],
            peer: ports[2 * index + 1],
            process: None,
        };
        let mut etcd = Self {
            members: (0..members).map(member).collect(),
            folder: tempfile::tempdir().expect("a folder for data"),
            guard,
        };
        (0..members).for_each(|it| etcd.launch(it));
        etcd.is_well();
        etcd
    }

    pub(crate) fn launch(&mut self, index: usize) {
        let peers: Vec<String> = self
            .members
            .iter()
            .map(|it| format!("{}=http://127.0.0.1:{}", it.name, it.peer))
            .collect();
        let member = &self.members[index];
        let (client, peer) = (
            self.endpoint(member),
            format!("http://127.0.0.1:{}", member.peer),
        );
        let process = Command::new("etcd")
            .args(["--name", &member.name])
            .arg("--data-dir")
            .arg(self.folder.path().join(&member.name))
            .args([
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
            ])
            .args([
                "--listen-peer-urls",
                &peer,
                "--initial-advertise-peer-urls",
                &peer,
            ])
            .args(["--initial-cluster", &peers.join(",")])
            .args(&self.guard.arguments)
            .env("ETCD_UNSUPPORTED_ARCH", std::env::consts::ARCH)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("etcd is installed (Debian: etcd-server)");
        self.members[index].process = Some(process);
    }

    pub(crate) fn kill(&mut self, index: usize) {
        if let Some(mut process) = self.members[index].process.take() {
            process.kill().expect("it is ours");
            process.wait().expect("it is ours");
        }
    }

    pub(crate) fn signal(&self, index: usize, name: &str) {
        let process = self.members[index].process.as_ref().expect("it runs");
        signal(process.id(), name);
    }

    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(|it| self.endpoint(it)).collect()
    }

    fn endpoint(&self, member: &Member) -> String {
        let scheme = if self.guard.tls.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://127.0.0.1:{}", member.client)
    }

    /// What a node is told of it, with the files that are shown to it.
    pub(crate) fn options(&self) -> EtcdOptions {
        let [ca, certificate, key] = match &self.guard.tls {
            Some(files) => files.clone().map(Some),
            None => [None, None, None],
        };
        EtcdOptions {
            endpoints: self.endpoints(),
            ca,
            certificate,
            key,
            ..EtcdOptions::default()
        }
    }

    /// Asks for users from now on: `root`, and others with their passwords, who may use what begins with a prefix.
    pub(crate) fn enable_users(&mut self, root: &'static str, others: &[(&str, &str)]) {
        let told = |etcd: &Self, what: &str| {
            let words: Vec<_> = what.split(' ').collect();
            let (done, said) = etcd.ask(&words);
            assert!(done, "{what}: {said}");
        };
        told(self, &format!("user add {root}"));
        told(self, "user grant-role root root");
        for (login, prefix) in others {
            let (name, _) = login.split_once(':').expect("NAME:PASSWORD");
            told(self, &format!("user add {login}"));
            told(self, &format!("role add {name}"));
            let grant = format!("role grant-permission {name} --prefix=true readwrite {prefix}");
            told(self, &grant);
            told(self, &format!("user grant-role {name} {name}"));
        }
        told(self, "auth enable");
        self.guard.root = Some(root);
    }

    pub(crate) fn store(&self) -> EtcdStore {
        EtcdStore::new(&self.options()).expect("valid options")
    }

    pub(crate) fn candidate(&self, node: &str) -> Candidate {
        Candidate::start(node, &self.resource(), "etcd", &self.endpoints().join(","))
    }

    pub(crate) fn resource(&self) -> PathBuf {
        self.folder.path().join("resource.db")
    }

    /// Waits until it has a leader, and answers.
    pub(crate) fn is_well(&self) {
        let until = Instant::now() + DEADLINE;
        while !self.ask(&["endpoint", "health"]).0 {
            assert!(Instant::now() < until, "etcd does not come up");
        }
    }

    /// Which member leads the others.
    pub(crate) fn leader(&self) -> usize {
        self.leader_but(usize::MAX)
    }

    /// The same, and not the one at `gone`, which may not know.
    pub(crate) fn leader_but(&self, gone: usize) -> usize {
        let until = Instant::now() + DEADLINE;
        loop {
            let (_, status) = self.ask(&["endpoint", "status"]);
            let leads = |it: &Member| {
                let line = status
                    .lines()
                    .find(|line| line.contains(&format!(":{},", it.client)));
                // Endpoint, id, version, size, is it the leader, …
                line.is_some_and(|line| line.split(", ").nth(4) == Some("true"))
            };
            let mut leaders = (0..self.members.len()).filter(|it| leads(&self.members[*it]));
            if let Some(leader) = leaders.find(|it| *it != gone) {
                return leader;
            }
            assert!(Instant::now() < until, "etcd has no leader: {status}");
        }
    }

    pub(crate) fn ask(&self, what: &[&str]) -> (bool, String) {
        self.ask_with(what, "")
    }

    /// The same, with what it reads.
    pub(crate) fn ask_with(&self, what: &[&str], input: &str) -> (bool, String) {
        let mut etcdctl = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &self.endpoints().join(",")])
            .args(["--dial-timeout", "1s", "--command-timeout", "1s"])
            .args(self.shown())
            .args(what)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("etcdctl is installed (Debian: etcd-client)");
        let mut stdin = etcdctl.stdin.take().expect("piped");
        // It may not want to know.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = etcdctl.wait_with_output().expect("it is ours");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.success(), text)
    }
}

impl Etcd {
    /// What etcdctl shows.
    fn shown(&self) -> Vec<String> {
        let flags = ["--cacert", "--cert", "--key"];
        let files = self.guard.tls.iter().flatten().zip(flags);
        let files = files.flat_map(|(file, flag)| [flag.to_owned(), file.display().to_string()]);
        let root = self.guard.root.iter();
        let root = root.flat_map(|it| ["--user".to_owned(), (*it).to_owned()]);
        files.chain(root).collect()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for member in &mut self.members {
            if let Some(mut process) = member.process.take() {
                let _ = process.kill();
                let _ = process.wait();
            }
        }
    }
}

/// Ports that are free now, all held until each is known.
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    let held: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0").expect("loopback has free ports"))
        .collect();
    held.iter()
        .map(|it| it.local_addr().expect("bound").port())
        .collect()
}
