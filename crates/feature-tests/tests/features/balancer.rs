//! [`Balancer`]: HAProxy with the configuration that is shipped, in front of dispatchers of this machine.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process::{DEADLINE, fixed_port};

/// Two, for each of two protocols.
const SERVERS: usize = 4;

/// What it counts that should not be: connections and answers that failed, calls that were made once more or by another server.
pub(crate) const FAULTS: [&str; 7] = [
    "econ", "eresp", "wretr", "wredis", "hrsp_5xx", "cli_abrt", "srv_abrt",
];

/// Killed when it is dropped.
pub(crate) struct Balancer {
    haproxy: Child,
    http: SocketAddr,
    grpc: SocketAddr,
    folder: TempDir,
}

/// A line of the statistics: what HAProxy has seen of a server, or of all servers of a backend.
pub(crate) struct Row(BTreeMap<String, String>);

impl Balancer {
    /// In front of two dispatchers at 127.0.0.1 and 127.0.0.2, whose ports are those: HTTP, gRPC, diagnostics. Returns when it has
    /// seen that both are ready.
    #[track_caller]
    pub(crate) fn before(ports: [u16; 3]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let [http, grpc] = [(); 2].map(|()| SocketAddr::from(([127, 0, 0, 1], fixed_port())));
        let shipped =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/haproxy/haproxy.cfg");
        let shipped = fs::read_to_string(shipped).expect("it is in the workspace");
        let socket = socket_in(&folder);
        let places = [
            (
                "/run/haproxy/admin.sock".to_owned(),
                socket.display().to_string(),
            ),
            ("bind :8080".to_owned(), format!("bind {http}")),
            ("bind :9090".to_owned(), format!("bind {grpc}")),
            (
                "check port 9182".to_owned(),
                format!("check port {}", ports[2]),
            ),
            (
                "192.0.2.11:8080".to_owned(),
                format!("127.0.0.1:{}", ports[0]),
            ),
            (
                "192.0.2.12:8080".to_owned(),
                format!("127.0.0.2:{}", ports[0]),
            ),
            (
                "192.0.2.11:9090".to_owned(),
                format!("127.0.0.1:{}", ports[1]),
            ),
            (
                "192.0.2.12:9090".to_owned(),
                format!("127.0.0.2:{}", ports[1]),
            ),
        ];
        let settings = places.iter().fold(shipped, |text, (shipped, here)| {
            assert!(
                text.contains(shipped),
                "{shipped} is not in the configuration"
            );
            text.replace(shipped, here)
        });
        let file = folder.path().join("haproxy.cfg");
        fs::write(&file, settings).expect("it is written");
        let haproxy = Command::new("haproxy")
            .args(["-q", "-db", "-f"])
            .arg(file)
            .spawn()
            .expect("haproxy is installed: `cargo xtask ci --stage tools` does so");
        let balancer = Self {
            haproxy,
            http,
            grpc,
            folder,
        };
        balancer.has_seen_all();
        balancer
    }

    /// Where calls over HTTP are taken.
    pub(crate) fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where calls over gRPC are taken.
    pub(crate) fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// What it has seen so far of each server and each backend.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let mut text = String::new();
        // It may not be there yet.
        if let Ok(mut stream) = UnixStream::connect(socket_in(&self.folder)) {
            stream.write_all(b"show stat\n").expect("it is open");
            stream.read_to_string(&mut text).expect("a text");
        }
        let mut lines = text
            .trim_start_matches("# ")
            .lines()
            .filter(|it| !it.is_empty());
        let names: Vec<_> = lines.next().unwrap_or_default().split(',').collect();
        let row = |line: &str| {
            let fields = names.iter().zip(line.split(','));
            Row(fields
                .map(|(name, field)| ((*name).to_owned(), field.to_owned()))
                .collect())
        };
        let rows = lines.map(row);
        rows.filter(|it| it.0["svname"] != "FRONTEND").collect()
    }

    /// Waits until its probes have found every server ready.
    #[track_caller]
    pub(crate) fn has_seen_all(&self) {
        let end = Instant::now() + DEADLINE;
        loop {
            let rows = self.rows();
            if rows.iter().filter(|it| it.is_up()).count() == SERVERS {
                return;
            }
            assert!(Instant::now() < end, "one is not ready: {rows:?}");
            rest();
        }
    }
}

impl Row {
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.0[name].parse().unwrap_or_default()
    }

    /// A server that a probe has found ready.
    fn is_up(&self) -> bool {
        self.0["status"] == "UP" && self.0["check_status"] == "L7OK"
    }
}

/// Without the most of some ninety numbers.
impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = f.debug_map();
        for name in ["pxname", "svname", "status", "check_status", "hrsp_2xx"] {
            row.entry(&name, &self.0[name]);
        }
        row.entries(self.0.iter().filter(|it| FAULTS.contains(&it.0.as_str())));
        row.finish()
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.haproxy.kill();
        let _ = self.haproxy.wait();
    }
}

fn socket_in(folder: &TempDir) -> PathBuf {
    folder.path().join("admin.sock")
}

#[expect(clippy::disallowed_methods, reason = "nobody tells when it has probed")]
fn rest() {
    thread::sleep(Duration::from_millis(50));
}
