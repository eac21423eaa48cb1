//! [`Cluster`]: hosts as processes, sealed by files of keys, each reached by the others through a relay alone.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::net::UdpSocket;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use crate::relay::{Conditions, Weather, relay};
use crate::support::{Process, get};

/// How long a test waits for what must come, on a network that may be bad and a machine that may be busy.
pub(crate) const DEADLINE: Duration = Duration::from_secs(40);

/// How often a host is asked meanwhile: so seldom that the asking does not slow it down.
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) const OLD: &str = "1:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
pub(crate) const NEW: &str = "2:ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";

/// Silence is judged within seconds.
pub(crate) const IMPATIENT: &[&str] = &[
    "gossip.gossip-interval=100ms",
    "gossip.suspicion-interval=1500ms",
    "gossip.leave-interval=3s",
    "gossip.dead-node-grace=6s",
];

pub(crate) struct Cluster {
    pub(crate) weather: Weather,
    pub(crate) nodes: Vec<Node>,
    folder: TempDir,
    /// Carries the relays; they end with it.
    runtime: Runtime,
}

/// A host, or its place while it is down.
pub(crate) struct Node {
    pub(crate) name: String,
    /// The address that it sends from.
    pub(crate) ip: IpAddr,
    /// Where the others reach it.
    pub(crate) front: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) process: Process,
    keys: PathBuf,
    arguments: Vec<String>,
    /// Where it listens, for its relay.
    at: watch::Sender<Option<SocketAddr>>,
}

/// What a host says of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) status: String,
    pub(crate) generation: u64,
    pub(crate) address: SocketAddr,
}

impl Cluster {
    /// Starts hosts of these names, each of which knows where those before it are.
    pub(crate) fn start(names: &[&str], weather: Weather, settings: &[&str]) -> Self {
        let mut cluster = Self {
            weather,
            nodes: Vec::new(),
            folder: tempfile::tempdir().expect("a folder"),
            runtime: Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .expect("a runtime"),
        };
        for name in names {
            let node = cluster.launch(name, OLD, settings);
            cluster.nodes.push(node);
        }
        cluster
    }

    /// Starts a further host, which is not in the list of nodes.
    pub(crate) fn launch(&self, name: &str, keys: &str, settings: &[&str]) -> Node {
        let file = self.folder.path().join(format!("{name}.keys"));
        write_keys(&file, keys);
        let mut arguments = vec![format!("gossip.keys-file={}", file.display())];
        arguments.extend(settings.iter().map(|it| (*it).to_owned()));
        self.place(name, file, &arguments)
    }

    /// Starts a host behind a relay of its own, with an address of its own to send from.
    fn place(&self, name: &str, keys: PathBuf, settings: &[String]) -> Node {
        let front = self.runtime.block_on(UdpSocket::bind("127.0.0.1:0"));
        let front = front.expect("loopback has free ports");
        let address = front.local_addr().expect("it is bound");
        let (at, listens) = watch::channel(None);
        self.runtime
            .spawn(relay(front, listens, self.weather.clone()));
        let ip = self.free_ip();
        let mut arguments: Vec<_> = ["--diagnostics", "127.0.0.1:0", "--http", "127.0.0.1:0"]
            .map(str::to_owned)
            .to_vec();
        arguments.extend(["--gossip".to_owned(), format!("{ip}:0")]);
        arguments.extend(["--node-id".to_owned(), name.to_owned()]);
        for node in &self.nodes {
            arguments.extend(["--seed".to_owned(), node.front.to_string()]);
        }
        let advertise = format!("gossip.advertise={address}");
        for setting in settings.iter().chain([&advertise]) {
            arguments.extend(["--set".to_owned(), setting.clone()]);
        }
        let process = run(&arguments);
        let mut node = Node {
            name: name.to_owned(),
            ip,
            front: address,
            http: address,
            process,
            keys,
            arguments,
            at,
        };
        node.come_up();
        node
    }

    /// An address of loopback by which a new node is told from all others.
    fn free_ip(&self) -> IpAddr {
        let conditions = self.weather.conditions();
        let taken = |ip: &IpAddr| {
            let sent = conditions.passed.keys().any(|(from, _)| from == ip);
            sent || self.nodes.iter().any(|it| it.ip == *ip)
        };
        let mut free = (11..=250).map(|last| IpAddr::from([127, 0, 0, last]));
        free.find(|it| !taken(it)).expect("there are few nodes")
    }

    pub(crate) fn node(&self, name: &str) -> &Node {
        let found = self.nodes.iter().find(|it| it.name == name);
        found.expect("it was started")
    }

    pub(crate) fn node_mut(&mut self, name: &str) -> &mut Node {
        let found = self.nodes.iter_mut().find(|it| it.name == name);
        found.expect("it was started")
    }

    /// Waits until every node sees exactly these as alive, and says how long that took.
    #[track_caller]
    pub(crate) fn all_see(&self, names: &[&str]) -> Duration {
        let begin = Instant::now();
        for node in &self.nodes {
            node.until(|it| alive(it) == names);
        }
        begin.elapsed()
    }

    /// Waits until a datagram of every node has come to every other.
    #[track_caller]
    pub(crate) fn until_all_have_spoken(&self) {
        let ips = || self.nodes.iter().map(|it| it.ip);
        let ways = ips().flat_map(|from| ips().map(move |to| (from, to)));
        let ways: Vec<_> = ways.filter(|(from, to)| from != to).collect();
        self.until_weather(|it| ways.iter().all(|way| it.passed.contains_key(way)));
    }

