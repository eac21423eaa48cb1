//! Two control-plane hosts and the store that they share: who leads, as `lifecyclectl leaders --watch` tells it.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::process::Process;
use crate::programs;

/// The lease that the hosts have by default, and what an election may take beyond it.
const LEASE: Duration = Duration::from_secs(4);
const MARGIN: Duration = Duration::from_secs(4);

/// An etcd of one member, which keeps its data when it is killed.
pub(crate) struct Etcd {
    folder: TempDir,
    pub(crate) client: String,
    peer: String,
    process: Process,
}

impl Etcd {
    pub(crate) fn start() -> Self {
        programs::knows_etcd();
        let folder = tempfile::tempdir().expect("a folder for data");
        let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let url = |it: &TcpListener| format!("http://{}", it.local_addr().expect("bound"));
        let (client, peer) = (url(&held[0]), url(&held[1]));
        drop(held);
        let process = launch(&folder, &client, &peer);
        let etcd = Self {
            folder,
            client,
            peer,
            process,
        };
        etcd.is_well();
        etcd
    }

    fn is_well(&self) {
        let begin = Instant::now();
        let health = format!("{}/health", self.client);
        let asked = || {
            let mut curl = Command::new("curl");
            let answer = curl.args(["--silent", "--max-time", "1", &health]).output();
            String::from_utf8_lossy(&answer.expect("curl is installed").stdout).into_owned()
        };
        while !asked().contains("\"health\":\"true\"") {
            assert!(begin.elapsed() < crate::process::DEADLINE, "it is not well");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    fn kill(&mut self) {
        self.process.signal("KILL");
        self.process.exit();
    }

    fn start_again(&mut self) {
        self.process = launch(&self.folder, &self.client, &self.peer);
        self.is_well();
    }
}

fn launch(folder: &TempDir, client: &str, peer: &str) -> Process {
    let mut etcd = Command::new("etcd");
    etcd.arg("--data-dir")
        .arg(folder.path())
        .args(["--name", "one", "--initial-cluster", &format!("one={peer}")])
        .args([
            "--listen-client-urls",
            client,
            "--advertise-client-urls",
            client,
        ])
        .args([
            "--listen-peer-urls",
            peer,
            "--initial-advertise-peer-urls",
            peer,
        ])
        .env("ETCD_UNSUPPORTED_ARCH", std::env::consts::ARCH);
    Process::start(etcd)
}

/// Where the leases are, as settings.
struct Store(Vec<String>);

impl Store {
    fn etcd(etcd: &Etcd) -> Self {
        Self(vec![
            "leadership.store.kind=etcd".to_owned(),
            format!("leadership.store.endpoints={}", etcd.client),
        ])
    }

    fn sqlite(path: &Path) -> Self {
        Self(vec![
            "leadership.store.kind=sqlite".to_owned(),
            format!("leadership.store.path={}", path.display()),
        ])
    }
}

/// A host, and who watches it.
struct Plane {
    host: Process,
    watch: Process,
    diagnostics: String,
}

impl Plane {
    fn start(name: &str, store: &Store) -> Self {
        let own = [
            "gossip.enabled=false",
            &format!("leadership.node-id={name}"),
        ];
        let settings = own
            .iter()
            .copied()
            .chain(store.0.iter().map(String::as_str));
        let arguments: Vec<_> = settings.flat_map(|it| ["--set", it]).collect();
        let mut host = Process::control_plane_without_gossip(&arguments);
        let diagnostics = host.address("diagnostics").to_string();
        let mut watch = programs::program("lifecyclectl");
        watch.args(["--endpoint", &diagnostics, "leaders", "--watch"]);
        let mut watch = Process::start(watch);
        watch.printed(&["global-control"]);
        Self {
            host,
            watch,
            diagnostics,
        }
    }

    /// The moment when the watcher says that `node` was elected, and its fencing token.
    #[track_caller]
    fn sees_elected(&mut self, node: &str, term: u64) -> (Instant, u64) {
        let line = self.sees(&[&format!("elected {node} (term {term},")]);
        (Instant::now(), token(&line))
    }

    /// Its fencing token, once it leads; nobody may have watched when it was elected.
    #[track_caller]
    fn leads(&self, node: &str) -> u64 {
        let begin = Instant::now();
        loop {
            let row = self.row();
            if row["leaderId"] == node {
                let token = row["fenceToken"].as_str().expect("a token");
                return token.parse().expect("a number");
            }
            assert!(begin.elapsed() < crate::process::DEADLINE, "{row}");
            wait(Duration::from_millis(50));
        }
    }

    /// Waits until the watcher has printed a line with all of `parts`.
    #[track_caller]
    fn sees(&mut self, parts: &[&str]) -> String {
        self.watch.printed(parts)
    }

    /// What the host says about the one scope.
    fn row(&self) -> Value {
        let url = format!("http://{}/control/leaders", self.diagnostics);
        let mut curl = Command::new("curl");
        let answer = curl.args(["--silent", "--max-time", "10", &url]).output();
        let answer = answer.expect("curl is installed");
        let document: Value = serde_json::from_slice(&answer.stdout).expect("JSON");
        document["leaders"][0].clone()
    }

    #[track_caller]
    fn ends(mut self, signal: &str) {
        self.host.signal(signal);
        self.host.exit();
        self.watch.signal("KILL");
    }
}

fn token(line: &str) -> u64 {
    let (_, rest) = line.split_once("token ").expect("a token");
    let digits = rest.split(|it: char| !it.is_ascii_digit()).next();
    digits.and_then(|it| it.parse().ok()).expect("a number")
}

fn wait(length: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < length {
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// Has leadership move by each signal in turn; how long each took, from the signal to what the watcher prints.
fn moves(store: &Store) -> [Duration; 3] {
    let one = Plane::start("plane-1", store);
    let first = one.leads("plane-1");
    let mut two = Plane::start("plane-2", store);
    assert_eq!(two.leads("plane-1"), first);

    let begin = Instant::now();
    one.ends("TERM");
    let (at, second) = two.sees_elected("plane-2", 2);
    let stopped = at - begin;

    let mut one = Plane::start("plane-1", store);
    assert_eq!(one.leads("plane-2"), second);
    let begin = Instant::now();
    two.ends("KILL");
    let (at, third) = one.sees_elected("plane-1", 3);
    let killed = at - begin;

    let mut two = Plane::start("plane-2", store);
    assert_eq!(two.leads("plane-1"), third);
    one.host.signal("STOP");
    let begin = Instant::now();
    let (at, fourth) = two.sees_elected("plane-2", 4);
    let paused = at - begin;
    one.host.signal("CONT");
    // However early it is asked, it does not say any more that it leads by its old token.
    for _ in 0..20 {
        let row = one.row();
        assert_ne!(
            (&row["isLocal"], &row["term"]),
            (&true.into(), &3.into()),
            "{row}"
        );
    }
    one.sees(&["expired plane-1 (term 3,"]);
    one.sees(&["observed plane-2 (term 4,"]);
    let tokens = [first, second, third, fourth];
    assert!(tokens.is_sorted_by(|a, b| a < b), "{tokens:?}");
    one.ends("TERM");
    two.ends("TERM");
    [stopped, killed, paused]
}

#[test]
#[expect(clippy::print_stdout, reason = "how long it takes is worth being read")]
fn leadership_moves_when_its_holder_is_stopped_killed_or_paused_and_who_wakes_up_late_follows() {
    let etcd = Etcd::start();
    let folder = tempfile::tempdir().expect("a folder");
    let stores = [
        ("sqlite", Store::sqlite(&folder.path().join("leases.db"))),
        ("etcd", Store::etcd(&etcd)),
    ];
    println!(
        "fail-over of control-plane hosts, from the signal to `lifecyclectl leaders --watch`:"
    );
    for (kind, store) in &stores {
        let [stopped, killed, paused] = moves(store);
        println!("  {kind}: SIGTERM {stopped:.1?}, SIGKILL {killed:.1?}, SIGSTOP {paused:.1?}");
        assert!(stopped < MARGIN, "{kind}: {stopped:?}");
        assert!(killed < LEASE + MARGIN, "{kind}: {killed:?}");
        assert!(paused < LEASE + MARGIN, "{kind}: {paused:?}");
    }
}

#[test]
fn a_short_outage_of_etcd_changes_nothing_and_a_long_one_ends_the_tenure_of_the_leader() {
    let mut etcd = Etcd::start();
    let store = Store::etcd(&etcd);
    let mut one = Plane::start("plane-1", &store);
    let first = one.leads("plane-1");
    let mut two = Plane::start("plane-2", &store);
    assert_eq!(two.leads("plane-1"), first);
    for plane in [&mut one, &mut two] {
        plane.sees(&["plane-1"]);
    }
    let before = [one.watch.count(), two.watch.count()];
    etcd.kill();
    etcd.start_again();
    wait(LEASE + Duration::from_secs(1));
    // Neither was told of anything.
    assert_eq!([one.watch.count(), two.watch.count()], before);
    assert_eq!(one.row()["fenceToken"], first.to_string());

    let begin = Instant::now();
    etcd.kill();
    one.sees(&["expired plane-1 (term 1,"]);
    let held = begin.elapsed();
    assert!(held < LEASE + Duration::from_secs(1), "{held:?}");
    let row = one.row();
    assert_eq!(row["leaderId"], Value::Null, "{row}");
    assert!(row["issue"].is_string(), "{row}");
    assert_ne!(two.row()["leaderId"], "plane-2");
    etcd.start_again();
    // Whoever comes first; etcd lets the old lease last once more.
    let elected = "elected plane-";
    let (mut leads, begin) = (None, Instant::now());
    while leads.is_none() {
        leads = [&mut one, &mut two]
            .into_iter()
            .find_map(|it| it.watch.has_printed(&[elected, "(term 2,"]));
        assert!(begin.elapsed() < crate::process::DEADLINE, "nobody leads");
        wait(Duration::from_millis(50));
    }
    let line = leads.expect("waited for");
    assert!(token(&line) > first, "{line}");
    one.ends("TERM");
    two.ends("TERM");
}