    /// Waits until what became of datagrams is as `wanted`.
    #[track_caller]
    pub(crate) fn until_weather(&self, wanted: impl Fn(&Conditions) -> bool) {
        let begin = Instant::now();
        while !wanted(&self.weather.conditions()) {
            assert!(begin.elapsed() < DEADLINE, "in vain");
            pause(PAUSE);
        }
    }

    /// Cuts both ways between the first nodes and the others.
    pub(crate) fn cut(&self, these: &[&str]) {
        let (near, far): (Vec<_>, Vec<_>) = self
            .nodes
            .iter()
            .partition(|it| these.contains(&it.name.as_str()));
        let pairs = near
            .iter()
            .flat_map(|a| far.iter().map(move |b| (a.ip, b.ip)));
        let both = pairs.flat_map(|(a, b)| [(a, b), (b, a)]);
        self.weather.conditions().cuts = both.collect();
    }

    pub(crate) fn heal(&self) {
        self.weather.conditions().cuts.clear();
    }
}

impl Node {
    /// Starts it again after its end, with the same arguments and the same address for the others.
    pub(crate) fn restart(&mut self) {
        self.process = run(&self.arguments);
        self.come_up();
    }

    /// Waits until it serves, and has its relay lead to it.
    fn come_up(&mut self) {
        self.at
            .send_replace(Some(self.process.address("mesh-gossip")));
        self.http = self.process.address("control-plane:http");
    }

    /// Ends it at once and without a word.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
        self.at.send_replace(None);
    }

    /// Writes the file of its keys anew.
    pub(crate) fn give_keys(&self, keys: &str) {
        write_keys(&self.keys, keys);
    }

    /// Where its gossip listens, behind the relay.
    pub(crate) fn bound(&self) -> SocketAddr {
        self.at.borrow().expect("it is up")
    }

    /// The members as it sees them.
    #[track_caller]
    pub(crate) fn peers(&self) -> BTreeMap<String, Seen> {
        let document = get(self.http, "/control/peers").json();
        let rows = document["peers"].as_array().expect("rows");
        let text = |row: &Value, key: &str| row[key].as_str().expect("a text").to_owned();
        let seen = rows.iter().map(|row| {
            let seen = Seen {
                status: text(row, "status"),
                generation: text(row, "generation").parse().expect("a number"),
                address: text(row, "address").parse().expect("an address"),
            };
            (text(row, "nodeId"), seen)
        });
        let peers: BTreeMap<_, _> = seen.collect();
        assert_eq!(peers.len(), rows.len(), "a name is there twice: {document}");
        peers
    }

    /// Waits until the members are as `wanted`.
    #[track_caller]
    pub(crate) fn until(
        &self,
        wanted: impl Fn(&BTreeMap<String, Seen>) -> bool,
    ) -> BTreeMap<String, Seen> {
        let begin = Instant::now();
        loop {
            let peers = self.peers();
            if wanted(&peers) {
                return peers;
            }
            assert!(
                begin.elapsed() < DEADLINE,
                "{} in vain: {peers:#?}",
                self.name
            );
            pause(PAUSE);
        }
    }

    /// Waits until it sees `name` with `status`.
    #[track_caller]
    pub(crate) fn sees(&self, name: &str, status: &str) -> Seen {
        let peers = self.until(|it| it.get(name).is_some_and(|it| it.status == status));
        peers[name].clone()
    }

    /// What one of its metrics says, with labels as they are printed; 0 as long as it is not there.
    #[track_caller]
    pub(crate) fn metric(&self, series: &str) -> u64 {
        let text = get(self.http, "/metrics").body;
        let mut values = text.lines().filter_map(|it| it.strip_prefix(series));
        let value = values.next().map(|it| it.trim().parse());
        value.map_or(0, |it| it.expect("a whole number"))
    }

    /// How many datagrams it has received with this outcome.
    #[track_caller]
    pub(crate) fn received(&self, outcome: &str) -> u64 {
        self.metric(&format!(
            "mesh_gossip_messages_total{{direction=\"inbound\",outcome=\"{outcome}\"}}"
        ))
    }

    /// Waits until that number is as `wanted`.
    #[track_caller]
    pub(crate) fn until_received(&self, outcome: &str, wanted: impl Fn(u64) -> bool) -> u64 {
        let begin = Instant::now();
        loop {
            let count = self.received(outcome);
            if wanted(count) {
                return count;
            }
            assert!(
                begin.elapsed() < DEADLINE,
                "{}: {count} {outcome}",
                self.name
            );
            pause(PAUSE);
        }
    }
}

/// Lets time pass for the hosts, whose clocks are real.
#[expect(
    clippy::disallowed_methods,
    reason = "a process gives no event to wait for, and asking it without a pause takes the processor from it"
)]
pub(crate) fn pause(duration: Duration) {
    thread::sleep(duration);
}

/// The names of those that are alive.
pub(crate) fn alive(peers: &BTreeMap<String, Seen>) -> Vec<&str> {
    let alive = peers.iter().filter(|(_, it)| it.status == "alive");
    alive.map(|(name, _)| name.as_str()).collect()
}

fn run(arguments: &[String]) -> Process {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    Process::start(&arguments, &[])
}

/// Replaces the file at once: a host never reads a part of it.
fn write_keys(file: &Path, keys: &str) {
    let new = file.with_extension("new");
    fs::write(&new, keys).expect("it is written");
    fs::set_permissions(&new, Permissions::from_mode(0o600)).expect("it is ours");
    fs::rename(new, file).expect("it is ours");
}
